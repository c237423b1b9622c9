//! Redis fails over to a replica that has not got everything, again and again, under load and with real clients:
//! what is lost is told to whoever it concerns, and nothing else is lost, doubled or of unknown end.
//! `SOAK_SECONDS` makes it go on for longer.

use crate::{
    load::{Load, Sum},
    node::{Node, until},
    relay::Relay,
    server::RedisServer,
};
use std::time::{Duration, Instant};

/// Two Redis with a replication that can be made to lag, and an address that leads to one of them.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    link: Relay,
    front: Relay,
}

impl Pair {
    async fn start() -> Self {
        let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
        let link = Relay::before(primary.port()).await;
        replica.replicate(link.port()).await;
        let front = Relay::before(primary.port()).await;
        Self { primary, replica, link, front }
    }

    async fn fail_over(&mut self, how: u64) {
        match how % 3 {
            0 => self.primary.kill(),
            1 => self.primary.freeze(),
            _ => {}
        }
        self.replica.promote().await;
        self.front.switch_to(self.replica.port());
        let fresh = RedisServer::start().await;
        self.link = Relay::before(self.replica.port()).await;
        fresh.replicate(self.link.port()).await;
        // A frozen one is killed with its value.
        self.primary = std::mem::replace(&mut self.replica, fresh);
    }
}

fn soak() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

#[expect(clippy::print_stdout, reason = "the figures of a soak")]
async fn fail_over_and_over(settings: &[(&str, &str)]) -> Sum {
    let mut pair = Pair::start().await;
    let url = pair.front.url();
    let (one, other) = (Node::start_with(&url, settings), Node::start_with(&url, settings));
    let doors = [Relay::before(one.port()).await, Relay::before(other.port()).await];
    let load = Load::start(&[&one, &other], 4, 2, &doors.each_ref().map(Relay::port)).await;
    let is_safe = !settings.is_empty();
    let end = Instant::now() + soak();
    for round in 0.. {
        load.more(200).await;
        // Some readers are away for the rest of what happens.
        doors[0].close();
        load.more(10).await;
        pair.link.blackhole();
        doors[1].close();
        if is_safe {
            // Nothing is acked from here on.
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else {
            load.more(100).await;
        }
        pair.fail_over(round).await;
        doors.iter().for_each(Relay::open);
        load.more(200).await;
        if round >= 2 && Instant::now() >= end {
            break;
        }
    }
    until(async || one.is_ready().await && other.is_ready().await).await;
    let sum = load.end(&[&one, &other], &format!("redis://127.0.0.1:{}", pair.primary.port())).await;
    println!("{sum:?}");
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_replica_loses_is_told_to_publishers_and_readers() {
    let sum = fail_over_and_over(&[]).await;
    assert!(sum.lost > 0 && sum.deliveries > 0, "{sum:?}");
    assert_eq!((sum.undeclared, sum.untold, sum.unknown, sum.doubled), (0, 0, 0, 0), "{sum:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_with_a_replica_is_never_lost() {
    let sum = fail_over_and_over(&[("HOMING_ENGINE_REDIS_ACK", "replicated")]).await;
    assert_eq!(sum.lost, 0, "{sum:?}");
    assert_eq!((sum.undeclared, sum.untold, sum.unknown, sum.doubled), (0, 0, 0, 0), "{sum:?}");
}
