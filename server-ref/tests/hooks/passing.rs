//! What is passed on of the client's own request, and how a backend knows who asks.

use crate::{
    backend::{Backend, SECRET},
    socket::{Running, Socket, handshake},
};
use homing_server::hooks::http::{Forged, WINDOW, verify};
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn came_with(server: &Running, headers: &str) -> Socket {
    Socket::open_by(server.address, handshake("/connection/websocket", headers).as_bytes()).await
}

fn unix() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

#[tokio::test]
async fn only_what_is_allowed_is_passed_on() {
    let backend = Backend::start().await;
    let server = backend
        .server(|config| {
            let proxy = &mut config.client.proxy.connect.proxy;
            proxy.http_headers = vec!["X-Real-IP".into(), "user-agent".into()];
            proxy.http_cookies = vec!["session".into(), "theme".into()];
            proxy.emulated_headers = vec!["Authorization".into(), "X-Real-IP".into(), "X-Team".into()];
            proxy.http.static_headers = BTreeMap::from([("X-Static".into(), "yes".into())]);
            config.rpc.proxy.http_headers = vec!["cookie".into()];
        })
        .await;
    let headers = format!(
        "X-Real-IP: 1.2.3.4\r\nUser-Agent: ua\r\nX-Other: no\r\nAuthorization: Bearer edge\r\ntraceparent: {TRACE}\r\n\
         Cookie: a=b;x=y; session=s3cret;x=z; theme=dark\r\n"
    );
    let mut ada = came_with(&server, &headers).await;
    let emulated = r#"{"headers":{"X-Real-IP":"6.6.6.6","x-team":"blue","authorization":"Bearer page","x-other":"1","content-length":"9","x-homing-signature":"v1=00"}}"#;
    assert!(ada.call("connect", emulated).await["connect"].is_object());
    let asked = backend.asked();
    let connect = &asked[0];
    assert_eq!(connect.header("x-real-ip"), Some("1.2.3.4"), "no page can change what the edge says");
    assert_eq!(connect.header("x-team"), Some("blue"));
    assert_eq!(connect.header("authorization"), None, "the edge's own is not allowed, and hides the page's");
    assert_eq!(connect.header("user-agent"), Some("ua"));
    assert_eq!(connect.header("cookie"), Some("session=s3cret; theme=dark"));
    assert_eq!(connect.header("traceparent"), Some(TRACE));
    assert_eq!(connect.header("x-static"), Some("yes"));
    assert_eq!(connect.header("x-other"), None);
    assert_eq!(connect.header("x-homing-hook"), Some("connect"));
    ada.call("rpc", r#"{"method":"x"}"#).await;
    let rpc = &backend.asked()[0];
    assert_eq!(rpc.header("cookie"), Some("a=b;x=y; session=s3cret;x=z; theme=dark"));
    assert_eq!(rpc.header("traceparent"), Some(TRACE));
    for name in ["x-real-ip", "x-team", "x-static"] {
        assert_eq!(rpc.header(name), None, "{name}");
    }
    assert!(rpc.header("user-agent").unwrap().starts_with("homing-server/"));
}

/// What a backend does that acts on nothing twice.
fn accept(seen: &mut Vec<String>, headers: &axum::http::HeaderMap, body: &[u8]) -> Result<(), String> {
    let id = verify(SECRET, unix(), headers, body).map_err(|forged| forged.to_string())?;
    if seen.contains(&id) {
        return Err("seen before".into());
    }
    seen.push(id);
    Ok(())
}

#[tokio::test]
async fn forged_and_replayed_requests_are_told_from_real_ones() {
    let backend = Backend::start().await;
    let server = backend
        .server(|config| config.rpc.proxy.secret = "another secret, for this address alone".into())
        .await;
    let mut ada = Socket::open(&server).await;
    ada.call("connect", r#"{"data":{"a":1}}"#).await;
    let mut bob = Socket::open(&server).await;
    bob.call("connect", r#"{"data":{"a":1}}"#).await;
    let asked = backend.asked();
    let mut seen = Vec::new();
    for one in &asked {
        assert_eq!(accept(&mut seen, &one.headers, &one.body), Ok(()));
    }
    let one = &asked[0];
    assert_eq!(accept(&mut seen, &one.headers, &one.body), Err("seen before".into()));
    assert_eq!(verify(SECRET, unix() + WINDOW + 60, &one.headers, &one.body), Err(Forged::OutOfTime));
    let other = String::from_utf8(one.body.to_vec()).unwrap().replace("\"a\":1", "\"a\":2");
    assert_eq!(verify(SECRET, unix(), &one.headers, other.as_bytes()), Err(Forged::WrongSignature));
    assert_eq!(verify("guessed", unix(), &one.headers, &one.body), Err(Forged::WrongSignature));
    assert_eq!(verify(SECRET, unix(), &asked[1].headers, &one.body), Err(Forged::WrongSignature));
    let mut moved = one.headers.clone();
    moved.insert("x-homing-timestamp", (unix() + 1).to_string().parse().unwrap());
    assert_eq!(verify(SECRET, unix(), &moved, &one.body), Err(Forged::WrongSignature));
    ada.call("rpc", r#"{"method":"x"}"#).await;
    let rpc = &backend.asked()[0];
    assert_eq!(verify(SECRET, unix(), &rpc.headers, &rpc.body), Err(Forged::WrongSignature));
    assert!(verify("another secret, for this address alone", unix(), &rpc.headers, &rpc.body).is_ok());
}
