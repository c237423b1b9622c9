//! What end-to-end tests stand on: a server on threads of its own, a Redis that may die, a folder, clients that are
//! quick to try again, and waiting with a deadline. A setup that fails panics, as the test that asked for it would.
//! The tests of this folder that put the Rust client before a real server call it.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod redis;
mod server;

pub use redis::Redis;
pub use server::{Embedded, settings, store};

use homing::{Builder, Decode, Delivery, Messages, RealtimeClient};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::timeout;

/// Waits for something, not for ever.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("it should have happened by now")
}

/// Waits until `condition` holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A folder that goes with its test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes something on the disk")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("homing-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where a storage of the test goes.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.0.join("outbox.redb")
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client of this user, which has not been told to connect.
pub fn builder(url: String, user: &str) -> Builder {
    RealtimeClient::builder(url).storage_name("test").data(&serde_json::json!({ "user": user })).configure(
        |config| {
            config.backoff_floor = Duration::from_millis(5);
            config.backoff_base = Duration::from_millis(20);
            config.backoff_cap = Duration::from_millis(100);
        },
    )
}

/// The client, told to connect.
#[must_use]
pub fn connected(builder: Builder) -> RealtimeClient {
    let client = builder.build().unwrap();
    client.connect().unwrap();
    client
}

/// The next message's number, which the tests publish as payload.
pub async fn next(messages: &mut Messages) -> u64 {
    match soon(messages.next()).await.expect("an item").expect("no end") {
        Delivery::Message(message) => message.decode().unwrap(),
        other => panic!("{other:?} came instead of a message"),
    }
}

/// The next messages, which must have these numbers.
pub async fn expect(messages: &mut Messages, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(next(messages).await, number);
    }
}
