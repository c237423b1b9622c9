//! A Redis that goes away, comes back, forgets, or is heard no longer.

use crate::{
    engine_contract::{FIVE, channel, number, offsets, read, wait_for},
    relay::Relay,
    server::{Durability, RedisServer},
};
use bytes::Bytes;
use homing_server::engine::{
    Append, Appended, Channel, Doubt, Engine, EngineError, Hint, Log, Position, PubSub, Reach, Retention,
    Sink,
    redis::{Redis, RedisConfig},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

pub(crate) const MANY: Retention = Retention { size: 100_000, ttl: 600_000, meta_ttl: 600_000 };

pub(crate) fn quick(url: String) -> RedisConfig {
    RedisConfig {
        deadline: Duration::from_secs(1),
        beat: Duration::from_millis(50),
        retry_after: Duration::from_millis(700),
        ..RedisConfig::new(url)
    }
}

pub(crate) async fn node(server: &RedisServer) -> Redis {
    Redis::connect(quick(server.url())).await.unwrap()
}

pub(crate) async fn append(engine: &Redis, channel: &Channel, value: u64) -> Result<Appended, EngineError> {
    engine
        .append(Append { retention: MANY, ..number(channel, value) })
        .finish()
        .await
        .map(|judged| judged.expect("it has no number"))
}

pub(crate) async fn place(engine: &Redis, channel: &Channel, value: u64) -> Position {
    append(engine, channel, value).await.unwrap().position.unwrap()
}

pub(crate) async fn ready(engine: &Redis) {
    wait_for(|| engine.is_ready()).await;
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<(String, u64)>>,
    doubts: Mutex<Vec<Doubt>>,
}

impl Sink for Ear {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        if let Hint::Appended(_, publication) = hint {
            self.heard.lock().unwrap().push((channel.to_owned(), publication.offset));
        }
    }
    fn handle_doubt(&self, doubt: Doubt) {
        self.doubts.lock().unwrap().push(doubt);
    }
    fn handle_control(&self, _: Bytes) {}
}

impl Ear {
    async fn of(engine: &Redis, channels: &[Channel]) -> Arc<Self> {
        let ear = Arc::new(Self::default());
        engine.attach(Arc::clone(&ear) as Arc<dyn Sink>);
        for channel in channels {
            engine.subscribe(channel.clone()).finish().await.unwrap();
        }
        ear
    }

    fn has_heard(&self, channel: &Channel, offset: u64) -> bool {
        self.heard.lock().unwrap().iter().any(|(name, heard)| **name == **channel && *heard == offset)
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.doubts.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn what_was_acked_is_there_after_a_kill_under_load() {
    let mut server = RedisServer::with(Durability::Keeps, &[]).await;
    let engine = Arc::new(node(&server).await);
    let channel = channel("killed");
    let publishers: Vec<_> = (0..16_u64)
        .map(|publisher| {
            let (engine, channel) = (Arc::clone(&engine), channel.clone());
            tokio::spawn(async move {
                let mut acked = Vec::new();
                let mut failed = 0;
                for value in 0.. {
                    match append(&engine, &channel, publisher * 1_000_000 + value).await {
                        Ok(appended) => {
                            acked.push((appended.position.unwrap(), publisher * 1_000_000 + value))
                        }
                        Err(EngineError::Away { .. } | EngineError::Deadline) => {
                            failed += 1;
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        Err(broken) => panic!("{broken}"),
                    }
                    if failed > 0
                        && acked.last().is_some_and(|(_, last)| last % 1_000_000 + 20 > value)
                        && value > 400
                    {
                        break;
                    }
                }
                acked
            })
        })
        .collect();
    let first = place(&engine, &channel, 99).await;
    wait_for(|| engine.flights() > 20).await;
    server.kill();
    wait_for(|| !engine.is_ready()).await;
    server.start_again().await;
    let mut payloads: BTreeMap<Position, u64> = BTreeMap::new();
    for publisher in publishers {
        for (position, value) in publisher.await.unwrap() {
            assert_eq!(payloads.insert(position, value), None, "{position:?} names two payloads");
        }
    }
    let page = read(&*engine, &channel, Some(first), 100_000).await;
    assert_eq!(page.reach, Reach::Complete);
    assert!(page.head.epoch > first.epoch);
    let all = offsets(&page);
    assert_eq!(all, (first.offset + 1..=page.head.offset).collect::<Vec<_>>());
    for (position, value) in payloads.range(first..) {
        if position.offset <= first.offset {
            continue;
        }
        let kept = &page.publications[usize::try_from(position.offset - first.offset - 1).unwrap()];
        assert_eq!((kept.offset, &kept.data[..]), (position.offset, value.to_string().as_bytes()));
    }
}

#[tokio::test]
async fn a_redis_that_came_back_empty_has_a_greater_epoch() {
    let mut server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("empty");
    place(&engine, &channel, 1).await;
    let before = place(&engine, &channel, 2).await;
    server.restart().await;
    wait_for(|| !engine.is_ready()).await;
    ready(&engine).await;
    let page = read(&engine, &channel, Some(before), 10).await;
    assert_eq!((page.reach, page.head.offset), (Reach::Unknown, 0));
    assert!(page.head.epoch > before.epoch);
    assert_eq!(place(&engine, &channel, 3).await, Position { offset: 1, ..page.head });
}

#[tokio::test]
async fn flushed_data_has_a_greater_epoch() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("flushed");
    let before = place(&engine, &channel, 1).await;
    server.command::<String>(&["FLUSHALL"]).await;
    let after = place(&engine, &channel, 2).await;
    assert!(after.epoch > before.epoch);
    assert_eq!(read(&engine, &channel, Some(before), 10).await.reach, Reach::Unknown);
}

#[tokio::test]
async fn an_old_dump_never_gives_a_position_a_second_payload() {
    let mut server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("dump");
    let kept = place(&engine, &channel, 1).await;
    let top = place(&engine, &channel, 2).await;
    server.command::<String>(&["SAVE"]).await;
    let lost = place(&engine, &channel, 3).await;
    server.restart().await;
    wait_for(|| !engine.is_ready()).await;
    ready(&engine).await;
    let page = read(&engine, &channel, Some(kept), 10).await;
    assert_eq!((page.reach, offsets(&page)), (Reach::Complete, vec![2]));
    assert_eq!(page.head.offset, top.offset);
    assert!(page.head.epoch > lost.epoch);
    let beyond = read(&engine, &channel, Some(lost), 10).await;
    assert_eq!((beyond.reach, beyond.survived), (Reach::Unknown, Some(top.offset)));
    let next = place(&engine, &channel, 4).await;
    assert_eq!((next.epoch, next.offset), (page.head.epoch, 3));
    // The generation that is remembered reaches as far as its data survived, and no further, also later on.
    assert_eq!(read(&engine, &channel, Some(lost), 10).await.reach, Reach::Unknown);
    assert_eq!(offsets(&read(&engine, &channel, Some(top), 10).await), [3]);
}

#[tokio::test]
async fn another_nodes_epoch_is_not_undercut_by_a_clock_that_went_back() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("clock");
    let before = place(&engine, &channel, 1).await;
    // A head from a Redis whose clock was ahead: the next epoch has to be greater all the same.
    let head: Vec<String> = server.command(&["KEYS", "*:head:*"]).await;
    let ahead = (before.epoch.micros() + 3_600_000_000).to_string();
    let written = format!("another-generation--{ahead}");
    server.command::<i64>(&["SETRANGE", &head[0], "40", &written]).await;
    let after = place(&engine, &channel, 2).await;
    assert!(after.epoch.to_string() > ahead);
    server.command::<String>(&["FLUSHALL"]).await;
    assert!(place(&engine, &channel, 3).await.epoch > after.epoch);
}

#[tokio::test]
async fn a_frozen_redis_is_a_temporary_error_in_time() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("frozen");
    place(&engine, &channel, 1).await;
    server.freeze();
    let start = Instant::now();
    let first = append(&engine, &channel, 2).await;
    assert!(matches!(first, Err(EngineError::Deadline)), "{first:?}");
    wait_for(|| !engine.is_ready()).await;
    assert_eq!(append(&engine, &channel, 3).await, Err(EngineError::Away { retry_after: 700 }));
    assert!(start.elapsed() < Duration::from_secs(4));
    server.thaw();
    ready(&engine).await;
    let last = place(&engine, &channel, 4).await;
    let page = read(&engine, &channel, None, 10).await;
    let values: Vec<_> = page.publications.iter().map(|publication| publication.data.clone()).collect();
    assert!(!values.contains(&Bytes::from_static(b"3")), "what was refused was done: {values:?}");
    assert_eq!((values.last().unwrap(), page.head), (&Bytes::from_static(b"4"), last));
}

#[tokio::test]
async fn a_paused_redis_is_a_temporary_error_and_recovers() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("paused");
    place(&engine, &channel, 1).await;
    server.command::<String>(&["CLIENT", "PAUSE", "2500", "ALL"]).await;
    assert!(append(&engine, &channel, 2).await.is_err());
    wait_for(|| !engine.is_ready()).await;
    ready(&engine).await;
    place(&engine, &channel, 3).await;
}

#[tokio::test]
async fn calls_are_bounded_while_redis_does_not_answer() {
    let server = RedisServer::start().await;
    let engine = Redis::connect(RedisConfig { queue: 200, ..quick(server.url()) }).await.unwrap();
    let channel = channel("bounded");
    place(&engine, &channel, 1).await;
    server.freeze();
    let calls: Vec<_> = (0..1000).map(|value| engine.append(number(&channel, value))).collect();
    let (mut refused, mut overdue) = (0, 0);
    for call in calls {
        match call.finish().await {
            Err(EngineError::Away { .. }) => refused += 1,
            Err(EngineError::Deadline) => overdue += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused >= 800 && overdue > 0, "{refused} refused, {overdue} overdue");
    server.thaw();
    ready(&engine).await;
    place(&engine, &channel, 2).await;
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("scripts");
    place(&engine, &channel, 1).await;
    server.command::<String>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(place(&engine, &channel, 2).await.offset, 2);
    server.command::<String>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(offsets(&read(&engine, &channel, None, 10).await), [1, 2]);
}

#[tokio::test]
async fn full_memory_is_a_temporary_error() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("full");
    place(&engine, &channel, 1).await;
    server.command::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(append(&engine, &channel, 2).await, Err(EngineError::Away { .. })));
    server.command::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(place(&engine, &channel, 3).await.offset, 2);
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_left_until_it_is_promoted() {
    let (server, primary) = (RedisServer::start().await, RedisServer::start().await);
    let engine = node(&server).await;
    let channel = channel("replica");
    let before = place(&engine, &channel, 1).await;
    let port = primary.port().to_string();
    server.command::<String>(&["REPLICAOF", "127.0.0.1", &port]).await;
    assert!(matches!(append(&engine, &channel, 2).await, Err(EngineError::Away { .. })));
    wait_for(|| !engine.is_ready()).await;
    server.command::<String>(&["REPLICAOF", "NO", "ONE"]).await;
    ready(&engine).await;
    assert!(place(&engine, &channel, 3).await.epoch > before.epoch);
}

#[tokio::test]
async fn a_killed_link_for_hints_is_made_anew_for_all_channels() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channels: Vec<_> = (0..300).map(|_| channel("anew")).collect();
    let ear = Ear::of(&engine, &channels).await;
    server.command::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    wait_for(|| ear.doubts().contains(&Doubt::All)).await;
    for channel in &channels {
        place(&engine, channel, 1).await;
    }
    wait_for(|| channels.iter().all(|channel| ear.has_heard(channel, 1))).await;
}

#[tokio::test]
async fn a_half_dead_link_for_hints_is_noticed_and_what_it_lost_is_read() {
    let server = RedisServer::start().await;
    let relay = Relay::before(server.port()).await;
    let engine = Redis::connect(quick(relay.url())).await.unwrap();
    let channel = channel("deaf");
    let ear = Ear::of(&engine, std::slice::from_ref(&channel)).await;
    let heard = place(&engine, &channel, 1).await;
    wait_for(|| ear.has_heard(&channel, 1)).await;
    assert_eq!(relay.deafen(), 1);
    place(&engine, &channel, 2).await;
    wait_for(|| ear.doubts().contains(&Doubt::All)).await;
    assert!(!ear.has_heard(&channel, 2));
    assert_eq!(offsets(&read(&engine, &channel, Some(heard), 10).await), [2]);
    place(&engine, &channel, 3).await;
    wait_for(|| ear.has_heard(&channel, 3)).await;
}

#[tokio::test]
async fn a_restarted_redis_is_listened_to_again() {
    let mut server = RedisServer::start().await;
    let (listener, publisher) = (node(&server).await, node(&server).await);
    let channel = channel("again");
    let ear = Ear::of(&listener, std::slice::from_ref(&channel)).await;
    server.restart().await;
    wait_for(|| ear.doubts().contains(&Doubt::All)).await;
    ready(&publisher).await;
    // A second doubt may follow the first one, when the other link has found the new generation: what is
    // published between the two is found by the read that it asks for.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let offset = place(&publisher, &channel, 1).await.offset;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if ear.has_heard(&channel, offset) {
            break;
        }
        assert!(Instant::now() < until, "nothing is heard");
    }
}

#[tokio::test]
async fn a_large_publication_is_told_by_its_place() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channel = channel("large");
    let ear = Ear::of(&engine, std::slice::from_ref(&channel)).await;
    let data = Bytes::from(format!("\"{}\"", "x".repeat(40_000)));
    engine.append(Append { data: data.clone(), ..number(&channel, 0) }).finish().await.unwrap().unwrap();
    wait_for(|| ear.doubts() == [Doubt::Channels(vec![channel.clone()])]).await;
    assert_eq!(read(&engine, &channel, None, 1).await.publications[0].data, data);
}

#[tokio::test]
async fn appends_that_wait_go_together_and_keep_their_order() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let channels: Vec<_> = (0..5).map(|_| channel("together")).collect();
    let before = engine.flights();
    let calls: Vec<_> = (0..1000_u64)
        .map(|value| {
            let channel = &channels[usize::try_from(value % 5).unwrap()];
            engine.append(Append { retention: MANY, ..number(channel, value) })
        })
        .collect();
    for (at, call) in calls.into_iter().enumerate() {
        let offset = call.finish().await.unwrap().unwrap().position.unwrap().offset;
        assert_eq!(offset, at as u64 / 5 + 1);
    }
    assert!(engine.flights() - before < 20, "{} flights", engine.flights() - before);
}

#[tokio::test]
async fn heads_and_logs_expire_in_redis() {
    let server = RedisServer::start().await;
    let engine = node(&server).await;
    let brief = Retention { size: 5, ttl: 100, meta_ttl: 200 };
    engine
        .append(Append { retention: brief, ..number(&channel("gone"), 1) })
        .finish()
        .await
        .unwrap()
        .unwrap();
    engine
        .append(Append { retention: FIVE, ..number(&channel("stays"), 1) })
        .finish()
        .await
        .unwrap()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let keys: Vec<String> = server.command(&["KEYS", "*:{*"]).await;
        if keys.len() == 2 {
            assert!(keys.iter().all(|key| key.contains("stays")), "{keys:?}");
            break;
        }
        assert!(Instant::now() < until, "{keys:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
