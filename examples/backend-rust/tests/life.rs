//! Both backends, this one and the one for Node, as their users start them beside a server: people log in,
//! connect with their tokens, enter and say what they may, and hear what the backend says.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing::{Channel, Decode, Delivery, Error, ErrorCode, RealtimeClient};
use homing_server::{Server, config, serve::listen};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("it should have happened by now")
}

/// Starts a backend, which says where it listens.
async fn start(program: &str, arguments: &[&str], api: &str) -> (Child, String) {
    let mut backend = Command::new(program)
        .args(arguments)
        .env("PORT", "0")
        .env("HOMING_API", api)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(backend.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    (backend, format!("http://{address}"))
}

/// A server with the settings of the examples, but for the addresses.
async fn serve(listener: TcpListener, backend: &str) {
    let settings = include_str!("../../backend.toml").replace("http://127.0.0.1:3000", backend);
    let server = Server::builder().config(config::parse(&settings).unwrap()).build().await.unwrap();
    tokio::spawn(listen(listener, server.router()));
}

struct Page<'a> {
    http: reqwest::Client,
    backend: &'a str,
    cookie: String,
}

impl Page<'_> {
    async fn post(&self, path: &str, form: Value) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.backend)).header("cookie", &self.cookie);
        soon(request.json(&form).send()).await.unwrap()
    }

    async fn log_in(&mut self, name: &str, password: &str) -> u16 {
        let response = self.post("/login", json!({ "name": name, "password": password })).await;
        if let Some(cookie) = response.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        response.status().as_u16()
    }

    async fn token(&self) -> Result<String, u16> {
        let request = self.http.get(format!("{}/token", self.backend)).header("cookie", &self.cookie);
        let response = soon(request.send()).await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = soon(response.json()).await.unwrap_or_default();
        answer["token"].as_str().map(str::to_owned).ok_or(status)
    }

    async fn client(&self, server: SocketAddr) -> RealtimeClient {
        let url = format!("ws://{server}/connection/websocket");
        let client = RealtimeClient::builder(&url).token(self.token().await.unwrap()).build().unwrap();
        client.connect().unwrap();
        client
    }
}

async fn refused(room: &Channel, message: Value) -> u32 {
    match soon(async { room.publish(&message).await }).await {
        Err(Error { code: ErrorCode::Application, number, .. }) => number,
        other => panic!("{other:?} instead of a refusal"),
    }
}

async fn lives(program: &str, arguments: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let (_running, backend) = start(program, arguments, &format!("http://{server}/api")).await;
    serve(listener, &backend).await;
    let page = || Page { http: reqwest::Client::new(), backend: &backend, cookie: String::new() };

    let (mut ada, mut bob) = (page(), page());
    assert_eq!(ada.log_in("ada", "guess").await, 401);
    assert_eq!(ada.token().await, Err(401));
    assert_eq!((ada.log_in("ada", "lovelace").await, bob.log_in("bob", "builder").await), (200, 200));

    let (hers, his) = (ada.client(server).await, bob.client(server).await);
    let lobby = his.channel("chat:lobby");
    let mut messages = lobby.messages_from(10);
    soon(hers.channel("chat:lobby").publish(&json!({ "text": "hello" }))).await.unwrap();
    let mut next = async || match soon(messages.next()).await {
        Some(Ok(Delivery::Message(message))) => message.decode::<Value>().unwrap(),
        other => panic!("{other:?} instead of a message"),
    };
    assert_eq!(next().await, json!({ "text": "hello", "checked": true }));
    assert_eq!(refused(&lobby, json!({ "text": "spam" })).await, 422);
    assert_eq!(refused(&lobby, json!({ "no": "text" })).await, 400);

    assert_eq!(ada.post("/announce", json!({ "text": "closing" })).await.status(), 200);
    assert_eq!(next().await, json!({ "name": "The house", "text": "closing" }));
    assert_eq!(bob.post("/announce", json!({ "text": "free beer" })).await.status(), 403);

    let mut staff = his.channel("chat:staff").messages();
    match soon(staff.next()).await {
        Some(Err(Error { number: 403, .. })) => {}
        other => panic!("{other:?} instead of a refusal"),
    }
    // Who is not the server is not answered.
    let question = json!({ "user": "ada", "channel": "chat:staff" });
    assert_eq!(page().post("/homing/subscribe", question).await.status(), 401);
}

#[tokio::test]
async fn the_backend_in_rust_lives_beside_a_server() {
    lives(env!("CARGO_BIN_EXE_backend-rust"), &[]).await;
}

#[tokio::test]
async fn the_backend_in_node_lives_beside_a_server() {
    lives("node", &[concat!(env!("CARGO_MANIFEST_DIR"), "/../backend-node/server.js")]).await;
}
