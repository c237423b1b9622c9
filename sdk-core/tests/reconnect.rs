//! How a lost connection comes back: waits, their growth, the server's wish, and the crowd that lost it together.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::{Desk, config};

#[test]
fn the_servers_retry_after_is_kept_and_spread() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut desk = Desk::seeded(config(), seed);
        desk.connect();
        desk.accept();
        desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "shutdown", "reconnect": true, "retry_after": 5000}}}));
        if desk.conn.is_some() {
            desk.closed_by_peer(3001);
        }
        let start = desk.now;
        desk.until_socket(60_000);
        waits.push(desk.now - start);
    }
    assert!(waits.iter().all(|wait| *wait >= 5_000), "never earlier than asked");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 50, "and not all in the same moment");
}

#[test]
fn an_error_for_connect_may_name_a_retry_after() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.open();
    let id = desk.take("connect").0;
    desk.say(
        json!({"id": id, "error": {"code": 111, "message": "busy", "temporary": true, "retry_after": 7000}}),
    );
    desk.pass(6_999);
    assert_eq!(desk.sockets.len(), 1);
    desk.until_socket(60_000);
}

#[test]
fn the_first_wait_has_full_jitter_above_a_floor() {
    let mut waits: Vec<u64> = (0..1_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.closed_by_peer(1006);
            desk.until_socket(20_000);
            desk.now
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 100 && waits[999] <= 600, "{} to {}", waits[0], waits[999]);
    assert!(waits[100] < 200 && waits[900] > 450, "evenly spread: {} {}", waits[100], waits[900]);
}

#[test]
fn waits_grow_with_every_failure_up_to_the_cap() {
    let mut longest = [0; 14];
    for seed in 0..200 {
        let mut desk = Desk::seeded(config(), seed);
        desk.connect();
        for most in &mut longest {
            desk.closed_by_peer(1006);
            let start = desk.now;
            desk.until_socket(30_000);
            *most = (desk.now - start).max(*most);
        }
    }
    for (at, most) in longest.into_iter().enumerate() {
        let width = (500_u64 << at).min(20_000);
        assert!(most <= 20_100.min(width + 100) && most > width * 8 / 10, "failure {at}: {most} of {width}");
    }
}

#[test]
fn failures_are_forgotten_only_after_a_stable_time() {
    let mut desk = Desk::new(config());
    desk.connect();
    for _ in 0..8 {
        desk.accept();
        desk.pass(1_000);
        desk.closed_by_peer(1006);
        desk.until_socket(30_000);
    }
    let attempts = |desk: &Desk| match desk.client.connection() {
        ConnectionState::Connecting { attempt, .. } => *attempt,
        _ => panic!("connecting"),
    };
    assert!(attempts(&desk) >= 8, "a connection that lasts a second proves nothing");
    desk.accept();
    desk.pass(10_001);
    desk.closed_by_peer(1006);
    assert!(attempts(&desk) <= 1, "one that lasts does");
    let start = desk.now;
    desk.until_socket(30_000);
    assert!(desk.now - start <= 600);
}

/// The server asked for a pause; a hint of the host is no reason to come earlier.
#[test]
fn a_hint_does_not_break_the_servers_retry_after() {
    let mut desk = Desk::connected(config());
    desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "s", "reconnect": true, "retry_after": 5000}}}));
    if desk.conn.is_some() {
        desk.closed_by_peer(3001);
    }
    desk.pass(1_000);
    desk.input(Input::Online);
    desk.input(Input::Visible);
    desk.pass(3_900);
    assert_eq!(desk.sockets.len(), 1);
}

/// L8: after a restart of the server its ten thousand clients come back spread out.
#[test]
fn ten_thousand_clients_do_not_come_back_in_one_second() {
    let mut clients: Vec<Desk> = (0..10_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.accept();
            desk.pass(15_000);
            desk
        })
        .collect();
    let start = clients[0].now;
    let mut per_100_ms = [0_u32; 300];
    for desk in &mut clients {
        // The new server is not there for two seconds.
        desk.closed_by_peer(1006);
        loop {
            desk.until_socket(30_000);
            let slot = ((desk.now - start) / 100) as usize;
            if let Some(count) = per_100_ms.get_mut(slot) {
                *count += 1;
            }
            if desk.now - start >= 2_000 {
                break;
            }
            desk.closed_by_peer(1006);
        }
    }
    let peak = per_100_ms.iter().max().copied().unwrap_or(0);
    assert!(peak < 3_000, "connects in the worst tenth of a second: {peak}");
    let after = per_100_ms[20..].windows(10).map(|window| window.iter().sum::<u32>()).max().unwrap_or(0);
    assert!(after < 6_000, "connects in the worst second of the new server: {after}");
}

#[test]
fn ten_thousand_clients_keep_a_retry_after_and_spread_behind_it() {
    let mut waits: Vec<u64> = (0..10_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.accept();
            desk.pass(15_000);
            let start = desk.now;
            desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "shutdown", "reconnect": true,
                "retry_after": 2000 + seed * 8 / 10}}}));
            if desk.conn.is_some() {
                desk.closed_by_peer(3001);
            }
            desk.until_socket(60_000);
            desk.now - start
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 2_000);
    let peak = waits.windows(1_600).all(|window| window[1_599] - window[0] >= 1_000);
    assert!(peak, "at most 1,600 a second where the server spread its clients over eight");
}
