//! Calls: each settles exactly once, and what it settles with says what is known and no more.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{
    Dice, World,
    desk::{Desk, at, config, page},
};

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

/// D9: the limit is known only when the server has told it.
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

// Questions.

#[test]
fn history_is_asked_for_in_both_directions() {
    let mut desk = Desk::connected(config());
    for (query, expected) in [
        (HistoryQuery::default(), json!({"channel": "a"})),
        (HistoryQuery { limit: -1, ..HistoryQuery::default() }, json!({"channel": "a", "limit": -1})),
        (
            HistoryQuery { limit: 10, since: Some(at("e1", 20)), reverse: false },
            json!({"channel": "a", "limit": 10, "since": {"epoch": "e1", "offset": 20}}),
        ),
        (
            HistoryQuery { limit: 10, since: Some(at("e1", 20)), reverse: true },
            json!({"channel": "a", "limit": 10, "since": {"epoch": "e1", "offset": 20}, "reverse": true}),
        ),
    ] {
        let call = ask(&mut desk, |client, now| client.history(now, "a", &query));
        let (id, sent) = desk.take("history");
        assert_eq!(sent, expected);
        desk.answer(id, "history", json!({"publications": page([3, 2]), "epoch": "e1", "offset": 30}));
        let Ok(Response::History { messages, position }) = &desk.settled[&call] else { panic!("{call:?}") };
        let offsets: Vec<_> = messages.iter().map(|message| message.offset).collect();
        assert_eq!((offsets, position), (vec![3, 2], &Some(at("e1", 30))), "in the order of the answer");
    }
}

#[test]
fn a_history_since_another_epoch_is_a_typed_error() {
    let mut desk = Desk::connected(config());
    let query = HistoryQuery { limit: 10, since: Some(at("gone", 3)), reverse: false };
    let call = ask(&mut desk, |client, now| client.history(now, "a", &query));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    assert_eq!(desk.failed_with(call), Some(ErrorCode::UnrecoverablePosition));
}

#[test]
fn presence_tells_who_and_how_many() {
    let mut desk = Desk::connected(config());
    let who = ask(&mut desk, |client, now| client.presence(now, "a"));
    let (id, sent) = desk.take("presence");
    assert_eq!(sent, json!({"channel": "a"}));
    let info = json!({"user": "ada", "client": "c1", "conn_info": {"name": "Ada"}});
    desk.answer(id, "presence", json!({"presence": {"c1": info, "c2": {"user": "bob", "client": "c2"}}}));
    let Ok(Response::Presence(there)) = &desk.settled[&who] else { panic!("{who:?}") };
    let users: Vec<_> = there.iter().map(|info| info.user.as_str()).collect();
    assert_eq!(users, ["ada", "bob"]);
    let many = ask(&mut desk, |client, now| client.presence_stats(now, "a"));
    let id = desk.take("presence_stats").0;
    desk.answer(id, "presence_stats", json!({"num_clients": 3, "num_users": 2}));
    assert_eq!(desk.settled[&many], Ok(Response::PresenceStats { clients: 3, users: 2 }));
}

#[test]
fn a_procedure_is_called_with_one_value_and_answers_with_one() {
    let mut desk = Desk::connected(config());
    let answered = ask(&mut desk, |client, now| client.rpc(now, "sum", "[1,2]"));
    let (id, sent) = desk.take("rpc");
    assert_eq!(sent, json!({"method": "sum", "data": [1, 2]}));
    desk.answer(id, "rpc", json!({"data": {"sum": 3}}));
    let Ok(Response::Rpc(result)) = &desk.settled[&answered] else { panic!("{answered:?}") };
    assert_eq!(result.as_str(), r#"{"sum":3}"#);
    let empty = ask(&mut desk, |client, now| client.rpc(now, "nothing", "null"));
    let id = desk.take("rpc").0;
    desk.answer(id, "rpc", json!({}));
    let Ok(Response::Rpc(result)) = &desk.settled[&empty] else { panic!("{empty:?}") };
    assert_eq!(result.as_str(), "null");
    let unknown = ask(&mut desk, |client, now| client.rpc(now, "no such", "null"));
    let id = desk.take("rpc").0;
    desk.refuse(id, 104);
    assert_eq!(desk.failed_with(unknown), Some(ErrorCode::MethodNotFound));
}

#[test]
fn a_procedure_whose_connection_is_lost_has_an_unknown_outcome() {
    let mut desk = Desk::connected(config());
    let call = ask(&mut desk, |client, now| client.rpc(now, "pay", "1"));
    desk.closed_by_peer(1006);
    assert_eq!(desk.failed_with(call), Some(ErrorCode::OutcomeUnknown));
}

#[test]
fn a_message_without_an_answer_settles_when_it_was_handed_over() {
    let mut desk = Desk::new(config());
    let call = ask(&mut desk, |client, now| client.send(now, "{\"hello\":1}"));
    assert!(desk.settled.is_empty());
    desk.connect();
    desk.accept();
    let (id, sent) = desk.take("send");
    assert_eq!((id, sent), (0, json!({"data": {"hello": 1}})), "it has no id");
    assert_eq!(desk.settled[&call], Ok(Response::Sent));
}

#[test]
fn a_question_is_asked_again_on_the_next_connection() {
    let mut desk = Desk::connected(config());
    let call = ask(&mut desk, |client, now| client.presence(now, "a"));
    desk.take("presence");
    desk.closed_by_peer(1006);
    assert!(desk.settled.is_empty());
    desk.until_socket(5_000);
    desk.accept();
    let id = desk.take("presence").0;
    desk.answer(id, "presence", json!({}));
    assert_eq!(desk.settled[&call], Ok(Response::Presence(Vec::new())));
}

#[test]
fn a_question_without_an_answer_may_be_asked_again() {
    let mut desk = Desk::connected(config());
    let call = ask(&mut desk, |client, now| client.presence(now, "a"));
    desk.pass(10_000);
    assert!(desk.settled[&call].as_ref().is_err_and(|error| error.retryable));
}

#[test]
fn a_deadline_counts_from_the_call_and_not_from_the_sending() {
    let mut desk = Desk::new(config());
    let call = desk.rpc("1");
    desk.pass(9_000);
    desk.connect();
    desk.accept();
    assert_eq!(desk.sent("rpc"), 1);
    desk.pass(999);
    assert!(desk.settled.is_empty());
    desk.pass(1);
    assert_eq!(desk.failed_with(call), Some(ErrorCode::OutcomeUnknown));
}

#[test]
fn an_answer_of_another_kind_settles_nothing_and_renews_the_connection() {
    let mut desk = Desk::connected(config());
    let publish = desk.publish("a", "1");
    let question = ask(&mut desk, |client, now| client.presence(now, "a"));
    let id = desk.take("publish").0;
    desk.answer(id, "history", json!({"publications": [], "epoch": "e1"}));
    assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()));
    assert_eq!(desk.failed_with(publish), Some(ErrorCode::OutcomeUnknown), "nobody knows what became of it");
    assert!(!desk.settled.contains_key(&question));
    desk.commands.clear();
    desk.until_socket(5_000);
    desk.accept();
    let id = desk.take("presence").0;
    desk.answer(id, "presence", json!({}));
    assert!(desk.settled[&question].is_ok());
}

#[test]
fn calls_of_a_client_that_was_refused_for_good_settle_at_their_deadline() {
    let mut desk = Desk::connected(config());
    desk.closed_by_peer(3500);
    let call = desk.rpc("1");
    desk.pass(10_000);
    assert_eq!(desk.failed_with(call), Some(ErrorCode::NotSent));
    assert_eq!(desk.client.poll_timeout(), None);
}

/// D4: every call settles exactly once (the world asserts that none does twice), in time, whatever happens; and
/// an ack is the truth.
#[test]
fn every_call_settles_once_and_in_time_whatever_happens() {
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, support::config());
        world.server.behaviour.stumble = dice.below(20);
        world.server.behaviour.swallow = dice.below(20);
        world.delay = (dice.below(50), dice.below(500));
        world.connect();
        let mut calls = BTreeMap::new();
        for n in 0..60 {
            if let Some((call, data)) = a_call(&mut world, &mut dice, n) {
                calls.insert(call, (world.now, data));
            }
            match dice.below(20) {
                0 => world.cut(),
                1 => world.blackhole(),
                2 => world.sleep(dice.below(30_000)),
                3 => {
                    world.run(|client, now| client.disconnect(now));
                    world.run_for(dice.below(3_000));
                    world.connect();
                }
                4 => {
                    let (handle, _) = world.subscribe("a");
                    world.run_for(dice.below(300));
                    world.run(|client, now| client.unsubscribe(now, handle));
                }
                5 => {
                    let pick = calls.keys().nth(dice.below(calls.len() as u64) as usize).copied();
                    pick.into_iter().for_each(|call| world.run(|client, now| client.cancel(now, call)));
                }
                _ => {}
            }
            world.run_for(dice.below(1_500));
        }
        world.run_for(10_000);
        for (call, (made, data)) in calls {
            let (settled, result) =
                &world.settled.get(&call).unwrap_or_else(|| panic!("seed {seed}: {call:?} is open"));
            assert!(*settled >= made);
            if let (Ok(Response::Published { position: Some(position), .. }), Some(data)) = (result, data) {
                let key = ("a".to_owned(), position.epoch.to_string(), position.offset);
                assert_eq!(world.server.archive.get(&key), Some(&data), "seed {seed}: an ack is the truth");
            }
        }
    }
}

fn a_call(world: &mut World, dice: &mut Dice, n: u64) -> Option<(RequestId, Option<String>)> {
    let data = format!("{{\"n\":{n}}}");
    match dice.below(6) {
        0 => world.run(|client, now| {
            client.history(now, "a", &HistoryQuery { limit: 5, ..HistoryQuery::default() })
        }),
        1 => world.run(|client, now| client.presence(now, "a")),
        2 => world.run(|client, now| client.rpc(now, "echo", &data)),
        3 => world.run(|client, now| client.send(now, &data)),
        _ => {
            return world
                .run(|client, now| {
                    client.publish(
                        now,
                        "a",
                        &data,
                        &PublishOptions { ephemeral: true, ..PublishOptions::default() },
                    )
                })
                .ok()
                .map(|accepted| (accepted.request, Some(data)));
        }
    }
    .ok()
    .map(|call| (call, None))
}

#[test]
fn ids_grow_with_each_command_of_a_connection_and_begin_anew_on_the_next() {
    let mut desk = Desk::connected(config());
    for _ in 0..3 {
        desk.publish("a", "1");
    }
    let ids =
        |desk: &Desk| -> Vec<Value> { desk.commands.iter().map(|command| command["id"].clone()).collect() };
    assert_eq!(ids(&desk), [json!(2), json!(3), json!(4)]);
    desk.commands.clear();
    desk.closed_by_peer(1006);
    desk.until_socket(5_000);
    desk.accept();
    desk.publish("a", "1");
    assert_eq!(ids(&desk), [json!(2)]);
}
