//! Thousands of worlds by seed: a client, a server and a network that misbehaves; invariants after each step.

mod support;

use homing_core::*;
use support::{Dice, Fault, World, config, reader::Reader};

/// One story: faults by seed for a while, then quiet, then everything must have arrived.
fn story(seed: u64) -> World {
    let mut dice = Dice::new(seed ^ 0xfeed);
    let mut config = config();
    config.max_held = 1 + dice.below(20) as usize;
    config.repair_page = 1 + dice.below(30) as u32;
    config.provides_tokens = dice.chance(30);
    let mut world = World::new(seed, config);
    let behaviour = &mut world.server.behaviour;
    behaviour.keep = if dice.chance(50) { 10_000 } else { dice.below(40) as usize };
    behaviour.page = 1 + dice.below(40) as usize;
    behaviour.lose_push = if dice.chance(40) { dice.below(30) } else { 0 };
    behaviour.stumble = if dice.chance(30) { dice.below(20) } else { 0 };
    behaviour.swallow = if dice.chance(20) { dice.below(8) } else { 0 };
    behaviour.history_allowed = dice.chance(85);
    behaviour.extras = dice.chance(50);
    behaviour.ttl = if dice.chance(30) { 1 + dice.below(30) as u32 } else { 0 };
    if dice.chance(30) {
        world.server.server_side.push("news".into());
    }
    world.delay = (dice.below(50), dice.below(200));
    world.connect();
    let mut readers: Vec<Reader> = ["a", "b"].map(|name| Reader::new(world.subscribe(name).1, name)).into();
    let mut calls = Vec::new();
    for step in 0..60 {
        misbehave(&mut world, &mut dice);
        if dice.chance(70) {
            let data = format!("{{\"n\":{step}}}");
            world.server_publishes(["a", "b", "news"][dice.below(3) as usize], &data);
        }
        if dice.chance(30) {
            let data = format!("{{\"mine\":{step}}}");
            let options = PublishOptions { ephemeral: dice.chance(20), ..PublishOptions::default() };
            let accepted = world.run(|client, now| client.publish(now, "a", &data, &options));
            calls.extend(accepted.ok().map(|accepted| accepted.request));
        }
        if dice.chance(5)
            && let Some(call) = calls.last().copied()
        {
            world.run(|client, now| client.cancel(now, call));
        }
        world.run_for(dice.below(3_000));
        readers.iter_mut().for_each(|reader| reader.check(&world));
    }
    settle(&mut world, &mut readers, &calls);
    world
}

fn misbehave(world: &mut World, dice: &mut Dice) {
    match dice.below(24) {
        0 => world.cut(),
        1 => world.blackhole(),
        2 => {
            for conn in world.open.clone() {
                world.faults.insert(conn, Fault { deaf: dice.chance(50), mute: dice.chance(50) });
            }
        }
        3 => {
            world.server.close_all(3001);
            world.forward();
        }
        4 if dice.chance(40) => {
            world.server.close_all(3000);
            world.server.lose_data();
            world.forward();
        }
        5 => world.sleep(dice.below(200_000)),
        6 => world.reachable = dice.chance(60),
        7 => world.input(Input::Online),
        8 => world.input(Input::Visible),
        9 => world.input(Input::Offline),
        10 => {
            world.input(Input::Suspended);
            world.run_for(dice.below(10_000));
            world.input(Input::Resumed);
        }
        11 => {
            world.run(|client, now| client.disconnect(now));
            world.run_for(dice.below(5_000));
            world.connect();
        }
        // Callbacks of a socket that is long gone.
        12 => {
            let conn = ConnId(world.open.first().map_or(0, |conn| conn.0 - 1));
            world.input(Input::SocketClosed { conn, code: 1006, reason: "late" });
            world.input(Input::SocketOpened { conn });
            world.input(Input::FrameReceived { conn, text: "{\"id\":2,\"subscribe\":{}}\n{not json" });
        }
        13 => world.fault_of_new = Fault { deaf: dice.chance(20), mute: dice.chance(20) },
        14 => {
            world.server.push_all("{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500}}}");
            // The model's session forgets the channel as a server would.
            world.server.close_all(3010);
            world.forward();
        }
        _ => {}
    }
}

fn settle(world: &mut World, readers: &mut [Reader], calls: &[RequestId]) {
    world.reachable = true;
    world.fault_of_new = Fault::default();
    let behaviour = &mut world.server.behaviour;
    (behaviour.lose_push, behaviour.stumble, behaviour.swallow) = (0, 0, 0);
    world.run_for(200_000);
    assert!(world.is_connected(), "a quiet network connects: {:?}", world.client.connection());
    // Every wanted channel hears a probe.
    for name in ["a", "b"] {
        world.server_publishes(name, "\"probe\"");
    }
    world.run_for(120_000);
    for reader in readers.iter_mut() {
        assert_eq!(world.client.subscription(reader.key).state, SubscriptionState::Subscribed);
        reader.check_arrived(world);
        if world.server.behaviour.history_allowed && world.server.behaviour.keep > 1_000 {
            assert!(
                world.gaps(reader.key).iter().all(|gap| gap.reason == GapReason::EpochChanged),
                "nothing that the history keeps is given up"
            );
        }
    }
    for call in calls {
        assert!(world.settled.contains_key(call), "every call has settled: {call:?}");
    }
}

#[test]
fn nothing_is_lost_silently_on_a_lossy_link() {
    for seed in support::seeds(2_000) {
        let told = std::panic::catch_unwind(|| drop(story(seed)));
        assert!(
            told.is_ok(),
            "seed {seed} fails: START={seed} SEEDS=1 cargo test -p homing-core --test lossy_link"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..50 {
        assert_eq!(story(seed).transcript, story(seed).transcript);
    }
}

/// For reading one story: `TELL=seed cargo test -p homing-core --test lossy_link tell -- --nocapture`.
#[test]
fn tell() {
    if let Some(seed) = std::env::var("TELL").ok().and_then(|seed| seed.parse().ok()) {
        story(seed);
    }
}
