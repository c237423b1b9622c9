//! What the methods of the HTTP API take. Unknown fields are ignored; the OpenAPI description is made from
//! these types and their comments.

use super::{CallError, HistoryQuery, PublishOptions};
use crate::{
    frames,
    node::Whom,
    payload::{self, Field},
    session::{Admission, Changes, Refreshed, Since},
};
use homing_core::wire::Raw;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// A payload: JSON, or JSON in base64.
type Json<'a> = Option<&'a RawValue>;

/// A payload that may be `null`, which is JSON like any other.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Json<'a>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The message of two fields, one of which has to be there.
fn message<'a>(data: Json<'a>, b64data: Option<&str>) -> Result<Cow<'a, str>, CallError> {
    payload::text(Field::Data, data, b64data)?.ok_or_else(|| CallError::bad_request("missing field `data`"))
}

/// Publishes to a channel.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PublishRequest")]
pub(super) struct Publish<'a> {
    /// Where.
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    /// The message: any JSON.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(super) data: Json<'a>,
    /// The message as JSON in base64, instead of `data`.
    #[serde(borrow)]
    b64data: Option<Cow<'a, str>>,
    /// Told beside the message.
    tags: Option<BTreeMap<String, String>>,
    /// Tell those who listen, and keep nothing.
    skip_history: Option<bool>,
    /// A repetition with the same key within five minutes is known, per channel.
    idempotency_key: Option<String>,
}

/// Publishes the same message to many channels.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "BroadcastRequest")]
pub(super) struct Broadcast<'a> {
    /// Where.
    #[serde(borrow)]
    pub(super) channels: Vec<Cow<'a, str>>,
    /// The message: any JSON.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(super) data: Json<'a>,
    /// The message as JSON in base64, instead of `data`.
    #[serde(borrow)]
    b64data: Option<Cow<'a, str>>,
    /// Told beside the message.
    tags: Option<BTreeMap<String, String>>,
    /// Tell those who listen, and keep nothing.
    skip_history: Option<bool>,
    /// A repetition with the same key within five minutes is known, per channel.
    idempotency_key: Option<String>,
}

/// A message and how it is published.
pub(super) type Message<'a> = (Cow<'a, str>, PublishOptions);

impl<'a> Publish<'a> {
    pub(super) fn message(self) -> Result<(Cow<'a, str>, Message<'a>), CallError> {
        let data = message(self.data, self.b64data.as_deref())?;
        let options = PublishOptions {
            tags: self.tags.unwrap_or_default(),
            skip_history: self.skip_history.unwrap_or_default(),
            idempotency_key: self.idempotency_key,
        };
        Ok((self.channel, (data, options)))
    }
}

impl<'a> Broadcast<'a> {
    pub(super) fn message(self) -> Result<(Vec<Cow<'a, str>>, Message<'a>), CallError> {
        let data = message(self.data, self.b64data.as_deref())?;
        let options = PublishOptions {
            tags: self.tags.unwrap_or_default(),
            skip_history: self.skip_history.unwrap_or_default(),
            idempotency_key: self.idempotency_key,
        };
        Ok((self.channels, (data, options)))
    }
}

/// A place in a channel.
#[derive(Clone, Deserialize, JsonSchema)]
pub(super) struct StreamPosition {
    /// Offset of a publication; 0: before the first.
    #[serde(default)]
    offset: u64,
    /// Epoch of the channel; empty: the one at hand.
    #[serde(default)]
    epoch: String,
}

impl From<StreamPosition> for Since {
    fn from(StreamPosition { offset, epoch }: StreamPosition) -> Self {
        Self { epoch, offset }
    }
}

/// A value that may be left out.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
pub(crate) struct BoolValue {
    /// The value.
    #[serde(default)]
    value: bool,
}

/// Options that are others than the namespace's for this subscription.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
pub(crate) struct Override {
    /// Whether it is listed in the presence.
    presence: Option<BoolValue>,
    /// Whether others are told of it.
    join_leave: Option<BoolValue>,
    /// Whether it is told of others.
    force_push_join_leave: Option<BoolValue>,
    /// Whether it has a checked position.
    force_positioning: Option<BoolValue>,
    /// Whether it can be recovered.
    force_recovery: Option<BoolValue>,
}

impl From<Override> for Changes {
    fn from(over: Override) -> Self {
        let value = |option: Option<BoolValue>| option.map(|option| option.value);
        Self {
            presence: value(over.presence),
            join_leave: value(over.join_leave),
            force_push_join_leave: value(over.force_push_join_leave),
            force_positioning: value(over.force_positioning),
            force_recovery: value(over.force_recovery),
        }
    }
}

/// Subscribes a user's connections to a channel.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SubscribeRequest")]
pub(super) struct Subscribe<'a> {
    /// Whose connections; may be left out where `client` or `session` is there.
    #[serde(default)]
    user: String,
    /// To which channel.
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    /// JSON shown in presence and beside publications as `chan_info`.
    #[serde(borrow)]
    #[schemars(with = "Option<serde_json::Value>")]
    info: Json<'a>,
    /// `info` as JSON in base64, instead of `info`.
    #[serde(borrow)]
    b64info: Option<Cow<'a, str>>,
    /// Only the connection with this id.
    client: Option<String>,
    /// Only the connection with this session id.
    session: Option<String>,
    /// JSON for the client, told with the subscription.
    #[serde(borrow)]
    #[schemars(with = "Option<serde_json::Value>")]
    data: Json<'a>,
    /// `data` as JSON in base64, instead of `data`.
    #[serde(borrow)]
    b64data: Option<Cow<'a, str>>,
    /// When the subscription expires, Unix seconds; 0: never.
    expire_at: Option<i64>,
    /// What was published since then comes with the subscription.
    recover_since: Option<StreamPosition>,
    /// Options that are others than the namespace's.
    #[serde(rename = "override")]
    over: Option<Override>,
}

impl<'a> Subscribe<'a> {
    pub(super) fn parts(self) -> Result<(Whom, Cow<'a, str>, Admission), CallError> {
        let info = payload::line(Field::Info, self.info, self.b64info.as_deref())?;
        let data = payload::line(Field::Data, self.data, self.b64data.as_deref())?;
        let expires_at = self.expire_at.filter(|at| *at > 0);
        let since = self.recover_since.map(Since::from);
        let changes = self.over.unwrap_or_default().into();
        let admission = Admission { info, data, expires_at, since, changes };
        let whom =
            Whom { user: self.user, client: self.client, session: self.session, whitelist: Vec::new() };
        Ok((whom, self.channel, admission))
    }
}

/// Ends a user's subscriptions to a channel.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "UnsubscribeRequest")]
pub(super) struct Unsubscribe {
    /// Whose; may be left out where `client` or `session` is there.
    #[serde(default)]
    user: String,
    /// To which channel; empty: to all.
    pub(super) channel: String,
    /// Only that of the connection with this id.
    client: Option<String>,
    /// Only that of the connection with this session id.
    session: Option<String>,
}

impl Unsubscribe {
    pub(super) fn whom(self) -> (Whom, String) {
        let whom =
            Whom { user: self.user, client: self.client, session: self.session, whitelist: Vec::new() };
        (whom, self.channel)
    }
}

/// A close code and its reason.
#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(rename = "Disconnect")]
pub(super) struct DisconnectWith {
    /// 3000 to 4999; 0: 3503. Clients come back below 3500, and from 4000 to 4499.
    #[serde(default)]
    pub(super) code: u32,
    /// For a developer to read.
    #[serde(default)]
    pub(super) reason: String,
}

/// Ends a user's connections.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "DisconnectRequest")]
pub(super) struct Disconnect {
    /// Whose; may be left out where `client` or `session` is there.
    #[serde(default)]
    user: String,
    /// Only the connection with this id.
    client: Option<String>,
    /// Only the connection with this session id.
    session: Option<String>,
    /// None of the connections with these ids.
    whitelist: Option<Vec<String>>,
    /// What clients are told; default: 3503, force disconnect.
    disconnect: Option<DisconnectWith>,
}

impl Disconnect {
    pub(super) fn parts(self) -> (Whom, Option<DisconnectWith>) {
        let whitelist = self.whitelist.unwrap_or_default();
        let whom = Whom { user: self.user, client: self.client, session: self.session, whitelist };
        (whom, self.disconnect.filter(|with| with.code != 0))
    }
}

/// Says when a user's connections expire.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RefreshRequest")]
pub(super) struct Refresh<'a> {
    /// Whose; may be left out where `client` or `session` is there.
    #[serde(default)]
    user: String,
    /// Only the connection with this id.
    client: Option<String>,
    /// Only the connection with this session id.
    session: Option<String>,
    /// They have expired: they are closed, and come back with a fresh token.
    expired: Option<bool>,
    /// When they expire, Unix seconds; 0 or left out: never.
    expire_at: Option<i64>,
    /// JSON shown in presence and beside publications from now on; left out: as before.
    #[serde(borrow)]
    #[schemars(with = "Option<serde_json::Value>")]
    info: Json<'a>,
    /// `info` as JSON in base64, instead of `info`.
    #[serde(borrow)]
    b64info: Option<Cow<'a, str>>,
}

impl Refresh<'_> {
    /// Whose, and what becomes of them; nothing where they have expired.
    pub(super) fn parts(self) -> Result<(Whom, Option<Refreshed>), CallError> {
        let whom =
            Whom { user: self.user, client: self.client, session: self.session, whitelist: Vec::new() };
        let info = payload::line(Field::Info, self.info, self.b64info.as_deref())?;
        let refreshed = Refreshed { expires_at: self.expire_at.filter(|at| *at > 0), info };
        Ok((whom, (!self.expired.unwrap_or_default()).then_some(refreshed)))
    }
}

/// Names a channel.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChannelRequest")]
pub(super) struct OfChannel<'a> {
    /// Which.
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
}

/// Reads a channel's history.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "HistoryRequest")]
pub(super) struct History<'a> {
    /// Which.
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    /// Publications at most; 0 or left out: the position alone, -1: as many as a client may get.
    limit: Option<i32>,
    /// Behind (with `reverse`: before) this place.
    since: Option<StreamPosition>,
    /// From newer to older.
    reverse: Option<bool>,
}

impl<'a> History<'a> {
    pub(super) fn query(self) -> (Cow<'a, str>, HistoryQuery) {
        let limit = u32::try_from(self.limit.unwrap_or_default()).ok();
        let (since, reverse) = (self.since.map(Since::from), self.reverse.unwrap_or_default());
        (self.channel, HistoryQuery { limit, since, reverse })
    }
}

/// Chooses channels.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ChannelsRequest")]
pub(super) struct Channels {
    /// `*` stands for anything, `?` for one character, `[a-c]` for one of a set, `{one,other}` for either.
    /// Empty or left out: all.
    pub(super) pattern: Option<String>,
}

/// Takes nothing.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "InfoRequest")]
pub(super) struct Info {}

/// Several commands in one request.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "BatchRequest")]
pub(super) struct Batch<'a> {
    /// Each an object with one field: the name of a method, and what it takes.
    #[serde(borrow)]
    #[schemars(with = "Vec<BTreeMap<String, serde_json::Value>>")]
    pub(super) commands: Vec<&'a RawValue>,
    /// Carry them out at the same time, in no order; else one after the other.
    pub(super) parallel: Option<bool>,
}

/// Checks JSON that a Rust program has given.
pub(crate) fn checked(name: &str, json: &mut Option<Box<str>>) -> Result<(), CallError> {
    if let Some(text) = json {
        Raw::new(text).map_err(|_| CallError::bad_request(format!("{name} is not JSON")))?;
        *json = Some(frames::on_one_line(text).into());
    }
    Ok(())
}
