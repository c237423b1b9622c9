//! What clients send beside their streamed responses: each piece comes in a request of its own, at whatever node,
//! and goes to the session that it names.
//!
//! A session is named by a secret that only its client was told. What waits for a session is bounded; a piece that
//! does not fit is refused, never dropped.

use super::{
    Node,
    orders::{Answer, Order},
};
use crate::{
    engine::EngineError,
    hub::{Connection, InputRefused},
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A piece of a client's commands, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emulated {
    /// The secret of the session.
    pub session: String,
    /// Id of the node that has it.
    pub node: String,
    /// Commands, one on each line.
    pub data: String,
}

/// Why a piece was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmulationError {
    /// There is no such session on this node, or not any more.
    #[error("no such session")]
    NoSession,
    /// The session has not yet read what came before.
    #[error("too much of this session waits already")]
    Full,
    /// This node cannot reach the other ones at the moment.
    #[error("the node of this session cannot be reached now")]
    Away,
    /// Whether the session has the piece is not known.
    #[error("the node of this session did not answer in time")]
    Unanswered,
}

impl From<InputRefused> for EmulationError {
    fn from(refused: InputRefused) -> Self {
        match refused {
            InputRefused::Full => Self::Full,
            InputRefused::Closing => Self::NoSession,
        }
    }
}

/// The sessions of this node that get their input this way, by secret.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Arc<str>, Arc<Connection>, RandomState>>);

/// A session is reachable as long as this lives.
pub(crate) struct Reachable {
    node: Arc<Node>,
    secret: Arc<str>,
}

impl Reachable {
    pub(crate) const fn secret(&self) -> &Arc<str> {
        &self.secret
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        self.node.emulated.0.lock().remove(&self.secret);
    }
}

impl Node {
    /// Makes a connection reachable under a fresh secret.
    pub(crate) fn make_reachable(self: &Arc<Self>, connection: &Arc<Connection>) -> Reachable {
        let bytes: [u8; 16] = self.random.lock().random();
        let secret: Arc<str> = super::uuid(bytes).into();
        connection.set_session(Arc::clone(&secret));
        self.emulated.0.lock().insert(Arc::clone(&secret), Arc::clone(connection));
        Reachable { node: Arc::clone(self), secret }
    }

    /// Takes a piece for a session of this node.
    pub(super) fn take_emulated(&self, session: &str, data: &str) -> Result<(), EmulationError> {
        let connection = self.emulated.0.lock().get(session).cloned().ok_or(EmulationError::NoSession)?;
        Ok(connection.input(data.into())?)
    }

    /// Hands a piece to its session, on whatever node that is. Complete once the session has it: pieces that are
    /// sent one after the other keep their order, whichever nodes they go through.
    ///
    /// # Errors
    /// What [`EmulationError`] names; nothing was taken but where it says so.
    pub async fn emulate(self: &Arc<Self>, piece: Emulated) -> Result<(), EmulationError> {
        if piece.node.is_empty() || piece.node == self.id() {
            return self.take_emulated(&piece.session, &piece.data);
        }
        // The id comes from anybody, and goes into the head of a message between nodes.
        if !super::is_uuid(&piece.node) {
            return Err(EmulationError::NoSession);
        }
        let order = Order::Input { session: piece.session, data: piece.data };
        match self.order_one(&piece.node, &order).await {
            Ok(Some(Answer::Done)) => Ok(()),
            Ok(Some(Answer::Full)) => Err(EmulationError::Full),
            Ok(_) => Err(EmulationError::NoSession),
            Err(error @ EngineError::Away { .. }) => {
                self.note_failure("commands for a session", error);
                Err(EmulationError::Away)
            }
            Err(error) => {
                self.note_failure("commands for a session", error);
                Err(EmulationError::Unanswered)
            }
        }
    }
}
