//! Publishers and readers of one room, what they were told, and whether it adds up.
//!
//! Every message that was acked has to be in the log once, or its publisher was told that it is lost; and every
//! reader got it, or a gap that covers its place.

use crate::node::{Node, PATIENCE, client, client_at, soon, until};
use homing::{ClientEvent, Decode, Delivery, ErrorCode, Position, RealtimeClient};
use homing_server::{
    clock::Millis,
    engine::{
        Log, Read,
        redis::{Redis, RedisConfig},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::task::JoinHandle;

const ROOM: &str = "chat:room";
/// The value after which nothing comes.
const LAST: u64 = 7;
/// Between the values of two publishers.
const APART: u64 = 1_000_000;
/// Messages that a publisher has under way.
const TOGETHER: usize = 8;

type Place = (Box<str>, u64);

fn place(position: &Position) -> Place {
    (position.epoch.clone(), position.offset)
}

/// What a publisher learned.
#[derive(Default)]
struct Told {
    acked: Vec<(Place, u64)>,
    unknown: u64,
    lost: u64,
}

/// What a reader learned.
enum Item {
    Message(Place, u64),
    Gap(Place, Place),
}

pub(crate) struct Load {
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<Told>>,
    readers: Vec<JoinHandle<(Place, Vec<Item>)>>,
}

/// What the load came to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) acked: usize,
    pub(crate) deliveries: usize,
    /// Acked, not in the log, and told so to their publishers.
    pub(crate) lost: usize,
    /// Missed by a reader, and covered by a gap.
    pub(crate) declared: usize,
    pub(crate) undeclared: usize,
    pub(crate) gaps: usize,
    pub(crate) untold: u64,
    pub(crate) unknown: u64,
    pub(crate) doubled: usize,
}

impl Load {
    /// `doors`: addresses through which further readers come, one each.
    pub(crate) async fn start(nodes: &[&Node], publishers: u64, readers: usize, doors: &[u16]) -> Self {
        let (acks, stop) = (Arc::default(), Arc::default());
        let mut load = Self { acks, stop, publishers: Vec::new(), readers: Vec::new() };
        let turned = |by: usize| {
            let mut nodes = nodes.to_vec();
            let by = by % nodes.len();
            nodes.rotate_left(by);
            nodes
        };
        let near = (0..readers).map(|at| turned(at).iter().map(|node| node.url()).collect());
        let far = doors.iter().map(|port| vec![format!("ws://127.0.0.1:{port}/connection/websocket")]);
        for urls in near.chain(far).collect::<Vec<Vec<String>>>() {
            let (client, _) = client_at("reader", &urls).await;
            let channel = client.channel(ROOM);
            let messages = channel.messages();
            soon(channel.join()).await.unwrap();
            let begin = channel.snapshot().await.position.unwrap();
            load.readers.push(tokio::spawn(async move {
                let items = read((client, channel), messages).await;
                (place(&begin), items)
            }));
        }
        for at in 1..=publishers {
            let (client, _) = client("publisher", &turned(usize::try_from(at).unwrap())).await;
            let (acks, stop) = (Arc::clone(&load.acks), Arc::clone(&load.stop));
            load.publishers.push(tokio::spawn(publish(client, at * APART, acks, stop)));
        }
        load
    }

    /// Waits until so many more are acked.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.acks.load(Ordering::Relaxed) + count;
        until(async || self.acks.load(Ordering::Relaxed) >= goal).await;
    }

    /// Lets everything settle, and adds it up with what is in the log of this Redis.
    pub(crate) async fn end(self, nodes: &[&Node], redis: &str) -> Sum {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Sum::default();
        let mut acked: Vec<(Place, u64)> = Vec::new();
        let mut told_lost = 0;
        for publisher in self.publishers {
            let told = soon(publisher).await.unwrap();
            acked.extend(told.acked);
            sum.unknown += told.unknown;
            told_lost += told.lost;
        }
        let (last, _) = client("last", nodes).await;
        soon(last.channel(ROOM).publish(&LAST)).await.unwrap();
        let log = values(redis).await;
        let kept: BTreeSet<u64> = log.iter().copied().collect();
        sum.acked = acked.len();
        sum.doubled += log.len() - kept.len();
        ascend(&log);
        sum.lost = acked.iter().filter(|(_, value)| !kept.contains(value)).count();
        sum.untold = u64::try_from(sum.lost).unwrap().saturating_sub(told_lost);
        for reader in self.readers {
            let (begin, items) = soon(reader).await.unwrap();
            sum.add(&begin, &items, &acked);
        }
        sum
    }
}

impl Sum {
    fn add(&mut self, begin: &Place, items: &[Item], acked: &[(Place, u64)]) {
        let mut got: BTreeMap<u64, &Place> = BTreeMap::new();
        let mut gaps: Vec<(&Place, &Place)> = Vec::new();
        let mut before = begin.clone();
        for item in items {
            match item {
                Item::Gap(from, to) => {
                    self.gaps += 1;
                    gaps.push((from, to));
                    before = to.clone();
                }
                Item::Message(place, value) => {
                    assert!(*place > before, "{place:?} came behind {before:?}");
                    assert_eq!(place.1, before.1 + 1, "a hole before {place:?}");
                    before = place.clone();
                    let earlier = got.insert(*value, place);
                    // What a gap took back may come again: its publisher has sent it again.
                    let taken_back =
                        |place: &Place| gaps.iter().any(|(from, to)| *from <= place && place <= *to);
                    if earlier.is_some_and(|earlier| !taken_back(earlier)) {
                        self.doubled += 1;
                    }
                }
            }
        }
        self.deliveries += got.len();
        for (place, value) in acked {
            if place <= begin || got.contains_key(value) {
                continue;
            }
            if gaps.iter().any(|(from, to)| *from <= place && place <= *to) {
                self.declared += 1;
            } else {
                self.undeclared += 1;
            }
        }
    }
}

/// Every publisher's own are in its order.
fn ascend(log: &[u64]) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for value in log {
        let before = last.insert(value / APART, *value);
        assert!(before.is_none_or(|before| before < *value), "{value} behind {before:?}");
    }
}

async fn publish(client: RealtimeClient, base: u64, acks: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Told {
    let channel = client.channel(ROOM);
    let mut events = client.events();
    let mut told = Told::default();
    let mut value = base;
    let settle = |told: &mut Told, event: Result<ClientEvent, homing::Lagged>| {
        if let Ok(ClientEvent::AckedLost { count, .. }) = event {
            told.lost += count;
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<_> = (0..TOGETHER)
            .map(|_| {
                value += 1;
                (value, channel.publish(&value))
            })
            .collect();
        for (value, publishing) in batch {
            match publishing.await {
                Ok(published) => {
                    told.acked.push((place(&published.position.unwrap()), value));
                    acks.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
                    told.unknown += 1;
                }
            }
        }
        while let Some(Some(event)) = futures::FutureExt::now_or_never(events.next()) {
            settle(&mut told, event);
        }
    }
    // The last word on what is lost comes with the next answer.
    channel.publish(&(value + 1)).await.unwrap();
    while let Some(Some(event)) = futures::FutureExt::now_or_never(events.next()) {
        settle(&mut told, event);
    }
    told
}

async fn read(_held: (RealtimeClient, homing::Channel), mut messages: homing::Messages) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        match messages.next().await.unwrap().unwrap() {
            Delivery::Message(message) => {
                let value = message.decode().unwrap();
                let epoch = messages.position().unwrap().epoch;
                items.push(Item::Message((epoch, message.offset), value));
                if value == LAST {
                    return items;
                }
            }
            Delivery::Gap(gap) => items.push(Item::Gap(place(&gap.from), place(&gap.to))),
            other => panic!("{other:?}"),
        }
    }
}

/// All that the room's log holds.
async fn values(redis: &str) -> Vec<u64> {
    // The whole log at once takes its time on a busy machine.
    let config = RedisConfig { deadline: PATIENCE, ..RedisConfig::new(redis) };
    let engine = Redis::connect(config).await.unwrap();
    let meta_ttl: Millis = 600_000;
    let read = Read {
        channel: ROOM.into(),
        since: None,
        limit: 1_000_000,
        reverse: false,
        heard: false,
        owner: None,
        meta_ttl,
    };
    let page = engine.read(read).finish().await.unwrap();
    let value = |data: &[u8]| std::str::from_utf8(data).unwrap().parse().unwrap();
    page.publications.iter().map(|publication| value(&publication.data)).collect()
}
