//! Pings, and what happens when nobody answers; expiry of connections and subscriptions.

use crate::support::{START, World, token};
use serde_json::json;

const SECOND: u64 = 1000;

#[test]
fn the_server_pings_and_any_frame_answers() {
    let world = World::new();
    let mut client = world.user("ada");
    let mut pings = 0;
    for round in 0..1000 {
        world.pass(&mut [&mut client], 100);
        let new = client.pings();
        pings += new;
        if new > 0 && round % 2 == 0 {
            client.send("{}");
        } else if new > 0 {
            client.call("ping", "{}");
        }
    }
    assert_eq!(client.close_code(), None);
    assert!((3..=4).contains(&pings), "{pings} pings in 100 s");
}

#[test]
fn a_client_that_does_not_answer_is_closed() {
    let world = World::new();
    let mut client = world.user("ada");
    while client.pings() == 0 {
        world.pass(&mut [&mut client], 100);
    }
    world.pass(&mut [&mut client], 7 * SECOND);
    assert_eq!(client.close_code(), None);
    world.pass(&mut [&mut client], 2 * SECOND);
    assert_eq!(client.close_code(), Some(3012));
}

fn at(seconds: i64) -> i64 {
    START / 1000 + seconds
}

#[test]
fn an_expired_connection_is_closed_after_a_while_unless_it_was_refreshed() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let connect =
        |seconds| format!(r#"{{"token":"{}"}}"#, token(&format!(r#"{{"sub":"ada","exp":{}}}"#, at(seconds))));
    let (mut idle, mut fresh) = (world.client(), world.client());
    idle.call("connect", &connect(10));
    fresh.call("connect", &connect(10));
    world.pass(&mut [&mut idle, &mut fresh], 30 * SECOND);
    let refreshed = fresh.call("refresh", &connect(60));
    assert_eq!(refreshed["refresh"]["ttl"], json!(30));
    assert_eq!(idle.close_code(), None);
    world.pass(&mut [&mut idle, &mut fresh], 6 * SECOND);
    assert_eq!(idle.close_code(), Some(3005));
    assert_eq!(fresh.close_code(), None);
    world.pass(&mut [&mut fresh], 55 * SECOND);
    assert_eq!(fresh.close_code(), Some(3005));
}

#[test]
fn an_expired_subscription_is_ended_so_that_the_client_comes_back() {
    let world = World::changed(|config| config.client.ping_interval = homing_server::config::Span::ZERO);
    let mut client = world.user("ada");
    let claims = |seconds| format!(r#"{{"sub":"ada","channel":"$chat:x","exp":{}}}"#, at(seconds));
    let request = |seconds| format!(r#"{{"channel":"$chat:x","token":"{}"}}"#, token(&claims(seconds)));
    let result = client.call("subscribe", &request(10));
    assert_eq!(result["subscribe"]["ttl"], json!(10));
    world.pass(&mut [&mut client], 20 * SECOND);
    assert_eq!(client.call("sub_refresh", &request(50))["sub_refresh"], json!({"expires": true, "ttl": 30}));
    world.pass(&mut [&mut client], 50 * SECOND);
    assert!(client.pushes("unsubscribe").is_empty());
    world.pass(&mut [&mut client], 6 * SECOND);
    let push = client.pushes("unsubscribe").remove(0);
    assert_eq!(
        push["push"],
        json!({"channel": "$chat:x", "unsubscribe": {"code": 2501, "reason": "subscription expired"}})
    );
    assert_eq!(client.refused("publish", r#"{"channel":"$chat:x","data":1}"#), 103);
}
