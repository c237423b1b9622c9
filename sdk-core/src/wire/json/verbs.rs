//! Which key of a command, reply or push stands for which verb.

use super::scanner::{DecodeError, Kind, Scanner};
use super::value::{ObjectWriter, Value};
use crate::wire::{Answer, Command, ErrorReply, Outcome, Push, PushEvent, Reply, Request, Text};
use alloc::{boxed::Box, string::String};

pub(crate) fn decode_command<'a>(scanner: &mut Scanner<'a>) -> Result<Command<'a>, DecodeError> {
    let start = scanner.error(Kind::Verb);
    let (mut id, mut request, mut verbs) = (0, None, 0_u32);
    scanner.object(&mut |scanner, key| {
        request = Some(match &*key {
            "id" => {
                id = Value::decode(scanner)?;
                return Ok(true);
            }
            "connect" => Request::Connect(Value::decode(scanner)?),
            "subscribe" => Request::Subscribe(Value::decode(scanner)?),
            "unsubscribe" => Request::Unsubscribe(Value::decode(scanner)?),
            "publish" => Request::Publish(Value::decode(scanner)?),
            "presence" => Request::Presence(Value::decode(scanner)?),
            "presence_stats" => Request::PresenceStats(Value::decode(scanner)?),
            "history" => Request::History(Value::decode(scanner)?),
            "ping" => {
                scanner.skip_value()?;
                Request::Ping
            }
            "send" => Request::Send(Value::decode(scanner)?),
            "rpc" => Request::Rpc(Value::decode(scanner)?),
            "refresh" => Request::Refresh(Value::decode(scanner)?),
            "sub_refresh" => Request::SubRefresh(Value::decode(scanner)?),
            _ => return Ok(false),
        });
        verbs += 1;
        Ok(true)
    })?;
    match request {
        Some(request) if verbs == 1 => Ok(Command { id, request }),
        None if id == 0 => Ok(Command { id, request: Request::Pong }),
        _ => Err(start),
    }
}

pub(crate) fn encode_command(command: &Command<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    writer.field("id", &command.id);
    match &command.request {
        Request::Pong => {}
        Request::Connect(value) => value.encode(writer.key("connect")),
        Request::Subscribe(value) => value.encode(writer.key("subscribe")),
        Request::Unsubscribe(value) => value.encode(writer.key("unsubscribe")),
        Request::Publish(value) => value.encode(writer.key("publish")),
        Request::Presence(value) => value.encode(writer.key("presence")),
        Request::PresenceStats(value) => value.encode(writer.key("presence_stats")),
        Request::History(value) => value.encode(writer.key("history")),
        Request::Ping => writer.key("ping").push_str("{}"),
        Request::Send(value) => value.encode(writer.key("send")),
        Request::Rpc(value) => value.encode(writer.key("rpc")),
        Request::Refresh(value) => value.encode(writer.key("refresh")),
        Request::SubRefresh(value) => value.encode(writer.key("sub_refresh")),
    }
    writer.end();
}

pub(crate) fn decode_reply<'a>(scanner: &mut Scanner<'a>) -> Result<Reply<'a>, DecodeError> {
    let (mut id, mut outcome, mut push) = (0, None, None);
    scanner.object(&mut |scanner, key| {
        outcome = Some(match &*key {
            "id" => {
                id = Value::decode(scanner)?;
                return Ok(true);
            }
            "push" => {
                push = Some(decode_push(scanner)?);
                return Ok(true);
            }
            "error" => Outcome::Error(ErrorReply::decode(scanner)?),
            "connect" => Outcome::Connect(Box::new(Value::decode(scanner)?)),
            "subscribe" => Outcome::Subscribe(Box::new(Value::decode(scanner)?)),
            "unsubscribe" => {
                scanner.skip_value()?;
                Outcome::Unsubscribe
            }
            "publish" => Outcome::Publish(Value::decode(scanner)?),
            "presence" => Outcome::Presence(Value::decode(scanner)?),
            "presence_stats" => Outcome::PresenceStats(Value::decode(scanner)?),
            "history" => Outcome::History(Value::decode(scanner)?),
            "ping" => {
                scanner.skip_value()?;
                Outcome::Ping
            }
            "rpc" => Outcome::Rpc(Value::decode(scanner)?),
            "refresh" => Outcome::Refresh(Value::decode(scanner)?),
            "sub_refresh" => Outcome::SubRefresh(Value::decode(scanner)?),
            _ => return Ok(false),
        });
        Ok(true)
    })?;
    Ok(match (push, id, outcome) {
        (Some(push), _, _) => Reply::Push(push),
        (None, 0, None) => Reply::Ping,
        (None, id, outcome) => Reply::Answer(Answer { id, outcome: outcome.unwrap_or(Outcome::Empty) }),
    })
}

pub(crate) fn encode_reply(reply: &Reply<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    match reply {
        Reply::Ping => {}
        Reply::Push(push) => encode_push(push, writer.key("push")),
        Reply::Answer(answer) => {
            writer.field("id", &answer.id);
            match &answer.outcome {
                Outcome::Empty => {}
                Outcome::Error(value) => value.encode(writer.key("error")),
                Outcome::Connect(value) => value.encode(writer.key("connect")),
                Outcome::Subscribe(value) => value.encode(writer.key("subscribe")),
                Outcome::Unsubscribe => writer.key("unsubscribe").push_str("{}"),
                Outcome::Publish(value) => value.encode(writer.key("publish")),
                Outcome::Presence(value) => value.encode(writer.key("presence")),
                Outcome::PresenceStats(value) => value.encode(writer.key("presence_stats")),
                Outcome::History(value) => value.encode(writer.key("history")),
                Outcome::Ping => writer.key("ping").push_str("{}"),
                Outcome::Rpc(value) => value.encode(writer.key("rpc")),
                Outcome::Refresh(value) => value.encode(writer.key("refresh")),
                Outcome::SubRefresh(value) => value.encode(writer.key("sub_refresh")),
            }
        }
    }
    writer.end();
}

fn decode_push<'a>(scanner: &mut Scanner<'a>) -> Result<Push<'a>, DecodeError> {
    let (mut channel, mut event) = (Text::Borrowed(""), PushEvent::Unknown);
    scanner.object(&mut |scanner, key| {
        event = match &*key {
            "channel" => {
                channel = Value::decode(scanner)?;
                return Ok(true);
            }
            "pub" => PushEvent::Publication(Value::decode(scanner)?),
            "join" => PushEvent::Join(decode_info(scanner)?),
            "leave" => PushEvent::Leave(decode_info(scanner)?),
            "unsubscribe" => PushEvent::Unsubscribed(Value::decode(scanner)?),
            "subscribe" => PushEvent::Subscribed(Box::new(Value::decode(scanner)?)),
            "message" => PushEvent::Message(Value::decode(scanner)?),
            "disconnect" => PushEvent::Disconnect(Value::decode(scanner)?),
            "refresh" => PushEvent::Refresh(Value::decode(scanner)?),
            _ => return Ok(false),
        };
        Ok(true)
    })?;
    Ok(Push { channel, event })
}

fn encode_push(push: &Push<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    writer.field("channel", &push.channel);
    match &push.event {
        PushEvent::Publication(value) => value.encode(writer.key("pub")),
        PushEvent::Join(info) => encode_info(info, writer.key("join")),
        PushEvent::Leave(info) => encode_info(info, writer.key("leave")),
        PushEvent::Unsubscribed(value) => value.encode(writer.key("unsubscribe")),
        PushEvent::Subscribed(value) => value.encode(writer.key("subscribe")),
        PushEvent::Message(value) => value.encode(writer.key("message")),
        PushEvent::Disconnect(value) => value.encode(writer.key("disconnect")),
        PushEvent::Refresh(value) => value.encode(writer.key("refresh")),
        PushEvent::Unknown => {}
    }
    writer.end();
}

/// Join and leave wrap the one field `info`.
fn decode_info<'a>(scanner: &mut Scanner<'a>) -> Result<crate::wire::ClientInfo<'a>, DecodeError> {
    let mut info = crate::wire::ClientInfo::default();
    scanner.object(&mut |scanner, key| {
        if key == "info" {
            info = Value::decode(scanner)?;
        }
        Ok(key == "info")
    })?;
    Ok(info)
}

fn encode_info(info: &crate::wire::ClientInfo<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    info.encode(writer.key("info"));
    writer.end();
}
