//! Publishing, and messages that want no answer.

use super::{Refusal, Session};
use crate::{
    engine::{Append, Appended, Channel, EngineError},
    frames,
    rpc::Caller,
};
use bytes::Bytes;
use homing_core::wire::{ErrorCode, Publish, Raw, Send};
use std::sync::Arc;

impl Session {
    pub(super) fn publish(&mut self, id: u32, request: &Publish<'_>) {
        match self.to_append(request) {
            Err(refusal) => self.refuse(id, refusal),
            Ok(append) => {
                let call = self.node.engine.append(append);
                self.then(call, move |session, appended| session.published(id, appended));
            }
        }
    }

    fn to_append(&self, request: &Publish<'_>) -> Result<Append, Refusal> {
        let channel = &*request.channel;
        let namespace = self.namespace(channel)?;
        self.may_publish(&namespace, channel)?;
        let data = self.payload(request.data)?.ok_or(ErrorCode::BadRequest)?;
        let subscription = self.subscriptions.find(channel);
        let (channel, meta): (Channel, Bytes) = match subscription {
            Some(subscription) => (Arc::clone(&subscription.channel), subscription.meta.clone()),
            None => (channel.into(), self.meta(None)),
        };
        Ok(Append { channel, data, meta, retention: namespace.retention, key: None })
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

    fn published(&mut self, id: u32, appended: Result<Appended, EngineError>) {
        match appended {
            Ok(appended) => {
                self.node.metrics.publications.increment(1);
                self.answer_frame(frames::publish_reply(id, &appended));
            }
            Err(error) => self.refuse(id, error),
        }
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
