//! What the methods of the HTTP API answer. Fields without a value are left out, and what goes beyond the API
//! of others is under `homing`. The OpenAPI description is made from these types and their comments.

use super::CallError;
use crate::{
    engine::{Appended, Page, Publication as Kept, Snapshot, Stats},
    node::NodeInfo,
    serve::Reached,
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What is ours alone.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Extras {
    /// Ids of the nodes that did not answer in time: whether they carried it out is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<String>,
}

impl Extras {
    fn of(unanswered: Vec<String>) -> Option<Self> {
        (!unanswered.is_empty()).then_some(Self { unanswered })
    }
}

/// Why a command failed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Error {
    /// The protocol's number.
    pub(super) code: u32,
    /// For a developer to read.
    pub(super) message: String,
}

impl From<&CallError> for Error {
    fn from(error: &CallError) -> Self {
        Self { code: error.code().code(), message: error.to_string() }
    }
}

/// A message was published.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PublishResult")]
pub(super) struct Published {
    /// Its offset; left out where the channel keeps nothing.
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    /// Its epoch; left out where the channel keeps nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    epoch: String,
    /// Its key was known: it is the one that was published first, and nobody was told again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl From<Appended> for Published {
    fn from(appended: Appended) -> Self {
        let position = appended.position;
        Self {
            offset: position.map_or(0, |position| position.offset),
            epoch: position.map(|position| position.epoch.to_string()).unwrap_or_default(),
            duplicate: appended.duplicate,
        }
    }
}

/// What became of a message in one channel: a result or an error.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PublishResponse")]
pub(super) struct PublishedTo {
    /// It was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Published>,
    /// It was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

/// A message was published to many channels.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BroadcastResult")]
pub(super) struct Broadcasted {
    /// In the order of the channels.
    responses: Vec<PublishedTo>,
}

impl From<Vec<Result<Appended, CallError>>> for Broadcasted {
    fn from(all: Vec<Result<Appended, CallError>>) -> Self {
        let one = |published: Result<Appended, CallError>| match published {
            Ok(appended) => PublishedTo { result: Some(appended.into()), error: None },
            Err(error) => PublishedTo { result: None, error: Some((&error).into()) },
        };
        Self { responses: all.into_iter().map(one).collect() }
    }
}

/// It was told to all connections that it concerns; there may be none.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderResult")]
pub(super) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    homing: Option<Extras>,
}

impl From<Reached> for Told {
    fn from(reached: Reached) -> Self {
        Self { homing: Extras::of(reached.unanswered) }
    }
}

/// Nothing more to say.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmptyResult")]
pub(super) struct Done {}

/// A connection.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ClientInfo<'a> {
    /// Id of the user; empty: anonymous.
    #[serde(default)]
    user: String,
    /// Id of the connection.
    #[serde(default)]
    client: String,
    /// What its token says of the user.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    conn_info: Option<&'a RawValue>,
    /// What was said of it for this channel.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    chan_info: Option<&'a RawValue>,
}

/// Who is in a channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PresenceResult")]
pub(super) struct Presence<'a> {
    /// By the connection's id.
    presence: BTreeMap<&'a str, ClientInfo<'a>>,
}

/// JSON that the engine kept; what is none is left out.
fn read<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

impl<'a> From<&'a Snapshot> for Presence<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        let entries = snapshot.entries.iter();
        Self { presence: entries.filter_map(|entry| Some((&*entry.key, read(&entry.value)?))).collect() }
    }
}

/// How many are in a channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PresenceStatsResult")]
pub(super) struct PresenceStats {
    /// Connections.
    num_clients: u32,
    /// Different users.
    num_users: u32,
}

impl From<Stats> for PresenceStats {
    fn from(stats: Stats) -> Self {
        Self { num_clients: stats.entries, num_users: stats.owners }
    }
}

/// A message.
#[derive(Serialize, JsonSchema)]
pub(super) struct Publication<'a> {
    /// Its JSON.
    #[schemars(with = "serde_json::Value")]
    data: &'a RawValue,
    /// Its place.
    offset: u64,
    /// The client that published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<ClientInfo<'a>>,
    /// What was told beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
    /// Its id, where the publisher gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// When it was published, Unix milliseconds.
    time: i64,
}

#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    info: Option<ClientInfo<'a>>,
    tags: Option<BTreeMap<String, String>>,
    id: Option<String>,
}

impl<'a> Publication<'a> {
    fn new(kept: &'a Kept) -> Option<Self> {
        let Meta { info, tags, id } = read(&kept.meta).unwrap_or_default();
        Some(Self { data: read(&kept.data)?, offset: kept.offset, info, tags, id, time: kept.time })
    }
}

/// A page of a channel's history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryResult")]
pub(super) struct History<'a> {
    /// In the order asked for.
    publications: Vec<Publication<'a>>,
    /// The channel's epoch.
    epoch: String,
    /// Offset of its newest publication.
    offset: u64,
}

impl<'a> From<&'a Page> for History<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            publications: page.publications.iter().filter_map(Publication::new).collect(),
            epoch: page.head.epoch.to_string(),
            offset: page.head.offset,
        }
    }
}

/// A channel that somebody is subscribed to.
#[derive(Serialize, JsonSchema)]
pub(super) struct ChannelInfo {
    /// Connections that are.
    num_clients: u32,
}

/// Channels that somebody is subscribed to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelsResult")]
pub(super) struct Channels {
    /// By name.
    channels: BTreeMap<String, ChannelInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homing: Option<Extras>,
}

impl From<Reached<BTreeMap<String, u32>>> for Channels {
    fn from(reached: Reached<BTreeMap<String, u32>>) -> Self {
        let channels = reached.found.into_iter();
        Self {
            channels: channels.map(|(name, num_clients)| (name, ChannelInfo { num_clients })).collect(),
            homing: Extras::of(reached.unanswered),
        }
    }
}

/// How the nodes are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InfoResult")]
pub(super) struct Info {
    /// Each of them.
    nodes: Vec<NodeInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homing: Option<Extras>,
}

impl From<Reached<Vec<NodeInfo>>> for Info {
    fn from(reached: Reached<Vec<NodeInfo>>) -> Self {
        Self { nodes: reached.found, homing: Extras::of(reached.unanswered) }
    }
}
