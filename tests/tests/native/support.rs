//! What the tests of this suite share: clients that are quick to try again, tokens, and waiting with a deadline.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use homing::{Builder, Channel, Decode, Delivery, Gap, Messages, RealtimeClient};
use homing_tests::{peer::Peer, proxy::FaultProxy, stage::soon};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Whether the server under test has none of Homing's extras.
pub(crate) fn is_plain() -> bool {
    std::env::var("HOMING_PEER_PLAIN").is_ok_and(|value| value == "1")
}

/// A signed token of a user, with more claims; `ttl` seconds may be negative.
pub(crate) fn token(user: &str, ttl: Option<i64>, more: Value) -> String {
    let mut claims = more;
    claims["sub"] = user.into();
    if let Some(ttl) = ttl {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        claims["exp"] = (now + ttl).into();
    }
    let head = BASE64.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
    let body = format!("{head}.{}", BASE64.encode(claims.to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
    let signature = BASE64.encode(aws_lc_rs::hmac::sign(&key, body.as_bytes()));
    format!("{body}.{signature}")
}

/// A channel that no other test uses.
pub(crate) fn fresh(namespace: &str) -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    format!("{namespace}:{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn client_of(url: impl Into<String>, user: &str) -> Builder {
    RealtimeClient::builder(url).token(token(user, None, json!({ "info": { "name": user } }))).configure(
        |config| {
            config.backoff_floor = Duration::from_millis(20);
            config.backoff_base = Duration::from_millis(50);
            config.backoff_cap = Duration::from_millis(200);
            config.silence_slack = Duration::from_millis(500);
        },
    )
}

pub(crate) async fn connected(builder: Builder) -> RealtimeClient {
    let client = builder.build().unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    client
}

/// A server, a reader behind a network that breaks, and a writer on a sound one.
pub(crate) struct Scene {
    pub(crate) peer: Peer,
    pub(crate) proxy: FaultProxy,
    pub(crate) reader: RealtimeClient,
    pub(crate) writer: RealtimeClient,
}

impl Scene {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let peer = Peer::start(flags).unwrap();
        let proxy = FaultProxy::start(peer.address()).await.unwrap();
        let reader = connected(client_of(proxied(&proxy), "reader")).await;
        let writer = connected(client_of(peer.url(), "writer")).await;
        Self { peer, proxy, reader, writer }
    }

    /// The reader's stream of a channel that it has joined, and the writer's handle of it.
    pub(crate) async fn room(&self, name: &str) -> (Channel, Messages, Channel) {
        let room = self.reader.channel(name);
        let messages = room.messages();
        soon(room.join()).await.unwrap();
        (room, messages, self.writer.channel(name))
    }
}

/// The WebSocket's address behind a proxy.
pub(crate) fn proxied(proxy: &FaultProxy) -> String {
    format!("ws://{}/connection/websocket", proxy.address())
}

pub(crate) async fn publish(room: &Channel, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        soon(room.publish(&number)).await.unwrap();
    }
}

/// The next message's number and offset.
pub(crate) async fn next(messages: &mut Messages) -> (u64, u64) {
    match soon(messages.next()).await.expect("an item").expect("no end") {
        Delivery::Message(message) => (message.decode().unwrap(), message.offset),
        other => panic!("{other:?} came instead of a message"),
    }
}

/// The next numbers, which must stand at the offsets of the same number.
pub(crate) async fn expect(messages: &mut Messages, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(next(messages).await, (number, number));
    }
}

pub(crate) async fn gap(messages: &mut Messages) -> Gap {
    match soon(messages.next()).await.expect("an item").expect("no end") {
        Delivery::Gap(gap) => gap,
        other => panic!("{other:?} came instead of a gap"),
    }
}

/// Waits until the client has lost its connection.
pub(crate) async fn away(client: &RealtimeClient) {
    let mut state = client.watch_state();
    let lost = |state: &homing::ConnectionState| !matches!(state, homing::ConnectionState::Connected(_));
    soon(state.wait_for(lost)).await.unwrap();
}
