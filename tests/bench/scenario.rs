//! The loads, the same for every server: many idle subscribers, publications at a fixed rate into rooms,
//! and publishers that wait for each ack. A scenario opens its connections, warms up, and reads what the
//! server used over a window; an answer that refuses, or a message that is lost, ends it with an error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::payload::DATA;
use crate::server::Server;
use crate::socket::{Socket, accepted};

/// Connections opened at the same time.
const OPENING: usize = 64;
/// How long a scenario runs before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long all deliveries of a window may take to arrive after it.
const DRAIN: Duration = Duration::from_secs(10);

/// Opens a connection and subscribes it to a channel.
async fn member(address: SocketAddr, channel: &str) -> io::Result<Socket> {
    let mut socket = Socket::open(address).await?;
    socket.call("connect", "{}").await?;
    socket.call("subscribe", &format!(r#"{{"channel":"{channel}"}}"#)).await?;
    Ok(socket)
}

async fn members(address: SocketAddr, channels: Vec<String>) -> io::Result<Vec<Socket>> {
    stream::iter(channels)
        .map(|channel| async move { member(address, &channel).await })
        .buffered(OPENING)
        .try_collect()
        .await
}

/// Resident bytes that each of so many idle subscribers adds.
pub(crate) async fn idle(server: &Server, connections: usize) -> io::Result<f64> {
    idle_of(server, connections, async |channels| members(server.address, channels).await).await
}

/// Resident bytes that each of so many connections adds, which `open` subscribes to these channels.
pub(crate) async fn idle_of<T>(
    server: &Server,
    connections: usize,
    open: impl AsyncFn(Vec<String>) -> io::Result<Vec<T>>,
) -> io::Result<f64> {
    // The first connections pay for what a server makes once.
    let first = open(vec!["bench:warm".to_owned(); 10]).await?;
    sleep(WARM_UP).await;
    let before = server.process.resident()?;
    let idle = open((0..connections).map(|n| format!("bench:idle-{}", n / 100)).collect()).await?;
    // Collectors need a moment; the lowest of a few readings is what the connections really take.
    let mut lowest = f64::MAX;
    for _ in 0..6 {
        sleep(Duration::from_millis(500)).await;
        lowest = lowest.min(server.process.resident()?);
    }
    drop((first, idle));
    Ok((lowest - before) / connections as f64)
}

/// What one delivery costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Processor time of the server for each delivered message.
    pub(crate) cpu: Duration,
    /// Processor time of Redis for each publication.
    pub(crate) redis: Option<Duration>,
}

/// The load of [`deliver`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rooms {
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    /// Publications a second over all rooms.
    pub(crate) rate: u32,
}

/// Publishes at a fixed rate into rooms, by one member of each, and counts what arrives.
pub(crate) async fn deliver(server: &Server, load: Rooms, window: Duration) -> io::Result<Delivery> {
    let channels =
        (0..load.rooms * load.members).map(|n| format!("bench:room-{}", n % load.rooms)).collect::<Vec<_>>();
    let sockets = members(server.address, channels).await?;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let mut publishers = Vec::new();
    for (n, socket) in sockets.into_iter().enumerate() {
        let (sender, orders) = mpsc::unbounded_channel();
        if n < load.rooms {
            publishers.push(sender);
        }
        let channel = format!("bench:room-{}", n % load.rooms);
        tasks.spawn(take_part(socket, channel, orders, Arc::clone(&delivered)));
    }
    let published = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let pacing = tokio::spawn(pace(publishers, load.rate, Arc::clone(&published), Arc::clone(&stop)));

    sleep(WARM_UP).await;
    let redis_cpu = || server.redis.as_ref().map(|redis| redis.cpu()).transpose();
    let (cpu, redis) = (server.process.cpu()?, redis_cpu()?);
    let (arrived, sent) = (delivered.load(Relaxed), published.load(Relaxed));
    sleep(window).await;
    let (cpu, redis) =
        (server.process.cpu()? - cpu, redis_cpu()?.zip(redis).map(|(after, before)| after - before));
    let (arrived, sent) = (delivered.load(Relaxed) - arrived, published.load(Relaxed) - sent);

    stop.store(true, Relaxed);
    let publishers = pacing.await.map_err(io::Error::other)?;
    let expected = published.load(Relaxed) * load.members as u64;
    let deadline = Instant::now() + DRAIN;
    while delivered.load(Relaxed) < expected && Instant::now() < deadline {
        if let Some(ended) = tasks.try_join_next() {
            return Err(ended
                .map_err(io::Error::other)?
                .err()
                .unwrap_or_else(|| io::Error::other("left early")));
        }
        sleep(Duration::from_millis(20)).await;
    }
    let total = delivered.load(Relaxed);
    drop(publishers);
    tasks.abort_all();
    if total != expected {
        return Err(io::Error::other(format!("{total} messages arrived where {expected} were sent")));
    }
    Ok(Delivery { cpu: share(cpu, arrived), redis: redis.map(|redis| share(redis, sent)) })
}

pub(crate) fn share(time: Duration, parts: u64) -> Duration {
    time.div_f64(parts.max(1) as f64)
}

/// A member of a room: counts what arrives and publishes when told.
async fn take_part(
    mut socket: Socket,
    channel: String,
    mut orders: mpsc::UnboundedReceiver<()>,
    delivered: Arc<AtomicU64>,
) -> io::Result<()> {
    let body = format!(r#"{{"channel":"{channel}","data":{DATA}}}"#);
    let mut publishing = true;
    loop {
        tokio::select! {
            order = orders.recv(), if publishing => match order {
                Some(()) => drop(socket.command("publish", &body).await?),
                None => publishing = false,
            },
            frame = socket.frame() => {
                let mut pings = 0;
                let mut arrived = 0;
                for line in frame?.split(|&byte| byte == b'\n') {
                    if line.starts_with(b"{\"push\"") {
                        arrived += 1;
                    } else if line == b"{}" {
                        pings += 1;
                    } else {
                        accepted(line)?;
                    }
                }
                delivered.fetch_add(arrived, Relaxed);
                for _ in 0..pings {
                    socket.send(b"{}").await?;
                }
            }
        }
    }
}

/// Publishes into a channel, as one who is not in it, whenever told.
pub(crate) async fn publish_when_told(
    address: SocketAddr,
    channel: String,
    mut orders: mpsc::UnboundedReceiver<()>,
) -> io::Result<()> {
    let mut socket = Socket::open(address).await?;
    socket.call("connect", "{}").await?;
    let body = format!(r#"{{"channel":"{channel}","data":{DATA}}}"#);
    while orders.recv().await.is_some() {
        socket.call("publish", &body).await?;
    }
    Ok(())
}

/// Tells the publishers in turn, as many times a second as asked; gives them back when stopped.
pub(crate) async fn pace(
    publishers: Vec<mpsc::UnboundedSender<()>>,
    rate: u32,
    published: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Vec<mpsc::UnboundedSender<()>> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0_u64;
    while !stop.load(Relaxed) {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due {
            let turn = usize::try_from(sent).unwrap_or(0) % publishers.len();
            if publishers[turn].send(()).is_err() {
                return publishers;
            }
            sent += 1;
            published.store(sent, Relaxed);
        }
    }
    publishers
}

/// What publishing costs, and how fast it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publishing {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) cpu: Duration,
    pub(crate) redis: Option<Duration>,
}

/// Publishers that each wait for the ack of one message before they send the next, bare or numbered, which lets
/// the server know a message again that is sent twice.
pub(crate) async fn publish(
    server: &Server,
    publishers: usize,
    window: Duration,
    numbered: bool,
) -> io::Result<Publishing> {
    let counting = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for n in 0..publishers {
        let (address, counting) = (server.address, Arc::clone(&counting));
        tasks.spawn(async move {
            let mut socket = Socket::open(address).await?;
            socket.call("connect", "{}").await?;
            let bare = format!(r#""channel":"bench:publisher-{n}","data":{DATA}"#);
            let mut waits = Vec::new();
            let mut counted = false;
            for number in 1_u64.. {
                let body = if numbered {
                    let stamp =
                        format!(r#""producer":"bench-producer-{n:04}","session":1,"number":{number}"#);
                    format!(r#"{{{bare},"homing":{{"id":"message-{number:012}",{stamp}}}}}"#)
                } else {
                    format!("{{{bare}}}")
                };
                let start = Instant::now();
                socket.call("publish", &body).await?;
                let counts = counting.load(Relaxed);
                if counts {
                    waits.push(start.elapsed());
                } else if counted {
                    return io::Result::Ok(waits);
                }
                counted |= counts;
            }
            Ok(waits)
        });
    }
    sleep(WARM_UP).await;
    let redis_cpu = || server.redis.as_ref().map(|redis| redis.cpu()).transpose();
    let (cpu, redis) = (server.process.cpu()?, redis_cpu()?);
    let start = Instant::now();
    counting.store(true, Relaxed);
    sleep(window).await;
    counting.store(false, Relaxed);
    let elapsed = start.elapsed();
    let (cpu, redis) =
        (server.process.cpu()? - cpu, redis_cpu()?.zip(redis).map(|(after, before)| after - before));
    let mut waits = Vec::new();
    while let Some(task) = tasks.join_next().await {
        waits.extend(task.map_err(io::Error::other)??);
    }
    waits.sort_unstable();
    let acked = waits.len() as u64;
    let at = |percent: usize| {
        waits.get((waits.len() * percent / 100).min(waits.len() - 1)).copied().unwrap_or_default()
    };
    Ok(Publishing {
        per_second: acked as f64 / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu: share(cpu, acked),
        redis: redis.map(|redis| share(redis, acked)),
    })
}
