//! Writers and readers of the Rust client through a network that breaks in every way, on a server that is killed,
//! a Redis that is killed, and with a bot that is killed while it flushes, all under load: what was acked is in
//! the log once, where the ack says, in each writer's order, and every reader got the log.
//!
//! HOMING_SEED says in which order faults come, SOAK_SECONDS how long; `make soak` sets both.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod account;
mod load;
mod world;

use account::Sum;
use load::Load;
use std::time::{Duration, Instant};
use world::{Kind, World};

/// Acks between the end of one fault and the next one.
const CALM: u64 = 40;
/// What breaks the network; the rest is what a [`World`] does.
const FAULTS: [&str; 11] = [
    "lose-acks 50",
    "cut",
    "reset",
    "blackhole",
    "half-close up",
    "half-close down",
    "delay 120",
    "stall",
    "down",
    "kill server",
    "kill bot",
];

/// A seeded dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[expect(clippy::print_stdout, reason = "the figures of the run, and its seed where it fails")]
async fn story(kind: Kind) -> Sum {
    let seed = number("HOMING_SEED")
        .unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    println!("HOMING_SEED={seed} {kind:?}");
    let mut dice = Dice(seed);
    let mut faults = FAULTS.to_vec();
    if kind != Kind::Memory {
        faults.push("kill redis");
    }
    let mut world = World::start(kind).await;
    let load = Load::start(&world, kind != Kind::Forgetting).await;
    let end = Instant::now() + Duration::from_secs(number("SOAK_SECONDS").unwrap_or(0));
    let mut told = 0;
    loop {
        for at in (1..faults.len()).rev() {
            faults.swap(at, dice.below(at + 1));
        }
        for fault in &faults {
            load.more(CALM).await;
            println!("{fault}");
            let moment = Duration::from_millis(100 + dice.below(400) as u64);
            match *fault {
                "kill server" => world.kill_server().await,
                "kill redis" => world.kill_redis().await,
                "kill bot" => load.kill_bot(),
                "lose-acks 50" => {
                    world.proxy.apply(format!("{fault} {}", dice.below(1 << 30)).parse().unwrap());
                }
                network => world.proxy.apply(network.parse().unwrap()),
            }
            // Until the load has come far in spite of it, or for the fault's own length.
            let _ = tokio::time::timeout(moment, load.more(20 * CALM)).await;
            world.proxy.clear();
            told += 1;
        }
        if Instant::now() >= end {
            break;
        }
    }
    load.more(CALM).await;
    let sum = load.end(&world, kind == Kind::Forgetting).await;
    println!(
        "{kind:?}: {} publishes, {} acks, {} duplicates answered, {told} faults, {} deaths of the bot, \
         {} connections, {} delivered, {} gaps, {} lost, {} unknown",
        sum.publishes,
        sum.acks,
        sum.duplicates,
        sum.bot_deaths,
        world.proxy.accepted_connections(),
        sum.delivered,
        sum.gaps,
        sum.lost,
        sum.unknown
    );
    assert!(sum.acks > 0 && sum.delivered > 0 && world.proxy.accepted_connections() > 10, "{sum:?}");
    assert_eq!((sum.undeclared, sum.untold), (0, 0), "{sum:?}");
    if kind != Kind::Forgetting {
        assert_eq!((sum.lost, sum.gaps, sum.unknown), (0, 0, 0), "{sum:?}");
        assert!(sum.duplicates > 0, "lost acks were asked for again: {sum:?}");
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_loses_or_doubles_anything() {
    story(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_loses_or_doubles_anything_on_redis() {
    story(Kind::Keeping).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_redis_without_its_data_has_lost_is_told() {
    let sum = story(Kind::Forgetting).await;
    assert!(sum.lost > 0 && sum.gaps > 0, "{sum:?}");
}
