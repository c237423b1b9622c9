//! The Rust client's outbox: how fast it publishes with and without a storage, how fast it empties after a
//! reconnect, what it weighs at its limit, and how fast a durable reader catches up.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use homing::{FileStorage, MemoryStorage, OutboxLimits, Publishing, RealtimeClient, Storage};
use serde_json::value::RawValue;

use crate::payload::DATA;
use crate::server::{Kind, Programs, Server, resident};

/// Messages under way at the same time, as many as a channel may have.
const IN_FLIGHT: usize = 16;
const QUEUED: usize = 1000;
const MISSED: u64 = 10_000;
/// Of each figure: the middle one counts.
const ROUNDS: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A row's name and its figure with a word behind it.
pub(crate) type Row = (String, String);

/// What keeps the outbox.
#[derive(Clone, Copy)]
enum Keep {
    Nothing,
    Memory,
    File,
}

impl Keep {
    fn title(self) -> &'static str {
        match self {
            Self::Nothing => "no storage",
            Self::Memory => "memory storage",
            Self::File => "file storage",
        }
    }
}

/// A folder for the storage files of a run; it goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("homing-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn storage(&self, keep: Keep, name: &str) -> Option<Box<dyn Storage>> {
        match keep {
            Keep::Nothing => None,
            Keep::Memory => Some(Box::new(MemoryStorage::new())),
            Keep::File => Some(Box::new(FileStorage::at(self.0.join(format!("{name}.redb"))))),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn client(server: &Server, storage: Option<Box<dyn Storage>>) -> io::Result<RealtimeClient> {
    let url = format!("ws://{}/connection/websocket", server.address);
    let limits = OutboxLimits { entries: 20_000, bytes: 64 << 20, ..OutboxLimits::default() };
    let builder = RealtimeClient::builder(url).outbox(limits).storage_name("bench").user("");
    let builder = match storage {
        Some(storage) => builder.storage(storage),
        None => builder,
    };
    builder.build().map_err(io::Error::other)
}

fn payload() -> io::Result<&'static RawValue> {
    serde_json::from_str(DATA).map_err(io::Error::other)
}

async fn patiently<T>(work: impl Future<Output = T>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Every figure on one kind of server.
pub(crate) async fn measure(kind: Kind, programs: &Programs, window: Duration) -> io::Result<Vec<Row>> {
    let folder = Folder::new()?;
    let mut rows = Vec::new();
    let fresh = || Server::start(kind, programs)?.ok_or_else(|| io::Error::other("it was not built"));
    let server = fresh()?;
    for keep in [Keep::Nothing, Keep::Memory, Keep::File] {
        let storage = folder.storage(keep, "publish");
        let (per_second, p99) = publish(&server, storage, window).await?;
        rows.push((
            format!("one publisher, {}", keep.title()),
            format!("{per_second:.0}/s, p99 {}", millis(p99)),
        ));
    }
    for keep in [Keep::Nothing, Keep::File] {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let storage = folder.storage(keep, &format!("flush-{round}"));
            times.push(flush(&server, storage).await?);
        }
        rows.push((format!("{QUEUED} queued, connect to empty, {}", keep.title()), millis(middle(times))));
    }
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        times.push(catch_up(&server, &folder, round).await?);
    }
    rows.push((format!("{MISSED} missed, connect to the last"), millis(middle(times))));
    Ok(rows)
}

/// One client that keeps as much under way as a channel may have: acks a second, and the slowest of a hundred.
async fn publish(
    server: &Server,
    storage: Option<Box<dyn Storage>>,
    window: Duration,
) -> io::Result<(f64, Duration)> {
    let client = client(server, storage)?;
    client.connect().map_err(io::Error::other)?;
    patiently(client.connected()).await?.map_err(io::Error::other)?;
    let room = client.channel("deep:publish");
    let data = payload()?;
    let start = Instant::now();
    let (warm, end) = (start + window / 4, start + window);
    let mut under_way: std::collections::VecDeque<(Instant, Publishing)> = Default::default();
    let mut waits = Vec::new();
    while Instant::now() < end {
        while under_way.len() < IN_FLIGHT {
            under_way.push_back((Instant::now(), room.publish(data)));
        }
        if let Some((since, sending)) = under_way.pop_front() {
            patiently(sending).await?.map_err(io::Error::other)?;
            if since > warm {
                waits.push(since.elapsed());
            }
        }
    }
    for (_, sending) in under_way {
        patiently(sending).await?.map_err(io::Error::other)?;
    }
    client.close(Duration::from_secs(5)).await;
    waits.sort_unstable();
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    Ok((waits.len() as f64 / (end - warm).as_secs_f64(), p99))
}

/// From the call of connect to an empty outbox, with messages queued before.
async fn flush(server: &Server, storage: Option<Box<dyn Storage>>) -> io::Result<Duration> {
    let client = client(server, storage)?;
    let room = client.channel("deep:flush");
    let queued =
        (0..QUEUED).map(|_| payload().map(|data| room.publish(data))).collect::<io::Result<Vec<_>>>()?;
    if let Some(last) = queued.last() {
        patiently(last.stored()).await?.map_err(io::Error::other)?;
    }
    let start = Instant::now();
    client.connect().map_err(io::Error::other)?;
    for sending in queued {
        patiently(sending).await?.map_err(io::Error::other)?;
    }
    let taken = start.elapsed();
    client.close(Duration::from_secs(5)).await;
    Ok(taken)
}

/// From the call of connect to the last of the messages that came while a durable reader was away.
async fn catch_up(server: &Server, folder: &Folder, round: usize) -> io::Result<Duration> {
    let name = format!("deep:catch-up-{round}");
    let file = || folder.storage(Keep::File, &format!("catch-up-{round}"));
    let before = client(server, file())?;
    before.connect().map_err(io::Error::other)?;
    patiently(before.channel(&*name).durable().join()).await?.map_err(io::Error::other)?;
    before.close(Duration::from_secs(5)).await;

    let author = client(server, None)?;
    author.connect().map_err(io::Error::other)?;
    let room = author.channel(&*name);
    let sent =
        (0..MISSED).map(|_| payload().map(|data| room.publish(data))).collect::<io::Result<Vec<_>>>()?;
    for sending in sent {
        patiently(sending).await?.map_err(io::Error::other)?;
    }

    let reader = client(server, file())?;
    let mut messages = reader.channel(&*name).durable().messages();
    let start = Instant::now();
    reader.connect().map_err(io::Error::other)?;
    for offset in 1..=MISSED {
        match patiently(messages.next()).await? {
            Some(Ok(homing::Delivery::Message(message))) if message.offset == offset => {}
            other => return Err(io::Error::other(format!("{other:?} came instead of {offset}"))),
        }
    }
    let taken = start.elapsed();
    reader.close(Duration::from_secs(5)).await;
    Ok(taken)
}

/// What the outbox weighs when it is full; to be called in a process that has done nothing else.
pub(crate) async fn weigh(entries: usize, bytes: usize) -> io::Result<f64> {
    let client = RealtimeClient::builder("ws://127.0.0.1:9/").build().map_err(io::Error::other)?;
    let room = client.channel("deep:weight");
    let text = "x".repeat(bytes - 2);
    let warm = room.publish(&text);
    patiently(warm.stored()).await?.map_err(io::Error::other)?;
    let before = resident("self")?;
    for _ in 1..entries {
        let sending = room.publish(&text);
        if let Some(refused) = sending.refusal() {
            return Err(io::Error::other(refused.to_string()));
        }
        patiently(sending.stored()).await?.map_err(io::Error::other)?;
    }
    Ok(resident("self")? - before)
}
