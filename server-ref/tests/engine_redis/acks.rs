//! Acks that promise more than the append.

use crate::{
    engine_contract::{channel, read},
    failover::{Pair, numbered},
    faults::{MANY, append, quick},
    server::{Durability, RedisServer},
};
use homing_server::engine::{
    Append, Appended, Channel, EngineError, IdempotencyKey, Log, NotAppended,
    redis::{Ack, Redis, RedisConfig, RedisStartError},
};
use std::time::{Duration, Instant};

fn replicated(config: RedisConfig) -> RedisConfig {
    RedisConfig { ack: Ack::Replicated { replicas: 1 }, ack_timeout: Duration::from_millis(300), ..config }
}

async fn publish(
    engine: &Redis,
    channel: &Channel,
    at: u64,
) -> Result<Result<Appended, NotAppended>, EngineError> {
    engine.append(numbered(channel, at)).finish().await
}

#[tokio::test]
async fn an_ack_waits_for_its_replica_and_a_duplicate_does_too() {
    let pair = Pair::with(replicated).await;
    let (engine, channel) = (&pair.engine, channel("waits"));
    let key = || Append {
        producer: None,
        key: Some(IdempotencyKey { key: "k".into(), ttl: 60_000 }),
        ..numbered(&channel, 0)
    };
    let first = publish(engine, &channel, 1).await.unwrap().unwrap();
    pair.lag().await;
    for _ in 0..2 {
        assert_eq!(publish(engine, &channel, 2).await, Err(EngineError::Unconfirmed));
        assert_eq!(publish(engine, &channel, 1).await, Err(EngineError::Unconfirmed));
        assert_eq!(engine.append(key()).finish().await, Err(EngineError::Unconfirmed));
    }
    // The replica finds its way back, and what was asked again is acked, once.
    pair.link.cut();
    let until = Instant::now() + Duration::from_secs(20);
    let second = loop {
        match publish(engine, &channel, 2).await {
            Ok(judged) => break judged.unwrap(),
            Err(error) => assert_eq!(error, EngineError::Unconfirmed),
        }
        assert!(Instant::now() < until, "the replica does not come back");
    };
    assert!(second.duplicate);
    let again = publish(engine, &channel, 1).await.unwrap().unwrap();
    assert_eq!(again, Appended { duplicate: true, expected: 3, ..first });
    assert!(engine.append(key()).finish().await.unwrap().unwrap().duplicate);
    assert_eq!(read(engine, &channel, None, 10).await.publications.len(), 3);
}

#[tokio::test]
async fn who_waits_for_an_ack_holds_nobody_up() {
    let pair =
        Pair::with(|config| RedisConfig { ack_timeout: Duration::from_secs(2), ..replicated(config) }).await;
    let (engine, channel) = (&pair.engine, channel("others"));
    publish(engine, &channel, 1).await.unwrap().unwrap();
    pair.lag().await;
    let start = Instant::now();
    let waiting: Vec<_> = (2..=10).map(|at| engine.append(numbered(&channel, at))).collect();
    for _ in 0..50 {
        read(engine, &channel, None, 1).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "reads wait: {:?}", start.elapsed());
    for call in waiting {
        assert_eq!(call.finish().await, Err(EngineError::Unconfirmed));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "they wait together: {:?}", start.elapsed());
}

#[tokio::test]
async fn what_was_acked_with_a_replica_survives_every_failover() {
    let pair = Pair::with(replicated).await;
    let (engine, channel) = (&pair.engine, channel("survives"));
    let mut acked = Vec::new();
    for round in 0..20_u64 {
        let calls: Vec<_> = (0..50)
            .map(|at| {
                engine.append(Append {
                    retention: MANY,
                    producer: None,
                    ..numbered(&channel, round * 100 + at)
                })
            })
            .collect();
        if round == 12 {
            pair.link.blackhole();
        }
        for (at, call) in calls.into_iter().enumerate() {
            match call.finish().await {
                Ok(judged) => acked.push((judged.unwrap().position.unwrap(), round * 100 + at as u64)),
                Err(error) => assert_eq!(error, EngineError::Unconfirmed),
            }
        }
        if round == 13 {
            break;
        }
    }
    assert!((600..=650).contains(&acked.len()), "{}", acked.len());
    pair.fail_over().await;
    let page = read(engine, &channel, None, 10_000).await;
    for (position, value) in acked {
        let kept = &page.publications[usize::try_from(position.offset - 1).unwrap()];
        assert_eq!((kept.offset, &kept.data[..]), (position.offset, value.to_string().as_bytes()));
    }
}

#[tokio::test]
async fn without_a_replica_nothing_is_acked_and_nothing_hangs() {
    let server = RedisServer::start().await;
    let engine = Redis::connect(replicated(quick(server.url()))).await.unwrap();
    let channel = channel("alone");
    assert_eq!(append(&engine, &channel, 1).await, Err(EngineError::Unconfirmed));
    assert_eq!(read(&engine, &channel, None, 10).await.publications.len(), 1);
}

#[tokio::test]
async fn a_promise_of_the_disk_is_kept_or_refused_at_start() {
    let fsynced = |url| RedisConfig { ack: Ack::Fsynced { replicas: 0 }, ..quick(url) };
    let server = RedisServer::start().await;
    let info: String = server.command(&["INFO", "server"]).await;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    let can = (numbers.next().unwrap(), numbers.next().unwrap()) >= (7, 2);
    let Err(RedisStartError::Fsync { reason }) = Redis::connect(fsynced(server.url())).await else {
        panic!("a Redis without an append-only file was taken");
    };
    assert!(reason.contains(if can { "appendonly" } else { "no WAITAOF" }), "{reason}");
    let server = RedisServer::with(Durability::Keeps, &[]).await;
    let engine = Redis::connect(fsynced(server.url())).await;
    assert_eq!(engine.is_ok(), can);
    if let Ok(engine) = engine {
        append(&engine, &channel("disk"), 1).await.unwrap();
    }
}
