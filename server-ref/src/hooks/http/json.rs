//! The JSON of hooks: what is posted, and what is answered.

use crate::{
    api::Override,
    hooks::{
        Asker, ConnectAsk, ConnectGrant, HookError, PublishAsk, PublishGrant, RefreshAsk, RefreshGrant,
        RpcAsk, SubRefreshAsk, SubscribeAsk, SubscribeGrant, Verdict,
    },
    payload::{self, Field},
    session::Changes,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// Longest message of an error and longest reason, in bytes.
const MAX_MESSAGE: usize = 1024;

/// A request of any hook; what does not belong to it is left out.
#[derive(Default, Serialize)]
pub(super) struct Question<'a> {
    client: &'a str,
    transport: &'a str,
    protocol: &'a str,
    encoding: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
}

fn raw(text: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(text).ok()
}

fn raw_data(data: Option<&Bytes>) -> Option<&RawValue> {
    data.and_then(|data| raw(data))
}

impl<'a> Question<'a> {
    fn about(asker: &'a Asker, with_meta: bool) -> Self {
        let meta = asker.meta.as_ref().filter(|_| with_meta);
        Self {
            client: &asker.client,
            transport: asker.visit.transport(),
            protocol: "json",
            encoding: "json",
            user: Some(&asker.user),
            meta: meta.and_then(|meta| raw(meta.as_bytes())),
            ..Self::default()
        }
    }
}

/// Something that a hook is asked.
pub(super) trait Ask {
    fn asker(&self) -> &Asker;
    fn question(&self, with_meta: bool) -> Question<'_>;
}

impl Ask for ConnectAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question {
            user: None,
            name: &self.name,
            version: &self.version,
            data: raw_data(self.data.as_ref()),
            channels: &self.channels,
            ..Question::about(&self.asker, with_meta)
        }
    }
}

impl Ask for RefreshAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question::about(&self.asker, with_meta)
    }
}

impl Ask for SubscribeAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question {
            channel: Some(&self.channel),
            data: raw_data(self.data.as_ref()),
            ..Question::about(&self.asker, with_meta)
        }
    }
}

impl Ask for SubRefreshAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question { channel: Some(&self.channel), ..Question::about(&self.asker, with_meta) }
    }
}

impl Ask for PublishAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question {
            channel: Some(&self.channel),
            data: raw_data(Some(&self.data)),
            ..Question::about(&self.asker, with_meta)
        }
    }
}

impl Ask for RpcAsk {
    fn asker(&self) -> &Asker {
        &self.asker
    }
    fn question(&self, with_meta: bool) -> Question<'_> {
        Question {
            method: Some(&self.method),
            data: raw_data(self.data.as_ref()),
            ..Question::about(&self.asker, with_meta)
        }
    }
}

#[derive(Deserialize)]
struct Reply<T> {
    #[serde(default = "Option::default")]
    result: Option<T>,
    #[serde(default)]
    error: Option<ReplyError>,
    #[serde(default)]
    disconnect: Option<ReplyDisconnect>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
struct ReplyDisconnect {
    code: u16,
    #[serde(default)]
    reason: String,
}

fn unusable(what: impl std::fmt::Display) -> HookError {
    HookError::Unusable(what.to_string())
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_MESSAGE));
    text
}

/// Text in base64.
type Encoded<'a> = Option<Cow<'a, str>>;

fn info(plain: Option<&RawValue>, encoded: &Encoded<'_>) -> Verdict<Option<Box<str>>> {
    payload::line(Field::Info, plain, encoded.as_deref()).map_err(unusable)
}

fn data(plain: Option<&RawValue>, encoded: &Encoded<'_>) -> Verdict<Option<Box<str>>> {
    payload::line(Field::Data, plain, encoded.as_deref()).map_err(unusable)
}

fn meta(plain: Option<&RawValue>) -> Verdict<Option<Box<str>>> {
    payload::line(Field::Meta, plain, None).map_err(unusable)
}

fn data_bytes(plain: Option<&RawValue>, encoded: &Encoded<'_>) -> Verdict<Option<Bytes>> {
    Ok(data(plain, encoded)?.map(|text| Bytes::from(text.into_string())))
}

/// A Unix time; 0 stands for never. Programs that divide milliseconds answer with fractions.
fn moment(at: Option<f64>) -> Option<i64> {
    at.filter(|at| *at > 0.0).map(|at| at as i64)
}

/// Reads an answer.
pub(super) fn read<'a, T, G>(body: &'a [u8], grant: fn(T) -> Verdict<G>) -> Verdict<G>
where
    T: Deserialize<'a>,
{
    let reply: Reply<T> = serde_json::from_slice(body).map_err(unusable)?;
    if let Some(ReplyDisconnect { code, reason }) = reply.disconnect {
        if !(3000..=4999).contains(&code) {
            return Err(unusable(format_args!("disconnect code {code}, which is not between 3000 and 4999")));
        }
        return Err(HookError::Disconnect { code, reason: bounded(reason) });
    }
    if let Some(ReplyError { code, message, temporary }) = reply.error {
        // 300 to 399 mean something to the clients' outbox that no hook can say.
        if !matches!(code, 100..=299 | 400..=1999) {
            return Err(unusable(format_args!("error code {code}, which is not between 400 and 1999")));
        }
        return Err(HookError::Refused { code, message: bounded(message), temporary });
    }
    reply.result.map_or_else(|| Err(unusable("neither result, error nor disconnect")), grant)
}

#[derive(Deserialize)]
pub(super) struct Connected<'a> {
    #[serde(default)]
    user: String,
    #[serde(default)]
    expire_at: Option<f64>,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64info: Encoded<'a>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64data: Encoded<'a>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(default, borrow)]
    subs: Option<BTreeMap<String, Subscribed<'a>>>,
    #[serde(default, borrow)]
    meta: Option<&'a RawValue>,
}

impl Connected<'_> {
    pub(super) fn grant(self) -> Verdict<ConnectGrant> {
        let channels = self.channels.unwrap_or_default().into_iter();
        let mut subs: BTreeMap<_, _> = channels.map(|channel| (channel, SubscribeGrant::default())).collect();
        for (channel, sub) in self.subs.unwrap_or_default() {
            subs.insert(channel, sub.grant()?);
        }
        Ok(ConnectGrant {
            user: self.user,
            expires_at: moment(self.expire_at),
            info: info(self.info, &self.b64info)?,
            data: data(self.data, &self.b64data)?,
            subs,
            meta: meta(self.meta)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Refreshed<'a> {
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    expire_at: Option<f64>,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64info: Encoded<'a>,
    #[serde(default, borrow)]
    meta: Option<&'a RawValue>,
}

impl Refreshed<'_> {
    pub(super) fn grant(self) -> Verdict<RefreshGrant> {
        Ok(RefreshGrant {
            expired: self.expired,
            expires_at: moment(self.expire_at),
            info: info(self.info, &self.b64info)?,
            meta: meta(self.meta)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Subscribed<'a> {
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64info: Encoded<'a>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64data: Encoded<'a>,
    #[serde(default)]
    expire_at: Option<f64>,
    #[serde(default, rename = "override")]
    over: Option<Override>,
}

impl Subscribed<'_> {
    pub(super) fn grant(self) -> Verdict<SubscribeGrant> {
        Ok(SubscribeGrant {
            info: info(self.info, &self.b64info)?,
            data: data(self.data, &self.b64data)?,
            expires_at: moment(self.expire_at),
            changes: self.over.map(Changes::from).unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Published<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64data: Encoded<'a>,
    #[serde(default)]
    skip_history: bool,
}

impl Published<'_> {
    pub(super) fn grant(self) -> Verdict<PublishGrant> {
        Ok(PublishGrant { data: data_bytes(self.data, &self.b64data)?, skip_history: self.skip_history })
    }
}

#[derive(Deserialize)]
pub(super) struct Answered<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64data: Encoded<'a>,
}

impl Answered<'_> {
    pub(super) fn grant(self) -> Verdict<Option<Bytes>> {
        data_bytes(self.data, &self.b64data)
    }
}
