//! Writers with their outbox in a file, behind a network that breaks in every way, acks lost above all: what was
//! accepted is in the log once, in each writer's order, and every ack tells the truth.
//!
//! HOMING_STORM_ROUNDS says how long; `make soak` raises it.

use homing::{Decode, Delivery, FileStorage, HistoryQuery, RealtimeClient};
use homing_tests::proxy::FaultProxy;
use homing_tests::stage::{Embedded, Folder, Redis, builder, connected, soon};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const WRITERS: u64 = 4;
const CHANNELS: u64 = 2;
/// Between one fault and its end, and before the next one: so many more acks, or so long.
const CALM: u64 = 40;
const MOMENT: Duration = Duration::from_millis(400);
/// Lost acks come between everything else.
const FAULTS: [&str; 10] = [
    "drop down",
    "cut",
    "drop down",
    "blackhole",
    "drop down",
    "half-close up",
    "stall down",
    "reset",
    "half-close down",
    "down",
];

fn name(channel: u64) -> String {
    format!("chat:storm-{channel}")
}

/// What a writer knows of one message: the channel, its number there, its offset.
type Acked = (u64, u64, u64);

/// Publishes to its channels in turn until it is told to stop, a bounded number at a time; every ack.
async fn write(
    client: RealtimeClient,
    writer: u64,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
) -> Vec<Acked> {
    let mut under_way = std::collections::VecDeque::new();
    let mut acked = Vec::new();
    let rooms: Vec<_> = (0..CHANNELS).map(|channel| client.channel(name(channel))).collect();
    for number in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for (channel, room) in (0..).zip(&rooms) {
            under_way.push_back((channel, number, room.publish(&(writer, number))));
        }
        while under_way.len() > 100 {
            let (channel, number, sending) = under_way.pop_front().unwrap();
            acked.push((channel, number, soon(sending).await.unwrap().position.unwrap().offset));
            acks.fetch_add(1, Ordering::Relaxed);
        }
    }
    for (channel, number, sending) in under_way {
        acked.push((channel, number, soon(sending).await.unwrap().position.unwrap().offset));
    }
    assert!(client.outbox().is_empty());
    acked
}

/// Everything in a channel, by offset, as a reader on a sound link has seen it.
async fn read(
    client: RealtimeClient,
    channel: u64,
    count: tokio::sync::oneshot::Receiver<u64>,
) -> Vec<(u64, u64)> {
    let mut messages = client.channel(name(channel)).messages();
    let mut seen = Vec::new();
    let mut count = std::pin::pin!(count);
    let mut target = None;
    while target.is_none_or(|target| (seen.len() as u64) < target) {
        tokio::select! {
            told = &mut count, if target.is_none() => target = Some(told.unwrap()),
            delivery = messages.next() => match delivery.unwrap().unwrap() {
                Delivery::Message(message) => {
                    seen.push(message.decode().unwrap());
                    assert_eq!(message.offset, seen.len() as u64);
                }
                other => panic!("{other:?}"),
            },
        }
    }
    seen
}

async fn storm(server: &Embedded) {
    let rounds = std::env::var("HOMING_STORM_ROUNDS").ok().and_then(|value| value.parse().ok());
    let folder = Folder::new();
    let proxy = FaultProxy::start(server.address).await.unwrap();
    let reader = connected(builder(server.url(), "reader"));
    let mut readers = Vec::new();
    for channel in 0..CHANNELS {
        soon(reader.channel(name(channel)).join()).await.unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        readers.push((sender, tokio::spawn(read(reader.clone(), channel, receiver))));
    }
    let (stop, acks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let url = format!("ws://{}/connection/websocket", proxy.address());
        let file = FileStorage::at(folder.path().join(format!("{writer}.redb")));
        let user = format!("writer-{writer}");
        let client = builder(url, &user).user(&*user).storage(file).configure(|config| {
            config.request_timeout = Duration::from_millis(800);
            config.connect_timeout = Duration::from_millis(800);
            config.silence_slack = Duration::from_millis(300);
        });
        let (stop, acks) = (stop.clone(), acks.clone());
        writers.spawn(async move { (writer, write(connected(client), writer, stop, acks).await) });
    }
    let progress = async |more: u64| {
        let target = acks.load(Ordering::Relaxed) + more;
        soon(async {
            while acks.load(Ordering::Relaxed) < target {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    };
    for round in 0..rounds.unwrap_or(FAULTS.len()) {
        progress(CALM).await;
        proxy.apply(FAULTS[round % FAULTS.len()].parse().unwrap());
        let _ = tokio::time::timeout(MOMENT, progress(10 * CALM)).await;
        proxy.clear();
    }
    stop.store(true, Ordering::Relaxed);

    let mut acked: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    while let Some(ended) = writers.join_next().await {
        let (writer, all) = ended.unwrap();
        for (channel, number, offset) in all {
            assert_eq!(acked.insert((channel, offset), (writer, number)), None, "two acks with one place");
        }
    }
    for (channel, (sender, reading)) in (0..).zip(readers) {
        let expected: Vec<_> =
            acked.range((channel, 0)..(channel + 1, 0)).map(|(_, message)| *message).collect();
        sender.send(expected.len() as u64).unwrap();
        let seen = soon(reading).await.unwrap();
        assert_eq!(seen, expected, "the log of channel {channel} is what was acked, place by place");
        let head = soon(reader.channel(name(channel)).history(HistoryQuery::default())).await.unwrap();
        assert_eq!(head.position.unwrap().offset, seen.len() as u64, "nothing else is there");
        for writer in 0..WRITERS {
            let own = seen.iter().filter(|(of, _)| *of == writer).map(|(_, number)| *number);
            assert!(own.eq(1..=seen.iter().filter(|(of, _)| *of == writer).count() as u64), "its order");
        }
    }
    assert!(proxy.accepted_connections() as u64 > WRITERS, "the network did break");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_or_doubles_what_was_accepted() {
    storm(&Embedded::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_or_doubles_what_was_accepted_through_redis() {
    let redis = Redis::start().await;
    storm(&Embedded::on_redis(&redis).await).await;
}
