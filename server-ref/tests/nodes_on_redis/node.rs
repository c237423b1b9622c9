//! Nodes as processes of the program, on one Redis, and clients of theirs.

use homing::{RealtimeClient, Session};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const SETTINGS: &str = r#"
[client]
insecure = true
presence_update_interval = "300ms"

[engine]
presence_ttl = "1200ms"

[engine.redis]
io_timeout = "2s"

[[channel.namespaces]]
name = "chat"
history_size = 1000000
history_ttl = "10m"
force_recovery = true
presence = true
join_leave = true
force_push_join_leave = true
"#;

/// A node; it is killed with the value.
pub(crate) struct Node {
    child: Child,
    address: String,
    settings: PathBuf,
}

impl Node {
    pub(crate) fn start(redis: &str) -> Self {
        Self::start_with(redis, &[])
    }

    /// With some settings more, as environment variables.
    pub(crate) fn start_with(redis: &str, more: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let settings = std::env::temp_dir().join(format!("homing-node-{}-{next}.toml", std::process::id()));
        std::fs::write(&settings, SETTINGS).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_homing-server"))
            .args(["--listen", "127.0.0.1:0", "--engine", "redis", "--redis-url", redis, "--config"])
            .arg(&settings)
            .env("HOMING_LOG_LEVEL", "warn")
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().expect("a node that runs tells its address").to_owned();
        Self { child, address, settings }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn fetch(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Whether it wants to be sent clients.
    pub(crate) async fn is_ready(&self) -> bool {
        self.fetch("/ready").await.starts_with("HTTP/1.1 200")
    }

    /// Whether it has answered a command with an error.
    pub(crate) async fn has_refused(&self) -> bool {
        self.counted("homing_command_errors_total").await > 0
    }

    /// How often it has noticed that it may not have heard everything, and has read on since: being without its
    /// links can be over before anybody has asked whether it is ready.
    pub(crate) async fn doubts(&self) -> u64 {
        self.counted("homing_engine_doubts_total").await
    }

    async fn counted(&self, name: &str) -> u64 {
        let metrics = self.fetch("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.settings));
    }
}

/// A connected client of the first of these nodes, who goes on at the next one where that fails.
pub(crate) async fn client(user: &str, nodes: &[&Node]) -> (RealtimeClient, Session) {
    let urls: Vec<_> = nodes.iter().map(|node| node.url()).collect();
    client_at(user, &urls).await
}

/// The same by address.
pub(crate) async fn client_at(user: &str, urls: &[String]) -> (RealtimeClient, Session) {
    let builder = RealtimeClient::builder(urls[0].clone());
    let builder = urls[1..].iter().fold(builder, |builder, url| builder.endpoint(url.clone()));
    let client = builder
        .data(&serde_json::json!({ "user": user }))
        .configure(|config| {
            config.backoff_floor = Duration::from_millis(10);
            config.backoff_base = Duration::from_millis(20);
            config.backoff_cap = Duration::from_millis(100);
            config.request_timeout = Duration::from_secs(3);
        })
        .build()
        .unwrap();
    client.connect().unwrap();
    let session = soon(client.connected()).await.unwrap();
    (client, session)
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
