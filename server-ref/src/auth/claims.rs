//! What tokens claim, as JSON has it and as the server uses it.

use super::TokenError;
use crate::{
    api::Override,
    payload::{self, Field, PayloadError},
    session::Changes,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// What a valid connection token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionClaims {
    /// Id of the user; empty: anonymous.
    pub user: String,
    /// Unix seconds at which the connection expires; `None`: never.
    pub expires_at: Option<i64>,
    /// JSON put into presence and publications.
    pub info: Option<Box<str>>,
    /// JSON for the client.
    pub data: Option<Box<str>>,
    /// JSON for hooks; the client never sees it.
    pub meta: Option<Box<str>>,
    /// Server-side subscriptions, by channel.
    pub subs: BTreeMap<String, TokenSubscription>,
}

/// A server-side subscription that a token asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSubscription {
    /// JSON about this user in this channel.
    pub info: Option<Box<str>>,
    /// JSON for the client.
    pub data: Option<Box<str>>,
    /// Unix seconds at which the subscription expires; `None`: never.
    pub expires_at: Option<i64>,
    /// Options of the namespace that are others for this subscription.
    pub changes: Changes,
}

/// What a valid subscription token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionClaims {
    /// Id of the user.
    pub user: String,
    /// The channel it is for.
    pub channel: String,
    /// Unix seconds at which the subscription expires; `None`: never.
    pub expires_at: Option<i64>,
    /// JSON about this user in this channel.
    pub info: Option<Box<str>>,
    /// Options of the namespace that are others for this subscription.
    pub changes: Changes,
}

#[derive(Deserialize)]
pub(super) struct Claims<'a> {
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    pub(super) exp: Option<f64>,
    #[serde(default)]
    pub(super) nbf: Option<f64>,
    #[serde(default)]
    pub(super) iss: Option<String>,
    #[serde(default)]
    pub(super) aud: Option<Audience>,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64info: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    meta: Option<&'a RawValue>,
    #[serde(default)]
    expire_at: Option<f64>,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default, borrow)]
    subs: BTreeMap<String, Sub<'a>>,
    #[serde(default, rename = "override")]
    over: Option<Override>,
}

#[derive(Deserialize)]
struct Sub<'a> {
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64info: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    b64data: Option<Cow<'a, str>>,
    #[serde(default, rename = "override")]
    over: Option<Override>,
}

impl TryFrom<Sub<'_>> for TokenSubscription {
    type Error = PayloadError;

    fn try_from(sub: Sub<'_>) -> Result<Self, PayloadError> {
        Ok(Self {
            info: payload::line(Field::Info, sub.info, sub.b64info.as_deref())?,
            data: payload::line(Field::Data, sub.data, sub.b64data.as_deref())?,
            expires_at: None,
            changes: sub.over.map(Changes::from).unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn holds(&self, expected: &str) -> bool {
        match self {
            Self::One(one) => one == expected,
            Self::Many(many) => many.iter().any(|one| one == expected),
        }
    }
}

fn unusable(error: impl std::fmt::Display) -> TokenError {
    TokenError::Invalid(format!("its claims: {error}"))
}

impl<'a> Claims<'a> {
    pub(super) fn read(json: &'a str) -> Result<Self, TokenError> {
        serde_json::from_str(json).map_err(unusable)
    }

    fn expires_at(&self) -> Option<i64> {
        // Fractions of a second do not matter, and a time beyond all times is one that never comes.
        let at = self.expire_at.or(self.exp)?;
        (at > 0.0).then_some(at as i64)
    }

    fn info(&self) -> Result<Option<Box<str>>, TokenError> {
        payload::line(Field::Info, self.info, self.b64info.as_deref()).map_err(unusable)
    }

    pub(super) fn connection(self, user: String) -> Result<ConnectionClaims, TokenError> {
        let (expires_at, info) = (self.expires_at(), self.info()?);
        let meta = payload::line(Field::Meta, self.meta, None).map_err(unusable)?;
        let channels = self.channels.into_iter();
        let mut subs: BTreeMap<_, _> =
            channels.map(|channel| (channel, TokenSubscription::default())).collect();
        for (channel, sub) in self.subs {
            let sub = TokenSubscription::try_from(sub)
                .map_err(|error| unusable(format_args!("subs[{channel:?}]: {error}")))?;
            subs.insert(channel, sub);
        }
        Ok(ConnectionClaims { user, expires_at, info, data: None, meta, subs })
    }

    pub(super) fn subscription(self, user: String) -> Result<SubscriptionClaims, TokenError> {
        let (expires_at, info) = (self.expires_at(), self.info()?);
        let changes = self.over.map(Changes::from).unwrap_or_default();
        Ok(SubscriptionClaims { user, channel: self.channel, expires_at, info, changes })
    }
}
