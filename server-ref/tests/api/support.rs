//! A server with an API on a free port, and what calls it.

use homing::RealtimeClient;
use homing_server::{Config, Server, config, serve};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "a key of the tests";

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) http: Client,
}

/// Starts a server that lets every client in and takes calls with the key, unless `change` says otherwise.
pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config::development();
    config.client.insecure = true;
    config.http_api.key = Some(KEY.into());
    config.shutdown.drain_window = config::Span::from_millis(100);
    change(&mut config);
    let server = Server::builder().config(config).build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve::listen(listener, server.router()));
    Running { address, server, http: Client::new() }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A call with nothing but a body.
    pub(crate) fn post(&self, method: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http.post(self.url(&format!("/api/{method}"))).body(body).timeout(PATIENCE)
    }

    /// A call with the key, and its answer, which must have status 200.
    pub(crate) async fn call(&self, method: &str, body: Value) -> Value {
        let (status, answer) = self.text(method, body.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        answer
    }

    pub(crate) async fn text(&self, method: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        answer(self.post(method, body).header("X-API-Key", KEY)).await
    }

    /// A call that must succeed, and its result.
    pub(crate) async fn result(&self, method: &str, body: Value) -> Value {
        let answer = self.call(method, body).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// A connected client.
    pub(crate) async fn client(&self, user: &str) -> RealtimeClient {
        let url = format!("ws://{}/connection/websocket", self.address);
        let client = RealtimeClient::builder(url).data(&json!({ "user": user })).build().unwrap();
        client.connect().unwrap();
        soon(client.connected()).await.unwrap();
        client
    }

    /// A line of the metrics.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.http.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap()
    }
}

/// Status and JSON of an answer.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

/// Waits for something, not for ever.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it should have happened by now")
}

/// Waits until a condition holds.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    soon(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
