//! The node's own task: its deadlines, and the work that no session waits for.

use crate::node::Node;
use metrics_exporter_prometheus::PrometheusHandle;
use std::{future::poll_fn, sync::Weak, task::Poll, time::Duration};

/// Runs until the node is gone.
pub(super) async fn keep(weak: Weak<Node>) {
    loop {
        let Some(node) = weak.upgrade() else { return };
        let ahead = Duration::from_millis(node.poll_timeout().saturating_sub(node.now()));
        drop(node);
        let work = poll_fn(|cx| match weak.upgrade() {
            Some(node) => node.poll_work(cx),
            None => Poll::Ready(Vec::new()),
        });
        tokio::select! {
            work = work => for one in work {
                tokio::spawn(one);
            },
            () = tokio::time::sleep(ahead) => if let Some(node) = weak.upgrade() {
                node.handle_timeout();
            },
        }
    }
}

/// How often durations are put into their buckets, whether or not anybody reads them.
const METRICS: Duration = Duration::from_secs(5);

/// Runs until the node is gone.
pub(super) async fn keep_metrics(weak: Weak<Node>, metrics: PrometheusHandle) {
    while weak.strong_count() > 0 {
        metrics.run_upkeep();
        tokio::time::sleep(METRICS).await;
    }
}
