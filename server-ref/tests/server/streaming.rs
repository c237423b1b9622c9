//! Streamed responses and the requests beside them: what they let in, what they refuse, how they end.

use crate::socket::{Running, fetch, request, start, until};
use homing_server::api::PublishOptions;
use homing_server::config::Span;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A streamed response that is being read.
struct Streamed {
    stream: TcpStream,
    text: String,
    lines: Vec<Value>,
    node: String,
    session: String,
    client: String,
}

fn post(path: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: example.org\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

impl Streamed {
    async fn open(server: &Running, user: &str) -> Self {
        let first = json!({"id": 1, "connect": {"data": {"user": user}}}).to_string();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(post("/connection/http_stream", "", &first).as_bytes()).await.unwrap();
        let mut made = Self {
            stream,
            text: String::new(),
            lines: Vec::new(),
            node: String::new(),
            session: String::new(),
            client: String::new(),
        };
        let reply = made.line().await.unwrap();
        let told = |name: &str| reply["connect"][name].as_str().unwrap_or_default().to_owned();
        (made.node, made.session, made.client) = (told("node"), told("session"), told("client"));
        assert!(!made.session.is_empty() && made.session != made.client, "{reply}");
        made
    }

    /// The next message; `None`: the response has ended.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if !self.lines.is_empty() {
                return Some(self.lines.remove(0));
            }
            let mut piece = [0; 4096];
            let length = timeout(PATIENCE, self.stream.read(&mut piece)).await.unwrap().unwrap_or(0);
            if length == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
            while let Some((line, rest)) = self.text.split_once('\n') {
                // Heads and the lengths of chunks stand between the messages.
                if line.starts_with('{') {
                    self.lines.push(serde_json::from_str(line).unwrap());
                }
                self.text = rest.to_owned();
            }
        }
    }

    async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line().await.expect("the response goes on");
            if holds(&line) {
                return line;
            }
        }
    }

    fn piece(&self, data: &Value) -> String {
        json!({"session": self.session, "node": self.node, "data": data.to_string()}).to_string()
    }
}

async fn emulate(server: &Running, body: &str) -> u16 {
    request(server.address, &post("/emulation", "", body)).await.0
}

#[tokio::test]
async fn commands_reach_only_the_session_whose_secret_they_bring() {
    let server = start(|_| {}).await;
    let mut ada = Streamed::open(&server, "ada").await;
    let mut eve = Streamed::open(&server, "eve").await;
    assert_eq!(
        emulate(&server, &ada.piece(&json!({"id": 2, "subscribe": {"channel": "chat:a"}}))).await,
        204
    );
    ada.until(|line| line["id"] == 2 && line["subscribe"].is_object()).await;

    let order = json!({"id": 3, "publish": {"channel": "chat:a", "data": "forged"}}).to_string();
    for session in [&*ada.client, "", "0", &ada.session[..30], &eve.client] {
        let body = json!({"session": session, "node": ada.node, "data": order}).to_string();
        assert_eq!(emulate(&server, &body).await, 404, "{session}");
    }
    assert_eq!(emulate(&server, &eve.piece(&json!({"id": 2, "ping": {}}))).await, 204);
    eve.until(|line| line["id"] == 2).await;
    assert_eq!(
        emulate(&server, &ada.piece(&json!({"id": 3, "publish": {"channel": "chat:a", "data": 1}}))).await,
        204
    );
    let push = ada.until(|line| line["push"]["pub"].is_object()).await;
    assert_eq!(push["push"]["pub"]["data"], 1, "nothing forged came before");
}

#[tokio::test]
async fn what_is_no_request_of_a_client_is_refused_with_words() {
    let server = start(|config| config.http_stream.max_request_body_size = 1000).await;
    let long = json!({"id": 1, "connect": {"data": "x".repeat(2000)}}).to_string();
    for (path, body, status) in [
        ("/connection/http_stream", "", 400),
        ("/connection/http_stream", "  \n", 400),
        ("/connection/http_stream", &*long, 413),
        ("/emulation", "", 400),
        ("/emulation", "[]", 400),
        ("/emulation", r#"{"session":1,"node":"","data":""}"#, 400),
        ("/emulation", r#"{"session":"a","node":"","data":""}"#, 404),
    ] {
        let (found, text) = request(server.address, &post(path, "", body)).await;
        assert_eq!(found, status, "{path} {body}: {text}");
        assert!(text.trim_end().len() > text.find("\r\n\r\n").unwrap() + 4, "it says why: {text}");
    }
    assert_eq!(fetch(server.address, "/connection/sse").await.0, 400);
    assert_eq!(fetch(server.address, "/connection/sse?cf_connect=").await.0, 400);
    assert_eq!(server.handle.connections(), 0);
}

#[tokio::test]
async fn a_stream_that_begins_with_anything_but_a_connect_command_ends_with_its_code() {
    let server = start(|_| {}).await;
    for first in ["hello", "{}x", r#"{"id":1,"publish":{"channel":"chat:a","data":1}}"#] {
        let (status, text) =
            request(server.address, &post("/connection/http_stream", "Connection: close\r\n", first)).await;
        assert_eq!(status, 200);
        assert!(text.contains(r#""disconnect":{"code":3501"#), "{first}: {text}");
    }
    until("the end of them all", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_at_each_endpoint() {
    let server = start(|config| {
        config.client.insecure = false;
        config.client.allow_anonymous_connect_without_token = true;
        config.client.allowed_origins = vec!["https://good.example".into()];
    })
    .await;
    let connect = r#"{"id":1,"connect":{}}"#;
    let evil = "Origin: https://evil.example\r\n";
    for path in ["/connection/http_stream", "/emulation"] {
        assert_eq!(request(server.address, &post(path, evil, connect)).await.0, 403, "{path}");
        let ask = format!("OPTIONS {path} HTTP/1.1\r\nHost: example.org\r\n{evil}\r\n");
        let (status, text) = request(server.address, &ask).await;
        assert_eq!(status, 403, "{path}");
        assert!(!text.contains("access-control-allow-origin"), "{text}");
        let ask = ask.replace("evil", "good");
        let (status, text) = request(server.address, &ask).await;
        assert_eq!(status, 204, "{path}");
        assert!(text.contains("access-control-allow-origin: https://good.example"), "{text}");
    }
    let address = "/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";
    let ask = format!("GET {address} HTTP/1.1\r\nHost: example.org\r\n{evil}\r\n");
    assert_eq!(request(server.address, &ask).await.0, 403);
    assert_eq!(server.handle.connections(), 0);
}

#[tokio::test]
async fn a_client_that_goes_is_noticed_and_one_that_is_silent_is_let_go() {
    let server = start(|config| {
        config.client.ping_interval = Span::from_millis(400);
        config.client.pong_timeout = Span::from_millis(200);
    })
    .await;
    let gone = Streamed::open(&server, "gone").await;
    drop(gone.stream);
    let mut silent = Streamed::open(&server, "silent").await;
    let push = silent.until(|line| line["push"].is_object()).await;
    assert_eq!(push["push"]["disconnect"]["code"], 3012);
    assert!(silent.line().await.is_none(), "nothing follows");
    until("the end of both", || server.handle.connections() == 0).await;
    assert_eq!(emulate(&server, &silent.piece(&json!({"id": 2, "ping": {}}))).await, 404);
}

#[tokio::test]
async fn a_reader_that_reads_nothing_is_cut_off_and_costs_a_bounded_queue() {
    let server = start(|config| config.client.queue_max_size = 200_000).await;
    let slow = Streamed::open(&server, "slow").await;
    assert_eq!(
        emulate(&server, &slow.piece(&json!({"id": 2, "subscribe": {"channel": "chat:a"}}))).await,
        204
    );
    let data = json!("x".repeat(60_000)).to_string();
    // More than the queue and the buffers of the sockets hold.
    for _ in 0..400 {
        if server.handle.connections() == 0 {
            break;
        }
        server.handle.publish("chat:a", &data, PublishOptions::default()).await.unwrap();
    }
    until("its end", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn draining_tells_a_streamed_client_when_to_come_back() {
    let server = start(|_| {}).await;
    let mut one = Streamed::open(&server, "ada").await;
    server.handle.drain().await;
    let push = one.until(|line| line["push"].is_object()).await;
    assert_eq!(push["push"]["disconnect"]["code"], 3001);
    assert_eq!(push["push"]["disconnect"]["reconnect"], true);
    assert!(push["push"]["disconnect"]["retry_after"].as_u64().unwrap() > 0);
    assert!(one.line().await.is_none());
}
