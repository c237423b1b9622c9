//! The connect command: who the client is, and the subscriptions that its token asks for.

use super::{
    Identity, Refusal, Session, Stage,
    asking::Denied,
    subscriptions::{Asked, Purpose},
};
use crate::{
    auth::{ConnectionClaims, TokenError},
    engine::{Channel, Epoch, Position, REMEMBERED},
    frames,
    hooks::{AnyHooks, Hook, Line},
};
use bytes::Bytes;
use homing_core::wire::{
    self, Connect, ConnectResult, DisconnectCode, ErrorCode, Extras, Limits, Outcome, Raw,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// What this server offers beyond the protocol.
const CAPABILITIES: [&str; 5] = ["idempotency-key", "ping", "publish-position", "retention", "retry-after"];
/// Offered while there is a dedupe window.
const PRODUCERS: &str = "producers";

/// A connect command that is being answered.
pub(super) struct Connecting {
    id: u32,
    expires_at: Option<i64>,
    /// JSON for the client.
    data: Option<Box<str>>,
    /// Server-side subscriptions that are not there yet.
    missing: usize,
}

/// What a client of an insecure server says of itself in the connect command's data. Taken on its word, as
/// everything is there; a token says it elsewhere.
#[derive(Deserialize)]
struct Introduction<'a> {
    #[serde(default)]
    user: String,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
}

impl Introduction<'_> {
    fn claims(data: Option<Raw<'_>>) -> ConnectionClaims {
        let read = data.and_then(|data| serde_json::from_str::<Introduction<'_>>(data.as_str()).ok());
        let Some(read) = read else { return ConnectionClaims::default() };
        ConnectionClaims {
            user: read.user,
            info: read.info.map(|info| frames::on_one_line(info.get()).into()),
            ..ConnectionClaims::default()
        }
    }
}

/// Positions of server-side subscriptions that the client wants to go on from.
type Positions = BTreeMap<String, Position>;

fn positions(connect: &Connect<'_>) -> Positions {
    let recovering = connect.subs.iter().filter(|(_, request)| request.recover);
    recovering.map(|(channel, request)| (channel.to_string(), position(request))).collect()
}

pub(super) fn position(request: &wire::Subscribe<'_>) -> Position {
    Position { epoch: Epoch::from_text(&request.epoch), offset: request.offset }
}

impl Session {
    pub(super) fn connect(&mut self, id: u32, request: &Connect<'_>) {
        if self.node.is_draining() {
            return self.node.close_for_shutdown(&self.connection);
        }
        let config = &self.node.config.client;
        self.stage = Stage::Connecting;
        let positions = positions(request);
        let node = Arc::clone(&self.node);
        if !request.token.is_empty() && (node.tokens.has_keys() || !config.insecure) {
            let verification = node.tokens.connection(&request.token, &node.clock);
            return self.then(verification, move |session, claims| match claims {
                Ok(claims) => session.identified(id, claims, &positions),
                Err(error) => session.connect_refused(id, error),
            });
        }
        if let Some(headers) = request.headers {
            node.desk.emulate(&mut self.visit, headers.as_str());
        }
        if let Some(line) = self.line(Hook::Connect, config.proxy.connect.enabled, "") {
            return self.connect_by_hook(id, request, positions, &line);
        }
        if config.insecure {
            self.identified(id, Introduction::claims(request.data), &positions);
        } else if config.allow_anonymous_connect_without_token {
            self.identified(id, ConnectionClaims::default(), &positions);
        } else {
            self.refuse_connect(id, Refusal::because(ErrorCode::Unauthorized, "a token is needed".into()));
        }
    }

    fn connect_by_hook(&mut self, id: u32, request: &Connect<'_>, positions: Positions, line: &Arc<Line>) {
        let data = match self.payload(request.data) {
            Ok(data) => data,
            Err(refusal) => return self.refuse_connect(id, refusal),
        };
        let ask = self.connect_ask(line, request, data);
        self.ask_hook(line, ask, AnyHooks::connect, move |session, verdict| match verdict {
            Ok(grant) if session.is_past(grant.expires_at) => {
                session.refuse_connect(id, ErrorCode::Expired.into());
            }
            Ok(grant) => session.identified(id, grant.into(), &positions),
            Err(error) => match error.into() {
                Denied::Refused(refusal) => session.refuse_connect(id, refusal),
                Denied::Ended(close) => {
                    session.node.metrics.refused.increment(1);
                    session.end(close);
                }
            },
        });
    }

    fn connect_refused(&mut self, id: u32, error: TokenError) {
        match error {
            TokenError::Expired => self.refuse_connect(id, ErrorCode::TokenExpired.into()),
            TokenError::Unavailable(_) => {
                tracing::warn!(%error, "a token could not be checked");
                let refusal = Refusal { retry_after: 1000, ..ErrorCode::Internal.into() };
                self.refuse_connect(id, refusal);
            }
            TokenError::Invalid(why) => {
                tracing::debug!(
                    client = &**self.connection.client(),
                    why,
                    "connection refused: invalid token"
                );
                self.node.metrics.refused.increment(1);
                self.end_with(DisconnectCode::InvalidToken, why);
            }
        }
    }

    /// The client may try again on the same connection.
    fn refuse_connect(&mut self, id: u32, refusal: Refusal) {
        self.node.metrics.refused.increment(1);
        self.stage = Stage::New;
        self.deferred = Vec::new();
        self.refuse(id, refusal);
    }

    fn identified(&mut self, id: u32, claims: ConnectionClaims, positions: &Positions) {
        let ConnectionClaims { user, expires_at, info, data, meta, subs } = claims;
        let user: Arc<str> = user.into();
        let limit = self.node.config.client.user_connection_limit;
        if let Err(error) = self.node.registry.claim(&self.connection, &user, limit) {
            self.node.metrics.refused.increment(1);
            return self.end_with(DisconnectCode::ConnectionLimit, error);
        }
        let mut identity = Identity { user, info, meta: Bytes::new(), aside: meta.map(Arc::from) };
        identity.meta = identity.meta_with(self.connection.client(), None);
        self.identity = Some(Box::new(identity));
        if subs.len() > self.node.config.client.channel_limit {
            return self.end(DisconnectCode::ChannelLimit.into());
        }
        self.connecting = Some(Box::new(Connecting { id, expires_at, data, missing: subs.len() }));
        if subs.is_empty() {
            return self.connected();
        }
        let mut attempts = Vec::new();
        for (channel, sub) in subs {
            let namespace = match self.namespace(&channel) {
                Ok(namespace) => namespace,
                Err(refusal) => return self.abandon_connect(refusal),
            };
            let asked = Asked {
                recover: positions.get(&channel).copied(),
                data: sub.data,
                ..Asked::by_server(&sub.changes.over(&namespace.options))
            };
            let meta = self.meta(sub.info.as_deref());
            let channel: Channel = channel.into();
            attempts.push(self.subscriptions.add(Arc::clone(&channel), Purpose::Connect, asked, meta));
            self.prolong(&channel, sub.expires_at);
        }
        for attempt in attempts {
            self.enter(attempt);
        }
    }

    /// A server-side subscription is ready, and with the last one the connection is.
    pub(super) fn connect_settled(&mut self) {
        let Some(connecting) = &mut self.connecting else { return };
        connecting.missing = connecting.missing.saturating_sub(1);
        if connecting.missing == 0 {
            self.connected();
        }
    }

    /// A server-side subscription is impossible: so is the connection.
    pub(super) fn abandon_connect(&mut self, refusal: Refusal) {
        let Some(connecting) = self.connecting.take() else { return };
        self.leave_all();
        if let Some(identity) = self.identity.take() {
            self.node.registry.disclaim(&self.connection, &identity.user);
        }
        self.refuse_connect(connecting.id, refusal);
    }

    fn connected(&mut self) {
        let Some(connecting) = self.connecting.take() else { return };
        let Connecting { id, expires_at, data, .. } = *connecting;
        // A hook sees to the expiry, so the client need not.
        let told_expiry = expires_at.filter(|_| self.refresh_line().is_none());
        let config = &self.node.config;
        let subs = self.subscriptions.iter();
        let subs = subs.map(|one| (one.channel.as_ref().into(), self.subscribe_result(one))).collect();
        let number = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        // Rounded down: nobody may rely on more than there is.
        let window = u32::try_from(config.engine.dedupe_window.millis() / 1000).unwrap_or(u32::MAX);
        let offered = CAPABILITIES.iter().chain((window > 0).then_some(&PRODUCERS));
        let ping = config.client.ping_interval.millis();
        let result = ConnectResult {
            client: self.connection.client().as_ref().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            subs,
            data: data.as_deref().map(Raw::trusted),
            expires: told_expiry.is_some(),
            ttl: told_expiry.map_or(0, |at| self.seconds_until(at)),
            ping: u32::try_from(ping.div_ceil(1000)).unwrap_or(u32::MAX),
            pong: ping > 0 && config.client.pong_timeout.millis() > 0,
            session: self.secret.as_deref().unwrap_or_default().into(),
            node: self.node.id().into(),
            // Producers count the dedupe window on this clock, not on theirs.
            time: if config.client.connect_include_server_time || window > 0 {
                self.node.clock.unix()
            } else {
                0
            },
            homing: Some(Extras {
                version: 1,
                capabilities: offered.map(|name| (*name).into()).collect(),
                limits: Limits {
                    message_bytes: number(config.client.message_size_limit),
                    frame_bytes: number(config.websocket.message_size_limit),
                    channels: number(config.client.channel_limit),
                    channel_length: number(config.channel.max_length),
                    history_page: config.client.history_max_publication_limit,
                    dedupe_window: window,
                    in_flight: if window > 0 { number(REMEMBERED) } else { 0 },
                },
                user: self.user().into(),
            }),
        };
        let frame = frames::answer(id, Outcome::Connect(Box::new(result)));
        self.answer_frame(frame);
        self.stage = Stage::Connected;
        self.start_pings();
        self.set_expiry(expires_at);
        self.activate_connected();
        for control in std::mem::take(&mut self.deferred) {
            self.handle_control(control);
        }
        tracing::debug!(client = &**self.connection.client(), user = self.user(), "connected");
    }
}
