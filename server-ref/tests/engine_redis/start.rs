//! What the engine finds out before it uses a Redis.

use crate::server::{Durability, RedisServer};
use homing_server::engine::{
    Engine,
    redis::{Redis, RedisConfig, RedisStartError},
};
use std::time::Duration;

fn impatient(url: String) -> RedisConfig {
    RedisConfig { start_deadline: Duration::from_millis(300), ..RedisConfig::new(url) }
}

async fn refusal(config: RedisConfig) -> RedisStartError {
    Redis::connect(config).await.expect_err("the engine must not start")
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused() {
    let server = RedisServer::with(Durability::Forgets, &["--maxmemory-policy", "allkeys-lru"]).await;
    let refused = refusal(RedisConfig::new(server.url())).await;
    assert_eq!(refused, RedisStartError::Eviction { policy: "allkeys-lru".to_owned() });
}

#[tokio::test]
async fn a_redis_that_stays_away_is_said() {
    let mut server = RedisServer::start().await;
    server.kill();
    assert!(matches!(refusal(impatient(server.url())).await, RedisStartError::Away { .. }));
}

#[tokio::test]
async fn an_address_that_is_none_is_said() {
    assert!(matches!(refusal(RedisConfig::new("localhost")).await, RedisStartError::Address { .. }));
}

#[tokio::test]
async fn data_of_other_partitions_is_refused() {
    let server = RedisServer::start().await;
    let first = Redis::connect(RedisConfig::new(server.url())).await.unwrap();
    assert!(first.is_ready());
    let other = RedisConfig { partitions: 16, ..RedisConfig::new(server.url()) };
    assert!(matches!(refusal(other.clone()).await, RedisStartError::Layout { .. }));
    let apart = RedisConfig { prefix: "apart".to_owned(), ..other };
    assert!(Redis::connect(apart).await.unwrap().is_ready());
}
