//! The same random operations on memory and on Redis give the same results and the same hints. A seed that
//! fails is named, and replays.
//!
//! Epochs and births are each engine's own: they are compared by the order in which they came up. What is
//! brief expires in phases: in Redis' own time there, by moving the clock here.

use crate::{
    MovedClock, RedisSetup,
    engine_contract::{Setup, channel},
    redis,
};
use bytes::Bytes;
use homing_server::{
    clock::{Clock, Millis},
    engine::{
        Append, Appended, Channel, Doubt, Engine, Epoch, Hint, IdempotencyKey, Join, Leave, NotAppended,
        Page, Part, Position, Publication, Reach, Read, Renewal, Retention, Sink, Snapshot, Stamp,
        memory::Memory,
        redis::{Redis, RedisConfig},
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// What a phase must not take longer than, so that nothing brief expires in it. A seed whose phase did is tried
/// again with twice as long ones.
const BRIEF: Millis = 900;
const LONG: Millis = 3_600_000;
const PHASES: usize = 3;
const STEPS: usize = 150;
const CHANNELS: usize = 3;
/// Seeds at the same time: they mostly wait for time to pass.
const TOGETHER: usize = 12;

/// Numbers by seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// An operation; positions and births are named by when they came up.
#[derive(Clone, Debug)]
enum Step {
    Append {
        at: usize,
        data: String,
        retention: Retention,
        key: Option<(&'static str, Millis)>,
        producer: Option<Stamp>,
        refused: bool,
    },
    Read {
        at: usize,
        since: Option<(usize, i64)>,
        limit: u32,
        reverse: bool,
        meta_ttl: Millis,
    },
    Clear {
        at: usize,
    },
    Join {
        at: usize,
        key: &'static str,
        owner: &'static str,
        value: String,
        lease: Millis,
        announce: bool,
    },
    /// Only ever prolongs.
    Renew {
        all: Vec<(usize, &'static str, usize)>,
    },
    Leave {
        at: usize,
        key: &'static str,
        birth: Option<usize>,
    },
    Snapshot {
        at: usize,
        limit: u32,
    },
    Stats {
        at: usize,
    },
    Reap,
    Announce {
        at: usize,
        value: String,
    },
    Listen {
        at: usize,
        listens: bool,
    },
}

const KEYS: [&str; 5] = ["a", "b", "c", "d e", "é\"7"];
const OWNERS: [&str; 3] = ["ada", "bob 1", ""];

fn step(numbers: &mut Numbers, brief: Millis) -> Step {
    let at = usize::try_from(numbers.below(CHANNELS as u64)).unwrap();
    let ttl = numbers.pick(&[brief, LONG, LONG]);
    let value = format!("{{\"n\":{}}}", numbers.below(1000));
    match numbers.below(26) {
        0..=6 => {
            let size = numbers.pick(&[0, 1, 3, 8, 8]);
            let retention = Retention { size, ttl, meta_ttl: numbers.pick(&[brief, LONG]) };
            let key = (numbers.below(3) == 0).then(|| (numbers.pick(&KEYS), numbers.pick(&[brief, LONG])));
            let refused = numbers.below(10) == 0;
            Step::Append { at, data: value, retention, key, producer: None, refused }
        }
        22..=25 => {
            let size = numbers.pick(&[0, 1, 8, 8, 8]);
            let retention = Retention { size, ttl, meta_ttl: numbers.pick(&[brief, LONG]) };
            let stamp = Stamp {
                producer: numbers.pick(&["p", "q"]).into(),
                session: 1 + numbers.below(8).min(2),
                number: 1 + numbers.below(6),
                id: numbers.pick(&KEYS).into(),
                window: numbers.pick(&[brief, LONG, LONG]),
            };
            let refused = numbers.below(5) == 0;
            Step::Append { at, data: value, retention, key: None, producer: Some(stamp), refused }
        }
        7..=10 => {
            let since = numbers.below(3) > 0;
            let since =
                since.then(|| (usize::try_from(numbers.below(4)).unwrap(), numbers.pick(&[0, 0, -1, -3, 1])));
            let limit = numbers.pick(&[0, 1, 2, 5, 100]);
            Step::Read { at, since, limit, reverse: numbers.below(3) == 0, meta_ttl: ttl }
        }
        11 => Step::Clear { at },
        12..=14 => {
            let (key, owner, announce) = (numbers.pick(&KEYS), numbers.pick(&OWNERS), numbers.below(3) > 0);
            Step::Join { at, key, owner, value, lease: ttl, announce }
        }
        15 => {
            let mut one = || {
                let at = usize::try_from(numbers.below(CHANNELS as u64)).unwrap();
                (at, numbers.pick(&KEYS), usize::try_from(numbers.below(2)).unwrap())
            };
            Step::Renew { all: (0..4).map(|_| one()).collect() }
        }
        16 => {
            let birth = (numbers.below(3) > 0).then(|| usize::try_from(numbers.below(2)).unwrap());
            Step::Leave { at, key: numbers.pick(&KEYS), birth }
        }
        17 => Step::Snapshot { at, limit: numbers.pick(&[0, 1, 2, 100]) },
        18 => Step::Stats { at },
        19 => Step::Reap,
        20 => Step::Announce { at, value },
        _ => Step::Listen { at, listens: numbers.below(3) > 0 },
    }
}

/// Hints that were heard and not taken yet.
#[derive(Default)]
struct Ear {
    hints: Mutex<Vec<(String, Hint)>>,
    more: Notify,
    /// The link was slow, and was made anew: hints may be missing.
    has_doubts: AtomicBool,
}

impl Sink for Ear {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        self.hints.lock().unwrap().push((channel.to_owned(), hint));
        self.more.notify_one();
    }
    fn handle_doubt(&self, _: Doubt) {
        self.has_doubts.store(true, Ordering::Relaxed);
        self.more.notify_one();
    }
    fn handle_control(&self, _: Bytes) {}
}

impl Ear {
    /// All that there is, once it is `count` or nothing has come for long.
    async fn take(&self, count: usize) -> Vec<(String, Hint)> {
        while self.hints.lock().unwrap().len() < count && !self.has_doubts.load(Ordering::Relaxed) {
            if tokio::time::timeout(Duration::from_secs(10), self.more.notified()).await.is_err() {
                break;
            }
        }
        std::mem::take(&mut self.hints.lock().unwrap())
    }
}

/// One of the engines, and what came up on it.
struct Side {
    engine: Arc<dyn Engine>,
    ear: Arc<Ear>,
    epochs: HashMap<Epoch, usize>,
    /// Heads by channel, the latest last.
    heads: Vec<Vec<Position>>,
    /// Births by channel and key, the latest last.
    births: HashMap<(usize, &'static str), Vec<Position>>,
}

impl Side {
    fn new(engine: Arc<dyn Engine>) -> Self {
        let ear = Arc::new(Ear::default());
        engine.attach(Arc::clone(&ear) as Arc<dyn Sink>);
        let heads = vec![Vec::new(); CHANNELS];
        Self { engine, ear, epochs: HashMap::new(), heads, births: HashMap::new() }
    }

    fn epoch(&mut self, epoch: Epoch) -> usize {
        let next = self.epochs.len();
        *self.epochs.entry(epoch).or_insert(next)
    }

    fn place(&mut self, at: usize, position: Position) -> String {
        if self.heads[at].last() != Some(&position) {
            self.heads[at].push(position);
        }
        format!("{}/{}", self.epoch(position.epoch), position.offset)
    }

    fn birth(&self, at: usize, key: &'static str, back: usize) -> Option<Position> {
        self.births.get(&(at, key))?.iter().rev().nth(back).copied()
    }

    fn publications(all: &[Publication]) -> String {
        let one = |publication: &Publication| {
            format!("{}={}", publication.offset, String::from_utf8_lossy(&publication.data))
        };
        all.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn page(&mut self, at: usize, page: &Page) -> String {
        let head = self.place(at, page.head);
        format!("{head} {:?} {}", page.reach, Self::publications(&page.publications))
    }

    fn snapshot(&self, at: usize, snapshot: &Snapshot) -> String {
        let one = |entry: &homing_server::engine::Entry| {
            let births =
                KEYS.iter().find_map(|key| (**key == *entry.key).then(|| self.births.get(&(at, *key))));
            let birth = births.flatten().and_then(|all| all.iter().position(|birth| *birth == entry.birth));
            format!("{}={} born {birth:?}", entry.key, String::from_utf8_lossy(&entry.value))
        };
        format!("{} more {}", snapshot.entries.iter().map(one).collect::<Vec<_>>().join(" "), snapshot.more)
    }

    /// Does a step; what came of it as text, without what is the engine's own.
    async fn act(&mut self, channels: &[Channel], step: &Step) -> String {
        let engine = Arc::clone(&self.engine);
        let part = Part::Here;
        match step.clone() {
            Step::Append { at, data, retention, key, producer, refused } => {
                let key = key.map(|(key, ttl)| IdempotencyKey { key: key.into(), ttl });
                let append = Append {
                    owner: None,
                    channel: channels[at].clone(),
                    data: data.into(),
                    meta: Bytes::new(),
                    retention,
                    key,
                    producer,
                    refused,
                };
                match engine.append(append).finish().await.unwrap() {
                    Ok(Appended { position, duplicate, expected, .. }) => {
                        let position = position.map(|position| self.place(at, position));
                        format!("{position:?} {duplicate} {expected}")
                    }
                    Err(NotAppended::OutOfOrder { expected, epoch }) => {
                        let epoch = epoch.map(|epoch| self.epoch(epoch));
                        format!("{expected} is expected in {epoch:?}")
                    }
                    Err(not) => format!("{not:?}"),
                }
            }
            Step::Read { at, since, limit, reverse, meta_ttl } => {
                let since = since.and_then(|(back, by)| {
                    let known = self.heads[at].iter().rev().nth(back)?;
                    Some(Position { offset: known.offset.saturating_add_signed(by), ..*known })
                });
                let read = Read {
                    channel: channels[at].clone(),
                    since,
                    limit,
                    reverse,
                    heard: false,
                    owner: None,
                    meta_ttl,
                };
                let page = engine.read(read).finish().await.unwrap();
                assert!(page.reach != Reach::Unknown || page.publications.is_empty());
                self.page(at, &page)
            }
            Step::Clear { at } => format!("{:?}", engine.clear(channels[at].clone()).finish().await),
            Step::Join { at, key, owner, value, lease, announce } => {
                let (channel, value) = (channels[at].clone(), value.into());
                let join =
                    Join { part, channel, key: key.into(), owner: owner.into(), value, lease, announce };
                let joined = engine.join(join).finish().await.unwrap();
                let births = self.births.entry((at, key)).or_default();
                assert!(births.last().is_none_or(|last| *last < joined.birth), "a later birth is greater");
                births.push(joined.birth);
                format!("replaced {}", joined.replaced)
            }
            Step::Renew { all } => {
                let one = |(at, key, back): &(usize, &'static str, usize)| {
                    let birth = self.birth(*at, key, *back).unwrap_or_default();
                    Renewal { part, channel: channels[*at].clone(), key: (*key).into(), birth, lease: LONG }
                };
                let known = all.iter().filter(|(at, key, back)| self.birth(*at, key, *back).is_some());
                format!("{:?}", engine.renew(known.map(one).collect()).finish().await)
            }
            Step::Leave { at, key, birth } => {
                let birth = birth.and_then(|back| self.birth(at, key, back));
                let leave = Leave { part, channel: channels[at].clone(), key: key.into(), birth };
                format!("{:?}", engine.leave(leave).finish().await)
            }
            Step::Snapshot { at, limit } => {
                let snapshot = engine.snapshot(part, channels[at].clone(), limit).finish().await.unwrap();
                self.snapshot(at, &snapshot)
            }
            Step::Stats { at } => format!("{:?}", engine.stats(part, channels[at].clone()).finish().await),
            Step::Reap => format!("{:?}", engine.reap(10_000).finish().await),
            Step::Announce { at, value } => {
                let hint = Hint::Joined(value.into());
                format!("{:?}", engine.announce(channels[at].clone(), hint).finish().await)
            }
            Step::Listen { at, listens: true } => {
                format!("{:?}", engine.subscribe(channels[at].clone()).finish().await)
            }
            Step::Listen { at, .. } => {
                format!("{:?}", engine.unsubscribe(channels[at].clone()).finish().await)
            }
        }
    }

    /// What was heard since the last time, once it is `count`.
    async fn hints(&mut self, count: usize) -> Vec<String> {
        let news = self.ear.take(count).await;
        let mut texts = Vec::new();
        for (channel, hint) in news {
            // Channels are numbered alike on both sides, but have names of their own.
            let channel = channel.rsplit('#').next().unwrap_or_default();
            texts.push(match hint {
                Hint::Appended(epoch, publication) => {
                    let epoch = epoch.map(|epoch| self.epoch(epoch));
                    format!("{channel} {epoch:?} {}", Self::publications(&[publication]))
                }
                came_or_went => format!("{channel} {came_or_went:?}"),
            });
        }
        texts
    }
}

async fn run(seed: u64, setup: &RedisSetup) {
    let mut tries = 0;
    while !attempt(seed, tries, setup).await {
        tries += 1;
        assert!(tries < 6, "this machine is too slow");
    }
}

/// Whether every phase was short enough to mean anything.
async fn attempt(seed: u64, tries: u32, setup: &RedisSetup) -> bool {
    let brief = BRIEF << tries;
    let clock = Arc::new(MovedClock(AtomicU64::new(0)));
    let mut memory = Side::new(Arc::new(Memory::new(Arc::clone(&clock) as Arc<dyn Clock>)));
    let prefix = format!("seed-{seed}-{tries}");
    let config = RedisConfig { prefix, ..RedisConfig::new(setup.server.url()) };
    let mut redis = Side::new(Arc::new(Redis::connect(config).await.unwrap()));
    let name = channel("differential");
    let channels: Vec<Channel> = (0..CHANNELS).map(|at| format!("{name}#{at}").into()).collect();
    let mut numbers = Numbers(seed);
    for phase in 0..PHASES {
        if phase > 0 {
            clock.0.fetch_add(2 * brief, Ordering::Relaxed);
            setup.pass(2 * brief).await;
        }
        let start = Instant::now();
        for at in 0..STEPS {
            let step = step(&mut numbers, brief);
            clock.0.fetch_add(1, Ordering::Relaxed);
            let (expected, found) = (memory.act(&channels, &step).await, redis.act(&channels, &step).await);
            let mut told = memory.hints(0).await;
            let mut heard = redis.hints(told.len()).await;
            if matches!(step, Step::Reap) {
                told.sort();
                heard.sort();
            }
            let was_slow = start.elapsed() > Duration::from_millis(brief * 3 / 4);
            if was_slow || redis.ear.has_doubts.load(Ordering::Relaxed) {
                return false;
            }
            let place = format!("seed {seed}, phase {phase}, step {at}: {step:?}");
            assert_eq!(found, expected, "{place}");
            assert_eq!(heard, told, "{place}");
        }
    }
    true
}

/// `HOMING_SEED` names the first, and alone the only one; `HOMING_SEEDS` says how many are tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_redis_agree_on_random_operations() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("HOMING_SEED");
    let count = number("HOMING_SEEDS").unwrap_or(if first.is_some() { 1 } else { 4 });
    let setup = Arc::new(redis().await);
    let first = first.unwrap_or(1);
    let seeds: Vec<u64> = (first..first + count).collect();
    for some in seeds.chunks(TOGETHER) {
        let runs: Vec<_> = some
            .iter()
            .map(|seed| {
                let (seed, setup) = (*seed, Arc::clone(&setup));
                tokio::spawn(async move { run(seed, &setup).await })
            })
            .collect();
        for run in runs {
            run.await.unwrap();
        }
    }
}
