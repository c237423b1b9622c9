//! Nodes among themselves, on virtual time: who there is, and what is asked of all of them.

use crate::{
    orders::order,
    support::{Client, World},
};
use homing_server::node::{Answer, Order, Whom};

/// Lets time pass on all of these nodes.
fn pass(worlds: &[&World], millis: u64) {
    for _ in 0..millis.div_ceil(100) {
        worlds.iter().for_each(|world| world.settle());
        worlds[0].pass(&mut [], 100);
        worlds.iter().for_each(|world| world.settle());
    }
}

fn channels() -> Order {
    Order::Channels { pattern: String::new() }
}

#[test]
fn nodes_learn_of_one_another_at_once() {
    let world = World::new();
    assert_eq!(order(&[&world], &Order::Info).1, 0, "nobody is waited for");
    let others = [world.neighbour(), world.neighbour()];
    let all = [&world, &others[0], &others[1]];
    pass(&all, 200);
    // The first one was there before, and learns of the others by their greeting.
    assert_eq!(all.map(|world| world.node.peers()), [2, 2, 2]);
    pass(&all, 60_000);
    assert_eq!(all.map(|world| world.node.peers()), [2, 2, 2]);
}

#[test]
fn an_answer_is_put_together_from_all_nodes() {
    let world = World::new();
    let neighbour = world.neighbour();
    let all = [&world, &neighbour];
    pass(&all, 2_000);
    let (mut ada, mut bob) = (world.user("ada"), neighbour.user("bob"));
    ada.subscribe("chat:a");
    bob.subscribe("chat:a");
    bob.subscribe("chat:b");
    let (answers, took) = order(&all, &channels());
    assert!(took < 100, "all have answered, after {took} ms");
    let named: Vec<usize> = answers
        .answers
        .values()
        .map(|answer| if let Answer::Channels(channels) = answer { channels.len() } else { 0 })
        .collect();
    assert_eq!(named.iter().sum::<usize>(), 3);
    let (answers, _) = order(&all, &Order::Info);
    let infos: Vec<_> = answers
        .answers
        .into_values()
        .map(|answer| if let Answer::Info(info) = answer { info } else { panic!("{answer:?}") })
        .collect();
    assert_eq!(infos.iter().map(|info| info.num_clients).sum::<u32>(), 2);
    assert_eq!(infos.iter().map(|info| info.num_subs).sum::<u32>(), 3);
    assert_eq!(infos.iter().map(|info| info.num_users).sum::<u32>(), 2);
    assert!(infos.iter().all(|info| !info.uid.is_empty() && info.name == info.uid));
}

#[test]
fn a_node_that_does_not_answer_is_named() {
    let world = World::new();
    let (neighbour, frozen) = (world.neighbour(), world.neighbour());
    pass(&[&world, &neighbour, &frozen], 2_000);
    let (answers, took) = order(&[&world, &neighbour], &channels());
    assert_eq!(answers.unanswered.iter().map(|node| &**node).collect::<Vec<_>>(), [frozen.node.id()]);
    assert!((2_000..2_100).contains(&took), "{took}");
    // After a while it counts as gone, and nobody waits for it any more.
    pass(&[&world, &neighbour], 10_000);
    let (answers, took) = order(&[&world, &neighbour], &channels());
    assert!(answers.unanswered.is_empty() && took < 100, "{took}");
}

#[test]
fn a_node_that_said_goodbye_is_not_waited_for() {
    let world = World::new();
    let neighbour = world.neighbour();
    pass(&[&world, &neighbour], 2_000);
    neighbour.node.say_goodbye();
    let (answers, took) = order(&[&world], &channels());
    assert!(answers.unanswered.is_empty() && took < 100, "{took}");
}

#[test]
fn a_lost_order_is_sent_again_and_carried_out_once() {
    let world = World::new();
    let neighbour = world.neighbour();
    let all = [&world, &neighbour];
    pass(&all, 2_000);
    let mut bob: Client = neighbour.user("bob");
    bob.subscribe("chat:a");
    let whom = Whom::user("bob");
    let end = Order::Unsubscribe { whom, channel: "chat:a".into(), code: 2000, reason: "enough".into() };
    // The neighbour's answers get lost: it is told again, and knows the order.
    neighbour.engine.lose_controls(1);
    let (answers, took) = order(&all, &end);
    assert!(answers.unanswered.is_empty() && took > 500, "{took}");
    assert_eq!(bob.pushes("unsubscribe").len(), 1);
    bob.subscribe("chat:a");
    pass(&all, 2_000);
    assert_eq!(bob.pushes("unsubscribe").len(), 0);
    // The order itself gets lost.
    world.engine.lose_controls(1);
    let (answers, took) = order(&all, &end);
    assert!(answers.unanswered.is_empty() && took > 500, "{took}");
    assert_eq!(bob.pushes("unsubscribe").len(), 1);
}

#[test]
fn an_engine_that_is_away_is_said() {
    let world = World::new();
    let neighbour = world.neighbour();
    pass(&[&world, &neighbour], 2_000);
    world.engine.set_away(true);
    let all = channels();
    let mut call = std::pin::pin!(world.node.order(&all));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let ended = std::future::Future::poll(call.as_mut(), &mut cx);
    assert!(matches!(ended, std::task::Poll::Ready(Err(_))), "{ended:?}");
}
