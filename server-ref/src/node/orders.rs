//! What the application has all nodes do to connections, and what it asks them: carried out here for the
//! connections of this node.

use super::{EmulationError, Node};
use crate::{
    api::Pattern,
    engine::Channel,
    hub::{Close, Connection, Control},
    session::{Admission, Refreshed},
};
use homing_core::wire::DisconnectCode;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Channels that one node names in an answer; with more of them it says so instead of naming any.
pub const MAX_CHANNELS: usize = 10_000;

/// Whose connections. Without a user they are those that `client` or `session` names, whoever they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whom {
    /// Id of the user; empty: see above.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Only the connection with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Only the connection with this session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// None of the connections with these ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whitelist: Vec<String>,
}

impl Whom {
    /// All connections of a user.
    pub fn user(user: impl Into<String>) -> Self {
        Self { user: user.into(), ..Self::default() }
    }

    /// Whether it names anybody.
    #[must_use]
    pub const fn names_somebody(&self) -> bool {
        !self.user.is_empty() || self.client.is_some() || self.session.is_some()
    }

    fn is(&self, connection: &Connection) -> bool {
        let client = &**connection.client();
        self.client.as_deref().is_none_or(|wanted| wanted == client)
            && self.session.as_deref().is_none_or(|wanted| connection.session() == Some(wanted))
            && !self.whitelist.iter().any(|spared| spared == client)
    }
}

/// What every node is asked, or told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// End connections.
    Disconnect {
        /// Which.
        whom: Whom,
        /// Close code.
        code: u16,
        /// For a developer to read.
        reason: String,
    },
    /// End subscriptions.
    Unsubscribe {
        /// Whose.
        whom: Whom,
        /// To which channel; empty: to all.
        channel: String,
        /// Unsubscribe code.
        code: u32,
        /// For a developer to read.
        reason: String,
    },
    /// Make subscriptions.
    Subscribe {
        /// Whom.
        whom: Whom,
        /// To which channel.
        channel: String,
        /// What the application says of them.
        admission: Box<Admission>,
    },
    /// Move the expiry of connections.
    Refresh {
        /// Which.
        whom: Whom,
        /// They have expired.
        expired: bool,
        /// What becomes of them otherwise.
        #[serde(flatten)]
        refreshed: Refreshed,
    },
    /// Take commands for a session that gets them beside its streamed response.
    Input {
        /// The secret of the session.
        session: String,
        /// Commands, one on each line.
        data: String,
    },
    /// Name the channels that somebody is subscribed to.
    Channels {
        /// Which; empty: all.
        pattern: String,
    },
    /// Say how the node is.
    Info,
}

impl Order {
    /// Whether being told twice is more than being told once.
    pub(super) const fn acts(&self) -> bool {
        !matches!(self, Self::Channels { .. } | Self::Info)
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was carried out.
    Done,
    /// There is no such session, or not any more.
    NoSession,
    /// The session has not yet read what came before: nothing was taken.
    Full,
    /// Channels, and how many connections of the node are subscribed to each.
    Channels(BTreeMap<String, u32>),
    /// There are more than [`MAX_CHANNELS`].
    TooManyChannels,
    /// How the node is.
    Info(NodeInfo),
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct NodeInfo {
    /// Its id, another one after every start.
    pub uid: String,
    /// Its name, as configured.
    pub name: String,
    /// Version of the server.
    pub version: String,
    /// Connections.
    pub num_clients: u32,
    /// Different users among them.
    pub num_users: u32,
    /// Subscriptions.
    pub num_subs: u32,
    /// Channels that somebody is subscribed to.
    pub num_channels: u32,
    /// Seconds since its start.
    pub uptime: u32,
}

impl Node {
    /// Carries an order out here, on this node alone.
    pub fn carry_out(&self, order: &Order) -> Answer {
        match order {
            Order::Disconnect { whom, code, reason } => {
                let close = Close { code: *code, reason: reason.clone().into(), retry_after: 0 };
                self.each(whom, |connection| connection.close(close.clone()));
            }
            Order::Unsubscribe { whom, channel, code, reason } => {
                let channel: Channel = (&**channel).into();
                self.each(whom, |connection| {
                    let (channel, reason) = (Arc::clone(&channel), reason.clone().into());
                    connection.control(Control::Unsubscribe { channel, code: *code, reason });
                });
            }
            Order::Subscribe { whom, channel, admission } => {
                let (channel, admission): (Channel, _) =
                    ((&**channel).into(), Arc::new((**admission).clone()));
                self.each(whom, |connection| {
                    let (channel, admission) = (Arc::clone(&channel), Arc::clone(&admission));
                    connection.control(Control::Subscribe { channel, admission });
                });
            }
            Order::Refresh { whom, expired, refreshed } => {
                let unix = self.clock.unix();
                let is_past = refreshed.expires_at.is_some_and(|at| at.saturating_mul(1000) <= unix);
                let refreshed = Arc::new(refreshed.clone());
                self.each(whom, |connection| {
                    if *expired || is_past {
                        connection.close(DisconnectCode::Expired.into());
                    } else {
                        connection.control(Control::Refresh(Arc::clone(&refreshed)));
                    }
                });
            }
            Order::Input { session, data } => {
                return match self.take_emulated(session, data) {
                    Ok(()) => Answer::Done,
                    Err(EmulationError::Full) => Answer::Full,
                    Err(_) => Answer::NoSession,
                };
            }
            Order::Channels { pattern } => return self.channels(pattern),
            Order::Info => return Answer::Info(self.info()),
        }
        Answer::Done
    }

    fn each(&self, whom: &Whom, act: impl Fn(&Connection)) {
        let all = match &*whom.user {
            "" if !whom.names_somebody() => return,
            "" => self.registry.all(),
            user => self.registry.of_user(user),
        };
        all.iter().filter(|connection| whom.is(connection)).for_each(|connection| act(connection));
    }

    fn channels(&self, pattern: &str) -> Answer {
        // A pattern that cannot be read was refused where it was asked.
        let Ok(pattern) = Pattern::new(pattern) else { return Answer::Channels(BTreeMap::new()) };
        let mut channels = BTreeMap::new();
        for room in self.hub.all() {
            let members = u32::try_from(room.members()).unwrap_or(u32::MAX);
            if members > 0 && pattern.matches(room.channel()) {
                channels.insert(room.channel().to_string(), members);
                if channels.len() > MAX_CHANNELS {
                    return Answer::TooManyChannels;
                }
            }
        }
        Answer::Channels(channels)
    }

    /// How this node is.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let members: Vec<usize> = self.hub.all().iter().map(|room| room.members()).collect();
        NodeInfo {
            uid: self.id().to_owned(),
            name: self.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: number(self.registry.len()),
            num_users: number(self.registry.users()),
            num_subs: number(members.iter().sum()),
            num_channels: number(members.iter().filter(|members| **members > 0).count()),
            uptime: u32::try_from(self.now().saturating_sub(self.started_at) / 1000).unwrap_or(u32::MAX),
        }
    }
}
