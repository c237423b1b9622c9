//! Hints of the host: network, visibility, sleep, the back/forward cache. They shorten waits and block nothing.

mod support;

use homing_core::*;
use support::{
    World,
    desk::{Desk, config},
};

/// L10.
#[test]
fn a_host_that_is_offline_for_ever_still_connects() {
    let mut world = World::new(1, support::config());
    world.input(Input::Offline);
    world.connect();
    world.input(Input::Offline);
    world.until_connected();
    world.input(Input::Offline);
    world.run_for(60_000);
    assert!(world.is_connected());
    assert_eq!(world.opened_urls.len(), 1, "the probe was answered: nothing is cut on a rumour");
}

/// L10.
#[test]
fn online_half_a_second_early_still_connects_within_three_seconds() {
    for seed in 0..100 {
        let mut world = World::new(seed, support::config());
        world.reachable = false;
        world.connect();
        world.run_for(120_000);
        world.input(Input::Online);
        world.run_for(500);
        world.reachable = true;
        let start = world.now;
        world.until_connected();
        assert!(world.now - start <= 3_000, "seed {seed}: {} ms", world.now - start);
    }
}

#[test]
fn a_hint_ends_a_long_wait_at_once() {
    for hint in [Input::Online, Input::Visible, Input::Resumed] {
        let mut desk = Desk::new(config());
        desk.connect();
        for _ in 0..12 {
            desk.closed_by_peer(1006);
            desk.until_socket(30_000);
        }
        desk.closed_by_peer(1006);
        let sockets = desk.sockets.len();
        desk.input(hint.clone());
        desk.pass(100);
        assert_eq!(desk.sockets.len(), sockets + 1, "{hint:?}");
    }
}

#[test]
fn hints_that_come_in_a_flood_do_not_hammer_the_server() {
    let mut desk = Desk::new(config());
    desk.connect();
    for _ in 0..1_000 {
        if desk.conn.is_some() {
            desk.closed_by_peer(1006);
        }
        desk.input(Input::Online);
        desk.input(Input::Visible);
        desk.pass(10);
    }
    assert!(desk.sockets.len() <= 200, "{} attempts in ten seconds", desk.sockets.len());
}

/// L9.
#[test]
fn the_back_forward_cache_closes_cleanly_and_comes_back_with_what_was_missed() {
    let mut world = World::new(3, support::config());
    world.connect();
    let (_, key) = world.subscribe("a");
    world.until_connected();
    world.run_for(1_000);
    world.server_publishes("a", "1");
    world.run_for(1_000);
    world.input(Input::Suspended);
    assert!(world.open.is_empty(), "an open socket would keep the page out of the cache");
    assert_eq!(world.client.subscription(key).state, SubscriptionState::Subscribing);
    for n in 2..5 {
        world.server_publishes("a", &n.to_string());
    }
    let opened = world.opened_urls.len();
    world.run_for(300_000);
    assert_eq!(world.opened_urls.len(), opened, "nothing is tried from within the cache");
    world.input(Input::Resumed);
    world.run_for(2_000);
    assert!(world.is_connected());
    assert_eq!(world.offsets(key), [1, 2, 3, 4]);
    assert!(world.gaps(key).is_empty());
}

#[test]
fn suspending_at_any_moment_leaves_no_socket_and_resuming_connects() {
    for stage in 0..4 {
        let mut desk = Desk::new(Config { provides_tokens: true, ..config() });
        desk.connect();
        if stage > 0 {
            desk.answer_token(Ok("t"));
        }
        if stage == 2 {
            desk.open();
        }
        if stage == 3 {
            desk.accept();
        }
        desk.input(Input::Suspended);
        desk.input(Input::Suspended);
        assert_eq!(desk.conn, None, "stage {stage}");
        if stage == 0 {
            desk.answer_token(Ok("late"));
        }
        desk.pass(100_000);
        assert_eq!(desk.conn, None, "stage {stage}");
        desk.input(Input::Resumed);
        desk.pass(100);
        desk.answer_token(Ok("t2"));
        assert!(desk.conn.is_some(), "stage {stage}");
        desk.accept();
    }
}

#[test]
fn resuming_does_not_undo_a_disconnect() {
    let mut desk = Desk::connected(config());
    desk.input(Input::Suspended);
    desk.disconnect();
    desk.input(Input::Resumed);
    desk.input(Input::Visible);
    desk.pass(60_000);
    assert_eq!(desk.sockets.len(), 1);
    assert_eq!(desk.refusal(), Some(Reason::DISCONNECT_CALLED));
}

/// L2: a hidden page need not hurry, where the app says so.
#[test]
fn a_hidden_page_takes_its_time_between_attempts_and_a_seen_one_does_not() {
    let hour = 3_600_000;
    let mut desk = Desk::new(Config { hidden_wait: Duration::from_secs(60), ..config() });
    desk.connect();
    desk.input(Input::Hidden);
    assert_eq!(desk.sockets.len(), 1, "what is under way goes on");
    while desk.now < hour {
        desk.closed_by_peer(1006);
        desk.until_socket(80_000);
    }
    assert!(desk.sockets.len() <= 61, "{} attempts in an hour", desk.sockets.len());
    desk.closed_by_peer(1006);
    desk.pass(5_000);
    assert_eq!(desk.conn, None);
    desk.input(Input::Visible);
    desk.pass(100);
    desk.closed_by_peer(1006);
    desk.until_socket(1_000);
}

#[test]
fn hiding_the_page_makes_no_difference_unless_the_app_says_so() {
    let mut desk = Desk::connected(config());
    desk.input(Input::Hidden);
    desk.closed_by_peer(1006);
    desk.until_socket(700);
}

/// L10: `online` comes early, and what fails in its wake says nothing about the server.
#[test]
fn failures_right_after_online_do_not_raise_the_backoff() {
    for seed in 0..200 {
        let mut desk = Desk::seeded(config(), seed);
        desk.connect();
        for _ in 0..10 {
            desk.closed_by_peer(1006);
            desk.until_socket(30_000);
        }
        desk.closed_by_peer(1006);
        desk.input(Input::Online);
        let online = desk.now;
        desk.until_socket(200);
        while desk.now - online < 3_000 {
            let failed = desk.now;
            desk.closed_by_peer(1006);
            desk.until_socket(30_000);
            assert!(desk.now - failed <= 600, "seed {seed}: a wait of {} ms", desk.now - failed);
        }
    }
}

/// L2: what was opening when the host fell asleep may be dead without knowing it.
#[test]
fn an_attempt_that_slept_is_replaced_at_once() {
    for greeting in [false, true] {
        let mut desk = Desk::new(config());
        desk.connect();
        if greeting {
            desk.open();
            desk.take("connect");
        }
        desk.jump(5_000);
        desk.input(Input::Resumed);
        assert_eq!((desk.sockets.len(), desk.closed.len()), (2, 1), "without a wait");
        desk.accept();
    }
}

#[test]
fn a_hint_right_after_a_sign_of_life_asks_nothing() {
    let mut desk = Desk::connected(config());
    desk.pass(10_000);
    desk.frame("{}");
    desk.pass(900);
    for hint in [Input::Online, Input::Visible, Input::Resumed, Input::Offline] {
        desk.input(hint);
    }
    assert_eq!(desk.sent("ping"), 0);
    desk.pass(200);
    desk.input(Input::Visible);
    desk.input(Input::Online);
    assert_eq!(desk.sent("ping"), 1, "and one probe is enough");
}
