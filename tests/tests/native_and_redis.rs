//! The Rust client against Homing's server on a real Redis that is killed and comes back with its data: the log
//! goes on under another epoch, and its readers notice nothing.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing::{Decode, Delivery, Messages, RealtimeClient};
use homing_server::{Handle, Server, api::PublishOptions, config, serve::listen};
use homing_tests::proxy::FaultProxy;
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, net::TcpStream, task::JoinHandle, time::timeout};

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("it should have happened by now")
}

/// A Redis that keeps what it has acknowledged.
struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Redis {
    async fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("homing-native-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        loop {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut redis = Self { child: Self::spawn(port, &folder), port, folder: folder.clone() };
            if redis.answers().await {
                return redis;
            }
            // Somebody else took the port.
            redis.folder = PathBuf::new();
        }
    }

    fn spawn(port: u16, folder: &PathBuf) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

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

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.child = Self::spawn(self.port, &self.folder);
        assert!(self.answers().await);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A server on the Redis, with a proxy before it.
struct Scene {
    redis: Redis,
    handle: Handle,
    proxy: FaultProxy,
    serving: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scene {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let mut config = config::development();
        config.client.insecure = true;
        config.channel.namespaces[0].options.history_size = 2000;
        config.engine.kind = config::EngineKind::Redis;
        config.engine.redis.address = format!("redis://127.0.0.1:{}", redis.port);
        let server = soon(Server::builder().config(config).build()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let serving = tokio::spawn(listen(listener, server.router()));
        let proxy = FaultProxy::start(address).await.unwrap();
        Self { redis, handle: server.handle(), proxy, serving }
    }

    async fn reader(&self) -> (RealtimeClient, Messages) {
        let client = RealtimeClient::builder(format!("ws://{}/connection/websocket", self.proxy.address()))
            .configure(|config| {
                config.backoff_floor = Duration::from_millis(20);
                config.backoff_base = Duration::from_millis(50);
                config.backoff_cap = Duration::from_millis(200);
            })
            .build()
            .unwrap();
        client.connect().unwrap();
        let room = client.channel("chat:room");
        let messages = room.messages();
        soon(room.join()).await.unwrap();
        (client, messages)
    }

    async fn publish(&self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            soon(self.handle.publish("chat:room", &number.to_string(), PublishOptions::default()))
                .await
                .unwrap();
        }
    }

    async fn restart_redis(&mut self) {
        self.redis.kill();
        self.until(|scene| !scene.handle.is_ready()).await;
        self.redis.start_again().await;
        self.until(|scene| scene.handle.is_ready()).await;
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        soon(async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

async fn expect(messages: &mut Messages, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        match soon(messages.next()).await.expect("an item").expect("no end") {
            Delivery::Message(message) => {
                assert_eq!((message.decode::<u64>().unwrap(), message.offset), (number, number));
            }
            other => panic!("{other:?} came instead of {number}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_stayed_connected_notices_nothing_then_or_later() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    let before = messages.position().unwrap().epoch;
    for round in 0..2 {
        let from = 11 + round * 20;
        scene.restart_redis().await;
        scene.publish(from..=from + 9).await;
        expect(&mut messages, from..=from + 9).await;
        scene.proxy.take_down();
        let mut state = client.watch_state();
        soon(state.wait_for(|state| !matches!(state, homing::ConnectionState::Connected(_)))).await.unwrap();
        scene.publish(from + 10..=from + 19).await;
        scene.proxy.clear();
        expect(&mut messages, from + 10..=from + 19).await;
    }
    assert_ne!(messages.position().unwrap().epoch, before);
}

#[tokio::test]
async fn a_reader_that_was_away_meanwhile_misses_nothing() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    scene.proxy.take_down();
    let mut state = client.watch_state();
    soon(state.wait_for(|state| !matches!(state, homing::ConnectionState::Connected(_)))).await.unwrap();
    scene.publish(11..=20).await;
    scene.restart_redis().await;
    scene.publish(21..=30).await;
    scene.proxy.clear();
    expect(&mut messages, 11..=30).await;
}

#[tokio::test]
async fn an_absence_longer_than_one_recovery_brings_is_read_page_by_page() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    scene.proxy.take_down();
    let mut state = client.watch_state();
    soon(state.wait_for(|state| !matches!(state, homing::ConnectionState::Connected(_)))).await.unwrap();
    scene.publish(11..=350).await;
    scene.restart_redis().await;
    scene.publish(351..=700).await;
    scene.proxy.clear();
    expect(&mut messages, 11..=700).await;
    scene.restart_redis().await;
    scene.publish(701..=710).await;
    expect(&mut messages, 701..=710).await;
}

#[tokio::test]
async fn a_slow_reader_reads_on_across_the_change_of_epoch() {
    let mut scene = Scene::start().await;
    let (client, mut fast) = scene.reader().await;
    let room = client.channel("chat:room");
    let mut slow = room.messages_buffered(homing::BufferLimits { items: 4, bytes: 1000 });
    soon(room.join()).await.unwrap();
    scene.publish(1..=20).await;
    expect(&mut fast, 1..=20).await;
    scene.restart_redis().await;
    scene.publish(21..=40).await;
    expect(&mut fast, 21..=40).await;
    expect(&mut slow, 1..=40).await;
}
