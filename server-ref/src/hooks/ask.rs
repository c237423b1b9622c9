//! What hooks are asked, and what they grant. JSON is text on one line; times are Unix seconds.

use super::Visit;
use crate::session::Changes;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// About whom it is.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Id of the connection.
    pub client: Arc<str>,
    /// Id of the user; empty: anonymous, or not known yet.
    pub user: Arc<str>,
    /// How the client came.
    pub visit: Visit,
    /// JSON that the connect hook, or the token, has put aside for later hooks; the client never sees it.
    pub meta: Option<Arc<str>>,
    /// Name in `proxies` of who is to be asked; empty: the hook's own address.
    pub proxy: Arc<str>,
}

/// Who is this?
#[derive(Clone, Debug)]
pub struct ConnectAsk {
    /// The connection.
    pub asker: Asker,
    /// Name of the client's library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// JSON of the connect command.
    pub data: Option<Bytes>,
    /// Server-side subscriptions that the client has had and would go on with.
    pub channels: Vec<String>,
}

/// Who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectGrant {
    /// Id of the user; empty: anonymous.
    pub user: String,
    /// When the connection expires; `None`: never.
    pub expires_at: Option<i64>,
    /// JSON put into presence and publications.
    pub info: Option<Box<str>>,
    /// JSON for the client.
    pub data: Option<Box<str>>,
    /// Subscriptions that the server makes, by channel.
    pub subs: BTreeMap<String, SubscribeGrant>,
    /// JSON for later hooks.
    pub meta: Option<Box<str>>,
}

/// Does this connection go on?
#[derive(Clone, Debug)]
pub struct RefreshAsk {
    /// The connection.
    pub asker: Asker,
}

/// Whether something that expires goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshGrant {
    /// It does not.
    pub expired: bool,
    /// When it expires next; `None`: never.
    pub expires_at: Option<i64>,
    /// JSON put into presence and publications from now on; `None`: as before.
    pub info: Option<Box<str>>,
    /// JSON for later hooks; `None`: as before. Of a connection only.
    pub meta: Option<Box<str>>,
}

/// May this client subscribe?
#[derive(Clone, Debug)]
pub struct SubscribeAsk {
    /// The connection.
    pub asker: Asker,
    /// To which channel.
    pub channel: Arc<str>,
    /// JSON of the subscribe command.
    pub data: Option<Bytes>,
}

/// A subscription that may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeGrant {
    /// JSON about this user in this channel.
    pub info: Option<Box<str>>,
    /// JSON for the client.
    pub data: Option<Box<str>>,
    /// When the subscription expires; `None`: never.
    pub expires_at: Option<i64>,
    /// Options of the namespace that are others for this subscription.
    pub changes: Changes,
}

/// Does this subscription go on?
#[derive(Clone, Debug)]
pub struct SubRefreshAsk {
    /// The connection.
    pub asker: Asker,
    /// To which channel.
    pub channel: Arc<str>,
}

/// May this client publish?
#[derive(Clone, Debug)]
pub struct PublishAsk {
    /// The connection.
    pub asker: Asker,
    /// To which channel.
    pub channel: Arc<str>,
    /// The message.
    pub data: Bytes,
}

/// A publication that may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishGrant {
    /// JSON published instead of the client's.
    pub data: Option<Bytes>,
    /// It is told to those who listen and not kept.
    pub skip_history: bool,
}

/// Carry this out.
#[derive(Clone, Debug)]
pub struct RpcAsk {
    /// The connection.
    pub asker: Asker,
    /// What.
    pub method: String,
    /// JSON argument.
    pub data: Option<Bytes>,
}
