//! What is behind the proxy: a server on its memory that a restart keeps, or a server's process on a Redis.

use homing_server::engine::memory::Memory;
use homing_tests::proxy::FaultProxy;
use homing_tests::stage::{Embedded, Redis, soon, store};
use std::{net::SocketAddr, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    /// A Redis that comes again with its data.
    Keeping,
    /// One that comes again without.
    Forgetting,
}

enum Server {
    Embedded(Option<Embedded>, Memory),
    /// The server, the Redis, and whether that one keeps its data.
    Process(Process, Redis, bool),
}

pub(crate) struct World {
    pub(crate) proxy: FaultProxy,
    server: Server,
}

impl World {
    pub(crate) async fn start(kind: Kind) -> Self {
        let server = if kind == Kind::Memory {
            let store = store();
            Server::Embedded(Some(Embedded::over(&store, None).await), store)
        } else {
            let redis = Redis::start().await;
            Server::Process(Process::start(&redis).await, redis, kind == Kind::Keeping)
        };
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        Self { proxy, server }
    }

    /// The server itself, past the proxy.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.server.address())
    }

    /// Kills it, and starts another one in its place.
    pub(crate) async fn kill_server(&mut self) {
        match &mut self.server {
            Server::Embedded(server, store) => {
                *server = None;
                *server = Some(Embedded::over(store, None).await);
            }
            Server::Process(process, redis, _) => {
                soon(process.child.kill()).await.unwrap();
                *process = Process::start(redis).await;
            }
        }
        self.proxy.redirect(self.server.address());
        self.proxy.reset();
    }

    pub(crate) async fn kill_redis(&mut self) {
        if let Server::Process(_, redis, keeps) = &mut self.server {
            redis.die(*keeps).await;
        }
    }
}

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Embedded(server, _) => server.as_ref().unwrap().address,
            Self::Process(process, ..) => process.address,
        }
    }
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    async fn start(redis: &Redis) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_homing-peer"))
            .args(["--load", "500000", "--ping", "1s", "--pong", "500ms", "--redis", &redis.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let address = line.split_whitespace().last().unwrap().parse().unwrap();
        Self { child, address }
    }
}
