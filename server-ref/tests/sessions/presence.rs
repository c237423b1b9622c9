//! Who is here: entries, their leases, and who is told.

use crate::support::World;
use serde_json::json;

const SECOND: u64 = 1000;

#[test]
fn presence_lists_connections_and_counts_users() {
    let world = World::new();
    let (mut one, mut two, mut bob) = (world.user("ada"), world.user("ada"), world.user("bob"));
    for client in [&mut one, &mut two, &mut bob] {
        client.subscribe("chat:a");
    }
    let presence = one.call("presence", r#"{"channel":"chat:a"}"#)["presence"]["presence"].clone();
    assert_eq!(presence.as_object().unwrap().len(), 3);
    assert_eq!(presence[bob.id()], json!({"user": "bob", "client": bob.id()}));
    let stats = one.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(stats["presence_stats"], json!({"num_clients": 3, "num_users": 2}));
    bob.vanish();
    let stats = one.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(stats["presence_stats"], json!({"num_clients": 2, "num_users": 1}));
}

#[test]
fn those_who_ask_are_told_who_comes_and_goes() {
    let world = World::new();
    let (mut asks, mut does_not, mut bob) = (world.user("ada"), world.user("eve"), world.user("bob"));
    asks.call("subscribe", r#"{"channel":"chat:a","join_leave":true}"#);
    does_not.subscribe("chat:a");
    bob.subscribe("chat:a");
    bob.call("unsubscribe", r#"{"channel":"chat:a"}"#);
    let users = |pushes: Vec<serde_json::Value>, kind: &str| -> Vec<String> {
        pushes.iter().map(|push| push["push"][kind]["info"]["user"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(users(asks.pushes("join"), "join"), ["ada", "eve", "bob"]);
    assert_eq!(users(asks.pushes("leave"), "leave"), ["bob"]);
    assert!(does_not.pushes("join").is_empty() && does_not.pushes("leave").is_empty());
}

#[test]
fn the_entry_of_a_live_connection_never_lapses() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let mut ada = world.user("ada");
    ada.call("subscribe", r#"{"channel":"chat:a","join_leave":true}"#);
    ada.all();
    for _ in 0..10 {
        world.pass(&mut [&mut ada], 30 * SECOND);
        let stats = ada.call("presence_stats", r#"{"channel":"chat:a"}"#);
        assert_eq!(stats["presence_stats"]["num_clients"], 1);
    }
    assert!(ada.all().is_empty());
}

#[test]
fn the_entries_of_a_node_that_died_lapse_with_one_leave_each() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let dying = world.neighbour();
    let mut ada = world.user("ada");
    ada.call("subscribe", r#"{"channel":"chat:a","join_leave":true}"#);
    let mut bob = dying.user("bob");
    bob.subscribe("chat:a");
    // The process is gone: nothing of it runs any more, not even its farewells.
    std::mem::forget((bob, dying));
    ada.all();
    world.pass(&mut [&mut ada], 50 * SECOND);
    assert!(ada.pushes("leave").is_empty());
    world.pass(&mut [&mut ada], 15 * SECOND);
    assert_eq!(ada.pushes("leave").len(), 1);
    let stats = ada.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(stats["presence_stats"], json!({"num_clients": 1, "num_users": 1}));
}

#[test]
fn an_entry_that_the_engine_has_lost_is_made_again() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    // The engine is away for longer than a lease.
    world.engine.set_away(true);
    world.pass(&mut [&mut ada], 70 * SECOND);
    world.engine.set_away(false);
    world.pass(&mut [&mut ada], 30 * SECOND);
    let stats = ada.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(stats["presence_stats"]["num_clients"], 1);
}

#[test]
fn a_join_that_was_overtaken_by_the_end_leaves_nothing_behind() {
    let world = World::new();
    world.engine.hold();
    let mut ada = world.user("ada");
    ada.command("subscribe", r#"{"channel":"chat:a"}"#);
    for _ in 0..2 {
        world.engine.release();
        ada.turn();
    }
    ada.vanish();
    world.engine.stop_holding();
    world.settle();
    let mut bob = world.user("bob");
    bob.subscribe("chat:a");
    let stats = bob.call("presence_stats", r#"{"channel":"chat:a"}"#);
    assert_eq!(stats["presence_stats"]["num_clients"], 1);
}
