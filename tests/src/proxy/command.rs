//! The control protocol of the program `fault-proxy`: one command a line, in words. It owns the grammar
//! and nothing else.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::{AckLoss, Direction, Way};

/// A command of the control protocol.
///
/// ```text
/// clear                        end every condition
/// cut                          close all connections
/// reset                        reset all connections
/// down                         reset all, and refuse new ones until `clear`
/// half-close up|down           end one direction of all connections
/// delay MS [up|down]           add latency
/// throttle BYTES [up|down]     bytes a second, 0 for no limit
/// stall [up|down]              hold all bytes until `clear`
/// blackhole                    lose all bytes of both directions
/// drop [up|down]               lose all bytes of a direction
/// lose-acks PERCENT SEED       lose so many of the answers to publishes
/// upstream ADDRESS             where new connections go
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `clear`
    Clear,
    /// `cut`
    Cut,
    /// `reset`
    Reset,
    /// `down`
    TakeDown,
    /// `half-close`
    HalfClose(Direction),
    /// `upstream`
    Redirect(SocketAddr),
    /// The rest: a change to one direction, or to both.
    Way(Option<Direction>, WayChange),
}

/// A change to the conditions of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayChange {
    /// Latency from here on.
    Delay(Duration),
    /// Bytes a second from here on.
    Rate(Option<u64>),
    /// Hold bytes.
    Stall,
    /// Lose bytes.
    Drop,
    /// Lose answers to publishes.
    LoseAcks(AckLoss),
}

impl WayChange {
    pub(super) fn apply(self, way: &mut Way) {
        match self {
            Self::Delay(delay) => way.delay = delay,
            Self::Rate(rate) => way.rate = rate,
            Self::Stall => way.stalled = true,
            Self::Drop => way.dropping = true,
            Self::LoseAcks(loss) => way.ack_loss = Some(loss),
        }
    }
}

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The first word, or the number of words, is not in the list.
    #[error("no such command: {0}")]
    Unknown(String),
    /// A word is not what its place asks for.
    #[error("{0} is not a {1}")]
    Argument(String, &'static str),
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match *words {
            ["clear"] => Self::Clear,
            ["cut"] => Self::Cut,
            ["reset"] => Self::Reset,
            ["down"] => Self::TakeDown,
            ["half-close", way] => Self::HalfClose(direction(way)?),
            ["upstream", address] => Self::Redirect(parse(address, "address")?),
            ["blackhole"] => Self::Way(None, WayChange::Drop),
            ["delay", ms, ref way @ ..] => {
                Self::Way(optional(way)?, WayChange::Delay(Duration::from_millis(parse(ms, "number")?)))
            }
            ["throttle", rate, ref way @ ..] => {
                let rate: u64 = parse(rate, "number")?;
                Self::Way(optional(way)?, WayChange::Rate((rate > 0).then_some(rate)))
            }
            ["stall", ref way @ ..] => Self::Way(optional(way)?, WayChange::Stall),
            ["drop", ref way @ ..] => Self::Way(optional(way)?, WayChange::Drop),
            ["lose-acks", percent, seed] => {
                let loss = AckLoss { percent: parse(percent, "number")?, seed: parse(seed, "number")? };
                Self::Way(Some(Direction::Down), WayChange::LoseAcks(loss))
            }
            _ => return Err(CommandError::Unknown(line.to_owned())),
        })
    }
}

fn optional(words: &[&str]) -> Result<Option<Direction>, CommandError> {
    match words {
        [] => Ok(None),
        [word] => direction(word).map(Some),
        _ => Err(CommandError::Unknown(words.join(" "))),
    }
}

fn direction(word: &str) -> Result<Direction, CommandError> {
    match word {
        "up" => Ok(Direction::Up),
        "down" => Ok(Direction::Down),
        _ => Err(CommandError::Argument(word.to_owned(), "direction (up, down)")),
    }
}

fn parse<T: FromStr>(word: &str, what: &'static str) -> Result<T, CommandError> {
    word.parse().map_err(|_| CommandError::Argument(word.to_owned(), what))
}
