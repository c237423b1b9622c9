//! Calls to one node about connections of another, and nodes that do not answer.

use crate::{
    redis_server::RedisServer,
    support::{KEY, PATIENCE, Running, start, until},
};
use homing_server::config::{EngineKind, Span};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

async fn node(redis: &RedisServer) -> Running {
    let url = redis.url();
    start(|config| {
        config.engine.kind = EngineKind::Redis;
        config.engine.redis.address = url;
        config.engine.redis.io_timeout = Span::from_millis(500);
        config.node.answer_timeout = Span::from_millis(1500);
    })
    .await
}

/// A node in a process of its own, which can be stopped in its tracks.
struct Process(Child);

impl Process {
    fn start(redis: &RedisServer) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_homing-server"))
            .args(["--listen", "127.0.0.1:0", "--insecure", "--engine", "redis", "--redis-url", &redis.url()])
            .env("HOMING_LOG_LEVEL", "error")
            .env("HOMING_NODE_NAME", "frozen")
            .env("HOMING_HTTP_API_KEY", KEY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "{line}");
        Self(child)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Process {
    /// Stops it where it stands; every thread of it, and that takes a moment.
    async fn freeze(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.0.id());
        let is_stopped = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
        until(async || {
            let mut all = std::fs::read_dir(&tasks).unwrap();
            all.all(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).is_ok_and(is_stopped))
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn names(answer: &Value) -> Vec<&str> {
    answer["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_named() {
    let redis = RedisServer::start().await;
    let (server, other) = (node(&redis).await, Process::start(&redis));
    let info = server.result("info", json!({})).await;
    assert_eq!(names(&info).len(), 2, "a node that has just begun knows the others: {info}");
    let all = info["nodes"].as_array().unwrap();
    let frozen = all.iter().find(|node| node["name"] == "frozen").unwrap()["uid"].clone();

    other.freeze().await;
    let begun = Instant::now();
    let told = server.result("disconnect", json!({"user": "ada"})).await;
    let took = begun.elapsed();
    assert_eq!(told["homing"]["unanswered"], json!([frozen]), "after {took:?}");
    assert!((Duration::from_millis(1400)..Duration::from_millis(5000)).contains(&took), "{took:?}");
    // Commands on channels wait for nobody.
    let begun = Instant::now();
    server.result("publish", json!({"channel": "chat:a", "data": 1})).await;
    assert!(begun.elapsed() < Duration::from_millis(1400));

    other.signal("-CONT");
    until(async || server.result("channels", json!({})).await.get("homing").is_none()).await;
    drop(other);
    // It is waited for until it counts as gone, and then no more.
    until(async || server.result("channels", json!({})).await.get("homing").is_none()).await;
    assert_eq!(names(&server.result("info", json!({})).await).len(), 1);
}

#[tokio::test]
async fn a_node_that_drains_is_not_waited_for() {
    let redis = RedisServer::start().await;
    let (server, other) = (node(&redis).await, node(&redis).await);
    assert_eq!(names(&server.result("info", json!({})).await).len(), 2);
    other.server.handle().drain().await;
    until(async || server.server.node().peers() == 0).await;
}

#[tokio::test]
async fn a_redis_that_is_away_is_a_temporary_error() {
    let redis = RedisServer::start().await;
    let (server, other) = (node(&redis).await, node(&redis).await);
    let publish = || json!({"channel": "chat:a", "data": 1, "idempotency_key": "once"});
    server.result("publish", publish()).await;
    redis.freeze();
    for (method, body) in [
        ("publish", json!({"channel": "chat:a", "data": 2})),
        ("history", json!({"channel": "chat:a"})),
        ("presence", json!({"channel": "chat:a"})),
        ("history_remove", json!({"channel": "chat:a"})),
    ] {
        let begun = Instant::now();
        let answer = server.call(method, body).await;
        assert_eq!(answer["error"]["code"], 100, "{method}: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{method}");
    }
    let begun = Instant::now();
    let answer = server.call("disconnect", json!({"user": "ada"})).await;
    assert_eq!(answer["error"]["code"], 100, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    redis.thaw();
    until(async || server.server.handle().is_ready() && other.server.handle().is_ready()).await;
    until(async || server.call("publish", publish()).await["result"]["duplicate"] == true).await;
    until(async || names(&server.result("info", json!({})).await).len() == 2).await;
}

#[tokio::test]
async fn a_broadcast_to_many_channels_is_whole() {
    let redis = RedisServer::start().await;
    let server = node(&redis).await;
    let channels: Vec<String> = (0..60_000).map(|number| format!("chat:{number}")).collect();
    let result = server.result("broadcast", json!({"channels": channels, "data": {"n": 1}})).await;
    let responses = result["responses"].as_array().unwrap();
    assert_eq!(responses.len(), channels.len());
    assert!(responses.iter().all(|response| response["result"]["offset"] == 1));
}

/// Pieces of a streamed client for nodes that are none.
async fn make_up(node: &Running) {
    let own = node.server.node().id();
    for made_up in [
        "* 0 made-up\n".to_owned(),
        "* 1 made-up\n{\"info\":null}".to_owned(),
        format!("{own} 0 made-up\n"),
        "made-up".to_owned(),
        " ".to_owned(),
        "00000000-0000-4000-8000-000000000000".to_owned(),
    ] {
        let piece = json!({"session": "x", "node": made_up, "data": "{}"}).to_string();
        let sent = node.http.post(node.url("/emulation")).body(piece).timeout(PATIENCE).send();
        let status = sent.await.unwrap().status().as_u16();
        assert!(matches!(status, 404 | 504), "{made_up:?}: {status}");
    }
}

#[tokio::test]
async fn nobody_makes_nodes_up() {
    let redis = RedisServer::start().await;
    // While a node does not know all others yet, and behind it.
    let one = node(&redis).await;
    make_up(&one).await;
    let two = node(&redis).await;
    make_up(&two).await;
    for node in [&one, &two] {
        make_up(node).await;
        until(async || node.server.node().peers() > 0).await;
        assert_eq!(node.server.node().peers(), 1);
        let info = node.result("info", json!({})).await;
        assert_eq!((names(&info).len(), info.get("homing")), (2, None), "{info}");
    }
}
