//! Engines that answer late, or not at all.

use crate::support::World;
use serde_json::json;

#[test]
fn an_engine_that_is_away_is_a_temporary_error_with_a_time() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    world.engine.set_away(true);
    assert!(!world.node.is_ready());
    for (verb, request) in [
        ("subscribe", r#"{"channel":"chat:b"}"#),
        ("publish", r#"{"channel":"chat:a","data":1}"#),
        ("history", r#"{"channel":"chat:a"}"#),
        ("presence", r#"{"channel":"chat:a"}"#),
        ("presence_stats", r#"{"channel":"chat:a"}"#),
    ] {
        let error = ada.call(verb, request)["error"].clone();
        assert_eq!(
            error,
            json!({"code": 100, "message": "the engine is away, try again in 1500 ms", "temporary": true,
                "retry_after": 1500}),
            "{verb}"
        );
    }
    world.engine.set_away(false);
    ada.subscribe("chat:b");
    assert_eq!(ada.publish("chat:a", "1")["offset"], 1);
}

#[test]
fn an_answer_that_does_not_come_is_a_temporary_error() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    world.engine.hold();
    let publish = ada.command("publish", r#"{"channel":"chat:a","data":1}"#);
    let subscribe = ada.command("subscribe", r#"{"channel":"chat:b"}"#);
    world.pass(&mut [&mut ada], 5000);
    for id in [publish, subscribe] {
        let reply = ada.reply(id).unwrap();
        assert_eq!((&reply["error"]["code"], &reply["error"]["temporary"]), (&json!(100), &json!(true)));
    }
    world.engine.stop_holding();
    // It was carried out all the same, and the attempt that failed is no obstacle.
    assert_eq!(ada.data(), [1]);
    ada.subscribe("chat:b");
}

#[test]
fn commands_to_a_channel_wait_until_it_is_subscribed_and_others_overtake_them() {
    let world = World::new();
    world.engine.hold();
    let mut ada = world.user("ada");
    ada.send(
        "{\"id\":10,\"subscribe\":{\"channel\":\"chat:a\"}}\n{\"id\":11,\"publish\":{\"channel\":\"chat:a\",\"data\":1}}\n\
         {\"id\":12,\"rpc\":{\"method\":\"none\"}}",
    );
    ada.send(r#"{"id":13,"ping":{}}"#);
    ada.send(r#"{"id":14,"unsubscribe":{"channel":"chat:a"}}"#);
    let mut ids = || -> Vec<_> { ada.all().iter().filter_map(|reply| reply["id"].as_u64()).collect() };
    assert_eq!(ids(), [12, 13]);
    world.engine.stop_holding();
    assert_eq!(ids(), [10, 11, 14]);
}

#[test]
fn a_client_whose_commands_wait_is_read_only_so_far() {
    let world = World::new();
    world.engine.hold();
    let mut ada = world.user("ada");
    ada.command("subscribe", r#"{"channel":"chat:a"}"#);
    let publishes: Vec<_> =
        (0..100).map(|n| ada.command("publish", &format!(r#"{{"channel":"chat:a","data":{n}}}"#))).collect();
    assert!(!ada.is_read());
    world.engine.stop_holding();
    let replies = ada.all();
    let acked: Vec<_> = replies.iter().filter(|reply| reply["publish"].is_object()).collect();
    assert!(acked.iter().map(|reply| reply["id"].as_u64().unwrap()).eq(publishes.into_iter().map(u64::from)));
    assert!(acked.iter().zip(1..).all(|(reply, offset)| reply["publish"]["offset"] == offset));
    assert!(ada.is_read());
}

#[test]
fn publishes_need_not_wait_for_each_other_and_keep_their_order() {
    let world = World::new();
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    world.engine.hold();
    let ids: Vec<_> =
        (1..=5).map(|n| ada.command("publish", &format!(r#"{{"channel":"chat:a","data":{n}}}"#))).collect();
    assert!(ada.is_read());
    world.engine.stop_holding();
    let acks: Vec<_> =
        ids.into_iter().map(|id| ada.reply(id).unwrap()["publish"]["offset"].clone()).collect();
    assert_eq!(acks, [1, 2, 3, 4, 5]);
    assert_eq!(ada.data(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_client_that_asks_faster_than_the_engine_answers_is_read_no_further() {
    let world = World::new();
    let mut ada = world.user("ada");
    world.engine.hold();
    let commands: Vec<_> =
        (10..200).map(|id| format!(r#"{{"id":{id},"publish":{{"channel":"plain","data":{id}}}}}"#)).collect();
    ada.send(&commands.join("\n"));
    assert!(!ada.is_read());
    for _ in 0..4 {
        world.engine.release();
        ada.turn();
    }
    let ids: Vec<_> = ada.all().iter().filter_map(|reply| reply["id"].as_u64()).collect();
    assert_eq!(ids, (10..200).collect::<Vec<_>>());
    assert!(ada.is_read());
}

#[test]
fn a_late_answer_about_a_room_that_is_gone_leaves_its_successor_alone() {
    let world = World::new();
    let mut ada = world.user("ada");
    for _ in 0..2 {
        ada.subscribe("plain");
        ada.call("unsubscribe", r#"{"channel":"plain"}"#);
    }
    world.engine.hold();
    // The room is ended twice, and the second answer comes when it has a successor already.
    world.pass(&mut [&mut ada], 1100);
    world.engine.release_first();
    world.settle();
    assert_eq!(world.node.hub.rooms(), 0);
    let mut bob = world.user("bob");
    let id = bob.command("subscribe", r#"{"channel":"plain"}"#);
    world.engine.stop_holding();
    assert!(bob.reply(id).unwrap()["subscribe"].is_object());
    world.settle();
    bob.publish("plain", "1");
    assert_eq!(bob.data(), [1]);
}
