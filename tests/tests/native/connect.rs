//! Connecting with and without a token, keeping it fresh, and calls that need no channel.

use crate::support::{client_of, connected, is_plain, token};
use homing::{ConnectionState, ErrorCode, Health, RealtimeClient};
use homing_tests::peer::Peer;
use homing_tests::stage::soon;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

#[tokio::test]
async fn a_session_tells_who_answered_and_what_it_offers() {
    let peer = Peer::start(&[]).unwrap();
    let client = RealtimeClient::builder(peer.url()).build().unwrap();
    client.connect().unwrap();
    let session = soon(client.connected()).await.unwrap();
    assert!(!session.client.is_empty());
    assert_eq!(session.capabilities.is_empty(), is_plain());
    assert_eq!(client.health(), Health::Ok);
    assert!(matches!(client.state(), ConnectionState::Connected(now) if now == session));
}

#[tokio::test]
async fn a_bad_token_is_final() {
    let peer = Peer::start(&[]).unwrap();
    let client = RealtimeClient::builder(peer.url()).token("not.a.token").build().unwrap();
    client.connect().unwrap();
    let error = soon(client.connected()).await.unwrap_err();
    assert_eq!((error.code, error.number), (ErrorCode::ClosedByServer, 3500));
    assert!(!error.retryable);
    assert_eq!(client.health(), Health::Lost);
}

#[tokio::test]
async fn an_expired_token_without_a_provider_is_final() {
    let peer = Peer::start(&[]).unwrap();
    let expired = token("ada", Some(-10), json!({}));
    let client = RealtimeClient::builder(peer.url()).token(expired).build().unwrap();
    client.connect().unwrap();
    assert_eq!(soon(client.connected()).await.unwrap_err().code, ErrorCode::TokenExpired);
}

#[tokio::test]
async fn an_expired_token_is_fetched_anew_and_a_short_one_renewed_in_band() {
    let peer = Peer::start(&[]).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let provider = move |_| {
        let ttl = match counter.fetch_add(1, Relaxed) {
            0 => -10,
            _ => 2,
        };
        async move { Ok(token("ada", Some(ttl), json!({}))) }
    };
    let client = client_of(peer.url(), "ada").token("").token_provider(provider).build().unwrap();
    client.connect().unwrap();
    let session = soon(client.connected()).await.unwrap();
    assert_eq!(asked.load(Relaxed), 2);
    soon(async {
        while asked.load(Relaxed) < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Two renewals later it is still the same connection.
    let echoed: u32 = soon(client.rpc("echo", &7)).await.unwrap();
    assert_eq!(echoed, 7);
    assert!(matches!(client.state(), ConnectionState::Connected(now) if now == session));
}

#[tokio::test]
async fn procedures_answer_in_order_and_an_unknown_one_is_refused() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let value = json!({ "text": "ünïcode \u{1f54a}\n", "list": [1, 2.5, null, true] });
    let echoed: Value = soon(client.rpc("echo", &value)).await.unwrap();
    assert_eq!(echoed, value);
    let calls: Vec<_> = (0..200).map(|number| client.rpc::<u32>("echo", &number)).collect();
    for (call, number) in calls.into_iter().zip(0..) {
        assert_eq!(soon(call).await.unwrap(), number);
    }
    assert_eq!(soon(client.rpc::<()>("nothing", &())).await.unwrap_err().code, ErrorCode::MethodNotFound);
}

#[tokio::test]
async fn pings_are_answered_and_a_quiet_connection_lasts() {
    let peer = Peer::start(&["--ping=500ms", "--pong=400ms"]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let mut state = client.watch_state();
    state.mark_unchanged();
    let changed = tokio::time::timeout(Duration::from_millis(2500), state.changed()).await;
    assert!(changed.is_err(), "{:?}", client.state());
}
