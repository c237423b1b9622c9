//! Whether the other end is alive: pings, silence, probes, sleep. Deadlines compare clock readings and never
//! count ticks.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    World,
    desk::{Desk, config},
};

#[test]
fn a_ping_is_answered_from_the_message_path() {
    let mut desk = Desk::connected(config());
    desk.frame("{}");
    assert_eq!(desk.pongs(), 1);
}

#[test]
fn a_server_that_wants_no_pong_gets_none() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"pong": false}));
    desk.frame("{}");
    assert_eq!(desk.pongs(), 0);
}

#[test]
fn silence_beyond_ping_and_slack_ends_the_connection() {
    let mut desk = Desk::connected(config());
    desk.pass(34_999);
    assert!(desk.is_connected());
    desk.pass(3_002);
    assert_eq!(desk.trouble(), Some(ErrorCode::Silent.number()));
    assert_eq!(desk.closed.len(), 1);
    desk.until_socket(2_000);
}

#[test]
fn any_frame_proves_the_peer_alive() {
    let mut desk = Desk::connected(config());
    for n in 1..100 {
        desk.pass(30_000);
        desk.publication("elsewhere", n);
    }
    assert!(desk.is_connected());
    assert_eq!(desk.sockets.len(), 1);
}

/// Its silence says nothing, so it is asked now and then: a dead path is found out all the same.
#[test]
fn a_server_that_never_pings_is_probed_in_its_silence() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"ping": 0, "pong": false, "homing": {"version": 1}}));
    desk.pass(15_000);
    desk.wakes = 0;
    for _ in 0..86_400 {
        desk.pass(1_000);
        if desk.sent("ping") > 0 {
            let id = desk.take("ping").0;
            desk.answer(id, "ping", json!({}));
        }
    }
    assert!(desk.is_connected() && desk.wakes <= 3_600, "{} wakes in a day", desk.wakes);
    assert_eq!(desk.sockets.len(), 1);
    desk.pass(60_000);
    assert!(desk.sockets.len() > 1, "and where nothing answers, a fresh socket is opened");
}

/// L1: a hidden page's timers run once a minute.
#[test]
fn ticks_only_every_minute_for_half_an_hour_lose_no_connection() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    let mut offset = 0;
    for second in 1..=1_800_u64 {
        desk.jump(1_000);
        if second % 25 == 0 {
            desk.frame("{}");
            assert_eq!(desk.pongs(), 1, "the pong does not wait for a tick");
            desk.commands.clear();
        }
        if second % 7 == 0 {
            offset += 1;
            desk.publication("a", offset);
        }
        if second % 60 == 0 {
            desk.tick();
        }
    }
    assert!(desk.is_connected());
    assert_eq!(desk.sockets.len(), 1);
    assert_eq!(desk.offsets(key).len(), 257);
}

/// A tick that comes before the frames that were waiting must not judge by the time it was late, whether or not the
/// host noticed that it slept.
#[test]
fn a_tick_before_the_waiting_frames_costs_at_most_a_probe() {
    for noticed in [true, false] {
        let mut desk = Desk::connected(config());
        desk.jump(50_000);
        if noticed {
            desk.input(Input::Resumed);
        }
        desk.tick();
        desk.frame("{}");
        desk.pass(3_000);
        assert!(desk.is_connected());
        assert_eq!((desk.sockets.len(), desk.sent("ping")), (1, 1));
    }
}

/// L2: the socket is dead and does not know it.
#[test]
fn a_jump_of_ten_minutes_gives_one_probe_and_one_reconnect() {
    let mut desk = Desk::connected(config());
    desk.jump(600_000);
    let woken = desk.now;
    desk.input(Input::Resumed);
    desk.tick();
    assert_eq!(desk.sockets.len(), 1, "the socket is asked before it is given up");
    let probes = desk.commands.len();
    assert_eq!(probes, 1, "one probe: {:?}", desk.commands);
    // Further hints while the probe is under way add nothing.
    desk.input(Input::Visible);
    desk.input(Input::Online);
    desk.tick();
    assert_eq!(desk.commands.len(), probes);
    while desk.sockets.len() < 2 && desk.now < woken + 4_000 {
        desk.pass(1);
    }
    assert!(desk.now - woken <= 3_700, "a fresh socket in time: {} ms", desk.now - woken);
    assert_eq!(desk.sockets.len(), 2);
    desk.commands.clear();
    desk.accept();
    desk.pass(20_000);
    assert_eq!(desk.sockets.len(), 2, "one reconnect");
}

#[test]
fn after_a_sleep_on_a_dead_path_a_fresh_session_stands_within_four_seconds() {
    for seed in 0..200 {
        let mut world = World::new(seed, support::config());
        world.connect();
        let (_, key) = world.subscribe("a");
        world.until_connected();
        world.run_for(20_000);
        world.blackhole();
        world.sleep(300_000);
        let woken = world.now;
        world.run_while(4_000, "a fresh session", |world| {
            world.opened_urls.len() < 2 || !world.is_connected()
        });
        world.server_publishes("a", "1");
        world.run_for(1_000);
        assert_eq!(world.offsets(key).last(), Some(&1), "seed {seed}, {} ms", world.now - woken);
    }
}

#[test]
fn a_probe_that_is_answered_keeps_the_socket() {
    for hint in [Input::Resumed, Input::Visible, Input::Online, Input::Offline] {
        let mut desk = Desk::connected(config());
        desk.pass(15_000);
        desk.input(hint);
        let (id, _) = desk.take("ping");
        desk.answer(id, "ping", json!({}));
        desk.pass(15_000);
        assert!(desk.is_connected());
        assert_eq!(desk.sockets.len(), 1);
    }
}

#[test]
fn any_frame_answers_a_probe() {
    let mut desk = Desk::connected(config());
    desk.pass(15_000);
    desk.input(Input::Visible);
    desk.pass(2_000);
    desk.publication("elsewhere", 1);
    desk.pass(5_000);
    assert!(desk.is_connected());
}

/// A plain server ends a connection for good at a `ping` command.
#[test]
fn a_plain_server_is_probed_without_the_ping_command() {
    for seed in 0..50 {
        let mut world = World::new(seed, support::config());
        world.server.behaviour.extras = false;
        world.connect();
        world.subscribe("a");
        world.until_connected();
        world.run_for(10_000);
        for hint in [Input::Visible, Input::Online, Input::Resumed, Input::Offline] {
            world.input(hint);
            world.run_for(20_000);
        }
        assert!(world.is_connected());
        assert_eq!(world.opened_urls.len(), 1, "a live socket is kept");
        // A dead one is found out all the same.
        world.blackhole();
        world.input(Input::Visible);
        world.run_while(5_000, "a second socket", |world| world.opened_urls.len() < 2);
    }
}

/// L7.
#[test]
fn inbound_traffic_does_not_starve_the_heartbeat() {
    let mut world = World::new(5, support::config());
    world.connect();
    let (_, key) = world.subscribe("a");
    world.until_connected();
    world.run_for(1_000);
    world.frames.clear();
    let start = world.now;
    for n in 0..3_600 {
        world.server_publishes("a", &n.to_string());
        world.run_for(1_000);
    }
    assert!(world.is_connected());
    assert_eq!(world.opened_urls.len(), 1);
    assert_eq!(world.offsets(key).len(), 3_600);
    let mut last = start;
    for (at, _) in &world.frames {
        assert!(at - last <= 26_000, "a frame of the client in each interval: {} ms", at - last);
        last = *at;
    }
}

/// L7.
#[test]
fn a_cut_while_a_probe_is_pending_does_not_close_the_next_socket() {
    let mut desk = Desk::connected(config());
    desk.pass(15_000);
    desk.input(Input::Visible);
    assert!(!desk.commands.is_empty(), "a probe is under way");
    desk.closed_by_peer(1006);
    desk.commands.clear();
    desk.until_socket(2_000);
    desk.accept();
    desk.pass(20_000);
    assert!(desk.is_connected());
    assert_eq!((desk.sockets.len(), desk.closed.len()), (2, 0));
}

#[test]
fn a_probe_does_not_wait_behind_a_full_queue_of_calls() {
    let mut desk = Desk::connected(Config { max_requests: 4, ..config() });
    for n in 0..4 {
        desk.publish("a", &n.to_string());
    }
    desk.pass(5_000);
    desk.commands.clear();
    desk.input(Input::Visible);
    assert_eq!(desk.commands.len(), 1);
}
