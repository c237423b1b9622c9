//! Health: slower to worry than the raw state, and never noisier than a person wants.

mod support;

use homing_core::*;
use support::{
    Dice, World,
    desk::{Desk, config},
};

/// Cut at once; the network comes back after `millis`, and the host says so.
fn away(millis: u64) -> Desk {
    let mut desk = Desk::connected(config());
    desk.closed_by_peer(1006);
    let back = desk.now + millis;
    while desk.now < back {
        desk.pass(100.min(back - desk.now));
        if desk.conn.is_some() && desk.now < back {
            desk.closed_by_peer(1006);
        }
    }
    desk.input(Input::Online);
    desk.until_socket(500);
    desk.accept();
    desk.pass(20_000);
    desk
}

#[test]
fn a_cut_of_three_seconds_is_no_news() {
    assert_eq!(away(3_000).health_events(), []);
}

#[test]
fn a_cut_of_ten_seconds_is_degraded_once_and_restored_once() {
    assert_eq!(away(10_000).health_events(), [Health::Degraded, Health::Ok]);
}

#[test]
fn a_cut_of_a_minute_is_lost_in_the_end_and_restored_once() {
    assert_eq!(away(60_000).health_events(), [Health::Degraded, Health::Lost, Health::Ok]);
}

#[test]
fn the_raw_state_tells_every_attempt_meanwhile() {
    let mut desk = Desk::connected(config());
    desk.closed_by_peer(1006);
    for _ in 0..3 {
        desk.until_socket(30_000);
        desk.closed_by_peer(1006);
    }
    let attempts: Vec<_> = desk
        .states()
        .iter()
        .filter_map(|state| match state {
            ConnectionState::Connecting { attempt, retry_at: Some(at), .. } => {
                Some((*attempt, at.as_millis()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(attempts.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(attempts.is_sorted_by_key(|(_, at)| *at), "and when the next one starts: {attempts:?}");
}

#[test]
fn health_can_be_read_at_any_time() {
    let mut desk = Desk::connected(config());
    assert_eq!(desk.client.health(), Health::Ok);
    desk.closed_by_peer(1006);
    desk.pass(4_999);
    assert_eq!(desk.client.health(), Health::Ok);
    desk.pass(1);
    assert_eq!(desk.client.health(), Health::Degraded);
}

#[test]
fn short_cuts_in_a_row_do_not_add_up() {
    let mut desk = Desk::connected(config());
    for _ in 0..20 {
        desk.closed_by_peer(1006);
        desk.pass(500);
        desk.until_socket(2_000);
        desk.accept();
        desk.pass(15_000);
        desk.frame("{}");
    }
    assert_eq!(desk.health_events(), []);
}

#[test]
fn a_first_connection_that_takes_long_is_told_too() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.pass(6_000);
    assert_eq!(desk.health_events(), [Health::Degraded]);
}

#[test]
fn a_refusal_for_good_is_lost_at_once_and_connect_begins_anew() {
    let mut desk = Desk::connected(config());
    desk.closed_by_peer(3500);
    assert_eq!(desk.health_events(), [Health::Lost]);
    desk.connect();
    assert_eq!(desk.health_events(), [Health::Lost, Health::Ok]);
    desk.accept();
    desk.pass(20_000);
    assert_eq!(desk.health_events().len(), 2);
}

#[test]
fn who_is_not_meant_to_be_connected_is_well() {
    let mut desk = Desk::connected(config());
    desk.closed_by_peer(1006);
    desk.pass(7_000);
    desk.disconnect();
    desk.pass(600_000);
    assert_eq!(desk.health_events(), [Health::Degraded, Health::Ok]);
}

/// Whatever happens, health tells changes only, in their order, and ends well on a quiet network.
#[test]
fn no_health_is_told_twice_and_a_quiet_network_restores_it() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, support::config());
        world.connect();
        for _ in 0..40 {
            match dice.below(5) {
                0 => world.cut(),
                1 => world.reachable = dice.chance(50),
                2 => world.sleep(dice.below(60_000)),
                _ => {}
            }
            world.run_for(dice.below(8_000));
        }
        world.reachable = true;
        world.run_for(60_000);
        let mut last = Health::Ok;
        for (_, event) in &world.events {
            if let Event::Health(health) = event {
                assert_ne!(last, *health, "seed {seed}");
                last = *health;
            }
        }
        assert_eq!((last, world.client.health()), (Health::Ok, Health::Ok), "seed {seed}");
    }
}
