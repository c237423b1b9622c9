//! The application's calls on channels: publish, history, presence. The same for Rust programs and for the
//! HTTP API.

use super::CallError;
use crate::{
    channels::Namespace,
    engine::{
        Append, Appended, Call, EngineError, Epoch, IdempotencyKey, NotAppended, Page, Part, Position, Reach,
        Read, Retention, Snapshot, Stats,
    },
    frames,
    node::Node,
    session::Since,
};
use bytes::Bytes;
use homing_core::wire::{ErrorCode, Raw};
use std::{collections::BTreeMap, sync::Arc};

/// How long an idempotency key is remembered.
const KEY_TTL: u64 = 5 * 60 * 1000;
/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;
/// Members that one presence lists; of a larger channel the numbers can be asked for.
const MAX_PRESENCE: u32 = 20_000;
/// Publications on one page, and their bytes.
const MAX_PAGE: u32 = 10_000;
const MAX_PAGE_BYTES: usize = 8 << 20;

/// Channels of one broadcast that are published to at the same time.
const UNDER_WAY: usize = 1024;

/// How a message of the application is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Told beside the message.
    pub tags: BTreeMap<String, String>,
    /// It is told to those who listen, and not kept.
    pub skip_history: bool,
    /// What makes a repetition within five minutes the same publish; at most 255 bytes.
    pub idempotency_key: Option<String>,
}

impl PublishOptions {
    /// With a key that makes repetitions harmless.
    pub fn once(key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(key.into()), ..Self::default() }
    }
}

/// Which page of a channel's history is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Publications at most: 0 for the position alone, `None` for as many as a client gets.
    pub limit: Option<u32>,
    /// Behind (with `reverse`: before) this place. Without an epoch: in the epoch at hand.
    pub since: Option<Since>,
    /// From newer to older.
    pub reverse: bool,
}

/// A message that was checked, ready for any number of channels.
pub(crate) struct Message {
    data: Bytes,
    meta: Bytes,
    skip_history: bool,
    key: Option<IdempotencyKey>,
}

impl Message {
    fn new(node: &Node, data: &str, options: &PublishOptions) -> Result<Self, CallError> {
        Raw::new(data).map_err(|_| CallError::bad_request("data is not JSON"))?;
        let meta = frames::tagged(&options.tags);
        let (size, most) = (data.len() + meta.len(), node.config.client.message_size_limit);
        if size > most {
            let what = format!("a message of {size} bytes, {most} may be (client.message_size_limit)");
            return Err(CallError::because(ErrorCode::LimitExceeded, what));
        }
        let key = options.idempotency_key.as_deref().unwrap_or_default();
        if key.len() > MAX_KEY {
            return Err(CallError::bad_request("an idempotency key has at most 255 bytes"));
        }
        // Keys of clients begin with the length of their user's name: the application's are others.
        let key =
            (!key.is_empty()).then(|| IdempotencyKey { key: format!("api:{key}").into(), ttl: KEY_TTL });
        let data = frames::on_one_line(data).into_owned().into();
        Ok(Self { data, meta, skip_history: options.skip_history, key })
    }

    fn to(&self, node: &Node, channel: &str) -> Result<Append, CallError> {
        let namespace = namespace(node, channel)?;
        Ok(Append {
            channel: channel.into(),
            data: self.data.clone(),
            meta: self.meta.clone(),
            retention: if self.skip_history { Retention::default() } else { namespace.retention },
            key: self.key.clone(),
            producer: None,
            refused: false,
            owner: None,
        })
    }
}

/// The namespace of a channel, or what is wrong with its name.
pub(crate) fn namespace<'a>(node: &'a Node, channel: &str) -> Result<&'a Arc<Namespace>, CallError> {
    node.rules.namespace(channel).map_err(|code| match code {
        ErrorCode::BadRequest => {
            let most = node.rules.max_length();
            CallError::bad_request(format!("no channel can have this name (1 to {most} ASCII bytes)"))
        }
        code => code.into(),
    })
}

/// A publish that was sent to the engine.
pub type Publishing = Call<Result<Appended, NotAppended>>;

/// Sends a message to the engine: publishes to one channel take effect in the order of these calls.
pub(crate) fn publish(
    node: &Node,
    channel: &str,
    data: &str,
    options: &PublishOptions,
) -> Result<Publishing, CallError> {
    let append = Message::new(node, data, options)?.to(node, channel)?;
    Ok(node.engine.append(append))
}

/// Sends a message to many channels, a bounded number of them under way: the engine's own queues are for everybody.
pub(crate) async fn broadcast<C: AsRef<str>>(
    node: &Node,
    channels: &[C],
    data: &str,
    options: &PublishOptions,
) -> Result<Vec<Result<Appended, CallError>>, CallError> {
    let message = Message::new(node, data, options)?;
    if channels.is_empty() {
        return Err(CallError::bad_request("channels are missing"));
    }
    let mut all = Vec::with_capacity(channels.len());
    for some in channels.chunks(UNDER_WAY) {
        let one = |channel: &C| message.to(node, channel.as_ref()).map(|append| node.engine.append(append));
        let sent: Vec<_> = some.iter().map(one).collect();
        for publishing in sent {
            all.push(match publishing {
                Ok(publishing) => published(node, publishing).await,
                Err(error) => Err(error),
            });
        }
        // An engine that answers at once would keep the thread.
        tokio::task::yield_now().await;
    }
    Ok(all)
}

/// What became of a publish.
pub(crate) async fn published(node: &Node, call: Publishing) -> Result<Appended, CallError> {
    let appended = call.finish().await.inspect_err(|error| node.note_failure("publish", *error))?;
    let appended =
        appended.map_err(|_| EngineError::Broken("a publication without a producer was judged"))?;
    let metrics = &node.metrics;
    if appended.duplicate { &metrics.duplicates } else { &metrics.publications }.increment(1);
    Ok(appended)
}

pub(crate) async fn history(node: &Node, channel: &str, query: &HistoryQuery) -> Result<Page, CallError> {
    let namespace = namespace(node, channel)?;
    if !namespace.retention.keeps() {
        return Err(ErrorCode::NotAvailable.into());
    }
    let limit = query.limit.unwrap_or(node.config.client.history_max_publication_limit).min(MAX_PAGE);
    let meta_ttl = namespace.retention.meta_ttl;
    let mut read = Read {
        channel: channel.into(),
        since: None,
        limit,
        reverse: query.reverse,
        heard: false,
        meta_ttl,
        owner: None,
    };
    if let Some(since) = &query.since {
        let epoch = match &*since.epoch {
            "" => node.engine.read(Read { limit: 0, ..read.clone() }).finish().await?.epoch(),
            epoch => Epoch::from_text(epoch),
        };
        read.since = Some(Position { epoch, offset: since.offset });
    }
    let since = read.since;
    let mut page = node.engine.read(read).finish().await?;
    if page.reach == Reach::Unknown && since.is_some_and(|since| since.epoch != page.head.epoch) {
        return Err(ErrorCode::UnrecoverablePosition.into());
    }
    page.cut(MAX_PAGE_BYTES);
    Ok(page)
}

pub(crate) async fn history_remove(node: &Node, channel: &str) -> Result<(), CallError> {
    if !namespace(node, channel)?.retention.keeps() {
        return Err(ErrorCode::NotAvailable.into());
    }
    Ok(node.engine.clear(channel.into()).finish().await?)
}

fn has_presence(node: &Node, channel: &str) -> Result<(), CallError> {
    if namespace(node, channel)?.options.presence { Ok(()) } else { Err(ErrorCode::NotAvailable.into()) }
}

pub(crate) async fn presence(node: &Node, channel: &str) -> Result<Snapshot, CallError> {
    has_presence(node, channel)?;
    let snapshot = node.engine.snapshot(Part::Here, channel.into(), MAX_PRESENCE).finish().await?;
    if snapshot.more {
        let what = format!("more than {MAX_PRESENCE} are present");
        return Err(CallError::because(ErrorCode::LimitExceeded, what));
    }
    Ok(snapshot)
}

pub(crate) async fn presence_stats(node: &Node, channel: &str) -> Result<Stats, CallError> {
    has_presence(node, channel)?;
    Ok(node.engine.stats(Part::Here, channel.into()).finish().await?)
}
