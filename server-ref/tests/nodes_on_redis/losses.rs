//! Redis forgets, goes back, stops and comes again, and links to it die without a word, under load and with real
//! clients: every message that was acked is there, or told as lost to its publisher and its readers.

use crate::{
    load::Load,
    node::{Node, until},
    relay::Relay,
    server::{Durability, RedisServer},
};

/// Waits until both nodes have noticed, and are well again.
async fn well(nodes: [&Node; 2]) {
    until(async || nodes[0].is_ready().await && nodes[1].is_ready().await).await;
}

/// Lets something befall the links of a node, and waits until it has noticed, and is well again.
async fn notices(node: &Node, what: impl FnOnce()) {
    let before = node.doubts().await;
    what();
    until(async || node.doubts().await > before && node.is_ready().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgets_is_told_to_publishers_and_readers() {
    let mut redis = RedisServer::start().await;
    let (one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let load = Load::start(&[&one, &other], 4, 4, &[]).await;
    load.more(200).await;
    redis.command::<String>(&["FLUSHALL"]).await;
    load.more(200).await;
    redis.restart().await;
    load.more(200).await;
    redis.command::<String>(&["SAVE"]).await;
    load.more(200).await;
    // With the dump from before these.
    redis.restart().await;
    load.more(200).await;
    redis.command::<String>(&["FLUSHALL"]).await;
    load.more(200).await;
    well([&one, &other]).await;
    let sum = load.end(&[&one, &other], &redis.url()).await;
    assert!(sum.lost > 0 && sum.gaps >= 4 * 3, "{sum:?}");
    assert_eq!((sum.undeclared, sum.untold, sum.doubled), (0, 0, 0), "{sum:?}");
    // Where a record is gone, nobody knows the end of what was under way: eight for each publisher, each time.
    assert!(sum.unknown <= 3 * 4 * 8, "{sum:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stops_for_a_while_costs_nothing_but_time() {
    let mut redis = RedisServer::with(Durability::Keeps, &[]).await;
    let (one, other) = (Node::start(&redis.url()), Node::start(&redis.url()));
    let load = Load::start(&[&one, &other], 4, 4, &[]).await;
    load.more(200).await;
    redis.freeze();
    until(async || !one.is_ready().await && !other.is_ready().await).await;
    redis.thaw();
    load.more(200).await;
    // Twice as long as a node waits for an answer.
    redis.command::<String>(&["CLIENT", "PAUSE", "4000", "ALL"]).await;
    until(async || !one.is_ready().await && !other.is_ready().await).await;
    load.more(200).await;
    redis.restart().await;
    load.more(200).await;
    well([&one, &other]).await;
    let sum = load.end(&[&one, &other], &redis.url()).await;
    assert_eq!((sum.lost, sum.gaps, sum.undeclared, sum.unknown, sum.doubled), (0, 0, 0, 0, 0), "{sum:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_node_whose_links_die_silently_notice_nothing() {
    let redis = RedisServer::start().await;
    let relay = Relay::before(redis.port()).await;
    let (deaf, other) = (Node::start(&relay.url()), Node::start(&redis.url()));
    let load = Load::start(&[&deaf, &other], 4, 4, &[]).await;
    for _ in 0..2 {
        load.more(200).await;
        // The link for hints alone, in one direction; then all of them, in both.
        notices(&deaf, || assert!(relay.deafen() > 0)).await;
        load.more(200).await;
        notices(&deaf, || relay.blackhole()).await;
        load.more(200).await;
        // A link that is cut is made anew at once.
        notices(&deaf, || relay.cut()).await;
    }
    load.more(200).await;
    let sum = load.end(&[&deaf, &other], &redis.url()).await;
    assert_eq!((sum.lost, sum.gaps, sum.undeclared, sum.unknown, sum.doubled), (0, 0, 0, 0, 0), "{sum:?}");
}
