//! What tokens claim, as JSON has it and as the server uses it.

use super::TokenError;
use crate::session::Changes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

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
    meta: Option<&'a RawValue>,
    #[serde(default)]
    expire_at: Option<f64>,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default, borrow)]
    subs: BTreeMap<String, Sub<'a>>,
}

#[derive(Deserialize)]
struct Sub<'a> {
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
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

/// JSON on one line: a frame may hold several objects, divided by line feeds.
fn line(raw: Option<&RawValue>) -> Option<Box<str>> {
    let text = raw?.get();
    (text != "null").then(|| text.replace(['\n', '\r'], " ").into())
}

impl<'a> Claims<'a> {
    pub(super) fn read(json: &'a str) -> Result<Self, TokenError> {
        serde_json::from_str(json).map_err(|error| TokenError::Invalid(format!("its claims: {error}")))
    }

    fn expires_at(&self) -> Option<i64> {
        // Fractions of a second do not matter, and a time beyond all times is one that never comes.
        let at = self.expire_at.or(self.exp)?;
        (at > 0.0).then_some(at as i64)
    }

    pub(super) fn connection(self, user: String) -> ConnectionClaims {
        let expires_at = self.expires_at();
        let mut subs: BTreeMap<String, TokenSubscription> =
            self.channels.into_iter().map(|channel| (channel, TokenSubscription::default())).collect();
        subs.extend(self.subs.into_iter().map(|(channel, sub)| {
            (
                channel,
                TokenSubscription {
                    info: line(sub.info),
                    data: line(sub.data),
                    ..TokenSubscription::default()
                },
            )
        }));
        ConnectionClaims { user, expires_at, info: line(self.info), data: None, meta: line(self.meta), subs }
    }

    pub(super) fn subscription(self, user: String) -> SubscriptionClaims {
        let expires_at = self.expires_at();
        SubscriptionClaims { user, channel: self.channel, expires_at, info: line(self.info) }
    }
}
