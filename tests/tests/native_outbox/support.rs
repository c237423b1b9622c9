//! A server that keeps its log over restarts, a Redis, a folder, and clients that are quick to try again.

use homing::{Builder, Decode, Delivery, Messages, RealtimeClient};
use homing_server::{
    Server,
    clock::SystemClock,
    config::{self, Config, Span},
    engine::memory::Memory,
    serve::listen,
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
    time::timeout,
};

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("it should have happened by now")
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("homing-outbox-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("outbox.redb")
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn settings() -> Config {
    let mut config = config::development();
    config.client.insecure = true;
    config.client.command_rate_limit = 0;
    config.client.ping_interval = Span::from_millis(1000);
    config.client.pong_timeout = Span::from_millis(500);
    // A soak compares with the whole log, and writes more than a test has the time to.
    let soaks = std::env::var_os("SOAK_SECONDS").is_some();
    config.channel.namespaces[0].options.history_size = if soaks { 500_000 } else { 5_000 };
    config
}

/// A server on threads of its own; dropping it ends it as a crash would.
pub(crate) struct Embedded {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

impl Embedded {
    /// A server on a free port over an empty log.
    pub(crate) async fn start() -> Self {
        Self::over(&store(), None).await
    }

    /// A server in the place of one that was there, over its log.
    pub(crate) async fn over(store: &Memory, address: Option<SocketAddr>) -> Self {
        let engine = Arc::new(store.node());
        Self::launch(address, async move { Server::builder().config(settings()).engine(engine) }).await
    }

    pub(crate) async fn on_redis(redis: &Redis) -> Self {
        let mut config = settings();
        config.engine.kind = config::EngineKind::Redis;
        config.engine.redis.address = redis.url();
        Self::launch(None, async move { Server::builder().config(config) }).await
    }

    async fn launch(
        address: Option<SocketAddr>,
        builder: impl Future<Output = homing_server::Builder> + Send + 'static,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let started = runtime.spawn(async move {
            let server = builder.await.build().await.unwrap();
            let listener = bind(address).await;
            let address = listener.local_addr().unwrap();
            tokio::spawn(listen(listener, server.router()));
            address
        });
        let address = soon(started).await.unwrap();
        Self { runtime: Some(runtime), address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn store() -> Memory {
    Memory::new(Arc::new(SystemClock::new()))
}

/// Listens also where the server before is still on its way out.
async fn bind(address: SocketAddr) -> TcpListener {
    soon(async {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            match socket.bind(address).and_then(|()| socket.listen(1024)) {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// One that writes everything down before it answers.
    pub(crate) async fn start() -> Self {
        loop {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let folder = Folder::new();
            let mut redis = Self { child: spawn(port, &folder), port, folder };
            if redis.answers().await {
                return redis;
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it and starts it again in its place, with what it wrote down or with nothing.
    pub(crate) async fn die(&mut self, keeps: bool) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if !keeps {
            std::fs::remove_dir_all(self.folder.path()).unwrap();
            std::fs::create_dir_all(self.folder.path()).unwrap();
        }
        self.child = spawn(self.port, &self.folder);
        assert!(self.answers().await, "Redis comes again");
    }

    /// Whether it is there; not if somebody else took the port.
    async fn answers(&mut self) -> bool {
        soon(async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                if self.child.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            true
        })
        .await
    }
}

fn spawn(port: u16, folder: &Folder) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of this user, which has not been told to connect.
pub(crate) fn builder(url: String, user: &str) -> Builder {
    RealtimeClient::builder(url).storage_name("test").data(&serde_json::json!({ "user": user })).configure(
        |config| {
            config.backoff_floor = Duration::from_millis(5);
            config.backoff_base = Duration::from_millis(20);
            config.backoff_cap = Duration::from_millis(100);
        },
    )
}

pub(crate) fn connected(builder: Builder) -> RealtimeClient {
    let client = builder.build().unwrap();
    client.connect().unwrap();
    client
}

/// The next message's number, which the tests publish as payload.
pub(crate) async fn next(messages: &mut Messages) -> u64 {
    match soon(messages.next()).await.expect("an item").expect("no end") {
        Delivery::Message(message) => message.decode().unwrap(),
        other => panic!("{other:?} came instead of a message"),
    }
}

pub(crate) async fn expect(messages: &mut Messages, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(next(messages).await, number);
    }
}
