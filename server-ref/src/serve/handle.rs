//! What an application does with a running server.

use super::drain;
use crate::{
    engine::{Appended, EngineError, IdempotencyKey},
    node::{Node, UserCommand},
};
use homing_core::wire::ErrorCode;
use std::sync::Arc;

/// Acts on a server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    node: Arc<Node>,
}

/// Why a message of the application was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No channel can have this name, its namespace is not configured, or the data is not JSON.
    #[error("{}", .0.text())]
    Refused(ErrorCode),
    /// The engine did not take it, or may not have.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Handle {
    pub(super) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Publishes JSON to a channel; with a key, a repetition within its time is recognised.
    ///
    /// # Errors
    /// A channel that cannot be, data that is not JSON, or an engine that is away.
    pub async fn publish(
        &self,
        channel: &str,
        data: &str,
        key: Option<IdempotencyKey>,
    ) -> Result<Appended, PublishError> {
        let call = self.node.publish(channel, data, key).map_err(PublishError::Refused)?;
        let judged = call.finish().await?;
        judged.map_err(|_| EngineError::Broken("a publication without a producer was judged").into())
    }

    /// Ends all connections of a user, on every node, with this close code.
    ///
    /// # Errors
    /// The engine did not pass it on.
    pub async fn disconnect(&self, user: &str, code: u16, reason: &str) -> Result<(), EngineError> {
        let (user, reason) = (user.to_owned(), reason.to_owned());
        self.node.command(&UserCommand::Disconnect { user, code, reason }).finish().await
    }

    /// Ends a user's subscription, on every node, with this unsubscribe code.
    ///
    /// # Errors
    /// The engine did not pass it on.
    pub async fn unsubscribe(
        &self,
        user: &str,
        channel: &str,
        code: u32,
        reason: &str,
    ) -> Result<(), EngineError> {
        let (user, channel, reason) = (user.to_owned(), channel.to_owned(), reason.to_owned());
        self.node.command(&UserCommand::Unsubscribe { user, channel, code, reason }).finish().await
    }

    /// Subscribes all connections of a user, on every node.
    ///
    /// # Errors
    /// The engine did not pass it on.
    pub async fn subscribe(&self, user: &str, channel: &str) -> Result<(), EngineError> {
        let (user, channel) = (user.to_owned(), channel.to_owned());
        self.node.command(&UserCommand::Subscribe { user, channel }).finish().await
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
