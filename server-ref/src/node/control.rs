//! Messages between nodes: what the application asked one of them to do to a user's connections.

use super::Node;
use crate::{engine::Call, hub::Close};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What every node is to do to the connections of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserCommand {
    /// End them.
    Disconnect {
        /// Whose.
        user: String,
        /// Close code.
        code: u16,
        /// For a developer to read.
        reason: String,
    },
    /// End their subscription.
    Unsubscribe {
        /// Whose.
        user: String,
        /// To which channel.
        channel: String,
        /// Unsubscribe code.
        code: u32,
        /// For a developer to read.
        reason: String,
    },
    /// Subscribe them.
    Subscribe {
        /// Whom.
        user: String,
        /// To which channel.
        channel: String,
    },
    /// Hand a client's commands to its session.
    Input(super::Emulated),
}

impl Node {
    /// Has every node, this one too, do something to the connections of a user.
    pub fn command(&self, command: &UserCommand) -> Call<()> {
        let message = serde_json::to_vec(command).expect("it is made of text and numbers");
        self.engine.control(Bytes::from(message))
    }

    pub(super) fn handle_control(&self, message: &Bytes) {
        match serde_json::from_slice(message) {
            Ok(UserCommand::Disconnect { user, code, reason }) => {
                self.disconnect_user(&user, &Close { code, reason: reason.into(), retry_after: 0 });
            }
            Ok(UserCommand::Unsubscribe { user, channel, code, reason }) => {
                self.unsubscribe_user(&user, &channel, code, &reason);
            }
            Ok(UserCommand::Subscribe { user, channel }) => self.subscribe_user(&user, &channel),
            Ok(UserCommand::Input(piece)) if piece.node == self.id() => {
                if let Err(error) = self.take_emulated(&piece.session, &piece.data) {
                    tracing::debug!(%error, "commands for a session were not taken");
                }
            }
            Ok(UserCommand::Input(_)) => {}
            // A later version on another node may say more.
            Err(error) => tracing::warn!(%error, "a control message that this version does not know"),
        }
    }
}
