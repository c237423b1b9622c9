//! A Redis of a test's own: a process on a free port with its data in a temporary folder, which the test may
//! pause, kill and start again. It ends, and its folder goes, with the value.

use redis::{FromRedisValue, aio::MultiplexedConnection};
use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

const START: Duration = Duration::from_secs(10);

#[allow(dead_code, reason = "each test crate uses its own part")]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

/// What a Redis does with its data when it ends.
#[derive(Clone, Copy)]
pub(crate) enum Durability {
    Forgets,
    Keeps,
}

#[allow(dead_code, reason = "each test crate uses its own part")]
impl RedisServer {
    /// Starts one that forgets its data when it ends.
    pub(crate) async fn start() -> Self {
        Self::with(Durability::Forgets, &[]).await
    }

    pub(crate) async fn with(durability: Durability, options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("homing-redis-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut all = vec!["--save", "", "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"];
        if matches!(durability, Durability::Keeps) {
            all.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        all.extend(options);
        let options: Vec<String> = all.into_iter().map(str::to_owned).collect();
        // Somebody else may take the port before Redis does: then the process ends, and another is tried.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Self {
                child: spawn(port, &folder, &options),
                port,
                folder: folder.clone(),
                options: options.clone(),
            };
            if server.answers().await {
                return server;
            }
            server.folder = PathBuf::new();
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it answers; `false` where the process ended.
    async fn answers(&mut self) -> bool {
        let until = Instant::now() + START;
        loop {
            if let Some(mut connection) = self.connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < until, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn connection(&self) -> Option<MultiplexedConnection> {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.ok()
    }

    /// Runs one command on a connection of its own.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().await.expect("Redis answers");
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    /// The process stops where it is; its sockets stay open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again after [`Self::kill`], on the same port, with what it has kept.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.options);
        assert!(self.answers().await, "redis-server does not start again");
    }

    async fn info(&self, name: &str) -> String {
        let info: String = self.command(&["INFO"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim_end().to_owned()
    }

    /// Becomes a replica of the Redis on this port, and waits until it has its data.
    pub(crate) async fn replicate(&self, port: u16) {
        self.command::<String>(&["REPLICAOF", "127.0.0.1", &port.to_string()]).await;
        let until = Instant::now() + START;
        while self.info("master_link_status").await != "up" {
            assert!(Instant::now() < until, "no replication");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has all that the other one has now.
    pub(crate) async fn catch_up_with(&self, primary: &Self) {
        let goal: u64 = primary.info("master_repl_offset").await.parse().unwrap();
        let until = Instant::now() + START;
        while self.info("slave_repl_offset").await.parse::<u64>().unwrap() < goal {
            assert!(Instant::now() < until, "the replica lags");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn promote(&self) {
        self.command::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }
}

fn spawn(port: u16, folder: &std::path::Path, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (make setup-debian)")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if !self.folder.as_os_str().is_empty() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
