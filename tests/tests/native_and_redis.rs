//! The Rust client against Homing's server on a real Redis that is killed and comes back with its data: the log
//! goes on under another epoch, and its readers notice nothing.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing::{ConnectionState, Decode, Delivery, Messages, RealtimeClient};
use homing_server::api::PublishOptions;
use homing_tests::{
    proxy::FaultProxy,
    stage::{Embedded, Redis, soon, until},
};
use std::time::Duration;

/// A server on the Redis, with a proxy before it.
struct Scene {
    redis: Redis,
    server: Embedded,
    proxy: FaultProxy,
}

impl Scene {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let server = Embedded::on_redis(&redis).await;
        let proxy = FaultProxy::start(server.address).await.unwrap();
        Self { redis, server, proxy }
    }

    async fn reader(&self) -> (RealtimeClient, Messages) {
        let client = RealtimeClient::builder(format!("ws://{}/connection/websocket", self.proxy.address()))
            .configure(|config| {
                config.backoff_floor = Duration::from_millis(20);
                config.backoff_base = Duration::from_millis(50);
                config.backoff_cap = Duration::from_millis(200);
            })
            .build()
            .unwrap();
        client.connect().unwrap();
        let room = client.channel("chat:room");
        let messages = room.messages();
        soon(room.join()).await.unwrap();
        (client, messages)
    }

    async fn publish(&self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            soon(self.server.handle.publish("chat:room", &number.to_string(), PublishOptions::default()))
                .await
                .unwrap();
        }
    }

    async fn restart_redis(&mut self) {
        self.redis.kill();
        until(|| !self.server.handle.is_ready()).await;
        self.redis.start_again().await;
        until(|| self.server.handle.is_ready()).await;
    }

    /// Takes the way to the server down, and waits until the client has noticed.
    async fn part(&self, client: &RealtimeClient) {
        self.proxy.take_down();
        let mut state = client.watch_state();
        soon(state.wait_for(|state| !matches!(state, ConnectionState::Connected(_)))).await.unwrap();
    }
}

async fn expect(messages: &mut Messages, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        match soon(messages.next()).await.expect("an item").expect("no end") {
            Delivery::Message(message) => {
                assert_eq!((message.decode::<u64>().unwrap(), message.offset), (number, number));
            }
            other => panic!("{other:?} came instead of {number}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_stayed_connected_notices_nothing_then_or_later() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    let before = messages.position().unwrap().epoch;
    for round in 0..2 {
        let from = 11 + round * 20;
        scene.restart_redis().await;
        scene.publish(from..=from + 9).await;
        expect(&mut messages, from..=from + 9).await;
        scene.part(&client).await;
        scene.publish(from + 10..=from + 19).await;
        scene.proxy.clear();
        expect(&mut messages, from + 10..=from + 19).await;
    }
    assert_ne!(messages.position().unwrap().epoch, before);
}

#[tokio::test]
async fn a_reader_that_was_away_meanwhile_misses_nothing() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    scene.part(&client).await;
    scene.publish(11..=20).await;
    scene.restart_redis().await;
    scene.publish(21..=30).await;
    scene.proxy.clear();
    expect(&mut messages, 11..=30).await;
}

#[tokio::test]
async fn an_absence_longer_than_one_recovery_brings_is_read_page_by_page() {
    let mut scene = Scene::start().await;
    let (client, mut messages) = scene.reader().await;
    scene.publish(1..=10).await;
    expect(&mut messages, 1..=10).await;
    scene.part(&client).await;
    scene.publish(11..=350).await;
    scene.restart_redis().await;
    scene.publish(351..=700).await;
    scene.proxy.clear();
    expect(&mut messages, 11..=700).await;
    scene.restart_redis().await;
    scene.publish(701..=710).await;
    expect(&mut messages, 701..=710).await;
}

#[tokio::test]
async fn a_slow_reader_reads_on_across_the_change_of_epoch() {
    let mut scene = Scene::start().await;
    let (client, mut fast) = scene.reader().await;
    let room = client.channel("chat:room");
    let mut slow = room.messages_buffered(homing::BufferLimits { items: 4, bytes: 1000 });
    soon(room.join()).await.unwrap();
    scene.publish(1..=20).await;
    expect(&mut fast, 1..=20).await;
    scene.restart_redis().await;
    scene.publish(21..=40).await;
    expect(&mut fast, 21..=40).await;
    expect(&mut slow, 1..=40).await;
}
