//! Native clients on the real server while the network between them breaks in every way, again and again:
//! each of them reads every message once, in order, without a gap.
//!
//! HOMING_STORM_CLIENTS and HOMING_STORM_ROUNDS say how many and how long; `make soak` raises both.

use std::net::SocketAddr;
use std::time::Duration;

use homing::{Decode, Delivery, RealtimeClient};
use homing_server::config::{self, Span};
use homing_server::{Server, serve};
use homing_tests::proxy::FaultProxy;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

const SETTINGS: &str = include_str!("../conformance/homing.toml");
const CHANNEL: &str = "long:storm";
/// In this order, over and over. Those that last are ended once every client has noticed.
const FAULTS: [&str; 6] = ["reset", "down", "cut", "blackhole", "half-close down", "reset"];
/// Messages that every client must have read behind a fault before the next one comes.
const CALM: u64 = 30;
/// How long the slowest client may take for that.
const PATIENCE: Duration = Duration::from_secs(60);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn client(address: SocketAddr) -> RealtimeClient {
    let client = RealtimeClient::builder(format!("ws://{address}/connection/websocket"))
        .configure(|config| {
            config.silence_slack = Duration::from_millis(500);
            config.backoff_floor = Duration::from_millis(20);
            config.backoff_base = Duration::from_millis(100);
            config.backoff_cap = Duration::from_millis(500);
        })
        .build()
        .expect("the options make sense");
    client.connect().expect("it is not closed");
    client
}

/// Reads the channel and tells how far it has come; fails at anything but the next message.
async fn read(client: RealtimeClient, progress: watch::Sender<u64>) {
    let mut messages = client.channel(CHANNEL).messages();
    while let Some(delivery) = messages.next().await {
        match delivery.expect("the subscription stays") {
            Delivery::Message(message) => {
                let n: u64 = message.decode().expect("a number");
                let last = progress.send_replace(n);
                assert!(last == 0 || n == last + 1, "{n} came after {last}");
            }
            other => panic!("something was lost: {other:?}"),
        }
    }
}

/// Publishes numbers until nobody wants to know any more.
async fn write(client: RealtimeClient, written: watch::Sender<u64>) {
    let channel = client.channel(CHANNEL);
    let mut pace = interval(Duration::from_millis(3));
    for n in 1.. {
        pace.tick().await;
        channel.publish(&n).await.expect("this link is sound");
        if written.send(n).is_err() {
            return;
        }
    }
}

/// Waits until every client has read a message; fails with the client that has not, or at once when a task has.
async fn all_reach(target: u64, readers: &mut [watch::Receiver<u64>], tasks: &mut JoinSet<()>, after: &str) {
    for (at, reader) in readers.iter_mut().enumerate() {
        tokio::select! {
            reached = timeout(PATIENCE, reader.wait_for(|&n| n >= target)) => {
                let last = reached.map(|seen| seen.map(|n| *n));
                assert!(matches!(last, Ok(Ok(_))), "client {at} has not come to {target} after {after}");
            }
            Some(ended) = tasks.join_next() => {
                ended.expect("no client loses anything");
                panic!("a client has ended by itself after {after}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_or_doubles_a_message() {
    let clients = number("HOMING_STORM_CLIENTS", 30);
    let rounds = number("HOMING_STORM_ROUNDS", FAULTS.len());
    let mut settings = config::parse(SETTINGS).expect("the settings are fine");
    settings.client.ping_interval = Span::from_millis(1000);
    settings.client.pong_timeout = Span::from_millis(500);
    let server = Server::builder().config(settings).build().await.expect("it starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(serve::listen(listener, server.router()));
    let proxy = FaultProxy::start(address).await.expect("it starts");

    let mut tasks = JoinSet::new();
    let mut readers = Vec::new();
    for _ in 0..clients {
        let (sender, receiver) = watch::channel(0);
        tasks.spawn(read(client(proxy.address()), sender));
        readers.push(receiver);
    }
    let (sender, written) = watch::channel(0);
    tasks.spawn(write(client(address), sender));
    let target = |behind: u64| *written.borrow() + behind;

    all_reach(target(CALM), &mut readers, &mut tasks, "the start").await;
    for round in 0..rounds {
        let fault = FAULTS[round % FAULTS.len()];
        proxy.apply(fault.parse().expect("a command of the proxy"));
        if matches!(fault, "down" | "blackhole" | "half-close down") {
            let (end, mut clock) = (target(CALM), written.clone());
            clock.wait_for(|&n| n >= end).await.expect("the writer goes on");
            proxy.clear();
        }
        all_reach(target(CALM), &mut readers, &mut tasks, fault).await;
    }
    assert!(proxy.accepted_connections() >= (clients + rounds) as u64, "the network did break");
}
