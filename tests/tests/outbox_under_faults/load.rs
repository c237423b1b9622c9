//! Those who write and read through the proxy, and what each of them was told.

use crate::{
    account::{Acked, Item, Place, Sum, Told, place},
    world::World,
};
use homing::{ClientEvent, Decode, Delivery, ErrorCode, HistoryQuery, RealtimeClient};
use homing_tests::stage::{Folder, builder, connected, soon};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::Notify,
    task::JoinHandle,
};

/// The last of them is the bot's.
pub(crate) const ROOMS: [&str; 3] = ["chat:one", "chat:two", "chat:flush"];
/// The value after which nothing comes.
const LAST: u64 = 7;
/// Between the values of two writers.
pub(crate) const APART: u64 = 1_000_000;
const WRITERS: u64 = 3;
const READERS: usize = 2;
const BOT: u64 = 9;
/// What a bot writes in one life.
const LIFE: u64 = 150;

#[derive(Default)]
struct Orders {
    acks: AtomicU64,
    stop: AtomicBool,
    kill: Notify,
}

pub(crate) struct Load {
    orders: Arc<Orders>,
    writers: Vec<JoinHandle<Told>>,
    readers: Vec<JoinHandle<(usize, Place, Vec<Item>)>>,
}

fn client(url: &str, user: &str) -> RealtimeClient {
    connected(builder(url.to_owned(), user).configure(|config| {
        config.request_timeout = Duration::from_millis(800);
        config.connect_timeout = Duration::from_millis(800);
        config.silence_slack = Duration::from_millis(300);
    }))
}

impl Load {
    pub(crate) async fn start(world: &World, with_bot: bool) -> Self {
        let url = format!("ws://{}/connection/websocket", world.proxy.address());
        let orders: Arc<Orders> = Arc::default();
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..READERS {
            for (at, room) in ROOMS.iter().enumerate() {
                let client = client(&url, "reader");
                let channel = client.channel(*room);
                let messages = channel.messages();
                soon(channel.join()).await.unwrap();
                let begin = place(&channel.snapshot().await.position.unwrap());
                readers.push(tokio::spawn(async move {
                    let items = read(messages).await;
                    drop((client, channel));
                    (at, begin, items)
                }));
            }
        }
        for writer in 1..=WRITERS {
            let client = client(&url, &format!("writer-{writer}"));
            writers.push(tokio::spawn(write(client, writer * APART, Arc::clone(&orders))));
        }
        if with_bot {
            writers.push(tokio::spawn(bots(url, Arc::clone(&orders))));
        }
        Self { orders, writers, readers }
    }

    /// Waits until so many more are acked.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.orders.acks.load(Ordering::Relaxed) + count;
        homing_tests::stage::until(|| self.orders.acks.load(Ordering::Relaxed) >= goal).await;
    }

    pub(crate) fn kill_bot(&self) {
        self.orders.kill.notify_one();
    }

    /// Lets everything settle, and adds it up.
    pub(crate) async fn end(self, world: &World, may_lose: bool) -> Sum {
        self.orders.stop.store(true, Ordering::Relaxed);
        let mut told = Told::default();
        for writer in self.writers {
            told.add(soon(writer).await.unwrap());
        }
        let last = client(&world.url(), "last");
        let mut logs = Vec::new();
        for room in ROOMS {
            soon(last.channel(room).publish(&LAST)).await.unwrap();
            logs.push(log(&last, room).await);
        }
        let mut sum = Sum::of(&told, &logs, may_lose);
        for reader in self.readers {
            let (room, begin, items) = soon(reader).await.unwrap();
            sum.read(room, &begin, &items, &told, &logs[room], may_lose);
        }
        sum
    }
}

/// Everything that a channel holds: place, value, id.
pub(crate) type Log = BTreeMap<Place, (u64, Box<str>)>;

async fn log(client: &RealtimeClient, room: &str) -> Log {
    let (mut log, mut since) = (Log::new(), None);
    loop {
        let query = HistoryQuery { limit: 250, since: since.clone(), ..Default::default() };
        let page = soon(client.channel(room).history(query)).await.unwrap();
        let mut at = page.position.unwrap();
        let Some(newest) = page.messages.last() else { return log };
        for message in &page.messages {
            let there = (message.decode().unwrap(), message.id.clone());
            assert_eq!(log.insert((at.epoch.clone(), message.offset), there), None, "one place, one message");
        }
        at.offset = newest.offset;
        since = Some(at);
    }
}

async fn read(mut messages: homing::Messages) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        match messages.next().await.unwrap().unwrap() {
            Delivery::Message(message) => {
                let value = message.decode().unwrap();
                items.push(Item::Message((messages.position().unwrap().epoch, message.offset), value));
                if value == LAST {
                    return items;
                }
            }
            Delivery::Gap(gap) => items.push(Item::Gap(place(&gap.from), place(&gap.to))),
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes to both rooms in turn, a bounded number at a time, until it is told to stop.
async fn write(client: RealtimeClient, base: u64, orders: Arc<Orders>) -> Told {
    let mut events = client.events();
    let rooms = [0, 1].map(|at| client.channel(ROOMS[at]));
    let (mut told, mut under_way) = (Told::default(), VecDeque::new());
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let mut value = base;
    let mut is_over = false;
    while !is_over || !under_way.is_empty() {
        is_over = orders.stop.load(Ordering::Relaxed);
        if !is_over {
            pace.tick().await;
            value += 1;
            let at = usize::from(value.is_multiple_of(2));
            under_way.push_back((at, value, rooms[at].publish(&value)));
            told.publishes += 1;
        }
        while under_way.len() > if is_over { 0 } else { 20 } {
            let (room, value, sending) = under_way.pop_front().unwrap();
            match soon(sending).await {
                Ok(done) => {
                    told.duplicates += u64::from(done.duplicate);
                    let place = place(&done.position.unwrap());
                    told.acked.push(Acked { room, place, value: Some(value), id: None });
                    orders.acks.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
                    told.unknown += 1;
                }
            }
        }
    }
    // What has an unknown end is parked, and nothing else is left.
    assert_eq!(client.outbox().entries().await.len() as u64, told.unknown);
    // The last word on what is lost comes with the next answer.
    for room in rooms {
        value += 1;
        soon(room.publish(&value)).await.unwrap();
    }
    while let Some(Some(event)) = futures::FutureExt::now_or_never(events.next()) {
        if let Ok(ClientEvent::AckedLost { count, .. }) = event {
            told.told_lost += count;
        }
    }
    told
}

/// One bot after the other over the same file, each killed when it is told so; the last one empties the outbox.
async fn bots(url: String, orders: Arc<Orders>) -> Told {
    let folder = Folder::new();
    let mut told = Told::default();
    let mut first = BOT * APART + 1;
    let mut is_empty = false;
    while !is_empty {
        let is_last = orders.stop.load(Ordering::Relaxed);
        let count = if is_last { 0 } else { LIFE };
        life(&url, folder.file(), [first, count], &orders, &mut told, &mut is_empty).await;
        first += count;
        is_empty &= is_last;
    }
    told
}

async fn life(
    url: &str,
    file: PathBuf,
    [first, count]: [u64; 2],
    orders: &Orders,
    told: &mut Told,
    is_empty: &mut bool,
) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-bot"));
    command.arg(url).arg(file).args([first, count].map(|number| number.to_string()));
    let mut bot = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(bot.stdout.take().unwrap()).lines();
    loop {
        let line = tokio::select! {
            line = soon(lines.next_line()) => line.unwrap(),
            () = orders.kill.notified() => {
                // What it said before it died is still in the pipe.
                let _ = bot.start_kill();
                told.deaths += 1;
                continue;
            }
        };
        let Some(line) = line else { break };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["stored", number] => {
                told.publishes += 1;
                told.stored.push(number.parse().unwrap());
            }
            ["acked", id, epoch, offset] => {
                let place = (epoch.into(), offset.parse().unwrap());
                told.acked.push(Acked { room: 2, place, value: None, id: Some(id.into()) });
                orders.acks.fetch_add(1, Ordering::Relaxed);
            }
            ["empty"] => *is_empty = true,
            _ => panic!("{line}"),
        }
    }
    soon(bot.wait()).await.unwrap();
}
