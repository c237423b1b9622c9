//! What an application does with a running server. The HTTP API offers the same calls and is thin over this.

use super::drain;
use crate::{
    api::{
        self, CallError, HistoryQuery, Pattern, PublishOptions,
        calls::{self, Publishing},
    },
    engine::{Appended, Page, Snapshot, Stats},
    node::{Answer, Answers, MAX_CHANNELS, Node, NodeInfo, Order, Whom},
    session::{Admission, Refreshed},
};
use homing_core::wire::{DisconnectCode, ErrorCode, UnsubscribeCode};
use std::{collections::BTreeMap, sync::Arc};

/// Acts on a server; cheap to clone.
///
/// Calls about connections reach every node. Those that have not answered within `node.answer_timeout` are
/// named in the answer: whether they did it is not known.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) node: Arc<Node>,
}

/// How far a call about connections has come. A user who has none is as good as any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached<T = ()> {
    /// What the nodes said.
    pub found: T,
    /// Ids of the nodes that did not answer.
    pub unanswered: Vec<String>,
}

/// Which unsubscribe a client is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Unsubscribe code or close code.
    pub code: u32,
    /// For a developer to read.
    pub reason: String,
}

impl Ended {
    /// An unsubscribe by the server, 2000.
    #[must_use]
    pub fn unsubscribe() -> Self {
        let code = UnsubscribeCode::Server;
        Self { code: code.code(), reason: code.text().into() }
    }

    /// A disconnect for good, 3503.
    #[must_use]
    pub fn disconnect() -> Self {
        let code = DisconnectCode::ForceDisconnect;
        Self { code: code.code(), reason: code.text().into() }
    }
}

impl Handle {
    pub(super) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Publishes JSON to a channel.
    ///
    /// # Errors
    /// A channel that cannot be, data that is not JSON or too large, or an engine that is away.
    pub async fn publish(
        &self,
        channel: &str,
        data: &str,
        options: PublishOptions,
    ) -> Result<Appended, CallError> {
        self.published(self.send(channel, data, &options)?).await
    }

    /// Sends a publish off at once; publishes to one channel take effect in the order of these calls.
    pub(crate) fn send(
        &self,
        channel: &str,
        data: &str,
        options: &PublishOptions,
    ) -> Result<Publishing, CallError> {
        self.node.publish(channel, data, options)
    }

    pub(crate) async fn published(&self, publishing: Publishing) -> Result<Appended, CallError> {
        calls::published(&self.node, publishing).await
    }

    /// Publishes the same JSON to many channels; one that fails harms no other. The answers come in the order
    /// of the channels.
    ///
    /// # Errors
    /// No channels, or data that is not JSON or too large.
    pub async fn broadcast<C: AsRef<str>>(
        &self,
        channels: &[C],
        data: &str,
        options: PublishOptions,
    ) -> Result<Vec<Result<Appended, CallError>>, CallError> {
        calls::broadcast(&self.node, channels, data, &options).await
    }

    /// Reads a page of a channel's history.
    ///
    /// # Errors
    /// A channel that cannot be or keeps nothing, a position that is none, or an engine that is away.
    pub async fn history(&self, channel: &str, query: HistoryQuery) -> Result<Page, CallError> {
        calls::history(&self.node, channel, &query).await
    }

    /// Drops a channel's publications. Offsets go on; who missed some is told of a gap.
    ///
    /// # Errors
    /// A channel that cannot be or keeps nothing, or an engine that is away.
    pub async fn remove_history(&self, channel: &str) -> Result<(), CallError> {
        calls::history_remove(&self.node, channel).await
    }

    /// Who is in a channel, on whatever node.
    ///
    /// # Errors
    /// A channel that cannot be, has no presence or too large a one, or an engine that is away.
    pub async fn presence(&self, channel: &str) -> Result<Snapshot, CallError> {
        calls::presence(&self.node, channel).await
    }

    /// How many are in a channel.
    ///
    /// # Errors
    /// A channel that cannot be or has no presence, or an engine that is away.
    pub async fn presence_stats(&self, channel: &str) -> Result<Stats, CallError> {
        calls::presence_stats(&self.node, channel).await
    }

    /// Ends connections, with a close code between 3000 and 4999. Below 3500, and from 4000 to 4499, clients
    /// come back.
    ///
    /// # Errors
    /// Nobody is named, a code that is none, or an engine that is away.
    pub async fn disconnect(&self, whom: Whom, ended: Ended) -> Result<Reached, CallError> {
        let Ended { code, reason } = ended;
        let code = u16::try_from(code).ok().filter(|code| (3000..5000).contains(code));
        let code =
            code.ok_or_else(|| CallError::bad_request("a disconnect code is between 3000 and 4999"))?;
        self.tell(Order::Disconnect { whom: named(whom)?, code, reason }).await
    }

    /// Ends subscriptions to a channel; to all of them where it is empty.
    ///
    /// # Errors
    /// Nobody is named, a channel that cannot be, or an engine that is away.
    pub async fn unsubscribe(&self, whom: Whom, channel: &str, ended: Ended) -> Result<Reached, CallError> {
        let Ended { code, reason } = ended;
        if !channel.is_empty() {
            calls::namespace(&self.node, channel)?;
        }
        let channel = channel.to_owned();
        self.tell(Order::Unsubscribe { whom: named(whom)?, channel, code, reason }).await
    }

    /// Subscribes connections to a channel, whatever its namespace allows to clients.
    ///
    /// # Errors
    /// Nobody is named, a channel that cannot be, or an engine that is away.
    pub async fn subscribe(
        &self,
        whom: Whom,
        channel: &str,
        mut admission: Admission,
    ) -> Result<Reached, CallError> {
        calls::namespace(&self.node, channel)?;
        api::checked("info", &mut admission.info)?;
        api::checked("data", &mut admission.data)?;
        let (channel, admission) = (channel.to_owned(), Box::new(admission));
        self.tell(Order::Subscribe { whom: named(whom)?, channel, admission }).await
    }

    /// Says when connections expire, and what is told of them from now on. A time that has passed ends them.
    ///
    /// # Errors
    /// Nobody is named, `info` that is not JSON, or an engine that is away.
    pub async fn refresh(&self, whom: Whom, mut refreshed: Refreshed) -> Result<Reached, CallError> {
        api::checked("info", &mut refreshed.info)?;
        self.tell(Order::Refresh { whom: named(whom)?, expired: false, refreshed }).await
    }

    /// Ends connections as expired: clients come back with a fresh token.
    ///
    /// # Errors
    /// Nobody is named, or an engine that is away.
    pub async fn expire(&self, whom: Whom) -> Result<Reached, CallError> {
        self.tell(Order::Refresh { whom: named(whom)?, expired: true, refreshed: Refreshed::default() }).await
    }

    /// Channels that somebody is subscribed to, and how many connections, on whatever node.
    ///
    /// # Errors
    /// A pattern that cannot be read, more channels on a node than one answer may name, or an engine that is
    /// away.
    pub async fn channels(&self, pattern: &str) -> Result<Reached<BTreeMap<String, u32>>, CallError> {
        Pattern::new(pattern)?;
        let answers = self.node.order(&Order::Channels { pattern: pattern.to_owned() }).await?;
        let mut found: BTreeMap<String, u32> = BTreeMap::new();
        for answer in answers.answers.values() {
            match answer {
                Answer::Channels(channels) => {
                    for (channel, members) in channels {
                        *found.entry(channel.clone()).or_default() += members;
                    }
                }
                Answer::TooManyChannels => {
                    let what = format!("more than {MAX_CHANNELS} channels on one node, ask with a pattern");
                    return Err(CallError::because(ErrorCode::LimitExceeded, what));
                }
                Answer::Done | Answer::NoSession | Answer::Full | Answer::Info(_) => {}
            }
        }
        Ok(Reached { found, unanswered: names(&answers) })
    }

    /// How each node is.
    ///
    /// # Errors
    /// An engine that is away.
    pub async fn info(&self) -> Result<Reached<Vec<NodeInfo>>, CallError> {
        let answers = self.node.order(&Order::Info).await?;
        let unanswered = names(&answers);
        let info = |answer| if let Answer::Info(info) = answer { Some(info) } else { None };
        Ok(Reached { found: answers.answers.into_values().filter_map(info).collect(), unanswered })
    }

    async fn tell(&self, order: Order) -> Result<Reached, CallError> {
        let answers = self.node.order(&order).await?;
        Ok(Reached { found: (), unanswered: names(&answers) })
    }

    /// How many connections this node has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.node.registry.len()
    }

    /// Whether the node takes connections.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.node.is_ready()
    }

    /// Refuses new connections and closes those that are there with 3001, in batches spread over
    /// `shutdown.drain_window`, each with a time after which its client may come back. Returns when all are
    /// gone, or when `shutdown.timeout` has passed.
    pub async fn drain(&self) {
        drain::drain(&self.node).await;
    }
}

fn named(whom: Whom) -> Result<Whom, CallError> {
    if whom.names_somebody() {
        Ok(whom)
    } else {
        Err(CallError::bad_request("a user, client or session is missing"))
    }
}

fn names(answers: &Answers) -> Vec<String> {
    answers.unanswered.iter().map(|node| node.to_string()).collect()
}
