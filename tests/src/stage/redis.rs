//! A Redis of a test's own, which may be killed and come again.

use super::{Folder, soon};
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;

/// A Redis that writes everything down before it answers; it ends, and its folder goes, with the value.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// An empty one on a free port.
    pub async fn start() -> Self {
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

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it and starts it again in its place, with what it wrote down or with nothing.
    pub async fn die(&mut self, keeps: bool) {
        self.kill();
        if !keeps {
            std::fs::remove_dir_all(self.folder.path()).unwrap();
            std::fs::create_dir_all(self.folder.path()).unwrap();
        }
        self.start_again().await;
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it in its place, with what it wrote down.
    pub async fn start_again(&mut self) {
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

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
