//! Which key of a command, reply or push stands for which verb.

use super::scanner::{Kind, Scanner, Step};
use super::value::{Decode, Encode, Fields, ObjectWriter, fresh, read_fields};
use crate::wire::{Answer, ClientInfo, Command, Outcome, Push, PushEvent, Raw, Reply, Request, Text};
use alloc::string::String;

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
    let (verb, body): (_, &dyn Encode) = match &command.request {
        Request::Pong => return writer.end(),
        Request::Connect(value) => ("connect", value),
        Request::Subscribe(value) => ("subscribe", value),
        Request::Unsubscribe(value) => ("unsubscribe", value),
        Request::Publish(value) => ("publish", value),
        Request::Presence(value) => ("presence", value),
        Request::PresenceStats(value) => ("presence_stats", value),
        Request::History(value) => ("history", value),
        Request::Ping => ("ping", &Some(Raw::trusted("{}"))),
        Request::Send(value) => ("send", value),
        Request::Rpc(value) => ("rpc", value),
        Request::Refresh(value) => ("refresh", value),
        Request::SubRefresh(value) => ("sub_refresh", value),
    };
    body.encode(writer.key(verb));
    writer.end();
}

pub(crate) fn decode_reply<'a>(scanner: &mut Scanner<'a>) -> Step<Reply<'a>> {
    let (mut id, mut outcome, mut push) = (0, None, None);
    scanner.object(&mut |scanner, key| match &*key {
        "id" => id.read(scanner),
        "push" => {
            push = Some(decode_push(scanner)?);
            Some(())
        }
        verb => match blank_outcome(verb) {
            Some(blank) => read_body(outcome_body(outcome.insert(blank)), scanner),
            None => scanner.skip_value(),
        },
    })?;
    Some(match (push, id, outcome) {
        (Some(push), _, _) => Reply::Push(push),
        (None, 0, None) => Reply::Ping,
        (None, id, outcome) => Reply::Answer(Answer { id, outcome: outcome.unwrap_or(Outcome::Empty) }),
    })
}

/// The outcome that a key announces, with nothing in it yet: it is read where it stands, and not moved.
fn blank_outcome<'a>(key: &str) -> Option<Outcome<'a>> {
    Some(match key {
        "error" => Outcome::Error(Default::default()),
        "connect" => Outcome::Connect(Default::default()),
        "subscribe" => Outcome::Subscribe(Default::default()),
        "unsubscribe" => Outcome::Unsubscribe,
        "publish" => Outcome::Publish(Default::default()),
        "presence" => Outcome::Presence(Default::default()),
        "presence_stats" => Outcome::PresenceStats(Default::default()),
        "history" => Outcome::History(Default::default()),
        "ping" => Outcome::Ping,
        "rpc" => Outcome::Rpc(Default::default()),
        "refresh" => Outcome::Refresh(Default::default()),
        "sub_refresh" => Outcome::SubRefresh(Default::default()),
        _ => return None,
    })
}

fn outcome_body<'o, 'a>(outcome: &'o mut Outcome<'a>) -> Option<&'o mut dyn Decode<'a>> {
    Some(match outcome {
        Outcome::Error(value) => value,
        Outcome::Connect(value) => &mut **value,
        Outcome::Subscribe(value) => &mut **value,
        Outcome::Publish(value) => value,
        Outcome::Presence(value) => value,
        Outcome::PresenceStats(value) => value,
        Outcome::History(value) => value,
        Outcome::Rpc(value) => value,
        Outcome::Refresh(value) => value,
        Outcome::SubRefresh(value) => value,
        Outcome::Unsubscribe | Outcome::Ping | Outcome::Empty => return None,
    })
}

/// Reads what stands behind a verb; what says nothing is passed over.
fn read_body<'a>(body: Option<&mut dyn Decode<'a>>, scanner: &mut Scanner<'a>) -> Step {
    match body {
        Some(body) => body.read(scanner),
        None => scanner.skip_value(),
    }
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
    let mut push = Push { channel: Text::Borrowed(""), event: PushEvent::Unknown };
    scanner.object(&mut |scanner, key| match &*key {
        "channel" => push.channel.read(scanner),
        kind => match blank_event(kind) {
            Some(blank) => {
                push.event = blank;
                read_event(&mut push.event, scanner)
            }
            None => scanner.skip_value(),
        },
    })?;
    Some(push)
}

fn blank_event<'a>(kind: &str) -> Option<PushEvent<'a>> {
    Some(match kind {
        "pub" => PushEvent::Publication(Default::default()),
        "join" => PushEvent::Join(Default::default()),
        "leave" => PushEvent::Leave(Default::default()),
        "unsubscribe" => PushEvent::Unsubscribed(Default::default()),
        "subscribe" => PushEvent::Subscribed(Default::default()),
        "message" => PushEvent::Message(Default::default()),
        "disconnect" => PushEvent::Disconnect(Default::default()),
        "refresh" => PushEvent::Refresh(Default::default()),
        _ => return None,
    })
}

fn read_event<'a>(event: &mut PushEvent<'a>, scanner: &mut Scanner<'a>) -> Step {
    let body: &mut dyn Decode<'a> = match event {
        PushEvent::Publication(value) => value,
        PushEvent::Join(info) | PushEvent::Leave(info) => {
            return read_fields(&["info"], &mut Member(info), scanner);
        }
        PushEvent::Unsubscribed(value) => value,
        PushEvent::Subscribed(value) => &mut **value,
        PushEvent::Message(value) => value,
        PushEvent::Disconnect(value) => value,
        PushEvent::Refresh(value) => value,
        PushEvent::Unknown => return scanner.skip_value(),
    };
    body.read(scanner)
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
struct Member<'m, 'a>(&'m mut ClientInfo<'a>);

impl<'a> Fields<'a> for Member<'_, 'a> {
    fn field(&mut self, _: usize) -> Option<&mut dyn Decode<'a>> {
        Some(self.0)
    }
}

fn encode_info(info: &ClientInfo<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    info.encode(writer.key("info"));
    writer.end();
}
