//! A call on its way to Redis: what is sent, and how its answer settles it.

use super::script::Script;
use crate::engine::{Append, Appended, Call, EngineError, NotAppended};
use redis::{Cmd, Value};
use tokio::sync::oneshot;

/// Where the outcome of a call goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, EngineError>>;

/// What became of an append.
pub(super) type Judged = Result<Appended, NotAppended>;

/// One call that waits in a lane.
pub(super) enum Job {
    /// Goes together with other appends.
    Append(Append, Answer<Judged>),
    /// Goes by itself.
    Ask(Ask),
}

impl Job {
    pub(super) fn fail(self, error: EngineError) {
        match self {
            Self::Append(_, answer) => reply(answer, Err(error)),
            Self::Ask(ask) => (ask.settle)(Err(error)),
        }
    }
}

/// A command of its own.
pub(super) struct Ask {
    pub(super) command: Command,
    pub(super) settle: Box<dyn FnOnce(Result<Value, EngineError>) + Send>,
}

/// What is sent.
pub(super) enum Command {
    /// A script; its first two arguments are put in front when it is sent.
    Script { script: Script, keys: Vec<String>, args: Vec<Vec<u8>> },
    /// A message on a channel's topic.
    Tell { topic: String, message: Vec<u8> },
    /// A message on a topic that belongs to no channel.
    TellAll { topic: String, message: Vec<u8> },
}

impl Command {
    pub(super) fn script(script: Script, keys: Vec<String>) -> Self {
        Self::Script { script, keys, args: Vec::new() }
    }

    /// With another argument, where the command is a script.
    pub(super) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        if let Self::Script { args, .. } = &mut self {
            args.push(arg.into());
        }
        self
    }

    pub(super) fn number(self, arg: u64) -> Self {
        self.arg(arg.to_string())
    }

    pub(super) fn encode(&self, hashes: &[String], generation: &str, seen: u64) -> Cmd {
        match self {
            Self::Script { script, keys, args } => {
                let mut cmd = evalsha(hashes, *script, keys.len());
                for key in keys {
                    cmd.arg(key);
                }
                cmd.arg(generation).arg(seen);
                for arg in args {
                    cmd.arg(arg.as_slice());
                }
                cmd
            }
            Self::Tell { topic, message } => tell("SPUBLISH", topic, message),
            Self::TellAll { topic, message } => tell("PUBLISH", topic, message),
        }
    }
}

fn tell(name: &str, topic: &str, message: &[u8]) -> Cmd {
    let mut cmd = redis::cmd(name);
    cmd.arg(topic).arg(message);
    cmd
}

/// The beginning of a script's call.
pub(super) fn evalsha(hashes: &[String], script: Script, keys: usize) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(hashes[script as usize].as_str()).arg(keys);
    cmd
}

/// A command with the decoder of its answer, and the call that waits for it.
pub(super) fn ask<T: Send + 'static>(
    command: Command,
    decode: impl FnOnce(Value) -> Option<T> + Send + 'static,
) -> (Job, Call<T>) {
    let (answer, call) = promise();
    let settle = move |outcome: Result<Value, EngineError>| {
        let decoded = outcome.and_then(|value| decode(value).ok_or(EngineError::Broken(UNREADABLE)));
        // Whoever asked may have given up; the command took effect all the same.
        reply(answer, decoded);
    };
    (Job::Ask(Ask { command, settle: Box::new(settle) }), call)
}

pub(super) const UNREADABLE: &str = "an answer of Redis cannot be read";

/// Tells an outcome. Whoever asked may have given up; the call took effect all the same.
pub(super) fn reply<T>(answer: Answer<T>, outcome: Result<T, EngineError>) {
    let _ = answer.send(outcome);
}

/// A place for an outcome, and the call that waits for it.
pub(super) fn promise<T: Send + 'static>() -> (Answer<T>, Call<T>) {
    let (answer, outcome) = oneshot::channel();
    let pending = async move { outcome.await.unwrap_or(Err(EngineError::Deadline)) };
    (answer, Call::Pending(Box::pin(pending)))
}
