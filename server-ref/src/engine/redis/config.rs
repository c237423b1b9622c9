//! What a Redis engine is told at its start, and why it may refuse to.

use super::Ack;
use std::{fmt, time::Duration};

/// Where Redis is and how it is used. Nodes that share a Redis share `prefix` and `partitions`.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`.
    pub url: String,
    /// In front of every key and topic.
    pub prefix: String,
    /// Over how many hash tags channels are spread, 1 to 1024; fixed for the life of the data.
    pub partitions: u16,
    /// How long an answer may take, a connection's establishment too.
    pub deadline: Duration,
    /// How long the start waits for a Redis that is away.
    pub start_deadline: Duration,
    /// How often an idle connection is asked whether it still lives.
    pub beat: Duration,
    /// Told to callers while Redis is away.
    pub retry_after: Duration,
    /// Bytes of a publication above which other nodes are told its place alone, and read it from the log.
    pub hint_bytes: usize,
    /// Calls that may wait to be sent, and acks for what they promise; further ones are refused.
    pub queue: usize,
    /// What an ack promises.
    pub ack: Ack,
    /// How long Redis may take to reach that; then the publisher gets a temporary error, and asks again.
    pub ack_timeout: Duration,
}

impl RedisConfig {
    /// The defaults, for a Redis at this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "homing".to_owned(),
            partitions: 64,
            deadline: Duration::from_secs(2),
            start_deadline: Duration::from_secs(10),
            beat: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            hint_bytes: 16 * 1024,
            queue: 16 * 1024,
            ack: Ack::Appended,
            ack_timeout: Duration::from_secs(1),
        }
    }

    pub(super) fn check(&self) -> Result<(), RedisStartError> {
        if !(1..=1024).contains(&self.partitions) {
            return Err(RedisStartError::Partitions { given: self.partitions });
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err(RedisStartError::Prefix);
        }
        Ok(())
    }
}

impl fmt::Debug for RedisConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why an engine on Redis does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisStartError {
    /// The address is not one.
    #[error("redis-url is not an address of a Redis (redis://host:port/database): {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The number of partitions is out of range.
    #[error("a Redis engine has 1 to 1024 partitions, not {given}")]
    Partitions {
        /// What was asked for.
        given: u16,
    },
    /// The prefix is empty or would be taken for a hash tag.
    #[error("the prefix of Redis keys must be a text without braces")]
    Prefix,
    /// No answer within the deadline of the start.
    #[error("Redis does not answer: {reason}")]
    Away {
        /// What the last try met.
        reason: String,
    },
    /// Too old.
    #[error("Redis {found} is too old, version 7.0 or later is needed")]
    Version {
        /// Its version.
        found: String,
    },
    /// Redis may evict what clients were promised.
    #[error(
        "Redis runs with maxmemory-policy {policy}, which drops logs and members at will when memory is short; \
         set maxmemory-policy to noeviction"
    )]
    Eviction {
        /// The policy found.
        policy: String,
    },
    /// It cannot say when something is on the disk.
    #[error("acks cannot promise that messages are on the disk: {reason}")]
    Fsync {
        /// What is missing.
        reason: String,
    },
    /// A cluster.
    #[error("Redis runs in cluster mode, which is not supported yet")]
    Cluster,
    /// The data belongs to another layout.
    #[error(
        "the data under this prefix has layout {found} (version, partitions), this node would use {wanted}; \
         use another prefix or the number of partitions it was made with"
    )]
    Layout {
        /// What Redis holds.
        found: String,
        /// What this node uses.
        wanted: String,
    },
}
