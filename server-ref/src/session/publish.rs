//! Publishing, and messages that want no answer.
//!
//! A refusal of a numbered publish is answered only after the engine was asked: an earlier connection may have
//! brought the message already, and then it is acked. The question goes the same way as an append, so answers
//! keep the order of a channel's publishes whatever becomes of them.

use super::{
    Refusal, Session,
    asking::Denied,
    lanes::{Fate, Queued},
};
use crate::{
    engine::{Append, Appended, Channel, EngineError, IdempotencyKey, NotAppended, Owner, Retention, Stamp},
    frames,
    hooks::{AnyHooks, Hook, Line, PublishAsk, PublishGrant},
    rpc::Caller,
};
use bytes::Bytes;
use homing_core::wire::{
    self, DisconnectCode, ErrorCode, ErrorReply, MAX_SAFE_INTEGER, Outcome, Publish, Raw, Send,
};
use std::sync::Arc;

/// How long an idempotency key is remembered.
const KEY_TTL: u64 = 5 * 60 * 1000;
/// Longest id of a message or producer, in bytes.
const MAX_ID: usize = 64;
/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// What makes a publish the same publish when it comes again.
#[derive(Default)]
pub(super) struct Identity {
    /// Id of the message, for readers.
    id: Box<str>,
    key: Option<IdempotencyKey>,
    producer: Option<Stamp>,
}

impl Session {
    pub(super) fn publish(&mut self, id: u32, request: &Publish<'_>) {
        let identity = match self.identity_of(request) {
            Ok(identity) => identity,
            Err(refusal) => return self.refuse(id, refusal),
        };
        match self.to_append(request, &identity.id) {
            Ok((append, None)) => self.append(id, identity, append),
            Ok((append, Some(line))) => self.publish_by_hook(id, identity, append, &line),
            Err(refusal) => self.refuse_in_order(id, identity, &request.channel, refusal),
        }
    }

    /// Refuses a publish whatever it says.
    pub(super) fn refuse_publish(&mut self, id: u32, request: &Publish<'_>, refusal: Refusal) {
        match self.identity_of(request) {
            Err(_) => self.refuse(id, refusal),
            Ok(identity) => self.refuse_in_order(id, identity, &request.channel, refusal),
        }
    }

    fn refuse_in_order(&mut self, id: u32, identity: Identity, channel: &str, refusal: Refusal) {
        if self.lanes.hold(channel) {
            self.lanes.publish(channel, id, identity, Some(Fate::Refuse(refusal)));
        } else {
            self.ask(id, identity, channel, refusal);
        }
    }

    /// Asks whether this may be published, and what. Those behind it in the channel wait for the outcome.
    fn publish_by_hook(&mut self, id: u32, identity: Identity, append: Append, line: &Arc<Line>) {
        let channel = Arc::clone(&append.channel);
        let asker = self.asker(line);
        let ask = PublishAsk { asker, channel: Arc::clone(&channel), data: append.data.clone() };
        let ticket = self.lanes.publish(&channel, id, identity, None);
        self.ask_hook(line, ask, AnyHooks::publish, move |session, verdict| {
            let fate = match verdict {
                Ok(grant) => session.granted_publish(append, grant),
                Err(error) => match error.into() {
                    Denied::Refused(refusal) => Fate::Refuse(refusal),
                    Denied::Ended(close) => Fate::End(close),
                },
            };
            session.lanes.decide(&channel, ticket, fate);
            session.advance_lanes();
        });
    }

    fn granted_publish(&self, mut append: Append, grant: PublishGrant) -> Fate {
        let PublishGrant { data, skip_history } = grant;
        if let Some(data) = data {
            let most = self.node.config.client.message_size_limit;
            if data.len() > most {
                let message =
                    format!("limit exceeded: the hook made {} bytes of it, {most} may be", data.len());
                return Fate::Refuse(Refusal::because(ErrorCode::LimitExceeded, message));
            }
            append.data = data;
        }
        if skip_history {
            append.retention = Retention { size: 0, ttl: 0, ..append.retention };
        }
        Fate::Append(append)
    }

    /// A publish is the first in its lane, and what it comes to is known.
    pub(super) fn settle_publish(&mut self, channel: &str, queued: Queued) {
        let Queued { id, identity, fate, .. } = queued;
        match fate {
            Some(Fate::Append(append)) => self.append(id, identity, append),
            Some(Fate::Refuse(refusal)) => self.ask(id, identity, channel, refusal),
            Some(Fate::End(close)) => self.end(close),
            None => {}
        }
    }

    fn append(&mut self, id: u32, identity: Identity, append: Append) {
        let is_numbered = identity.producer.is_some();
        let append = Append { key: identity.key, producer: identity.producer, ..append };
        let call = self.node.engine.append(append);
        self.then(call, move |session, judged| session.published(id, judged, is_numbered, None));
    }

    /// Whether the engine has what is to be refused.
    fn ask(&mut self, id: u32, identity: Identity, channel: &str, refusal: Refusal) {
        let Identity { key, producer, .. } = identity;
        let is_numbered = producer.is_some();
        if !is_numbered && key.is_none() || self.node.rules.is_impossible(channel) {
            return self.refuse(id, refusal);
        }
        let retention =
            self.node.rules.namespace(channel).map_or(Retention::default(), |namespace| namespace.retention);
        let call = self.node.engine.append(Append {
            channel: channel.into(),
            data: Bytes::new(),
            meta: Bytes::new(),
            retention,
            key,
            producer,
            refused: true,
            owner: self.owner(),
        });
        self.then(call, move |session, judged| session.published(id, judged, is_numbered, Some(refusal)));
    }

    /// Producers and keys are a user's own: nobody can fence another user off, or take a key of theirs.
    fn identity_of(&self, request: &Publish<'_>) -> Result<Identity, Refusal> {
        let invalid =
            |what: &str| Err(Refusal::because(ErrorCode::BadRequest, format!("bad request: {what}")));
        let owned =
            |name: &str| -> Box<str> { format!("{}:{}{name}", self.user().len(), self.user()).into() };
        let mut identity = Identity::default();
        let window = self.node.config.engine.dedupe_window.millis();
        if let Some(wire::Stamp { id, producer, session, number }) = &request.homing {
            if id.is_empty() || id.len() > MAX_ID || producer.len() > MAX_ID {
                return invalid("an id has 1 to 64 bytes");
            }
            identity.id = (&**id).into();
            if !producer.is_empty() && window > 0 {
                if !(1..=MAX_SAFE_INTEGER).contains(number) || *session > MAX_SAFE_INTEGER {
                    return invalid("numbers and sessions are between 1 and 2^53 - 1");
                }
                let (producer, id) = (owned(producer), identity.id.clone());
                identity.producer = Some(Stamp { producer, session: *session, number: *number, id, window });
            }
        }
        let key = &*request.idempotency_key;
        if key.len() > MAX_KEY {
            return invalid("an idempotency key has at most 255 bytes");
        }
        if !key.is_empty() && identity.producer.is_none() {
            identity.key = Some(IdempotencyKey { key: owned(key), ttl: KEY_TTL });
        }
        Ok(identity)
    }

    /// What is to be appended, and the hook that is to be asked before, where there is one.
    fn to_append(&self, request: &Publish<'_>, id: &str) -> Result<(Append, Option<Arc<Line>>), Refusal> {
        let channel = &*request.channel;
        let namespace = self.namespace(channel)?;
        let line = self.line_of(Hook::Publish, &namespace, |options| {
            (options.publish_proxy_enabled, &options.publish_proxy_name)
        });
        if line.is_none() {
            self.may_publish(&namespace, channel)?;
        }
        let data = self.payload(request.data)?.ok_or(ErrorCode::BadRequest)?;
        let subscription = self.subscriptions.find(channel);
        let (channel, meta): (Channel, Bytes) = match subscription {
            Some(subscription) => (Arc::clone(&subscription.channel), subscription.meta.clone()),
            None => (channel.into(), self.meta(None)),
        };
        let meta = frames::with_id(meta, id);
        let retention = namespace.retention;
        let owner = self.owner();
        let append =
            Append { channel, data, meta, retention, key: None, producer: None, refused: false, owner };
        Ok((append, line))
    }

    /// A payload, ready to be kept: within its limit, on one line.
    pub(super) fn payload(&self, data: Option<Raw<'_>>) -> Result<Option<Bytes>, Refusal> {
        let Some(data) = data else { return Ok(None) };
        let (size, most) = (data.as_str().len(), self.node.config.client.message_size_limit);
        if size > most {
            let message = format!("limit exceeded: a message of {size} bytes, {most} may be");
            return Err(Refusal::because(ErrorCode::LimitExceeded, message));
        }
        Ok(Some(Bytes::from(frames::on_one_line(data.as_str()).into_owned())))
    }

    fn published(
        &mut self,
        id: u32,
        judged: Result<Result<Appended, NotAppended>, EngineError>,
        is_numbered: bool,
        refusal: Option<Refusal>,
    ) {
        match judged {
            Ok(Ok(appended)) => {
                let metrics = &self.node.metrics;
                if appended.duplicate { &metrics.duplicates } else { &metrics.publications }.increment(1);
                self.answer_frame(frames::publish_reply(id, &appended));
            }
            Ok(Err(NotAppended::Refused)) => {
                let refusal = refusal.unwrap_or_else(|| ErrorCode::Internal.into());
                if is_numbered && self.has_lost_track && !refusal.temporary {
                    // An append that was given up may still come to pass, this message's too: only a later
                    // session of the producer fences it off, so that the refusal is true when it is told.
                    let why = "a publish has an unknown end";
                    return self.end_with(DisconnectCode::ServerError, why);
                }
                self.refuse(id, refusal);
            }
            Ok(Err(not)) => self.refuse_number(id, not),
            Err(error) => {
                let is_settled = matches!(
                    error,
                    EngineError::Away { .. } | EngineError::Unconfirmed | EngineError::TooMany { .. }
                );
                self.has_lost_track |= is_numbered && !is_settled;
                self.refuse(id, error);
            }
        }
    }

    fn refuse_number(&mut self, id: u32, not: NotAppended) {
        let (code, expected, epoch) = match not {
            NotAppended::Fenced => (ErrorCode::Fenced, 0, None),
            NotAppended::Taken { expected } => (ErrorCode::NumberTaken, expected, None),
            NotAppended::OutOfOrder { expected, epoch } => (ErrorCode::OutOfOrder, expected, epoch),
            NotAppended::UnknownProducer => (ErrorCode::UnknownProducer, 0, None),
            NotAppended::Refused => (ErrorCode::Internal, 0, None),
        };
        self.node.metrics.errors.increment(1);
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default().into();
        let (message, temporary) = (code.text().into(), code.is_temporary());
        let reply = ErrorReply { code: code.code(), message, temporary, retry_after: 0, expected, epoch };
        self.answer(id, Outcome::Error(reply));
    }

    /// Whose limit counts for what the engine makes on this session's behalf.
    pub(super) fn owner(&self) -> Option<Owner> {
        let limit = self.node.config.client.user_record_limit;
        let user = || self.identity.as_ref().map(|identity| Arc::clone(&identity.user)).unwrap_or_default();
        (limit > 0).then(|| Owner { user: user(), limit })
    }

    pub(super) fn caller(&self) -> Caller {
        let user = self.identity.as_ref().map(|identity| Arc::clone(&identity.user)).unwrap_or_default();
        Caller { user, client: Arc::clone(self.connection.client()) }
    }

    pub(super) fn take_message(&self, request: &Send<'_>) {
        match self.payload(request.data) {
            Ok(data) => self.node.procedures.message(self.caller(), data),
            Err(refusal) => tracing::debug!(reason = &*refusal.message, "a message was dropped"),
        }
    }
}
