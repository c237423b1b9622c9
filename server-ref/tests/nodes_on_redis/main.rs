//! Several nodes on one Redis, through real clients: what one node takes every node delivers, and nothing that
//! was acked is lost while nodes and Redis go away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod failover;
mod load;
mod losses;
mod node;
#[path = "../engine_redis/relay.rs"]
mod relay;
#[path = "../engine_redis/server.rs"]
mod server;
mod streamed;

use homing::{Channel, ChannelEvent, ChannelEvents, Decode, Delivery, Messages, Position, RealtimeClient};
use node::{Node, client, soon, until};
use server::{Durability, RedisServer};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// The value after which nothing comes.
const LAST: u64 = 7;

/// A reader of a room, from the moment on at which it is subscribed.
async fn reader(client: &RealtimeClient, room: &str) -> (Channel, Messages) {
    let channel = client.channel(room);
    let messages = channel.messages();
    soon(channel.join()).await.unwrap();
    (channel, messages)
}

async fn next(messages: &mut Messages) -> (u64, u64) {
    match soon(messages.next()).await.unwrap().unwrap() {
        Delivery::Message(message) => (message.offset, message.decode().unwrap()),
        missed => panic!("{missed:?}"),
    }
}

async fn users(channel: &Channel) -> Vec<String> {
    let mut users: Vec<String> =
        channel.presence().get().await.unwrap().into_iter().map(|info| info.user.to_string()).collect();
    users.sort();
    users
}

/// Who came or went, of all but one's own.
async fn movement(events: &mut ChannelEvents, own: &str) -> (bool, String) {
    loop {
        match soon(events.next()).await.unwrap().unwrap() {
            ChannelEvent::Joined(info) if &*info.user != own => return (true, info.user.to_string()),
            ChannelEvent::Left(info) if &*info.user != own => return (false, info.user.to_string()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_one_node_takes_the_other_delivers() {
    let redis = RedisServer::start().await;
    let (one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let ((ada, _), (bob, _)) = (client("ada", &[&one]).await, client("bob", &[&other]).await);
    let (of_ada, mut to_ada) = reader(&ada, "chat:room").await;
    let (of_bob, mut to_bob) = reader(&bob, "chat:room").await;
    for value in 1..=20_u64 {
        let channel = if value % 2 == 0 { &of_ada } else { &of_bob };
        let published = soon(channel.publish(&value)).await.unwrap();
        assert_eq!(published.position.unwrap().offset, value);
    }
    for messages in [&mut to_ada, &mut to_bob] {
        for value in 1..=20 {
            assert_eq!(next(messages).await, (value, value));
        }
    }
}

#[tokio::test]
async fn who_is_here_is_known_on_every_node() {
    let redis = RedisServer::start().await;
    let (one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let ((ada, _), (bob, _)) = (client("ada", &[&one]).await, client("bob", &[&other]).await);
    let of_ada = ada.channel("chat:room");
    let mut events = of_ada.events();
    soon(of_ada.join()).await.unwrap();
    let of_bob = bob.channel("chat:room");
    soon(of_bob.join()).await.unwrap();
    assert_eq!(movement(&mut events, "ada").await, (true, "bob".to_owned()));
    assert_eq!(users(&of_ada).await, ["ada", "bob"]);
    assert_eq!(users(&of_bob).await, ["ada", "bob"]);
    assert_eq!(soon(of_ada.presence().stats()).await.unwrap().users, 2);
    // Longer than a lease: both nodes renew what is theirs.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(users(&of_bob).await, ["ada", "bob"]);
    of_bob.leave();
    assert_eq!(movement(&mut events, "ada").await, (false, "bob".to_owned()));
    assert_eq!(users(&of_ada).await, ["ada"]);
}

#[tokio::test]
async fn members_of_a_killed_node_leave_when_their_leases_lapse() {
    let redis = RedisServer::start().await;
    let mut killed = Node::start(&redis.url());
    let (one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let ((ada, _), (bob, _)) = (client("ada", &[&one]).await, client("bob", &[&other]).await);
    let (eve, _) = client("eve", &[&killed]).await;
    let (of_ada, of_bob) = (ada.channel("chat:room"), bob.channel("chat:room"));
    let mut events = [of_ada.events(), of_bob.events()];
    soon(of_ada.join()).await.unwrap();
    soon(of_bob.join()).await.unwrap();
    assert_eq!(movement(&mut events[0], "ada").await, (true, "bob".to_owned()));
    let of_eve = eve.channel("chat:room");
    soon(of_eve.join()).await.unwrap();
    for (events, own) in events.iter_mut().zip(["ada", "bob"]) {
        let mut came = movement(events, own).await;
        if came.1 == "ada" {
            came = movement(events, own).await;
        }
        assert_eq!(came, (true, "eve".to_owned()));
    }
    killed.kill();
    until(async || users(&of_ada).await == ["ada", "bob"]).await;
    for (events, own) in events.iter_mut().zip(["ada", "bob"]) {
        assert_eq!(movement(events, own).await, (false, "eve".to_owned()));
    }
    // Both nodes reap, and one leave was told: what comes next is something else.
    let (dan, _) = client("dan", &[&one]).await;
    let of_dan = dan.channel("chat:room");
    soon(of_dan.join()).await.unwrap();
    for (events, own) in events.iter_mut().zip(["ada", "bob"]) {
        assert_eq!(movement(events, own).await, (true, "dan".to_owned()));
    }
}

#[tokio::test]
async fn what_is_published_while_redis_is_away_goes_out_once_when_it_is_back() {
    let mut redis = RedisServer::with(Durability::Keeps, &[]).await;
    let node = Node::start(&redis.url());
    let (ada, _) = client("ada", &[&node]).await;
    let (channel, mut messages) = reader(&ada, "chat:room").await;
    soon(channel.publish(&1_u64)).await.unwrap();
    assert!(node.is_ready().await);
    redis.kill();
    until(async || !node.is_ready().await).await;
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { channel.publish(&2_u64).await }
    });
    until(async || node.has_refused().await).await;
    redis.start_again().await;
    until(async || node.is_ready().await).await;
    soon(waiting).await.unwrap().unwrap();
    soon(channel.publish(&3_u64)).await.unwrap();
    for value in 1..=3 {
        assert_eq!(next(&mut messages).await, (value, value));
    }
    assert_eq!(users(&channel).await, ["ada"]);
}

/// Publishes numbers of its own until it is stopped; which were acked, and where.
async fn publish(
    channel: Channel,
    publisher: u64,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Vec<(Position, u64)> {
    let mut acked = Vec::new();
    let mut value = publisher * 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        value += 1;
        match channel.publish(&value).await {
            Ok(published) => {
                acked.push((published.position.unwrap(), value));
                acks.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    acked
}

/// Everything that comes, each offset once and none left out, until `last` has come.
async fn collect(_held: (RealtimeClient, Channel), mut messages: Messages, last: u64) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    let mut before = None;
    loop {
        let (offset, value) = next(&mut messages).await;
        assert!(before.is_none_or(|before| offset == before + 1), "{offset} came behind {before:?}");
        before = Some(offset);
        all.insert(offset, value);
        if value == last {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_redis_and_a_node_go_away_under_load() {
    let mut redis = RedisServer::with(Durability::Keeps, &[]).await;
    let (mut one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let mut readers = Vec::new();
    for (user, nodes) in [("ada", [&one, &other]), ("bob", [&other, &one])] {
        let (client, _) = client(user, &nodes).await;
        let (channel, messages) = reader(&client, "chat:room").await;
        readers.push(tokio::spawn(collect((client, channel), messages, LAST)));
    }
    let (stop, acks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut publishers = Vec::new();
    for (number, nodes) in [(1, [&one, &other]), (2, [&other, &one]), (3, [&one, &other])] {
        let (client, _) = client("publisher", &nodes).await;
        let channel = client.channel("chat:room");
        publishers
            .push((client, tokio::spawn(publish(channel, number, Arc::clone(&acks), Arc::clone(&stop)))));
    }
    let more = async |count: u64| {
        let goal = acks.load(Ordering::Relaxed) + count;
        until(async || acks.load(Ordering::Relaxed) >= goal).await;
    };
    more(300).await;
    redis.restart().await;
    more(300).await;
    redis.kill();
    until(async || !other.is_ready().await).await;
    redis.start_again().await;
    more(300).await;
    one.kill();
    more(300).await;
    stop.store(true, Ordering::Relaxed);
    let mut acked = Vec::new();
    for (client, publisher) in &mut publishers {
        acked.extend(soon(publisher).await.unwrap());
        drop(client.state());
    }
    let (last, _) = client("last", &[&other]).await;
    soon(last.channel("chat:room").publish(&LAST)).await.unwrap();
    for reader in readers {
        let all = soon(reader).await.unwrap();
        assert_eq!(all.values().collect::<BTreeSet<_>>().len(), all.len(), "nothing was published twice");
        for (position, value) in &acked {
            let (first, last) = (all.keys().next().unwrap(), all.keys().last().unwrap());
            assert!((first..=last).contains(&&position.offset), "{position:?} not in {first}..={last}");
            assert_eq!(all[&position.offset], *value, "{position:?}");
        }
    }
}
