//! Calls: each settles exactly once, and what it settles with says what is known and no more.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{
    Dice, World,
    desk::{Desk, at, config, page},
};

fn ask<T>(desk: &mut Desk, command: impl FnOnce(&mut RealtimeClient, Instant) -> Result<T, Error>) -> T {
    desk.run(command).expect("taken")
}

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

/// Every call settles exactly once (the world asserts that none does twice), in time, whatever happens; and
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
