//! The engine that several nodes share: everything in a Redis 7 or later, as the scripts beside this keep it.
//!
//! Calls go through [`flight`]'s lanes over one connection ([`link`]); hints come in over another one
//! ([`topics`]). Both have a supervisor, and every call has a deadline: a Redis that is away is a typed,
//! temporary error at once. Nothing is kept in the node that another node could not take over.

mod acks;
mod answers;
mod config;
mod flight;
mod frame;
mod keys;
mod link;
mod request;
mod script;
mod topics;

use super::{
    Append, Appended, Call, Channel, Engine, EngineError, Epoch, Hint, Join, Joined, Leave, Left, Log, Map,
    NotAppended, Page, Part, PubSub, Read, Reaped, Renewal, Renewed, Sink, Snapshot, Stats,
};
use acks::Acks;
use bytes::Bytes;
use flight::Lane;
use foldhash::fast::RandomState;
use keys::{Keys, Partition};
use link::{Link, Live, NoLink};
use parking_lot::Mutex;
use request::{Command, Job, ask, promise, reply};
use script::Script;
use std::{
    collections::BTreeMap,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};
use topics::{Topics, Wishes};

pub use acks::Ack;
pub use config::{RedisConfig, RedisStartError};

/// Flights that can be under way at the same time. One is best for group commit; a second one lets a call of
/// another channel pass a large one.
const LANES: usize = 1;

/// Renewals in one script call.
const RENEWALS: usize = 256;

/// One node's access to a Redis.
pub struct Redis {
    shared: Arc<Shared>,
    wishes: Wishes,
    supervisors: [JoinHandle<()>; 2],
}

/// What the engine's tasks share.
struct Shared {
    config: RedisConfig,
    keys: Keys,
    runtime: Handle,
    link: Link,
    lanes: Box<[Mutex<Lane>]>,
    acks: Acks,
    /// The greatest epoch seen, in microseconds.
    seen: AtomicU64,
    flights: AtomicU64,
    sink: OnceLock<Arc<dyn Sink>>,
    hearing: watch::Sender<bool>,
    relisten: Notify,
    beat_topic: Box<str>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to a Redis, and waits for it a while where it is away. Runs on the current tokio runtime.
    ///
    /// # Errors
    /// When Redis stays away, or must not be used.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisStartError> {
        config.check()?;
        let client = link::client(&config)?;
        let keys = Keys::new(&config.prefix, config.partitions);
        let link = Link::new(client.clone(), &config, &keys);
        let until = Instant::now() + config.start_deadline;
        let live = first(&link, until).await?;
        link.set(&live);
        let (wishes, wished) = topics::wishes();
        let shared = Arc::new(Shared {
            beat_topic: format!("{}:beat:{:016x}", config.prefix, random()).into(),
            keys,
            runtime: Handle::current(),
            link,
            acks: Acks::default(),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
            seen: AtomicU64::new(0),
            flights: AtomicU64::new(0),
            sink: OnceLock::new(),
            hearing: watch::Sender::new(false),
            relisten: Notify::new(),
            config,
        });
        let mut hearing = shared.hearing.subscribe();
        let topics = Topics {
            shared: Arc::clone(&shared),
            client,
            wishes: wished,
            wanted: hashbrown::HashSet::default(),
        };
        let supervisors = [tokio::spawn(supervise(Arc::clone(&shared), live)), tokio::spawn(topics.run())];
        let engine = Self { shared, wishes, supervisors };
        match tokio::time::timeout_at(until, hearing.wait_for(|heard| *heard)).await {
            Ok(Ok(_)) => Ok(engine),
            _ => Err(RedisStartError::Away { reason: "no link for hints in time".to_owned() }),
        }
    }

    /// Flights sent so far: beside the number of calls it tells how many went together.
    #[must_use]
    pub fn flights(&self) -> u64 {
        self.shared.flights.load(Ordering::Relaxed)
    }

    fn send<T>(&self, partition: Partition, (job, call): (Job, Call<T>)) -> Call<T> {
        self.shared.send(partition, job);
        call
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.supervisors.iter().for_each(JoinHandle::abort);
    }
}

async fn first(link: &Link, until: Instant) -> Result<Arc<Live>, RedisStartError> {
    for tries in 1.. {
        match link.connect(None).await {
            Ok(live) => return Ok(live),
            Err(NoLink::Away(_)) if Instant::now() + pause(tries) < until => {
                tokio::time::sleep(pause(tries)).await;
            }
            Err(no_link) => return Err(no_link.into()),
        }
    }
    unreachable!("the tries do not end by themselves")
}

/// Keeps a connection in use for as long as the engine lives.
async fn supervise(shared: Arc<Shared>, mut live: Arc<Live>) {
    loop {
        live.watch(shared.config.beat, shared.config.deadline).await;
        shared.link.give_up(&live);
        tracing::warn!("the connection to Redis is lost");
        let mut tries = 0;
        live = loop {
            match shared.link.connect(Some(&live)).await {
                Ok(next) => break adopt(&shared, &live, next),
                Err(no_link) => {
                    tries += 1;
                    if tries == 1 || matches!(no_link, NoLink::Refused(_)) {
                        tracing::error!(reason = %RedisStartError::from(no_link), "Redis is away, trying on");
                    }
                    tokio::time::sleep(pause(tries)).await;
                }
            }
        };
    }
}

fn adopt(shared: &Shared, before: &Live, next: Arc<Live>) -> Arc<Live> {
    let same = next.generation == before.generation;
    shared.link.set(&next);
    tracing::info!(same_generation = same, "connected to Redis again");
    if !same {
        // Hints may still be awaited from a Redis that takes no publications any more.
        shared.relisten.notify_one();
    }
    next
}

/// How long to wait before the next try: at once, then doubling up to a second, with full jitter.
fn pause(tries: u32) -> Duration {
    let cap = Duration::from_millis(25 << tries.min(6)).min(Duration::from_secs(1));
    let part = u32::try_from(random() % 1024).unwrap_or(0);
    cap / 4 + cap * 3 / 4 * part / 1024
}

/// Good enough to tell nodes apart and to spread their tries.
fn random() -> u64 {
    RandomState::default().hash_one(std::process::id())
}

impl Shared {
    fn away(&self) -> EngineError {
        let retry_after = u64::try_from(self.config.retry_after.as_millis()).unwrap_or(u64::MAX);
        EngineError::Away { retry_after }
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn saw(&self, epoch: Epoch) {
        if epoch.micros() > self.seen() {
            self.seen.fetch_max(epoch.micros(), Ordering::Relaxed);
        }
    }

    fn sink(&self, tell: impl FnOnce(&dyn Sink)) {
        if let Some(sink) = self.sink.get() {
            tell(&**sink);
        }
    }

    fn map_keys(&self, part: Part, channel: &str) -> (Partition, String, keys::MapKeys) {
        let partition = self.keys.partition(channel);
        let name = keys::map_name(part, channel);
        let map = self.keys.map(partition, &name);
        (partition, name, map)
    }
}

impl Log for Redis {
    fn append(&self, append: Append) -> Call<Result<Appended, NotAppended>> {
        if append.refused && append.producer.is_none() && append.key.is_none() {
            return Call::Ready(Ok(Err(NotAppended::Refused)));
        }
        let partition = self.shared.keys.partition(&append.channel);
        let (answer, call) = promise();
        self.send(partition, (Job::Append(append, answer), call))
    }

    fn read(&self, read: Read) -> Call<Page> {
        let keys = &self.shared.keys;
        let (epoch, offset) =
            read.since.map_or((String::new(), 0), |since| (since.epoch.to_string(), since.offset));
        let partition = keys.partition(&read.channel);
        let mut all = vec![keys.head(partition, &read.channel), keys.log(partition, &read.channel)];
        all.extend(read.owner.as_ref().map(|owner| keys.owned(partition, &owner.user)));
        let command = Command::script(Script::Read, all)
            .number(read.meta_ttl)
            .arg(epoch)
            .number(offset)
            .number(u64::from(read.limit))
            .number(u64::from(read.reverse))
            .number(u64::from(read.heard))
            .number(u64::from(read.owner.map_or(0, |owner| owner.limit)));
        let shared = Arc::clone(&self.shared);
        let decode = move |value| {
            let page = answers::page(value)?;
            shared.saw(page.head.epoch);
            Some(page)
        };
        self.send(partition, ask(command, decode))
    }

    fn clear(&self, channel: Channel) -> Call<()> {
        let keys = &self.shared.keys;
        let partition = keys.partition(&channel);
        let all = vec![keys.head(partition, &channel), keys.log(partition, &channel)];
        self.send(partition, ask(Command::script(Script::Clear, all), answers::done))
    }
}

impl Map for Redis {
    fn join(&self, join: Join) -> Call<Joined> {
        let keys = &self.shared.keys;
        let (partition, name, map) = self.shared.map_keys(join.part, &join.channel);
        let all = vec![map.head, map.entries, map.leases, map.owners, keys.due(partition)];
        let command = Command::script(Script::Join, all)
            .arg(join.key.as_bytes())
            .arg(join.owner.as_bytes())
            .arg(&join.value[..])
            .number(join.lease)
            .number(u64::from(join.announce))
            .arg(keys.log(partition, &join.channel))
            .arg(name);
        let shared = Arc::clone(&self.shared);
        let decode = move |value| {
            let joined = answers::joined(value)?;
            shared.saw(joined.birth.epoch);
            Some(joined)
        };
        self.send(partition, ask(command, decode))
    }

    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>> {
        let mut by_partition: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (at, renewal) in renewals.iter().enumerate() {
            by_partition.entry(self.shared.keys.partition(&renewal.channel)).or_default().push(at);
        }
        let mut calls = Vec::new();
        for (partition, all) in by_partition {
            for some in all.chunks(RENEWALS) {
                let some = some.to_vec();
                let command = renew_command(&self.shared, some.iter().map(|at| &renewals[*at]));
                calls.push((some, self.send(partition, ask(command, answers::renewed))));
            }
        }
        let mut outcomes = vec![Renewed::Absent; renewals.len()];
        Call::Pending(Box::pin(async move {
            for (places, call) in calls {
                for (place, outcome) in places.into_iter().zip(call.finish().await?) {
                    outcomes[place] = outcome;
                }
            }
            Ok(outcomes)
        }))
    }

    fn leave(&self, leave: Leave) -> Call<Left> {
        let keys = &self.shared.keys;
        let (partition, name, map) = self.shared.map_keys(leave.part, &leave.channel);
        let (epoch, offset) =
            leave.birth.map_or((String::new(), 0), |birth| (birth.epoch.to_string(), birth.offset));
        let all = vec![map.entries, map.leases, map.owners, keys.due(partition)];
        let command = Command::script(Script::Leave, all)
            .arg(leave.key.as_bytes())
            .arg(epoch)
            .number(offset)
            .arg(keys.log(partition, &leave.channel))
            .arg(name);
        self.send(partition, ask(command, answers::left))
    }

    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot> {
        let (partition, _, map) = self.shared.map_keys(part, &channel);
        let command =
            Command::script(Script::Snapshot, vec![map.entries, map.leases]).number(u64::from(limit));
        self.send(partition, ask(command, answers::snapshot))
    }

    fn stats(&self, part: Part, channel: Channel) -> Call<Stats> {
        let (partition, _, map) = self.shared.map_keys(part, &channel);
        let command = Command::script(Script::Stats, vec![map.entries, map.leases, map.owners]);
        self.send(partition, ask(command, answers::stats))
    }

    fn reap(&self, limit: u32) -> Call<Reaped> {
        let (answer, call) = promise();
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move { reply(answer, reap(&shared, limit).await) });
        call
    }
}

fn renew_command<'a>(shared: &Shared, renewals: impl Iterator<Item = &'a Renewal> + Clone) -> Command {
    let mut keys = Vec::new();
    for renewal in renewals.clone() {
        let (_, _, map) = shared.map_keys(renewal.part, &renewal.channel);
        keys.extend([map.entries, map.leases]);
    }
    renewals.fold(Command::script(Script::Renew, keys), |command, renewal| {
        command
            .arg(renewal.key.as_bytes())
            .arg(renewal.birth.epoch.to_string())
            .number(renewal.birth.offset)
            .number(renewal.lease)
    })
}

/// One round over all partitions: which maps are due, then their lapsed entries, `limit` at most.
async fn reap(shared: &Arc<Shared>, limit: u32) -> Result<Reaped, EngineError> {
    let mut asked = Vec::new();
    for partition in shared.keys.partitions() {
        let command = Command::script(Script::Due, vec![shared.keys.due(partition)]).number(u64::from(limit));
        let (job, call) = ask(command, answers::names);
        shared.send(partition, job);
        asked.push((partition, call));
    }
    let mut reaped = Reaped::default();
    for (partition, call) in asked {
        let names = call.finish().await?;
        let left = limit - reaped.removed;
        reaped.more |= !names.is_empty() && left == 0 || names.len() == limit as usize;
        if names.is_empty() || left == 0 {
            continue;
        }
        let mut keys = vec![shared.keys.due(partition)];
        let mut topics = Vec::new();
        for name in names {
            let map = shared.keys.map(partition, &name);
            keys.extend([map.entries, map.leases, map.owners]);
            topics.push((shared.keys.log(partition, keys::channel_of_map(&name).unwrap_or_default()), name));
        }
        let command = Command::script(Script::Reap, keys).number(u64::from(left));
        let command = topics.into_iter().fold(command, |command, (topic, name)| command.arg(topic).arg(name));
        let (job, call) = ask(command, answers::reaped);
        shared.send(partition, job);
        let (removed, more) = call.finish().await?;
        reaped.removed += removed;
        reaped.more |= more;
    }
    Ok(reaped)
}

impl PubSub for Redis {
    fn attach(&self, sink: Arc<dyn Sink>) {
        let first = self.shared.sink.set(sink).is_ok();
        debug_assert!(first, "a node attaches once");
    }

    fn subscribe(&self, channel: Channel) -> Call<()> {
        self.wishes.listen(&self.shared, channel)
    }

    fn unsubscribe(&self, channel: Channel) -> Call<()> {
        self.wishes.ignore(channel)
    }

    fn announce(&self, channel: Channel, hint: Hint) -> Call<()> {
        let partition = self.shared.keys.partition(&channel);
        let topic = self.shared.keys.log(partition, &channel);
        let command = Command::Tell { topic, message: frame::encode(&hint) };
        self.send(partition, ask(command, answers::done))
    }

    fn control(&self, message: Bytes) -> Call<()> {
        let command = Command::TellAll { topic: self.shared.keys.control(), message: message.to_vec() };
        self.send(0, ask(command, answers::done))
    }
}

impl Engine for Redis {
    fn is_ready(&self) -> bool {
        self.shared.link.is_live() && *self.shared.hearing.borrow()
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
