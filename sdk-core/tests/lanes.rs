//! What a client remembers of channels that it has published to: so many and no more, and nothing is lost, doubled
//! or out of order where it has forgotten one. And what is now or never is not kept for later.

mod support;

use homing_core::{ErrorCode, OutboxLimits, PublishOptions, Response};
use serde_json::json;
use support::desk::{Desk, config};

fn remembering(channels: usize) -> Desk {
    let limits = OutboxLimits { channels, ..OutboxLimits::default() };
    let mut desk = Desk::new(homing_core::Config { outbox: limits, ..config() });
    desk.connect();
    accept(&mut desk);
    desk
}

fn accept(desk: &mut Desk) {
    let limits = json!({ "dedupe_window": 259_200, "in_flight": 16 });
    let homing = json!({ "version": 1, "capabilities": ["producers"], "limits": limits });
    desk.accept_with(json!({ "homing": homing, "time": 1_781_000_200_000_u64 }));
}

/// Takes the next publish, which has this number, and acks it there.
fn ack(desk: &mut Desk, number: u64, offset: u64) {
    let (id, publish) = desk.take("publish");
    assert_eq!(publish["homing"]["number"], number, "{publish}");
    desk.answer(
        id,
        "publish",
        json!({ "epoch": "e1", "offset": offset, "time": 1_781_000_200_000_u64 + offset }),
    );
}

fn taken(desk: &mut Desk, id: u64, expected: u64) {
    desk.say(json!({ "id": id, "error": { "code": 301, "message": "number taken", "expected": expected } }));
}

/// Publishes to four channels where two are remembered, then to the first one again.
fn forgotten() -> Desk {
    let mut desk = remembering(2);
    for (offset, channel) in ["chat:a", "chat:b", "chat:c", "chat:d"].iter().enumerate() {
        desk.publish(channel, "1");
        ack(&mut desk, 1, offset as u64 + 1);
    }
    desk
}

#[test]
fn a_channel_that_was_forgotten_is_asked_for_its_number_by_one_message_alone() {
    let mut desk = forgotten();
    let first = desk.publish("chat:a", "2");
    let second = desk.publish("chat:a", "3");
    assert_eq!(desk.sent("publish"), 1, "another one could have the right number by chance");
    let (id, publish) = desk.take("publish");
    assert_eq!(publish["homing"]["number"], 1);
    taken(&mut desk, id, 2);
    ack(&mut desk, 2, 2);
    ack(&mut desk, 3, 3);
    for request in [first, second] {
        assert!(matches!(desk.settled[&request], Ok(Response::Published { .. })));
    }
    // The last two are remembered.
    desk.publish("chat:d", "2");
    ack(&mut desk, 2, 9);
}

#[test]
fn a_guessed_number_that_is_taken_leaves_nothing_unknown_behind_a_cut() {
    let mut desk = forgotten();
    let request = desk.publish("chat:a", "2");
    let (_, before) = desk.take("publish");
    desk.closed_by_peer(1006);
    desk.until_socket(60_000);
    accept(&mut desk);
    let (id, again) = desk.take("publish");
    assert_eq!(again["homing"]["id"], before["homing"]["id"]);
    taken(&mut desk, id, 2);
    ack(&mut desk, 2, 2);
    assert!(matches!(desk.settled[&request], Ok(Response::Published { .. })));
}

#[test]
fn a_refusal_says_nothing_about_the_numbers_of_a_channel_that_was_forgotten() {
    let mut desk = forgotten();
    desk.publish("chat:a", "2");
    desk.publish("chat:a", "3");
    desk.publish("chat:a", "4");
    let (id, _) = desk.take("publish");
    desk.refuse(id, 103);
    assert_eq!(desk.sent("publish"), 1, "the next one goes alone, too");
}

#[test]
fn a_channel_with_something_left_to_do_is_never_forgotten() {
    let mut desk = remembering(1);
    desk.publish("chat:a", "1");
    let parked = desk.publish("chat:a", "2");
    ack(&mut desk, 1, 1);
    let (id, _) = desk.take("publish");
    desk.refuse(id, 103);
    assert_eq!(desk.failed_with(parked), Some(ErrorCode::PermissionDenied));
    for offset in 1..4 {
        desk.publish(&format!("chat:{offset}"), "1");
        ack(&mut desk, 1, offset);
    }
    desk.publish("chat:a", "3");
    ack(&mut desk, 2, 2);
    assert_eq!(desk.client.outbox().count(), 1);
}

#[test]
fn an_ephemeral_message_that_waits_for_its_channel_does_not_outlive_the_connection() {
    let mut desk = remembering(2);
    desk.subscribe("chat:a");
    let options = PublishOptions { ephemeral: true, ..PublishOptions::default() };
    let request = desk.run(|client, now| client.publish(now, "chat:a", "1", &options)).unwrap().request;
    assert_eq!(desk.sent("publish"), 0);
    desk.closed_by_peer(1006);
    assert_eq!(desk.failed_with(request), Some(ErrorCode::NotSent));
    desk.commands.clear();
    desk.until_socket(60_000);
    accept(&mut desk);
    desk.confirm("chat:a", "e1", 0);
    assert_eq!(desk.sent("publish"), 0);
}

#[test]
fn a_cut_between_the_refused_guess_and_the_right_number_lets_nothing_overtake() {
    let mut desk = forgotten();
    let first = desk.publish("chat:a", "2");
    desk.publish("chat:a", "3");
    let (id, _) = desk.take("publish");
    // The link is lost before anything can be numbered anew: the answer stands in the last frame.
    let conn = desk.conn.take().expect("a socket");
    let refusal =
        json!({ "id": id, "error": { "code": 301, "message": "taken", "expected": 2 } }).to_string();
    desk.client.handle_input(
        homing_core::Instant::from_millis(desk.now),
        homing_core::Input::FrameReceived { conn, text: &refusal },
    );
    desk.input(homing_core::Input::SocketClosed { conn, code: 1006, reason: "cut" });
    desk.commands.clear();
    desk.until_socket(60_000);
    accept(&mut desk);
    assert_eq!(desk.sent("publish"), 1);
    let (id, publish) = desk.take("publish");
    assert_eq!(publish["data"], 2);
    if publish["homing"]["number"] == 1 {
        taken(&mut desk, id, 2);
        ack(&mut desk, 2, 2);
    } else {
        desk.answer(id, "publish", json!({ "epoch": "e1", "offset": 2 }));
    }
    ack(&mut desk, 3, 3);
    assert!(matches!(desk.settled[&first], Ok(Response::Published { .. })));
}
