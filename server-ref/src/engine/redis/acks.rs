//! What an ack promises beyond the append: that replicas have it, or that it is on the disk.
//!
//! Answers are held here until Redis says so, on a connection of its own: a wait holds up whoever shares its
//! connection. One wait confirms all that was carried out before it was sent (group commit), duplicates too,
//! because it stands behind a write of its own and not behind theirs.

use super::{
    Shared,
    link::{self, Live},
    request::{Answer, Judged, reply},
};
use crate::engine::EngineError;
use parking_lot::Mutex;
use redis::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// What Redis has done with a publication when it is acked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// It is in the memory of this Redis.
    #[default]
    Appended,
    /// It is in the memory of so many replicas as well.
    Replicated {
        /// At least 1.
        replicas: u32,
    },
    /// It is on the disk of this Redis, and of so many replicas.
    Fsynced {
        /// May be 0.
        replicas: u32,
    },
}

/// The answers that wait.
#[derive(Default)]
pub(super) struct Acks {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    held: Vec<Held>,
    count: usize,
    is_asking: bool,
}

/// What was carried out on a connection.
struct Held {
    live: Arc<Live>,
    answers: Vec<(Answer<Judged>, Judged)>,
}

impl Acks {
    /// How many answers wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().count
    }

    /// Answers when Redis has confirmed what was carried out so far.
    pub(super) fn hold(
        &self,
        shared: &Arc<Shared>,
        live: &Arc<Live>,
        answers: Vec<(Answer<Judged>, Judged)>,
    ) {
        let mut waiting = self.waiting.lock();
        waiting.count += answers.len();
        waiting.held.push(Held { live: Arc::clone(live), answers });
        if !std::mem::replace(&mut waiting.is_asking, true) {
            drop(waiting);
            shared.runtime.spawn(confirm(Arc::clone(shared)));
        }
    }

    fn take(&self) -> Vec<Held> {
        let mut waiting = self.waiting.lock();
        waiting.is_asking = !waiting.held.is_empty();
        std::mem::take(&mut waiting.held)
    }

    fn told(&self, count: usize) {
        self.waiting.lock().count -= count;
    }
}

/// Asks until nothing waits any more.
async fn confirm(shared: Arc<Shared>) {
    loop {
        let mut held = shared.acks.take();
        let Some(last) = held.last() else { return };
        // The last connection speaks for itself alone: another one may have been to another Redis.
        let live = Arc::clone(&last.live);
        let confirmed = shared.ask_for_confirmation(&live).await;
        for Held { live: theirs, answers } in held.drain(..) {
            shared.acks.told(answers.len());
            let confirmed = confirmed && Arc::ptr_eq(&theirs, &live);
            for (answer, judged) in answers {
                reply(answer, if confirmed { Ok(judged) } else { Err(EngineError::Unconfirmed) });
            }
        }
    }
}

impl Shared {
    /// Whether everything that was carried out on this connection is as safe as an ack promises.
    async fn ask_for_confirmation(&self, live: &Arc<Live>) -> bool {
        let Some(connection) = &live.acks else { return true };
        let patience = self.config.ack_timeout;
        let (command, needed) = match self.config.ack {
            Ack::Appended => return true,
            Ack::Replicated { replicas } => (wait("WAIT", &[replicas], patience), [replicas, 0]),
            Ack::Fsynced { replicas } => (wait("WAITAOF", &[1, replicas], patience), [1, replicas]),
        };
        let mut asked = redis::Pipeline::with_capacity(3);
        asked.cmd("SET").arg(self.keys.ack()).arg(1);
        asked.add_command(command);
        // Whether all this was said of the same data.
        asked.cmd("INFO").arg("replication");
        let mut connection = connection.clone();
        let sent = connection.send_packed_commands(&asked, 0, 3);
        let reached = match timeout(patience + self.config.deadline, sent).await {
            Ok(Ok(values)) => match &values[..] {
                [_, waited, info] if link::has_history(&live.generation, info) => reached(waited),
                _ => None,
            },
            _ => None,
        };
        let Some(reached) = reached else {
            tracing::warn!("Redis does not say whether it has kept what it took");
            self.link.give_up(live);
            return false;
        };
        let confirmed = reached.iter().zip(needed).all(|(reached, needed)| *reached >= i64::from(needed));
        if !confirmed {
            tracing::warn!(?reached, ?needed, "publications are not as safe in time as their acks promise");
        }
        confirmed
    }
}

fn wait(name: &str, numbers: &[u32], patience: Duration) -> redis::Cmd {
    let mut command = redis::cmd(name);
    for number in numbers {
        command.arg(number);
    }
    // 0 would wait for ever.
    command.arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1));
    command
}

/// How many have it: replicas, or this Redis' disk and those of replicas.
fn reached(value: &Value) -> Option<[i64; 2]> {
    match value {
        Value::Int(replicas) => Some([*replicas, 0]),
        Value::Array(values) => match values[..] {
            [Value::Int(local), Value::Int(replicas)] => Some([local, replicas]),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_both_kinds_of_wait_are_read() {
        assert_eq!(reached(&Value::Int(2)), Some([2, 0]));
        assert_eq!(reached(&Value::Array(vec![Value::Int(1), Value::Int(0)])), Some([1, 0]));
        assert_eq!(reached(&Value::Array(vec![Value::Int(1)])), None);
        assert_eq!(reached(&Value::Okay), None);
    }
}
