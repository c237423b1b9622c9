//! What the core says, as JSON text for the page: one object per event. The shapes stand in js/src/wire.ts; a
//! payload is embedded as it came. Only what is rare passes here.

use homing_core::{
    ChannelEvent, ChannelKey, ClientInfo, ConnectionState, EntryId, EntryState, Error, Event, Instant, Json,
    Message, OutboxChange, OutboxEntry, Position, RealtimeClient, Reason, RequestId, Response, StorageOp,
    StorageOrder, Subscribed, SubscriptionSnapshot, SubscriptionState,
    wire::{
        Retention,
        json::{encode_number, encode_text},
    },
};

/// Writes objects, field by field. One writer serves all depths.
#[derive(Default)]
struct Object {
    out: String,
    /// Nothing stands before the next key.
    first: bool,
}

impl Object {
    fn begin(&mut self) {
        self.out.push('{');
        self.first = true;
    }

    fn end(&mut self) {
        self.out.push('}');
        self.first = false;
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !core::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        &mut self.out
    }

    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        encode_text(text, self.key(key));
        self
    }

    fn number(&mut self, key: &str, number: u64) -> &mut Self {
        encode_number(number, self.key(key));
        self
    }

    fn truth(&mut self, key: &str, truth: bool) -> &mut Self {
        self.key(key).push_str(if truth { "true" } else { "false" });
        self
    }

    fn json(&mut self, key: &str, json: Option<&Json>) -> &mut Self {
        self.key(key).push_str(json.map_or("null", Json::as_str));
        self
    }

    fn nested(&mut self, key: &str, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.key(key);
        self.begin();
        write(self);
        self.end();
        self
    }

    fn optional<T>(&mut self, key: &str, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => self.nested(key, |object| write(object, value)),
            None => self.json(key, None),
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.key(key).push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        self.out.push(']');
        self
    }

    fn objects<T>(&mut self, key: &str, items: &[T], write: fn(&mut Self, &T)) -> &mut Self {
        self.list(key, items, |object, item| {
            object.begin();
            write(object, item);
            object.end();
        })
    }
}

fn object(write: impl FnOnce(&mut Object)) -> String {
    let mut object = Object::default();
    object.begin();
    write(&mut object);
    object.end();
    object.out
}

/// An error on its own, as a refused call leaves it.
pub(crate) fn refusal(error: &Error) -> String {
    object(|object| write_error(object, error))
}

/// A channel that was just joined, as it stands.
pub(crate) fn standing(key: ChannelKey, snapshot: &SubscriptionSnapshot) -> String {
    object(|object| {
        object.number("key", key.0.into());
        object.text(
            "status",
            match snapshot.state {
                SubscriptionState::Unsubscribed => "unsubscribed",
                SubscriptionState::Subscribing => "subscribing",
                SubscriptionState::Subscribed => "subscribed",
            },
        );
        write_standing(
            object,
            snapshot.position.as_ref(),
            snapshot.data.as_ref(),
            snapshot.retention.as_ref(),
        );
    })
}

/// A question for a token.
pub(crate) fn token_wanted(id: u32, channel: Option<&str>) -> String {
    object(|object| {
        object.text("e", "token").number("id", id.into());
        match channel {
            Some(channel) => object.text("channel", channel),
            None => object.json("channel", None),
        };
    })
}

/// A question for endpoints.
pub(crate) fn endpoints_wanted(id: u32) -> String {
    object(|object| {
        object.text("e", "resolve").number("id", id.into());
    })
}

/// The end of a call.
pub(crate) fn settled(request: RequestId, result: &Result<Response, Error>) -> String {
    object(|object| {
        object.text("e", "settled").number("id", request.0.into());
        match result {
            Ok(response) => object.nested("ok", |object| write_response(object, response)),
            Err(error) => object.nested("error", |object| write_error(object, error)),
        };
    })
}

/// Something for the storage to do.
pub(crate) fn storage(order: &StorageOrder) -> String {
    object(|object| match order {
        StorageOrder::Open { scope } => {
            object.text("e", "storage_open").text("server", &scope.server).text("user", &scope.user);
        }
        StorageOrder::Write { write, ops } => {
            object.text("e", "storage_write").number("id", write.0.into());
            object.list("ops", ops, |object, op| {
                object.out.push('[');
                match op {
                    StorageOp::Put { key, value } => {
                        encode_text(key, &mut object.out);
                        object.out.push(',');
                        encode_text(value, &mut object.out);
                    }
                    StorageOp::Delete { key } => {
                        encode_text(key, &mut object.out);
                        object.out.push_str(",null");
                    }
                }
                object.out.push(']');
            });
        }
        StorageOrder::Erase => {
            object.text("e", "storage_erase");
        }
    })
}

/// A message is kept, durably or not.
pub(crate) fn accepted(request: RequestId, durably: bool) -> String {
    object(|object| {
        object.text("e", "accepted").number("id", request.0.into()).truth("durably", durably);
    })
}

/// How much is in the outbox, and what.
pub(crate) fn outbox(core: &RealtimeClient, whole: bool) -> String {
    object(|object| {
        let (mut entries, mut oldest) = (Vec::new(), i64::MAX);
        // Retried ones stand behind older ones, so the oldest need not be the first.
        for entry in core.outbox() {
            oldest = oldest.min(entry.queued_at);
            entries.push(entry);
        }
        object.number("count", entries.len() as u64).number("bytes", core.outbox_bytes() as u64);
        object.number("oldest", if entries.is_empty() { 0 } else { oldest.unsigned_abs() });
        if whole {
            object.objects("entries", &entries, write_entry);
        }
    })
}

/// Something happened to a message of the outbox; `view`: as it stands, if it is still there.
pub(crate) fn outbox_changed(entry: EntryId, change: &OutboxChange, view: Option<&OutboxEntry>) -> String {
    object(|object| {
        object.text("e", "outbox").number("n", entry.0.into());
        object.text(
            "t",
            match change {
                OutboxChange::Added => "added",
                OutboxChange::Edited => "edited",
                OutboxChange::State(_) => "state",
                OutboxChange::Acked { .. } => "acked",
                OutboxChange::Discarded => "discarded",
                OutboxChange::HandedOver => "handed_over",
            },
        );
        if let OutboxChange::Acked { position, time } = change {
            object.optional("position", position.as_ref(), write_position);
            object.number("time", time.unsigned_abs());
        }
        object.optional("entry", view, write_entry);
    })
}

fn write_entry(object: &mut Object, entry: &OutboxEntry) {
    object.number("n", entry.entry.0.into()).text("id", &entry.id).text("channel", &entry.channel);
    object.json("data", Some(&entry.data)).number("at", entry.queued_at.unsigned_abs());
    object.truth("sent", entry.was_sent);
    match &entry.state {
        EntryState::Queued => {
            object.text("state", "queued");
        }
        EntryState::Sending => {
            object.text("state", "sending");
        }
        EntryState::Parked(error) => {
            object.text("state", "parked").nested("error", |object| write_error(object, error));
        }
    }
}

/// Something for the app; empty: of a kind that this host does not know. `now` turns moments into waits.
pub(crate) fn event(event: &Event, now: Instant) -> String {
    object(|object| match event {
        Event::Connection(state) => {
            object.text("e", "connection").nested("state", |object| write_connection(object, state, now));
        }
        Event::Health(health) => {
            object.text("e", "health").text("health", health.name());
        }
        Event::ServerMessage(data) => {
            object.text("e", "message").json("data", Some(data));
        }
        Event::Error(error) => {
            object.text("e", "error").nested("error", |object| write_error(object, error));
        }
        Event::Channel { channel, event } => {
            object.text("e", "channel").number("key", channel.0.into());
            object.nested("event", |object| write_channel_event(object, event));
        }
        Event::AckedLost { channel, count, from, to } => {
            object.text("e", "acked_lost").text("channel", channel).number("count", *count);
            object.optional("from", from.as_ref(), write_position);
            object.optional("to", to.as_ref(), write_position);
        }
        Event::ServerSubscribed { channel, name } => {
            object.text("e", "server_subscribed").number("key", channel.0.into()).text("name", name);
        }
        Event::ServerUnsubscribed { channel, name } => {
            object.text("e", "server_unsubscribed").number("key", channel.0.into()).text("name", name);
        }
        _ => {
            object.text("e", "");
        }
    })
}

fn write_reason(object: &mut Object, reason: &Reason) {
    object.number("code", reason.code.into()).text("text", &reason.text);
}

fn write_error(object: &mut Object, error: &Error) {
    object.number("kind", error.code.number().into()).number("code", error.number.into());
    object.truth("retryable", error.retryable);
    if !error.detail.is_empty() {
        object.text("detail", &error.detail);
    }
    if let Some(limit) = error.limit {
        object.list("limit", &[limit.actual, limit.maximum], |object, number| {
            encode_number(*number, &mut object.out)
        });
    }
}

fn write_connection(object: &mut Object, state: &ConnectionState, now: Instant) {
    match state {
        ConnectionState::Disconnected { reason } => {
            object.text("status", "disconnected");
            object.nested("reason", |object| write_reason(object, reason));
        }
        ConnectionState::Connecting { reason, attempt, retry_at } => {
            object.text("status", "connecting").number("attempt", (*attempt).into());
            object.nested("reason", |object| write_reason(object, reason));
            match retry_at {
                Some(at) => object.number("wait", at.as_millis().saturating_sub(now.as_millis())),
                None => object.json("wait", None),
            };
        }
        ConnectionState::Connected(session) => {
            object.text("status", "connected").text("client", &session.client).text("user", &session.user);
            object.text("server", &session.server).json("data", session.data.as_ref());
            object.list("capabilities", &session.capabilities, |object, name| {
                encode_text(name, &mut object.out)
            });
            object.number("max", session.max_message_bytes as u64);
            object.number("window", session.dedupe_window.map_or(0, |window| window.as_secs() * 1000));
        }
        ConnectionState::Closed => {
            object.text("status", "closed");
        }
    }
}

fn write_position(object: &mut Object, position: &Position) {
    object.text("epoch", &position.epoch).number("offset", position.offset);
}

fn write_standing(
    object: &mut Object,
    position: Option<&Position>,
    data: Option<&Json>,
    retention: Option<&Retention>,
) {
    object.optional("position", position, write_position).json("data", data);
    object.optional("retention", retention, |object, retention| {
        object.number("size", retention.size.into()).number("ttl", retention.ttl.into());
    });
}

fn write_channel_event(object: &mut Object, event: &ChannelEvent) {
    match event {
        ChannelEvent::Subscribing(reason) => {
            object.text("t", "subscribing").nested("reason", |object| write_reason(object, reason));
        }
        ChannelEvent::Subscribed(subscribed) => write_subscribed(object, subscribed),
        ChannelEvent::Unsubscribed(reason) => {
            object.text("t", "unsubscribed").nested("reason", |object| write_reason(object, reason));
        }
        ChannelEvent::Message(message) => {
            object.text("t", "message").nested("m", |object| write_message(object, message));
        }
        ChannelEvent::Gap(gap) => {
            object.text("t", "gap").text("reason", gap.reason.name());
            object.nested("from", |object| write_position(object, &gap.from));
            object.nested("to", |object| write_position(object, &gap.to));
        }
        ChannelEvent::Joined(info) => {
            object.text("t", "joined").nested("info", |object| write_info(object, info));
        }
        ChannelEvent::Left(info) => {
            object.text("t", "left").nested("info", |object| write_info(object, info));
        }
        ChannelEvent::Error(error) => {
            object.text("t", "error").nested("error", |object| write_error(object, error));
        }
        _ => {
            object.text("t", "");
        }
    }
}

fn write_subscribed(object: &mut Object, subscribed: &Subscribed) {
    object.text("t", "subscribed").truth("was", subscribed.was_recovering);
    object.truth("recovered", subscribed.recovered);
    match subscribed.missed {
        Some(missed) => object.number("missed", missed),
        None => object.json("missed", None),
    };
    write_standing(
        object,
        subscribed.position.as_ref(),
        subscribed.data.as_ref(),
        subscribed.retention.as_ref(),
    );
}

fn write_message(object: &mut Object, message: &Message) {
    object.json("data", Some(&message.data)).number("offset", message.offset);
    object.number("time", message.time.unsigned_abs());
    if !message.id.is_empty() {
        object.text("id", &message.id);
    }
    if let Some(info) = &message.info {
        object.nested("info", |object| write_info(object, info));
    }
    if message.tags.is_some() {
        object.json("tags", message.tags.as_ref());
    }
}

fn write_info(object: &mut Object, info: &ClientInfo) {
    object.text("user", &info.user).text("client", &info.client);
    object.json("conn_info", info.conn_info.as_ref()).json("chan_info", info.chan_info.as_ref());
}

fn write_response(object: &mut Object, response: &Response) {
    match response {
        Response::Published { position, time, duplicate } => {
            object.optional("position", position.as_ref(), write_position);
            object.number("time", time.unsigned_abs()).truth("duplicate", *duplicate);
        }
        Response::History { messages, position } => {
            object.optional("position", position.as_ref(), write_position);
            object.objects("messages", messages, write_message);
        }
        Response::Presence(members) => {
            object.objects("members", members, write_info);
        }
        Response::PresenceStats { clients, users } => {
            object.number("clients", (*clients).into()).number("users", (*users).into());
        }
        Response::Rpc(data) => {
            object.json("data", Some(data));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use homing_core::{ErrorCode, Gap, GapReason};

    #[test]
    fn an_event_is_one_json_object_with_the_payload_as_it_came() {
        let raw = homing_core::wire::Raw::new(r#"{"a":[1, 2.50]}"#).expect("JSON");
        let message =
            Message { id: "".into(), data: raw.into(), offset: 7, info: None, tags: None, time: 12 };
        let text = event(
            &Event::Channel { channel: ChannelKey(3), event: ChannelEvent::Message(message) },
            Instant::from_millis(0),
        );
        assert_eq!(
            text,
            r#"{"e":"channel","key":3,"event":{"t":"message","m":{"data":{"a":[1, 2.50]},"offset":7,"time":12}}}"#
        );
    }

    #[test]
    fn text_is_escaped_and_numbers_are_exact_up_to_the_largest_safe_one() {
        let largest = homing_core::wire::MAX_SAFE_INTEGER;
        let position = Position { epoch: "a\"b\n".into(), offset: largest };
        let gap = Gap { from: position.clone(), to: position, reason: GapReason::Retention };
        let text = event(
            &Event::Channel { channel: ChannelKey(0), event: ChannelEvent::Gap(gap) },
            Instant::from_millis(0),
        );
        assert!(text.contains(r#""from":{"epoch":"a\"b\n","offset":9007199254740991}"#), "{text}");
    }

    #[test]
    fn a_settled_call_carries_its_answer_or_its_error() {
        let ok = settled(RequestId(4), &Ok(Response::PresenceStats { clients: 2, users: 1 }));
        assert_eq!(ok, r#"{"e":"settled","id":4,"ok":{"clients":2,"users":1}}"#);
        let error = Error::exceeded(ErrorCode::QueueFull, 5, 4);
        assert_eq!(
            settled(RequestId(4), &Err(error)),
            r#"{"e":"settled","id":4,"error":{"kind":15,"code":15,"retryable":true,"limit":[5,4]}}"#
        );
    }
}
