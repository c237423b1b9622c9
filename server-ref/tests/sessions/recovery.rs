//! Continuing where one stopped: in full, not at all, and with the newest only.

use crate::support::{Client, World};
use serde_json::{Value, json};

fn recover(client: &mut Client, channel: &str, epoch: &Value, offset: u64, more: &str) -> Value {
    let request =
        format!(r#"{{"channel":"{channel}","recover":true,"epoch":{epoch},"offset":{offset}{more}}}"#);
    client.call("subscribe", &request)
}

fn data(result: &Value) -> Vec<Value> {
    let publications = result["publications"].as_array().cloned().unwrap_or_default();
    publications.into_iter().map(|publication| publication["data"].clone()).collect()
}

#[test]
fn an_empty_channel_has_a_position_that_recovers() {
    let world = World::new();
    let mut ada = world.user("ada");
    let result = ada.subscribe("chat:a");
    assert_eq!(result.get("offset"), None);
    assert_eq!(result["homing"], json!({"size": 10, "ttl": 60}));
    let mut again = world.user("ada");
    let reply = recover(&mut again, "chat:a", &result["epoch"], 0, "");
    assert_eq!(reply["subscribe"]["recovered"], true);
}

#[test]
fn all_that_was_missed_comes_in_order_and_then_what_is_new() {
    let world = World::new();
    let mut ada = world.user("ada");
    let epoch = ada.subscribe("chat:a")["epoch"].clone();
    for n in 1..=5 {
        ada.publish("chat:a", &n.to_string());
    }
    let mut again = world.user("ada");
    let result = recover(&mut again, "chat:a", &epoch, 2, "")["subscribe"].clone();
    assert_eq!((&result["recovered"], &result["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!(data(&result), [3, 4, 5]);
    assert_eq!(result["offset"], 5);
    ada.publish("chat:a", "6");
    assert_eq!(again.data(), [6]);
}

#[test]
fn what_retention_has_dropped_is_not_recovered_and_nothing_is_delivered() {
    let world = World::new();
    let mut ada = world.user("ada");
    let epoch = ada.subscribe("chat:a")["epoch"].clone();
    for n in 1..=15 {
        ada.publish("chat:a", &n.to_string());
    }
    for (offset, epoch) in [(2, epoch.clone()), (2, json!("elsewhere")), (99, epoch.clone())] {
        let mut again = world.user("ada");
        let result = recover(&mut again, "chat:a", &epoch, offset, "")["subscribe"].clone();
        assert_eq!((result.get("recovered"), &result["was_recovering"]), (None, &json!(true)));
        assert!(data(&result).is_empty());
        assert_eq!(result["offset"], 15);
        ada.publish("plain", "0");
    }
    let mut strict = world.user("ada");
    let reply = recover(&mut strict, "chat:a", &epoch, 2, r#","flag":2"#);
    assert_eq!(reply["error"]["code"], 112);
    strict.subscribe("chat:a");
}

#[test]
fn more_than_one_recovery_brings_is_not_recovered() {
    let world = World::changed(|config| config.client.recovery_max_publication_limit = 3);
    let mut ada = world.user("ada");
    let epoch = ada.subscribe("chat:a")["epoch"].clone();
    for n in 1..=5 {
        ada.publish("chat:a", &n.to_string());
    }
    let mut again = world.user("ada");
    assert_eq!(recover(&mut again, "chat:a", &epoch, 1, "")["subscribe"].get("recovered"), None);
    let mut third = world.user("ada");
    assert_eq!(data(&recover(&mut third, "chat:a", &epoch, 2, "")["subscribe"]), [3, 4, 5]);
}

#[test]
fn a_cache_channel_recovers_its_newest_publication() {
    let world = World::new();
    let mut ada = world.user("ada");
    let result = ada.subscribe("cache:a");
    assert_eq!(result["homing"]["cache"], true);
    let epoch = result["epoch"].clone();
    for n in 1..=5 {
        ada.publish("cache:a", &n.to_string());
    }
    for (offset, expected) in [(0, vec![5]), (3, vec![5]), (5, vec![])] {
        let mut again = world.user("ada");
        let result = recover(&mut again, "cache:a", &epoch, offset, "")["subscribe"].clone();
        assert_eq!(
            (&result["recovered"], data(&result)),
            (&json!(true), expected.into_iter().map(Value::from).collect())
        );
    }
}

#[test]
fn a_client_gets_the_position_that_it_asks_for() {
    let world = World::new();
    let mut ada = world.user("ada");
    let result = ada.subscribe("asks:a");
    assert_eq!(
        (result.get("recoverable"), result.get("positioned"), result.get("epoch")),
        (None, None, None)
    );
    let mut bob = world.user("bob");
    let result = bob.call("subscribe", r#"{"channel":"asks:a","positioned":true}"#)["subscribe"].clone();
    assert_eq!((result.get("recoverable"), &result["positioned"]), (None, &json!(true)));
    let mut eve = world.user("eve");
    let result = eve.call("subscribe", r#"{"channel":"asks:a","recoverable":true}"#)["subscribe"].clone();
    assert_eq!((&result["recoverable"], &result["positioned"]), (&json!(true), &json!(true)));
}

#[test]
fn a_log_that_was_lost_has_a_new_epoch() {
    let world = World::changed(|config| {
        config.channel.history_meta_ttl = homing_server::config::Span::seconds(100);
        config.client.ping_interval = homing_server::config::Span::ZERO;
        config.client.channel_position_check_delay = homing_server::config::Span::ZERO;
    });
    let mut ada = world.user("ada");
    let before = ada.subscribe("chat:a");
    ada.publish("chat:a", "1");
    ada.call("unsubscribe", r#"{"channel":"chat:a"}"#);
    world.pass(&mut [&mut ada], 200_000);
    let result = recover(&mut ada, "chat:a", &before["epoch"], 1, "")["subscribe"].clone();
    assert_ne!(result["epoch"], before["epoch"]);
    assert_eq!((result.get("recovered"), result.get("offset")), (None, None));
}

#[test]
fn what_happens_while_a_reply_is_made_is_neither_lost_nor_doubled() {
    let world = World::new();
    let mut ada = world.user("ada");
    let epoch = ada.subscribe("chat:a")["epoch"].clone();
    ada.publish("chat:a", "1");
    ada.publish("chat:a", "2");
    // Steps of the second subscribe: read, join. The first waits for the log, publications go on.
    world.engine.hold();
    let mut bob = world.user("bob");
    let id = bob.command(
        "subscribe",
        &format!(r#"{{"channel":"chat:a","recover":true,"epoch":{epoch},"offset":1}}"#),
    );
    ada.command("publish", r#"{"channel":"chat:a","data":3}"#);
    world.engine.release();
    bob.turn();
    ada.command("publish", r#"{"channel":"chat:a","data":4}"#);
    assert_eq!(bob.reply(id), None);
    world.engine.stop_holding();
    let all = bob.all();
    assert_eq!(all[0]["id"], id);
    assert_eq!(data(&all[0]["subscribe"]), [2]);
    let live: Vec<_> = all[1..].iter().filter(|push| !push["push"]["pub"].is_null()).collect();
    let live: Vec<_> = live.iter().map(|push| push["push"]["pub"]["data"].clone()).collect();
    assert_eq!(live, [3, 4]);
}

#[test]
fn a_log_that_was_lost_under_its_readers_makes_them_begin_again() {
    let world = World::changed(|config| {
        config.channel.history_meta_ttl = homing_server::config::Span::seconds(100);
        config.client.ping_interval = homing_server::config::Span::ZERO;
        config.client.channel_position_check_delay = homing_server::config::Span::ZERO;
    });
    let (mut ada, mut bob) = (world.user("ada"), world.user("bob"));
    let before = ada.subscribe("chat:a");
    ada.publish("chat:a", "1");
    world.pass(&mut [&mut ada, &mut bob], 200_000);
    let after = bob.subscribe("chat:a");
    assert_ne!(before["epoch"], after["epoch"]);
    assert_eq!(ada.pushes("unsubscribe")[0]["push"]["unsubscribe"]["code"], 2500);
    assert!(bob.pushes("unsubscribe").is_empty());
    let result = recover(&mut ada, "chat:a", &before["epoch"], 1, "")["subscribe"].clone();
    assert_eq!((result.get("recovered"), &result["epoch"]), (None, &after["epoch"]));
    ada.all();
    bob.publish("chat:a", "2");
    assert_eq!((ada.data(), bob.data()), (vec![json!(2)], vec![json!(2)]));
}

#[test]
fn a_publication_of_a_later_epoch_makes_readers_begin_again() {
    let world = World::changed(|config| {
        config.channel.history_meta_ttl = homing_server::config::Span::seconds(100);
        config.client.ping_interval = homing_server::config::Span::ZERO;
        config.client.channel_position_check_delay = homing_server::config::Span::ZERO;
    });
    let mut ada = world.user("ada");
    ada.subscribe("chat:a");
    ada.publish("chat:a", "1");
    assert_eq!(ada.data(), [1]);
    world.pass(&mut [&mut ada], 200_000);
    ada.publish("chat:a", "2");
    world.settle();
    let all = ada.all();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["push"]["unsubscribe"]["code"], 2500);
}
