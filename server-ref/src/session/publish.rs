//! Publishing, and messages that want no answer.
//!
//! A refusal of a numbered publish is answered only after the engine was asked: an earlier connection may have
//! brought the message already, and then it is acked. The question goes the same way as an append, so answers
//! keep the order of a channel's publishes whatever becomes of them.

use super::{Refusal, Session};
use crate::{
    engine::{Append, Appended, Channel, EngineError, IdempotencyKey, NotAppended, Owner, Retention, Stamp},
    frames,
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
struct Identity {
    /// Id of the message, for readers.
    id: Box<str>,
    key: Option<IdempotencyKey>,
    producer: Option<Stamp>,
}

impl Session {
    pub(super) fn publish(&mut self, id: u32, request: &Publish<'_>) {
        match self.identity_of(request) {
            Err(refusal) => self.refuse(id, refusal),
            Ok(identity) => match self.to_append(request, &identity.id) {
                Ok(append) => self.append(id, identity, append),
                Err(refusal) => self.ask(id, identity, &request.channel, refusal),
            },
        }
    }

    /// Refuses a publish whatever it says.
    pub(super) fn refuse_publish(&mut self, id: u32, request: &Publish<'_>, refusal: Refusal) {
        match self.identity_of(request) {
            Err(_) => self.refuse(id, refusal),
            Ok(identity) => self.ask(id, identity, &request.channel, refusal),
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

    fn to_append(&self, request: &Publish<'_>, id: &str) -> Result<Append, Refusal> {
        let channel = &*request.channel;
        let namespace = self.namespace(channel)?;
        self.may_publish(&namespace, channel)?;
        let data = self.payload(request.data)?.ok_or(ErrorCode::BadRequest)?;
        let subscription = self.subscriptions.find(channel);
        let (channel, meta): (Channel, Bytes) = match subscription {
            Some(subscription) => (Arc::clone(&subscription.channel), subscription.meta.clone()),
            None => (channel.into(), self.meta(None)),
        };
        let meta = frames::with_id(meta, id);
        let retention = namespace.retention;
        let owner = self.owner();
        Ok(Append { channel, data, meta, retention, key: None, producer: None, refused: false, owner })
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
