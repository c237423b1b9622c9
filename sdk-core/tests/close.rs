//! The end of a client: what is under way may settle for a while, everything settles, nothing follows.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    Dice, World,
    desk::{Desk, config},
};

fn close(desk: &mut Desk, flush: u64) {
    desk.run(|client, now| client.close(now, Duration::from_millis(flush)));
}

fn is_closed(desk: &Desk) -> bool {
    matches!(desk.client.connection(), ConnectionState::Closed)
}

#[test]
fn close_ends_everything_and_its_event_is_the_last() {
    let (mut desk, handle, key) = Desk::in_channel("a", 0);
    close(&mut desk, 0);
    assert!(is_closed(&desk) && desk.conn.is_none());
    assert_eq!(desk.closed, [(ConnId(1), 1000)]);
    assert_eq!(desk.events.last(), Some(&Event::Connection(ConnectionState::Closed)));
    assert_eq!(desk.client.poll_timeout(), None, "no timer is left behind");
    assert_eq!(desk.client.subscription(key), SubscriptionSnapshot::default());
    let told = desk.events.len();
    let conn = ConnId(1);
    desk.input(Input::FrameReceived {
        conn,
        text: r#"{"push":{"channel":"a","pub":{"data":1,"offset":1}}}"#,
    });
    desk.input(Input::SocketClosed { conn, code: 1000, reason: "" });
    for hint in [Input::Online, Input::Offline, Input::Visible, Input::Resumed, Input::Suspended] {
        desk.input(hint);
    }
    desk.unsubscribe(handle);
    desk.disconnect();
    close(&mut desk, 1_000);
    desk.tick();
    desk.pass(600_000);
    assert_eq!((desk.events.len(), desk.sockets.len()), (told, 1), "nothing follows");
}

#[test]
fn after_close_every_command_is_a_typed_error() {
    let mut desk = Desk::connected(config());
    close(&mut desk, 0);
    let now = Instant::from_millis(desk.now);
    let client = &mut desk.client;
    let refused = [
        client.connect(now).err(),
        client.subscribe(now, "a", &SubscribeOptions::default()).err(),
        client.publish(now, "a", "1", &PublishOptions::default()).err(),
        client.history(now, "a", &HistoryQuery::default()).err(),
        client.presence(now, "a").err(),
        client.presence_stats(now, "a").err(),
        client.rpc(now, "m", "1").err(),
        client.send(now, "1").err(),
    ];
    for error in refused {
        assert_eq!(error.map(|error| error.code), Some(ErrorCode::Closed));
    }
    assert!(!desk.client.advance(now, ConnId(1), ChannelKey(1), 1));
    assert_eq!(desk.client.poll_output(), None);
}

#[test]
fn closing_a_client_that_never_connected_is_immediate() {
    let mut desk = Desk::new(config());
    close(&mut desk, 60_000);
    assert!(is_closed(&desk));
    assert_eq!(desk.events, [Event::Connection(ConnectionState::Closed)]);
}

#[test]
fn close_waits_for_what_is_under_way_and_no_longer() {
    let mut desk = Desk::connected(config());
    let first = desk.publish("a", "1");
    let second = desk.publish("a", "2");
    close(&mut desk, 5_000);
    assert!(!is_closed(&desk));
    let refused = desk
        .run(|client, now| client.publish(now, "a", "3", &PublishOptions::default()))
        .expect_err("closing");
    assert_eq!(refused.code, ErrorCode::Closed, "nothing new is taken");
    for call in [first, second] {
        let id = desk.take("publish").0;
        assert!(!is_closed(&desk));
        desk.answer(id, "publish", json!({}));
        assert!(desk.settled[&call].is_ok());
    }
    assert!(is_closed(&desk), "with the last answer");
}

#[test]
fn close_gives_up_at_its_deadline() {
    let mut desk = Desk::connected(config());
    let call = desk.publish("a", "1");
    close(&mut desk, 5_000);
    desk.pass(4_999);
    assert!(!is_closed(&desk));
    desk.pass(1);
    assert!(is_closed(&desk));
    assert_eq!(desk.failed_with(call), Some(ErrorCode::OutcomeUnknown));
}

#[test]
fn close_without_a_network_ends_at_its_deadline_too() {
    let mut desk = Desk::new(config());
    desk.connect();
    let call = desk.publish("a", "1");
    close(&mut desk, 5_000);
    desk.closed_by_peer(1006);
    desk.pass(5_000);
    assert!(is_closed(&desk) && desk.conn.is_none());
    assert_eq!(desk.failed_with(call), Some(ErrorCode::Closed), "it was never sent");
}

#[test]
fn what_waits_for_a_connection_may_still_be_sent_while_closing() {
    let mut desk = Desk::new(config());
    desk.connect();
    let call = desk.publish("a", "1");
    close(&mut desk, 5_000);
    desk.accept();
    let id = desk.take("publish").0;
    desk.answer(id, "publish", json!({}));
    assert!(desk.settled[&call].is_ok() && is_closed(&desk));
}

#[test]
fn a_second_close_can_shorten_the_wait_and_not_lengthen_it() {
    let mut desk = Desk::connected(config());
    desk.publish("a", "1");
    close(&mut desk, 5_000);
    close(&mut desk, 60_000);
    desk.pass(5_000);
    assert!(is_closed(&desk));
    let mut desk = Desk::connected(config());
    desk.publish("a", "1");
    close(&mut desk, 5_000);
    close(&mut desk, 0);
    assert!(is_closed(&desk));
}

#[test]
fn cancelling_or_disconnecting_while_closing_leaves_nothing_to_wait_for() {
    let mut desk = Desk::connected(config());
    let call = desk.publish_now("a", "1");
    close(&mut desk, 5_000);
    desk.run(|client, now| client.cancel(now, call));
    assert!(is_closed(&desk));
    let mut desk = Desk::connected(config());
    desk.publish_now("a", "1");
    close(&mut desk, 5_000);
    desk.disconnect();
    assert!(is_closed(&desk));
}

#[test]
fn a_thousand_pending_calls_are_a_thousand_rejections() {
    let mut desk = Desk::connected(config());
    desk.subscribe("b");
    let sent: Vec<_> = (0..500).map(|_| desk.publish_now("a", "1")).collect();
    let waiting: Vec<_> = (0..500).map(|_| desk.publish_now("b", "1")).collect();
    close(&mut desk, 0);
    assert_eq!(desk.settled.len(), 1_000);
    assert!(sent.iter().all(|call| desk.failed_with(*call) == Some(ErrorCode::OutcomeUnknown)));
    assert!(waiting.iter().all(|call| desk.failed_with(*call) == Some(ErrorCode::Closed)));
}

/// Close at any moment of any story: it ends by its deadline, all calls have settled, nothing follows.
#[test]
fn close_ends_by_its_deadline_at_any_moment() {
    for seed in 0..500 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, Config { provides_tokens: dice.chance(50), ..support::config() });
        world.server.behaviour.swallow = dice.below(30);
        world.connect();
        world.subscribe("a");
        let mut calls = Vec::new();
        for n in 0..dice.below(20) {
            calls.extend(
                world
                    .run(|client, now| client.publish(now, "a", &n.to_string(), &PublishOptions::default()))
                    .ok(),
            );
            match dice.below(4) {
                0 => world.cut(),
                1 => world.blackhole(),
                _ => {}
            }
            world.run_for(dice.below(2_000));
        }
        let flush = dice.below(5_000);
        world.run(|client, now| client.close(now, Duration::from_millis(flush)));
        world.run_for(flush);
        assert!(matches!(world.client.connection(), ConnectionState::Closed), "seed {seed}");
        assert!(calls.iter().all(|call| world.settled.contains_key(&call.request)), "seed {seed}");
        let told = world.events.len();
        world.run_for(60_000);
        assert_eq!((world.events.len(), world.client.poll_timeout()), (told, None), "seed {seed}");
        assert!(world.open.is_empty());
    }
}
