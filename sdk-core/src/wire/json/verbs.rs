//! Which key of a command, reply or push stands for which verb.

use super::scanner::{Kind, Scanner, Step};
use super::value::{ObjectWriter, Value, fresh};
use crate::wire::{Answer, Command, Outcome, Push, PushEvent, Reply, Request, Text};
use alloc::{boxed::Box, string::String};

pub(crate) fn decode_command<'a>(scanner: &mut Scanner<'a>) -> Step<Command<'a>> {
    let start = scanner.at();
    let (mut id, mut request, mut verbs) = (0, None, 0_u32);
    scanner.object(&mut |scanner, key| {
        request = Some(match &*key {
            "id" => return id.read(scanner),
            "connect" => Request::Connect(fresh(scanner)?),
            "subscribe" => Request::Subscribe(fresh(scanner)?),
            "unsubscribe" => Request::Unsubscribe(fresh(scanner)?),
            "publish" => Request::Publish(fresh(scanner)?),
            "presence" => Request::Presence(fresh(scanner)?),
            "presence_stats" => Request::PresenceStats(fresh(scanner)?),
            "history" => Request::History(fresh(scanner)?),
            "ping" => {
                scanner.skip_value()?;
                Request::Ping
            }
            "send" => Request::Send(fresh(scanner)?),
            "rpc" => Request::Rpc(fresh(scanner)?),
            "refresh" => Request::Refresh(fresh(scanner)?),
            "sub_refresh" => Request::SubRefresh(fresh(scanner)?),
            _ => return scanner.skip_value(),
        });
        verbs += 1;
        Some(())
    })?;
    match request {
        Some(request) if verbs == 1 => Some(Command { id, request }),
        None if id == 0 => Some(Command { id, request: Request::Pong }),
        _ => scanner.fail_at(start, Kind::Verb),
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

pub(crate) fn decode_reply<'a>(scanner: &mut Scanner<'a>) -> Step<Reply<'a>> {
    let (mut id, mut outcome, mut push) = (0, None, None);
    scanner.object(&mut |scanner, key| {
        outcome = Some(match &*key {
            "id" => return id.read(scanner),
            "push" => {
                push = Some(decode_push(scanner)?);
                return Some(());
            }
            "error" => Outcome::Error(fresh(scanner)?),
            "connect" => Outcome::Connect(Box::new(fresh(scanner)?)),
            "subscribe" => Outcome::Subscribe(Box::new(fresh(scanner)?)),
            "unsubscribe" => {
                scanner.skip_value()?;
                Outcome::Unsubscribe
            }
            "publish" => Outcome::Publish(fresh(scanner)?),
            "presence" => Outcome::Presence(fresh(scanner)?),
            "presence_stats" => Outcome::PresenceStats(fresh(scanner)?),
            "history" => Outcome::History(fresh(scanner)?),
            "ping" => {
                scanner.skip_value()?;
                Outcome::Ping
            }
            "rpc" => Outcome::Rpc(fresh(scanner)?),
            "refresh" => Outcome::Refresh(fresh(scanner)?),
            "sub_refresh" => Outcome::SubRefresh(fresh(scanner)?),
            _ => return scanner.skip_value(),
        });
        Some(())
    })?;
    Some(match (push, id, outcome) {
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

fn decode_push<'a>(scanner: &mut Scanner<'a>) -> Step<Push<'a>> {
    let (mut channel, mut event) = (Text::Borrowed(""), PushEvent::Unknown);
    scanner.object(&mut |scanner, key| {
        event = match &*key {
            "channel" => return channel.read(scanner),
            "pub" => PushEvent::Publication(fresh(scanner)?),
            "join" => PushEvent::Join(decode_info(scanner)?),
            "leave" => PushEvent::Leave(decode_info(scanner)?),
            "unsubscribe" => PushEvent::Unsubscribed(fresh(scanner)?),
            "subscribe" => PushEvent::Subscribed(Box::new(fresh(scanner)?)),
            "message" => PushEvent::Message(fresh(scanner)?),
            "disconnect" => PushEvent::Disconnect(fresh(scanner)?),
            "refresh" => PushEvent::Refresh(fresh(scanner)?),
            _ => return scanner.skip_value(),
        };
        Some(())
    })?;
    Some(Push { channel, event })
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
fn decode_info<'a>(scanner: &mut Scanner<'a>) -> Step<crate::wire::ClientInfo<'a>> {
    let mut info = crate::wire::ClientInfo::default();
    scanner.fields(&["info"], &mut |scanner, _| info.read(scanner))?;
    Some(info)
}

fn encode_info(info: &crate::wire::ClientInfo<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    info.encode(writer.key("info"));
    writer.end();
}
