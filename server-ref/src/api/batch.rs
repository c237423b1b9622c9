//! Several commands in one request. One that fails harms no other.
//!
//! In order means that each takes effect before the next: publishes go to the engine one right behind the
//! other, which keeps the order of each channel, and whatever is no publish waits for all before it.

use super::{
    CallError, Method,
    calls::Publishing,
    method::{encode, read},
    request,
    result::{Error, Published},
};
use crate::serve::Handle;
use futures::future::{BoxFuture, FutureExt, join_all};
use homing_core::wire::ErrorCode;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::Semaphore;

/// Commands that are under way at the same time.
const CONCURRENT: usize = 256;
/// Those among them that read, whose answers may be large.
const READERS: usize = 8;
/// Bytes of answers behind which nothing more is read.
const MOST: usize = 64 << 20;

/// One command: the name of a method, and what it takes.
struct Command<'a>(Cow<'a, str>, &'a RawValue);

impl<'de: 'a, 'a> Deserialize<'de> for Command<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Command<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one field, the name of a method")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let wrong = || {
                    serde::de::Error::custom("a command is an object with one field, the name of a method")
                };
                let command = map.next_entry::<Cow<'de, str>, &'de RawValue>()?.ok_or_else(wrong)?;
                if map.next_key::<Cow<'de, str>>()?.is_some() {
                    return Err(wrong());
                }
                Ok(Command(command.0, command.1))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What the answers of one batch may take.
struct Room {
    used: AtomicUsize,
    readers: Semaphore,
}

impl Room {
    async fn call(&self, handle: &Handle, method: Method, body: &[u8]) -> Result<String, CallError> {
        let reads = matches!(method, Method::History | Method::Presence | Method::Channels | Method::Info);
        let _turn = if reads { self.readers.acquire().await.ok() } else { None };
        if reads && self.used.load(Relaxed) > MOST {
            let what = format!("the answers before it have {MOST} bytes, ask in another batch");
            return Err(CallError::because(ErrorCode::LimitExceeded, what));
        }
        let answer = method.call(handle, body).await;
        self.used.fetch_add(answer.as_ref().map_or(0, String::len), Relaxed);
        answer
    }
}

/// A command on its way.
enum Slot {
    Done(Method, Result<String, CallError>),
    Refused(CallError),
    Publishing(Publishing),
}

impl Slot {
    async fn settle(&mut self, handle: &Handle) {
        if let Self::Publishing(_) = self {
            let taken = std::mem::replace(self, Self::Refused(CallError::bad_request("")));
            if let Self::Publishing(publishing) = taken {
                let published = handle.published(publishing).await;
                *self = Self::Done(Method::Publish, published.and_then(|it| encode(&Published::from(it))));
            }
        }
    }

    fn count(&self, handle: &Handle) {
        if let Self::Done(method, outcome) = self {
            handle.node.metrics.api.count(*method, outcome.is_ok());
        }
    }

    /// The reply: the result under the method's name, or an error.
    fn write(&self, out: &mut String) {
        match self {
            Self::Done(method, Ok(result)) => {
                for part in ["{\"", method.name(), "\":", result, "}"] {
                    out.push_str(part);
                }
            }
            Self::Done(_, Err(error)) | Self::Refused(error) => {
                out.push_str("{\"error\":");
                out.push_str(&encode(&Error::from(error)).unwrap_or_default());
                out.push('}');
            }
            Self::Publishing(_) => {}
        }
    }
}

pub(super) async fn call(handle: &Handle, body: &[u8]) -> Result<String, CallError> {
    let batch: request::Batch<'_> = read(body)?;
    let room = Room { used: AtomicUsize::new(0), readers: Semaphore::new(READERS) };
    let slots = if batch.parallel.unwrap_or_default() {
        all_at_once(handle, &room, &batch.commands).await
    } else {
        in_order(handle, &room, &batch.commands).await
    };
    let mut out = String::from("[");
    for (at, slot) in slots.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        slot.count(handle);
        slot.write(&mut out);
    }
    out.push(']');
    Ok(out)
}

/// What a command is.
fn method<'a>(command: &'a RawValue) -> Result<(Method, &'a [u8]), CallError> {
    let Command(name, body) = read::<Command<'a>>(command.get().as_bytes())?;
    Ok((Method::named(&name)?, body.get().as_bytes()))
}

async fn all_at_once(handle: &Handle, room: &Room, commands: &[&RawValue]) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(commands.len());
    for some in commands.chunks(CONCURRENT) {
        let calls: Vec<BoxFuture<'_, Slot>> =
            some.iter().map(|command| at_once(handle, room, command).boxed()).collect();
        slots.extend(join_all(calls).await);
    }
    slots
}

async fn at_once(handle: &Handle, room: &Room, command: &RawValue) -> Slot {
    match method(command) {
        Ok((method, body)) => Slot::Done(method, room.call(handle, method, body).await),
        Err(error) => Slot::Refused(error),
    }
}

async fn in_order(handle: &Handle, room: &Room, commands: &[&RawValue]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::with_capacity(commands.len());
    let mut settled = 0;
    for command in commands {
        let slot = match method(command) {
            Ok((Method::Publish, body)) => match send(handle, body) {
                Ok(publishing) => Slot::Publishing(publishing),
                Err(error) => Slot::Done(Method::Publish, Err(error)),
            },
            Ok((method, body)) => {
                settle(handle, &mut slots[settled..]).await;
                settled = slots.len();
                Slot::Done(method, room.call(handle, method, body).await)
            }
            Err(error) => Slot::Refused(error),
        };
        slots.push(slot);
        if slots.len() - settled >= CONCURRENT {
            settle(handle, &mut slots[settled..]).await;
            settled = slots.len();
        }
    }
    settle(handle, &mut slots[settled..]).await;
    slots
}

async fn settle(handle: &Handle, slots: &mut [Slot]) {
    for slot in slots {
        slot.settle(handle).await;
    }
}

fn send(handle: &Handle, body: &[u8]) -> Result<Publishing, CallError> {
    let (channel, (data, options)) = read::<request::Publish<'_>>(body)?.message()?;
    handle.send(&channel, &data, &options)
}
