//! What a subscription is made with where the server's application says more than the namespace does, and what
//! it says of connections. Filled in by orders of the application; read by the session.

use crate::{
    config::ChannelOptions,
    engine::{Epoch, Position},
};
use serde::{Deserialize, Serialize};

/// What the application says of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admission {
    /// JSON on one line, shown in presence and beside publications as `chan_info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<str>>,
    /// JSON on one line for the client, told with the subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<str>>,
    /// When the subscription expires, Unix seconds; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// What the client missed since then comes with the subscription, where the channel can be recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Options of the namespace that are others for this subscription.
    pub changes: Changes,
}

/// What the application says of a connection that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refreshed {
    /// When it expires, Unix seconds; `None`: never.
    pub expires_at: Option<i64>,
    /// JSON on one line, shown in presence and beside publications from now on; `None`: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<str>>,
}

/// A position as the wire has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Since {
    /// Its epoch.
    pub epoch: String,
    /// Its offset.
    pub offset: u64,
}

impl Since {
    /// The position; an epoch that is none matches no channel.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: Epoch::from_text(&self.epoch), offset: self.offset }
    }
}

/// Options that are others than the namespace's; `None`: as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Whether it is listed in the presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<bool>,
    /// Whether others are told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_leave: Option<bool>,
    /// Whether it is told of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_push_join_leave: Option<bool>,
    /// Whether it has a checked position, as far as the channel keeps anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_positioning: Option<bool>,
    /// Whether it can be recovered, as far as the channel keeps anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_recovery: Option<bool>,
}

impl Changes {
    /// The options with these changes.
    pub(crate) fn over(&self, options: &ChannelOptions) -> ChannelOptions {
        let mut changed = options.clone();
        for (change, option) in [
            (self.presence, &mut changed.presence),
            (self.join_leave, &mut changed.join_leave),
            (self.force_push_join_leave, &mut changed.force_push_join_leave),
            (self.force_positioning, &mut changed.force_positioning),
            (self.force_positioning.filter(|on| !on), &mut changed.allow_positioning),
            (self.force_recovery, &mut changed.force_recovery),
            (self.force_recovery.filter(|on| !on), &mut changed.allow_recovery),
        ] {
            if let Some(on) = change {
                *option = on;
            }
        }
        changed
    }
}
