//! The engine on a real Redis: the contract, and what is Redis' own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod acks;
mod differential;
#[path = "../engine_contract/mod.rs"]
mod engine_contract;
mod failover;
mod faults;
mod relay;
mod server;
mod start;

use engine_contract::{MovedClock, Setup};
use homing_server::{
    clock::Millis,
    engine::{
        Engine,
        redis::{Redis, RedisConfig},
    },
};
use server::RedisServer;
use std::{sync::Arc, time::Duration};

struct RedisSetup {
    server: RedisServer,
}

impl Setup for RedisSetup {
    async fn node(&self) -> Arc<dyn Engine> {
        Arc::new(Redis::connect(RedisConfig::new(self.server.url())).await.unwrap())
    }

    async fn pass(&self, millis: Millis) {
        let now = async || {
            let (seconds, micros): (u64, u64) = self.server.command(&["TIME"]).await;
            seconds * 1000 + micros / 1000
        };
        let until = now().await + millis;
        while now().await <= until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn brief(&self) -> Millis {
        500
    }
}

async fn redis() -> RedisSetup {
    RedisSetup { server: RedisServer::start().await }
}

engine_contract!(redis());
