//! How a node that stops lets go of its clients.

use crate::node::Node;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// Batches in which connections are closed.
const BATCHES: u32 = 20;

/// How often it is seen whether everybody is gone.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn drain(node: &Arc<Node>) {
    let start = Instant::now();
    let (window, timeout) = (&node.config.shutdown.drain_window, &node.config.shutdown.timeout);
    let window = Duration::from_millis(window.millis());
    node.start_draining();
    let mut connections = node.registry.all();
    node.shuffle(&mut connections);
    tracing::info!(connections = connections.len(), window = ?window, "draining");
    let size = connections.len().div_ceil(BATCHES as usize).max(1);
    for (at, batch) in connections.chunks(size).enumerate() {
        sleep_until(start + window * u32::try_from(at).unwrap_or(0) / BATCHES).await;
        for connection in batch {
            node.close_for_shutdown(connection);
        }
    }
    // Those whose handshake was under way when the others were counted.
    for connection in node.registry.all() {
        node.close_for_shutdown(&connection);
    }
    while !node.registry.is_empty() && start.elapsed() < Duration::from_millis(timeout.millis()) {
        sleep(LOOK).await;
    }
    node.say_goodbye();
    tracing::info!(left = node.registry.len(), "drained");
}
