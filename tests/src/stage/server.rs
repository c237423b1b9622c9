//! A server of a test, on threads of its own.

use super::{Redis, soon};
use homing_server::{
    Builder, Handle, Server,
    clock::SystemClock,
    config::{self, Config, Span},
    engine::memory::Memory,
    serve::listen,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
};

/// Settings of a server that lets everybody in, keeps much, and notices soon who has gone.
#[must_use]
pub fn settings() -> Config {
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

/// An empty log, which may outlive its servers.
#[must_use]
pub fn store() -> Memory {
    Memory::new(Arc::new(SystemClock::new()))
}

/// A server on threads of its own; dropping it ends it as a crash would.
#[derive(Debug)]
pub struct Embedded {
    runtime: Option<Runtime>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What a program that embeds it may ask.
    pub handle: Handle,
}

impl Embedded {
    /// A server on a free port over an empty log.
    pub async fn start() -> Self {
        Self::over(&store(), None).await
    }

    /// A server on a free port, or in the place of one that was there, over this log.
    pub async fn over(store: &Memory, address: Option<SocketAddr>) -> Self {
        Self::launch(Server::builder().config(settings()).engine(Arc::new(store.node())), address).await
    }

    /// A server on a free port, on this Redis.
    pub async fn on_redis(redis: &Redis) -> Self {
        let mut config = settings();
        config.engine.kind = config::EngineKind::Redis;
        config.engine.redis.address = redis.url();
        Self::launch(Server::builder().config(config), None).await
    }

    /// This server, on a free port or in the place of one that was there.
    pub async fn launch(builder: Builder, address: Option<SocketAddr>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let started = runtime.spawn(async move {
            let server = builder.build().await.unwrap();
            let listener = bind(address).await;
            let address = listener.local_addr().unwrap();
            tokio::spawn(listen(listener, server.router()));
            (address, server.handle())
        });
        let (address, handle) = soon(started).await.unwrap();
        Self { runtime: Some(runtime), address, handle }
    }

    /// The address of its WebSocket.
    #[must_use]
    pub fn url(&self) -> String {
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
