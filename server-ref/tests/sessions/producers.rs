//! Publishes that say which one they are: answers, refusals, and their order.

use crate::support::{Client, World};
use homing_server::config::Span;
use serde_json::{Value, json};

fn stamped(channel: &str, (session, number): (u64, u64), id: &str) -> String {
    format!(
        r#"{{"channel":"{channel}","data":"{id}","homing":{{"id":"{id}","producer":"p","session":{session},"number":{number}}}}}"#
    )
}

fn publish(client: &mut Client, channel: &str, place: (u64, u64), id: &str) -> Value {
    client.call("publish", &stamped(channel, place, id))
}

fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_else(|| panic!("not refused: {reply}"))
}

#[test]
fn a_publish_that_comes_again_is_acked_with_its_place() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    let first = publish(&mut ada, "chat:a", (1, 1), "m1");
    world.pass(&mut [&mut ada, &mut bob], 1000);
    let again = publish(&mut ada, "chat:a", (1, 1), "m1");
    assert_eq!((&again["publish"]["duplicate"], &again["publish"]["expected"]), (&json!(true), &json!(2)));
    for field in ["epoch", "offset", "time"] {
        assert_eq!(again["publish"][field], first["publish"][field]);
    }
    assert_eq!((&first["publish"]["duplicate"], &first["publish"]["expected"]), (&Value::Null, &Value::Null));
    let pushes = bob.pushes("pub");
    assert_eq!(pushes.len(), 1);
    assert_eq!(pushes[0]["push"]["pub"]["id"], "m1");
    assert_eq!(pushes[0]["push"]["pub"]["info"]["user"], "ada");
    let history = bob.call("history", r#"{"channel":"chat:a","limit":10}"#);
    assert_eq!(history["history"]["publications"][0]["id"], "m1");
}

#[test]
fn a_new_connection_fences_the_old_one_off() {
    let world = World::new();
    let (mut old, mut new) = (world.user("ada"), world.user("ada"));
    old.subscribe("chat:a");
    new.subscribe("chat:a");
    publish(&mut old, "chat:a", (1, 1), "m1");
    assert_eq!(publish(&mut new, "chat:a", (2, 1), "m1")["publish"]["duplicate"], true);
    let late = publish(&mut old, "chat:a", (1, 2), "m2");
    assert_eq!(late["error"], json!({"code": 300, "message": "fenced"}));
    assert_eq!(publish(&mut new, "chat:a", (2, 2), "m2")["publish"]["offset"], 2);
}

#[test]
fn answers_tell_the_number_that_is_expected() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    assert_eq!(code(&publish(&mut ada, "chat:a", (1, 3), "m3")), 303);
    let first = publish(&mut ada, "chat:a", (1, 1), "m1");
    let taken = publish(&mut ada, "chat:a", (1, 1), "other");
    assert_eq!(taken["error"], json!({"code": 301, "message": "number taken", "expected": 2}));
    let early = publish(&mut ada, "chat:a", (1, 3), "m3");
    let epoch = &first["publish"]["epoch"];
    assert_eq!(
        early["error"],
        json!({"code": 302, "message": "out of order", "expected": 2, "epoch": epoch})
    );
}

#[test]
fn numbers_are_known_where_nothing_is_kept() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("plain");
    let first = publish(&mut ada, "plain", (1, 1), "m1");
    let again = publish(&mut ada, "plain", (1, 1), "m1");
    assert_eq!((&again["publish"]["duplicate"], &again["publish"]["offset"]), (&json!(true), &Value::Null));
    assert_eq!(again["publish"]["time"], first["publish"]["time"]);
    let early = publish(&mut ada, "plain", (1, 3), "m3");
    assert_eq!(early["error"], json!({"code": 302, "message": "out of order", "expected": 2}));
    let pushes = ada.pushes("pub");
    assert_eq!((pushes.len(), &pushes[0]["push"]["pub"]["id"]), (1, &json!("m1")));
}

#[test]
fn a_refusal_is_an_ack_where_the_message_is_there() {
    let world = World::new();
    let (mut ada, mut later) = (world.user("ada"), world.user("ada"));
    ada.subscribe("chat:a");
    let first = publish(&mut ada, "chat:a", (1, 1), "m1");
    // Whoever is not subscribed may not publish here.
    let again = publish(&mut later, "chat:a", (2, 1), "m1");
    assert_eq!(again["publish"]["offset"], first["publish"]["offset"]);
    assert_eq!(again["publish"]["duplicate"], true);
    assert_eq!(code(&publish(&mut later, "chat:a", (2, 2), "m2")), 103);
    // The refusal was the last word: what an old socket still brings of it comes too late.
    assert_eq!(code(&publish(&mut ada, "chat:a", (1, 2), "m2")), 300);
    later.subscribe("chat:a");
    assert_eq!(publish(&mut later, "chat:a", (2, 2), "m3")["publish"]["offset"], 2);
}

#[test]
fn whatever_a_publish_is_refused_for_the_engine_is_asked_first() {
    let world = World::changed(|config| {
        config.client.command_rate_limit = 2;
        config.client.message_size_limit = 100;
    });
    let (mut ada, mut late) = (world.user("ada"), world.user("ada"));
    ada.subscribe("chat:a");
    publish(&mut ada, "chat:a", (1, 1), "m1");
    let stamp = r#""homing":{"id":"m1","producer":"p","session":1,"number":1}"#;
    let large = format!(r#"{{"channel":"chat:a","data":"{}",{stamp}}}"#, "x".repeat(200));
    let empty = format!(r#"{{"channel":"chat:a",{stamp}}}"#);
    for request in [large, empty] {
        assert_eq!(ada.call("publish", &request)["publish"]["duplicate"], true);
    }
    // The rate is used up here.
    assert_eq!(ada.refused("ping", "{}"), 111);
    assert_eq!(publish(&mut ada, "chat:a", (1, 1), "m1")["publish"]["duplicate"], true);
    let fast = publish(&mut ada, "chat:a", (1, 2), "m2");
    assert_eq!((code(&fast), &fast["error"]["temporary"]), (111, &json!(true)));
    assert_eq!(code(&publish(&mut late, "none:a", (1, 1), "m1")), 102);
    assert_eq!(code(&publish(&mut late, "none:a", (0, 1), "m1")), 300, "the question was recorded");
}

#[test]
fn what_is_behind_a_refused_one_is_out_of_order_and_answers_keep_their_order() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    publish(&mut ada, "chat:a", (1, 1), "m1");
    world.engine.hold();
    let large = format!(
        r#"{{"channel":"chat:a","data":"{}","homing":{{"id":"m2","producer":"p","session":1,"number":2}}}}"#,
        "x".repeat(70_000)
    );
    let ids = [
        ada.command("publish", &large),
        ada.command("publish", &stamped("chat:a", (1, 3), "m3")),
        ada.command("publish", &stamped("chat:a", (1, 2), "m3")),
    ];
    assert!(ids.iter().all(|id| ada.reply(*id).is_none()), "the engine has not answered yet");
    world.engine.stop_holding();
    let replies: Vec<_> = ada.all().into_iter().filter(|reply| !reply["id"].is_null()).collect();
    assert_eq!(replies.iter().map(|reply| reply["id"].as_u64().unwrap() as u32).collect::<Vec<_>>(), ids);
    assert_eq!((code(&replies[0]), code(&replies[1])), (106, 302));
    assert_eq!(replies[2]["publish"]["offset"], 2);
}

#[test]
fn an_engine_that_is_away_makes_every_answer_temporary() {
    let world = World::new();
    let mut ada = world.user("ada");
    world.engine.set_away(true);
    let refused = publish(&mut ada, "chat:a", (1, 1), "m1");
    assert_eq!((code(&refused), &refused["error"]["temporary"]), (100, &json!(true)));
    world.engine.set_away(false);
    assert_eq!(code(&publish(&mut ada, "chat:a", (1, 1), "m1")), 103);
}

#[test]
fn a_refusal_behind_a_publish_of_unknown_end_is_told_on_a_new_connection() {
    let world = World::changed(|config| config.client.ping_interval = Span::ZERO);
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    world.engine.hold();
    let lost = ada.command("publish", &stamped("chat:a", (1, 1), "m1"));
    world.pass(&mut [&mut ada], 5000);
    let lost = ada.reply(lost).unwrap();
    assert_eq!((code(&lost), &lost["error"]["temporary"]), (100, &json!(true)));
    world.engine.stop_holding();
    ada.call("unsubscribe", r#"{"channel":"chat:a"}"#);
    ada.command("publish", &stamped("chat:a", (1, 2), "m2"));
    assert_eq!(ada.close_code(), Some(3004));
    let mut again = world.user("ada");
    assert_eq!(publish(&mut again, "chat:a", (2, 1), "m1")["publish"]["duplicate"], true);
    assert_eq!(code(&publish(&mut again, "chat:a", (2, 2), "m2")), 103);
}

#[test]
fn a_key_is_known_for_five_minutes_and_belongs_to_its_user() {
    let world = World::changed(|config| config.client.ping_interval = Span::ZERO);
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    let keyed = r#"{"channel":"chat:a","data":1,"idempotency_key":"k"}"#;
    let first = ada.call("publish", keyed);
    assert_eq!(first["publish"]["offset"], 1);
    let again = ada.call("publish", keyed);
    assert_eq!((&again["publish"]["offset"], &again["publish"]["duplicate"]), (&json!(1), &json!(true)));
    assert_eq!(bob.call("publish", keyed)["publish"]["offset"], 2);
    ada.call("unsubscribe", r#"{"channel":"chat:a"}"#);
    assert_eq!(ada.call("publish", keyed)["publish"]["duplicate"], true, "asked before it is refused");
    ada.subscribe("chat:a");
    world.pass(&mut [&mut ada, &mut bob], 300_000);
    assert_eq!(ada.call("publish", keyed)["publish"]["duplicate"], Value::Null);
}

#[test]
fn producers_belong_to_their_user() {
    let world = World::new();
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    publish(&mut bob, "chat:a", (900, 1), "b1");
    assert_eq!(
        publish(&mut ada, "chat:a", (1, 1), "a1")["publish"]["offset"],
        2,
        "nobody fences another off"
    );
}

#[test]
fn a_stamp_that_cannot_be_is_refused() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    let long = "x".repeat(65);
    for homing in [
        r#"{"producer":"p","session":1,"number":1}"#.to_owned(),
        r#"{"id":"m","producer":"p","session":1}"#.to_owned(),
        format!(r#"{{"id":"{long}"}}"#),
        format!(r#"{{"id":"m","producer":"{long}","session":1,"number":1}}"#),
    ] {
        let request = format!(r#"{{"channel":"chat:a","data":1,"homing":{homing}}}"#);
        assert_eq!(ada.refused("publish", &request), 107, "{homing}");
    }
    let key = "x".repeat(256);
    let request = format!(r#"{{"channel":"chat:a","data":1,"idempotency_key":"{key}"}}"#);
    assert_eq!(ada.refused("publish", &request), 107);
    let unnumbered = r#"{"channel":"chat:a","data":1,"homing":{"id":"m"}}"#;
    for offset in [1, 2] {
        assert_eq!(
            ada.call("publish", unnumbered)["publish"]["offset"],
            offset,
            "an id alone is for readers"
        );
    }
    assert_eq!(ada.pushes("pub")[1]["push"]["pub"]["id"], "m");
}

#[test]
fn without_a_window_messages_are_not_numbered() {
    let world = World::changed(|config| config.engine.dedupe_window = Span::ZERO);
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    for offset in [1, 2] {
        assert_eq!(publish(&mut ada, "chat:a", (1, 1), "m1")["publish"]["offset"], offset);
    }
}

#[test]
fn a_user_who_brings_too_much_into_being_is_told_so() {
    let world = World::changed(|config| config.client.user_record_limit = 2);
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    ada.subscribe("chat:a");
    assert_eq!(publish(&mut ada, "chat:a", (1, 1), "m1")["publish"]["offset"], 1);
    let refused = ada.call("subscribe", r#"{"channel":"chat:b"}"#);
    assert_eq!((code(&refused), refused["error"]["temporary"].clone()), (106, Value::Null));
    assert!(refused["error"]["message"].as_str().unwrap().contains("2 channels and producers"), "{refused}");
    let other = stamped("chat:a", (1, 1), "m2").replace(r#""p""#, r#""q""#);
    assert_eq!(ada.refused("publish", &other), 106);
    // What is there goes on, and others have limits of their own.
    assert_eq!(publish(&mut ada, "chat:a", (1, 2), "m2")["publish"]["offset"], 2);
    bob.subscribe("chat:b");
    ada.subscribe("chat:b");
}
