//! Backends that are slow, away, wrong, huge, that redirect, and that come and go.

use crate::{
    backend::{Backend, connected, json},
    socket::{self, Running, Socket, until},
};
use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use homing_server::config::Span;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The error of a hook that gave no answer which could be used: temporary, and with a time.
fn is_away(reply: &Value) -> bool {
    let error = &reply["error"];
    error["code"] == 100 && error["temporary"] == true && error["retry_after"].as_u64().unwrap_or(0) > 0
}

async fn rpc(socket: &mut Socket) -> Value {
    socket.call("rpc", r#"{"method":"x"}"#).await
}

async fn count(server: &Running, row: &str) -> u64 {
    let (_, page) = socket::fetch(server.address, "/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(row));
    line.map_or(0, |count| count.trim().parse::<f64>().unwrap() as u64)
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_temporary_errors() {
    let backend = Backend::start().await;
    let server = backend.server(|config| config.hooks.response_size_limit = 1000).await;
    let mut ada = connected(&backend, &server, "ada").await;
    let deep = format!(r#"{{"result":{{"data":{}1{}}}}}"#, "[".repeat(125), "]".repeat(125));
    for answer in [
        "",
        "{",
        "<html>",
        "{}",
        "null",
        "[]",
        r#"{"result":null}"#,
        r#"{"result":5}"#,
        r#"{"result":{"data":}}"#,
        r#"{"result":{"b64data":"%"}}"#,
        r#"{"result":{"data":1,"b64data":"aGVsbG8="}}"#,
        r#"{"result":{"b64data":"/w=="}}"#,
        r#"{"error":"no"}"#,
        r#"{"error":{"code":"403"}}"#,
        r#"{"error":{"code":0}}"#,
        r#"{"error":{"code":302}}"#,
        r#"{"error":{"code":9999}}"#,
        r#"{"disconnect":{"code":1000}}"#,
        r#"{"disconnect":{"code":70000}}"#,
        r#"{"disconnect":4500}"#,
        &deep,
    ] {
        let text = answer.to_owned();
        backend.answer(move |_| json(&text));
        let reply = rpc(&mut ada).await;
        assert!(is_away(&reply), "{answer}: {reply}");
    }
    backend.answer(|_| json(&format!(r#"{{"result":{{"data":"{}"}}}}"#, "x".repeat(1000))));
    assert!(is_away(&rpc(&mut ada).await), "too much");
    backend.answer(|_| (StatusCode::INTERNAL_SERVER_ERROR, "oh").into_response());
    assert!(is_away(&rpc(&mut ada).await));
    // Types of the connect result.
    for answer in [
        r#"{"result":{"user":5}}"#,
        r#"{"result":{"channels":"chat:a"}}"#,
        r#"{"result":{"expire_at":"soon"}}"#,
        r#"{"result":{"b64info":"aGVsbG8="}}"#,
        r#"{"result":{"subs":{"chat:a":{"b64data":"e30"}}}}"#,
    ] {
        let mut bob = Socket::open(&server).await;
        backend.say(answer);
        assert!(is_away(&bob.call("connect", "{}").await), "{answer}");
    }
    // The backend was there all the time: nobody stops asking it.
    backend.say(r#"{"result":{"data":1}}"#);
    assert_eq!(rpc(&mut ada).await["rpc"]["data"], 1);
    assert_eq!(count(&server, "homing_hook_calls_total{hook=\"rpc\",outcome=\"failed\"}").await, 23);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (backend, other) = (Backend::start().await, Backend::start().await);
    let server = backend.server(|_| {}).await;
    let mut ada = connected(&backend, &server, "ada").await;
    for status in [301, 302, 303, 307, 308] {
        let there = format!("http://{}/rpc", other.address);
        backend.answer(move |_| {
            (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, there.clone())]).into_response()
        });
        assert!(is_away(&rpc(&mut ada).await), "{status}");
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn names_that_lead_into_the_own_network_are_refused() {
    let backend = Backend::start().await;
    let port = backend.address.port();
    let server = backend
        .server(|config| {
            config.rpc.proxy.endpoint = format!("http://localhost:{port}/rpc");
            config.hooks.private_networks = vec!["10.0.0.0/8".into()];
            config.client.proxy.connect.enabled = false;
            config.client.insecure = true;
            for proxy in [
                &mut config.client.proxy.connect.proxy,
                &mut config.client.proxy.refresh.proxy,
                &mut config.channel.proxy.subscribe,
                &mut config.channel.proxy.sub_refresh,
                &mut config.channel.proxy.publish,
                &mut config.proxies[0].proxy,
            ] {
                proxy.endpoint = "https://backend.example.org/".into();
            }
        })
        .await;
    let mut ada = Socket::connected(&server).await;
    assert!(is_away(&rpc(&mut ada).await));
    assert!(backend.asked().is_empty());
}

#[tokio::test]
async fn a_slow_backend_costs_its_deadline_and_no_more() {
    let backend = Backend::start().await;
    let server = backend.server(|config| config.rpc.proxy.timeout = Span::from_millis(200)).await;
    let mut ada = connected(&backend, &server, "ada").await;
    backend.take_so_long(Duration::from_secs(30));
    let begun = std::time::Instant::now();
    assert!(is_away(&rpc(&mut ada).await));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    backend.take_so_long(Duration::ZERO);
    backend.say(r#"{"result":{"data":1}}"#);
    assert_eq!(rpc(&mut ada).await["rpc"]["data"], 1);
}

/// What a backend that speaks HTTP badly says, again and again, until nobody listens.
async fn babble(head: &'static str, again: &'static [u8], pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                while !again.is_empty() && stream.write_all(again).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn answers_without_an_end_cost_their_deadline_and_no_more() {
    let backend = Backend::start().await;
    let (slow, fast) = (Duration::from_millis(5), Duration::ZERO);
    for (head, again, pause) in [
        // Byte by byte, gigabytes, a head without an end, interim answers without an end, half an answer, none.
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{", &b" "[..], slow),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8\r\n        \r\n", fast),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n", &[b' '; 8192], fast),
        ("HTTP/1.1 200 OK\r\n", b"X-More: more of it\r\n", fast),
        ("HTTP/1.1 200 OK\r\nX-More: ", b"more of it", fast),
        ("", b"HTTP/1.1 103 Early Hints\r\n\r\n", fast),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\":{}}", b"", fast),
        ("SSH-2.0-OpenSSH_9.9\r\n", b"", fast),
        ("", b"", fast),
    ] {
        let address = babble(head, again, pause).await;
        let server = backend
            .server(|config| {
                config.rpc.proxy.endpoint = format!("http://{address}/rpc");
                config.rpc.proxy.timeout = Span::from_millis(700);
            })
            .await;
        let mut ada = connected(&backend, &server, "ada").await;
        let begun = std::time::Instant::now();
        let reply = rpc(&mut ada).await;
        assert!(is_away(&reply), "{head}: {reply}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{head}: {:?}", begun.elapsed());
        assert!(ada.call("ping", "{}").await["ping"].is_object(), "the others are not harmed");
    }
}

#[tokio::test]
async fn a_backend_that_is_away_is_left_alone_and_found_again() {
    let mut backend = Backend::start().await;
    let server = backend
        .server(|config| {
            config.hooks.breaker_failures = 3;
            config.hooks.breaker_pause = Span::from_millis(300);
        })
        .await;
    let mut ada = connected(&backend, &server, "ada").await;
    ada.call("subscribe", r#"{"channel":"chat:one"}"#).await;
    for _ in 0..3 {
        backend.stop().await;
        for _ in 0..5 {
            assert!(is_away(&rpc(&mut ada).await));
        }
        assert!(count(&server, "homing_hook_breakers_open{hook=\"rpc\"}").await == 1);
        // Another hook has a breaker of its own.
        backend.come_back().await;
        assert!(ada.call("publish", r#"{"channel":"chat:one","data":1}"#).await["publish"].is_object());
        backend.say(r#"{"result":{"data":1}}"#);
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let reply = rpc(&mut ada).await;
                if reply["rpc"]["data"] == 1 {
                    return;
                }
                let wait = reply["error"]["retry_after"].as_u64().unwrap();
                assert!(wait <= 2000, "{reply}");
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        });
        found.await.unwrap();
        backend.say(r#"{"result":{}}"#);
    }
    assert!(count(&server, "homing_hook_calls_total{hook=\"rpc\",outcome=\"shed\"}").await > 0);
    assert_eq!(count(&server, "homing_hook_breakers_open{hook=\"rpc\"}").await, 0);
}

#[tokio::test]
async fn a_backend_says_itself_when_to_come_back() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    let mut ada = connected(&backend, &server, "ada").await;
    backend
        .answer(|_| (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "busy").into_response());
    assert_eq!(rpc(&mut ada).await["error"]["retry_after"], 7000);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_question_along() {
    let backend = Backend::start().await;
    let server = backend
        .server(|config| {
            config.hooks.concurrency = 1;
            config.client.proxy.connect.proxy.timeout = Span::seconds(20);
        })
        .await;
    backend.take_so_long(Duration::from_secs(15));
    let mut ada = Socket::open(&server).await;
    ada.send(r#"{"id":1,"connect":{}}"#).await;
    until("ada is asked about", || !backend.asked().is_empty()).await;
    drop(ada);
    backend.take_so_long(Duration::ZERO);
    let mut bob = Socket::open(&server).await;
    assert!(bob.call("connect", "{}").await["connect"].is_object());
}
