//! A handler may call anything: whatever an app does while it is told of events, the client keeps its word.

mod support;

use homing_core::*;
use std::collections::BTreeSet;
use support::{Dice, World};

/// Runs a story in which every event makes the app do something; gives back the world and the calls it made.
fn story(seed: u64) -> (World, BTreeSet<RequestId>) {
    let mut dice = Dice::new(seed);
    let mut world = World::new(seed, Config { provides_tokens: dice.chance(30), ..support::config() });
    world.server.behaviour.stumble = dice.below(15);
    world.server.server_side = if dice.chance(30) { vec!["news".into()] } else { Vec::new() };
    world.connect();
    let (mut handles, mut calls, mut seen) = (Vec::new(), BTreeSet::new(), 0);
    for step in 0..400 {
        if step % 20 == 0 {
            world.server_publishes("a", "1");
            if dice.chance(20) {
                world.cut();
            }
        }
        world.run_for(dice.below(300));
        // Each event that was told since: the app answers it with commands, and those tell new events.
        for _ in seen..world.events.len().min(seen + 10) {
            act(&mut world, &mut dice, &mut handles, &mut calls);
        }
        seen = world.events.len();
        if dice.chance(5) {
            act(&mut world, &mut dice, &mut handles, &mut calls);
        }
    }
    (world, calls)
}

fn act(world: &mut World, dice: &mut Dice, handles: &mut Vec<HandleId>, calls: &mut BTreeSet<RequestId>) {
    let name = ["a", "b", "news"][dice.below(3) as usize];
    match dice.below(12) {
        0..=2 => handles.push(world.subscribe(name).0),
        3..=4 if !handles.is_empty() => {
            let handle = handles.swap_remove(dice.below(handles.len() as u64) as usize);
            world.run(|client, now| client.unsubscribe(now, handle));
        }
        5..=6 => calls.extend(
            world
                .run(|client, now| client.publish(now, name, "1", &PublishOptions::default()))
                .ok()
                .map(|accepted| accepted.request),
        ),
        7 => calls.extend(world.run(|client, now| client.presence(now, name)).ok()),
        8 => {
            let call = calls.iter().nth(dice.below(calls.len() as u64) as usize).copied();
            call.into_iter().for_each(|call| world.run(|client, now| client.cancel(now, call)));
        }
        9 if dice.chance(20) => world.run(|client, now| client.disconnect(now)),
        _ => world.connect(),
    }
}

fn word(state: &ConnectionState) -> &'static str {
    match state {
        ConnectionState::Disconnected { .. } => "disconnected",
        ConnectionState::Connecting { .. } => "connecting",
        ConnectionState::Connected(_) => "connected",
        ConnectionState::Closed => "closed",
    }
}

#[test]
fn whatever_a_handler_calls_transitions_stay_in_order_and_every_call_settles() {
    for seed in 0..200 {
        let (mut world, calls) = story(seed);
        world.run(|client, now| client.close(now, Duration::ZERO));
        let mut last = "disconnected";
        for (_, event) in &world.events {
            if let Event::Connection(state) = event {
                let next = word(state);
                let allowed = match (last, next) {
                    ("disconnected", "connecting") | ("connecting", _) | (_, "closed") => true,
                    ("connected", next) => next != "connected",
                    _ => false,
                };
                assert!(allowed, "seed {seed}: from {last} to {next}");
                last = next;
            }
        }
        assert_eq!(last, "closed");
        assert!(calls.iter().all(|call| world.settled.contains_key(call)), "seed {seed}");
    }
}

#[test]
fn whatever_a_handler_calls_each_channel_tells_its_transitions_in_order() {
    for seed in 0..200 {
        let (world, _) = story(seed);
        let mut states: Vec<(ChannelKey, &str)> = Vec::new();
        for (_, event) in &world.events {
            let Event::Channel { channel, event } = event else { continue };
            let last = states.iter().rev().find(|(key, _)| key == channel).map_or("new", |(_, state)| *state);
            let next = match event {
                ChannelEvent::Subscribing(_) => "subscribing",
                ChannelEvent::Subscribed(_) => "subscribed",
                ChannelEvent::Unsubscribed(_) => "unsubscribed",
                ChannelEvent::Message(_) | ChannelEvent::Gap(_) | ChannelEvent::Joined(_) => {
                    assert_eq!(last, "subscribed", "seed {seed}: {event:?} outside of a subscription");
                    continue;
                }
                _ => continue,
            };
            // A subscription of the server's own begins subscribed.
            let allowed = match last {
                "new" => next != "unsubscribed",
                "unsubscribed" => false,
                last => next != last,
            };
            assert!(allowed, "seed {seed}: {channel:?} from {last} to {next}");
            states.push((*channel, next));
        }
    }
}
