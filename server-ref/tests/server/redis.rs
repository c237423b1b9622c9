//! Two servers on one Redis that goes away and comes back.

#[expect(dead_code, reason = "the engine's own tests use the rest of it")]
#[path = "../engine_redis/server.rs"]
mod process;

use crate::socket::{Running, Socket, fetch, start};
use homing_server::config::{EngineKind, Span};
use process::RedisServer;
use serde_json::Value;
use std::time::{Duration, Instant};

async fn node(redis: &RedisServer) -> Running {
    let url = redis.url();
    start(|config| {
        config.engine.kind = EngineKind::Redis;
        config.engine.redis.address = url;
        config.engine.redis.io_timeout = Span::from_millis(400);
    })
    .await
}

async fn ready(server: &Running, wanted: bool) {
    let begun = Instant::now();
    while (fetch(server.address, "/ready").await.0 == 200) != wanted {
        assert!(begun.elapsed() < Duration::from_secs(20), "readiness did not become {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn publish(socket: &mut Socket, value: u64) -> Value {
    socket.call("publish", &format!(r#"{{"channel":"chat:a","data":{value}}}"#)).await
}

/// Publishes until it is taken; says how often it was refused. Every refusal must be temporary.
async fn publish_at_last(socket: &mut Socket, value: u64) -> u32 {
    for refused in 0..2000 {
        let reply = publish(socket, value).await;
        if reply["publish"].is_object() {
            return refused;
        }
        assert_eq!(
            (&reply["error"]["code"], &reply["error"]["temporary"]),
            (&100.into(), &true.into()),
            "{reply}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{value} was never taken");
}

#[tokio::test]
async fn a_redis_that_is_away_for_a_while_costs_time_and_no_message() {
    let redis = RedisServer::start().await;
    let (one, two) = (node(&redis).await, node(&redis).await);
    let (mut reader, mut writer) = (Socket::connected(&one).await, Socket::connected(&two).await);
    reader.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    writer.call("subscribe", r#"{"channel":"chat:b"}"#).await;
    for value in 1..=20 {
        assert!(publish(&mut writer, value).await["publish"].is_object());
    }
    redis.freeze();
    let begun = Instant::now();
    let reply = publish(&mut writer, 0).await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["temporary"]),
        (&100.into(), &true.into()),
        "{reply}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    ready(&two, false).await;
    let reply = publish(&mut writer, 0).await;
    assert!(reply["error"]["retry_after"].as_u64().unwrap() > 0, "{reply}");
    assert_eq!(fetch(two.address, "/health").await.0, 200);
    redis.thaw();
    ready(&two, true).await;
    for value in 21..=40 {
        publish_at_last(&mut writer, value).await;
    }
    // What was refused may have been carried out all the same; what was acked comes once and in order.
    let (mut seen, mut offset) = (Vec::new(), 0);
    while seen.last() != Some(&40) {
        let push = reader.line().await;
        let publication = &push["push"]["pub"];
        let Some(value) = publication["data"].as_u64() else {
            assert_eq!(push, serde_json::json!({}), "{push}");
            continue;
        };
        assert_eq!(publication["offset"].as_u64().unwrap(), offset + 1);
        offset += 1;
        if value > 0 {
            seen.push(value);
        }
    }
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_redis_that_lost_everything_makes_subscribers_begin_again() {
    let mut redis = RedisServer::start().await;
    let server = node(&redis).await;
    let (mut reader, mut writer) = (Socket::connected(&server).await, Socket::connected(&server).await);
    let before = reader.call("subscribe", r#"{"channel":"chat:a"}"#).await["subscribe"].clone();
    publish(&mut writer, 1).await;
    assert_eq!(reader.line().await["push"]["pub"]["data"], 1);
    redis.restart().await;
    ready(&server, true).await;
    publish_at_last(&mut writer, 2).await;
    loop {
        let push = reader.line().await["push"].clone();
        if let Some(code) = push["unsubscribe"]["code"].as_u64() {
            assert_eq!(code, 2500);
            break;
        }
        assert!(push["pub"].is_null(), "a publication of another epoch: {push}");
    }
    let request = format!(r#"{{"channel":"chat:a","recover":true,"offset":1,"epoch":{}}}"#, before["epoch"]);
    let after = reader.call("subscribe", &request).await["subscribe"].clone();
    assert_eq!(after.get("recovered"), None);
    assert!(after["epoch"].as_str() > before["epoch"].as_str());
    let page = reader.call("history", r#"{"channel":"chat:a","limit":-1}"#).await["history"].clone();
    assert_eq!(page["publications"][0]["data"], 2);
}

#[tokio::test]
async fn what_makes_a_publish_known_again_lives_as_long_as_clients_are_told() {
    let redis = RedisServer::start().await;
    let server = node(&redis).await;
    let mut socket = Socket::open(&server).await;
    let connected = socket.call("connect", "{}").await["connect"].clone();
    let limits = &connected["homing"]["limits"];
    assert_eq!((&limits["dedupe_window"], &limits["in_flight"]), (&(48 * 3600).into(), &16.into()));
    socket.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let keyed = r#"{"channel":"chat:a","data":1,"idempotency_key":"k"}"#;
    let stamped =
        r#"{"channel":"chat:a","data":2,"homing":{"id":"m","producer":"p","session":1,"number":1}}"#;
    for request in [keyed, stamped] {
        let first = socket.call("publish", request).await["publish"]["offset"].clone();
        let again = socket.call("publish", request).await["publish"].clone();
        assert_eq!((&again["duplicate"], &again["offset"]), (&true.into(), &first));
    }
    for (keys, seconds) in [("*:once:*", 300), ("*:from:*", 48 * 3600)] {
        let keys: Vec<String> = redis.command(&["KEYS", keys]).await;
        let left: i64 = redis.command(&["PTTL", &keys[0]]).await;
        assert!((1..=60_000).contains(&(seconds * 1000 + 1 - left)), "{keys:?} live for {left} ms");
    }
}
