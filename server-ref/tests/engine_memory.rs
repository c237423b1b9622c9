//! The engine contract on the memory engine, on a clock that the tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod engine_contract;

use engine_contract::{MovedClock, Setup};
use homing_server::{
    clock::{Clock, Millis},
    engine::{Engine, memory::Memory},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

struct MemorySetup {
    clock: Arc<MovedClock>,
    store: Memory,
}

impl Setup for MemorySetup {
    async fn node(&self) -> Arc<dyn Engine> {
        Arc::new(self.store.node())
    }
    async fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }
}

async fn memory() -> MemorySetup {
    let clock = Arc::new(MovedClock(AtomicU64::new(0)));
    MemorySetup { store: Memory::new(Arc::clone(&clock) as Arc<dyn Clock>), clock }
}

engine_contract!(memory());

#[tokio::test]
async fn what_has_expired_is_swept_away() {
    let setup = memory().await;
    let engine = setup.node().await;
    for value in 0..300 {
        let channel = engine_contract::channel("swept");
        engine.append(engine_contract::number(&channel, value)).finish().await.unwrap().unwrap();
    }
    assert_eq!(setup.store.channels(), 300);
    setup.pass(3_600_000).await;
    for _ in 0..64 {
        engine.reap(10).finish().await.unwrap();
    }
    assert_eq!(setup.store.channels(), 0);
}
