//! Publishes past the outbox: each settles exactly once, and what cannot be sent is refused before it is queued.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::{Desk, at, config};

fn published(desk: &Desk, request: RequestId) -> Option<(Option<Position>, i64)> {
    match desk.settled.get(&request) {
        Some(Ok(Response::Published { position, time, .. })) => Some((position.clone(), *time)),
        _ => None,
    }
}

fn ask<T>(desk: &mut Desk, command: impl FnOnce(&mut RealtimeClient, Instant) -> Result<T, Error>) -> T {
    desk.run(command).expect("taken")
}

// Publish: the ways to settle.

#[test]
fn a_publish_is_acked_with_its_position() {
    let mut desk = Desk::connected(config());
    let call = desk.publish("a", r#"{"text":"hi"}"#);
    let (id, sent) = desk.take("publish");
    assert_eq!(sent, json!({"channel": "a", "data": {"text": "hi"}}));
    assert!(desk.settled.is_empty(), "the socket's word is no ack");
    desk.answer(id, "publish", json!({"epoch": "e1", "offset": 7, "time": 1_700_000_000_000_i64}));
    assert_eq!(published(&desk, call), Some((Some(at("e1", 7)), 1_700_000_000_000)));
}

#[test]
fn a_plain_server_acks_without_a_position() {
    let mut desk = Desk::connected(config());
    let first = desk.publish("a", "1");
    let second = desk.publish("a", "2");
    let id = desk.take("publish").0;
    desk.answer(id, "publish", json!({}));
    let id = desk.take("publish").0;
    desk.say(json!({ "id": id }));
    assert_eq!((published(&desk, first), published(&desk, second)), (Some((None, 0)), Some((None, 0))));
}

#[test]
fn a_refused_publish_fails_with_the_servers_reason() {
    let mut desk = Desk::connected(config());
    let wire = wire::ErrorCode::ALL.iter().map(|code| code.code());
    for code in wire.chain([400, 777, 1999]).filter(|code| *code != ErrorCode::Internal.number()) {
        let expected = ErrorCode::from_number(code).unwrap_or(ErrorCode::Application);
        let retryable = expected.is_retryable();
        let call = desk.publish("a", "1");
        let id = desk.take("publish").0;
        desk.refuse(id, code);
        let error = desk.settled[&call].clone().expect_err("refused");
        assert_eq!((error.code, error.number, error.retryable), (expected, code, retryable));
        assert_eq!(&*error.detail, "refused");
    }
    let call = desk.publish("a", "1");
    let id = desk.take("publish").0;
    desk.refuse(id, ErrorCode::Internal.number());
    let error = desk.settled[&call].clone().expect_err("refused");
    assert_eq!(error.code, ErrorCode::OutcomeUnknown, "what failed inside a server may be there");
    assert!(desk.is_connected(), "one refused message costs no connection");
}

#[test]
fn a_publish_that_the_server_does_not_answer_has_an_unknown_outcome() {
    let mut desk = Desk::connected(config());
    let call = desk.publish_now("a", "1");
    let id = desk.take("publish").0;
    desk.pass(9_999);
    assert!(desk.settled.is_empty());
    desk.pass(1);
    let error = desk.settled[&call].clone().expect_err("unknown");
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::OutcomeUnknown, false),
        "sending it again may double it"
    );
    desk.answer(id, "publish", json!({"offset": 1, "epoch": "e1"}));
    assert_eq!(desk.settled.len(), 1, "a late answer changes nothing");
}

#[test]
fn a_publish_whose_connection_is_lost_has_an_unknown_outcome() {
    let mut desk = Desk::connected(config());
    let call = desk.publish("a", "1");
    desk.closed_by_peer(1006);
    assert_eq!(desk.failed_with(call), Some(ErrorCode::OutcomeUnknown));
    desk.commands.clear();
    desk.until_socket(5_000);
    desk.accept();
    assert_eq!(desk.sent("publish"), 0, "it is not sent again by itself");
}

#[test]
fn a_call_that_was_never_sent_says_so() {
    let mut desk = Desk::new(config());
    let call = desk.rpc("1");
    desk.pass(10_000);
    let error = desk.settled[&call].clone().expect_err("not sent");
    assert_eq!((error.code, error.retryable), (ErrorCode::NotSent, true), "sending it again is safe");
}

#[test]
fn a_publish_made_while_connecting_is_sent_with_the_connection() {
    let mut desk = Desk::new(config());
    desk.connect();
    let calls = ["1", "2", "3"].map(|data| desk.publish("a", data));
    desk.accept();
    for (call, data) in calls.iter().zip(1..) {
        let (id, sent) = desk.take("publish");
        assert_eq!(sent["data"], data, "in the order of the calls");
        desk.answer(id, "publish", json!({}));
        assert!(published(&desk, *call).is_some());
    }
}

#[test]
fn a_cancelled_publish_says_whether_it_had_left() {
    let mut desk = Desk::new(config());
    let waiting = desk.publish("a", "1");
    desk.run(|client, now| client.cancel(now, waiting));
    assert_eq!(desk.failed_with(waiting), Some(ErrorCode::Cancelled));
    desk.connect();
    desk.accept();
    assert_eq!(desk.sent("publish"), 0, "what was cancelled in time is never sent");
    let sent = desk.publish("a", "2");
    desk.run(|client, now| client.cancel(now, sent));
    assert_eq!(desk.failed_with(sent), Some(ErrorCode::OutcomeUnknown));
    let id = desk.take("publish").0;
    desk.answer(id, "publish", json!({}));
    desk.run(|client, now| client.cancel(now, sent));
    desk.run(|client, now| client.cancel(now, waiting));
    assert_eq!(desk.settled.len(), 2, "each settled once");
}

#[test]
fn disconnect_rejects_what_waits_and_what_was_sent_has_an_unknown_outcome() {
    let mut desk = Desk::connected(config());
    let sent = desk.publish("a", "1");
    desk.subscribe("b");
    let waiting = ask(&mut desk, |client, now| client.presence(now, "b"));
    desk.disconnect();
    assert_eq!(desk.failed_with(sent), Some(ErrorCode::OutcomeUnknown));
    assert_eq!(desk.failed_with(waiting), Some(ErrorCode::Disconnected));
}

#[test]
fn publishing_joins_nothing() {
    let mut desk = Desk::connected(config());
    desk.publish("a", "1");
    assert_eq!(desk.sent("subscribe"), 0);
}

#[test]
fn a_publish_to_a_channel_that_is_being_joined_waits_for_it_and_others_do_not() {
    let mut desk = Desk::connected(config());
    desk.subscribe("a");
    desk.publish("a", "1");
    desk.publish("b", "2");
    assert_eq!(desk.take("publish").1["channel"], "b");
    assert_eq!(desk.sent("publish"), 0, "the server may allow it to subscribers only");
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.take("publish").1["channel"], "a");
}

#[test]
fn a_publish_that_waited_for_a_subscription_goes_out_when_that_is_refused() {
    let mut desk = Desk::connected(config());
    desk.subscribe("a");
    desk.publish("a", "1");
    let id = desk.take("subscribe").0;
    desk.refuse(id, 103);
    assert_eq!(desk.sent("publish"), 1, "the server decides about it");
}

#[test]
fn a_publish_that_waited_for_a_subscription_goes_out_when_the_channel_is_left() {
    let mut desk = Desk::connected(config());
    let (handle, _) = desk.subscribe("a");
    desk.publish("a", "1");
    desk.unsubscribe(handle);
    desk.pass(150);
    assert_eq!(desk.sent("publish"), 1);
}

#[test]
fn calls_to_one_channel_keep_their_order_over_a_cut() {
    let mut desk = Desk::connected(config());
    desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    desk.closed_by_peer(1006);
    for n in 1..=5 {
        desk.publish("a", &n.to_string());
    }
    desk.until_socket(5_000);
    desk.accept();
    desk.publish("a", "6");
    desk.confirm("a", "e1", 0);
    let sent: Vec<_> = (1..=6).map(|_| desk.take("publish").1["data"].as_u64()).collect();
    assert_eq!(sent, (1..=6).map(Some).collect::<Vec<_>>());
}

// What is refused before it is queued.

#[test]
fn a_payload_that_is_not_json_is_refused_before_sending() {
    let mut desk = Desk::connected(config());
    for data in ["", "{", "undefined", "1 2", "\"\u{1}\"", "[1,]", "{\"a\":}", "NaN", "'a'", "01"] {
        let refused = desk
            .run(|client, now| client.publish(now, "a", data, &PublishOptions::default()))
            .expect_err(data);
        assert_eq!(refused.code, ErrorCode::InvalidPayload, "{data:?}");
    }
    assert!(desk.commands.is_empty());
}

#[test]
fn a_payload_is_sent_to_the_byte() {
    let mut desk = Desk::connected(config());
    let data = r#"{ "b":1.50, "a":"\u00e9\/", "big":123456789012345678901234567890 }"#;
    let frame = {
        desk.client
            .publish(Instant::from_millis(desk.now), "a", data, &PublishOptions::default())
            .expect("taken");
        match desk.client.poll_output() {
            Some(Output::SendFrame { text, .. }) => text,
            other => panic!("{other:?}"),
        }
    };
    assert!(frame.contains(data), "{frame}");
}

#[test]
fn a_message_larger_than_the_server_takes_is_refused_before_sending() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"homing": {"version": 1, "limits": {"message_bytes": 100}}}));
    let data = format!("\"{}\"", "x".repeat(99));
    let refused = desk
        .run(|client, now| client.publish(now, "a", &data, &PublishOptions::default()))
        .expect_err("too large");
    assert_eq!(refused.code, ErrorCode::MessageTooLarge);
    assert_eq!(refused.limit, Some(Limit { actual: 101, maximum: 100 }));
    let data = format!("\"{}\"", "x".repeat(98));
    desk.publish("a", &data);
    assert_eq!(desk.sent("publish"), 1);
}

/// The limit is known only when the server has told it.
#[test]
fn a_message_that_was_queued_before_the_server_told_its_limit_is_refused_alone() {
    let mut desk = Desk::new(config());
    let large = format!("\"{}\"", "x".repeat(1_000));
    let (first, refused, last) = (desk.publish("a", "1"), desk.publish("a", &large), desk.publish("a", "2"));
    let unheard = ask(&mut desk, |client, now| client.send(now, &large));
    desk.connect();
    desk.accept_with(json!({"homing": {"version": 1, "limits": {"message_bytes": 100}}}));
    for call in [refused, unheard] {
        let error = desk.settled[&call].clone().expect_err("too large");
        assert_eq!(error.limit, Some(Limit { actual: 1_002, maximum: 100 }));
        assert_eq!(error.code, ErrorCode::MessageTooLarge);
    }
    for call in [first, last] {
        let id = desk.take("publish").0;
        desk.answer(id, "publish", json!({}));
        assert!(published(&desk, call).is_some());
    }
    assert_eq!((desk.sockets.len(), desk.sent("publish") + desk.sent("send")), (1, 0));
}

#[test]
fn what_waits_is_bounded_in_count() {
    let mut desk = Desk::new(Config { max_requests: 3, ..config() });
    for _ in 0..3 {
        desk.rpc("1");
    }
    let refused = desk.run(|client, now| client.rpc(now, "echo", "1")).expect_err("full");
    assert_eq!((refused.code, refused.retryable), (ErrorCode::QueueFull, true));
    assert_eq!(refused.limit, Some(Limit { actual: 4, maximum: 3 }));
    desk.pass(10_000);
    desk.rpc("\"room again\"");
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut desk = Desk::connected(Config { max_request_bytes: 10, ..config() });
    let data = "\"1234567\"";
    let first = desk.publish_now("a", data);
    let ephemeral = PublishOptions { ephemeral: true, ..PublishOptions::default() };
    let refused = desk.run(|client, now| client.publish(now, "a", data, &ephemeral)).expect_err("full");
    assert_eq!(
        (refused.code, refused.limit),
        (ErrorCode::QueueFull, Some(Limit { actual: 18, maximum: 10 }))
    );
    let id = desk.take("publish").0;
    desk.answer(id, "publish", json!({}));
    assert!(published(&desk, first).is_some());
    desk.publish_now("a", data);
}

#[test]
fn a_million_publishes_while_offline_hold_no_more_than_the_limit() {
    let mut desk = Desk::new(config());
    let full = (0..1_000_000)
        .filter(|_| {
            desk.run(|client, now| client.publish(now, "a", "1", &PublishOptions::default()))
                .is_err_and(|error| error.code == ErrorCode::QueueFull)
        })
        .count();
    assert_eq!(full, 1_000_000 - 1024);
    assert_eq!(desk.client.outbox().count(), 1024);
    desk.connect();
    desk.accept();
    assert_eq!(desk.sent("publish"), 16, "and they leave at the pace of the answers");
}

/// A plain server takes frames of 64 KiB and ends the connection for good behind that.
#[test]
fn commands_that_leave_together_never_make_a_frame_that_a_plain_server_refuses() {
    let mut desk = Desk::new(config());
    let data = format!("\"{}\"", "x".repeat(3_000));
    for _ in 0..200 {
        desk.rpc(&data);
    }
    desk.connect();
    let conn = desk.conn.expect("a socket");
    let now = Instant::from_millis(0);
    desk.input(Input::SocketOpened { conn });
    desk.client
        .handle_input(now, Input::FrameReceived { conn, text: r#"{"id":1,"connect":{"client":"c"}}"# });
    let (mut frames, mut commands) = (0, 0);
    while let Some(output) = desk.client.poll_output() {
        if let Output::SendFrame { text, .. } = output {
            assert!(text.len() <= 65_536, "{} bytes", text.len());
            assert!(!text.starts_with('\n') && !text.ends_with('\n'));
            frames += 1;
            commands += text.lines().count();
        }
    }
    assert_eq!(commands, 200);
    assert!(frames < 15, "and they do leave together: {frames}");
}
