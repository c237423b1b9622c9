//! Calls that settle exactly once: waiting to be sent, waiting for an answer, or over.
//!
//! Owns the table of calls and the table of who waits for which answer on the socket that counts. A call
//! keeps its deadline from the moment it was made; the order of calls to one channel is the order on the
//! wire.

use crate::{
    ChannelKey, EntryId, Error, ErrorCode, HistoryQuery, Instant, Message, Output, Position, RealtimeClient,
    RequestId, Response,
    connection::Phase,
    event::ClientInfo,
    table::Table,
    wire::{self, Outcome, Raw, Request},
};
use alloc::{boxed::Box, vec::Vec};

/// Who waits for the answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    Refresh,
    Call(RequestId),
    Entry(EntryId),
    Join(ChannelKey),
    Leave,
    SubRefresh(ChannelKey),
    Page(ChannelKey),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) deadline: Instant,
    /// The command that carries it; `None`: not sent.
    command: Option<u32>,
    /// The channel that it belongs to; empty: none.
    channel: Box<str>,
    body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Publish(Box<str>),
    History(HistoryQuery),
    Presence,
    PresenceStats,
    Rpc(Box<str>, Box<str>),
    Send(Box<str>),
}

impl Body {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish(data) | Self::Send(data) => data.len(),
            Self::Rpc(method, data) => method.len() + data.len(),
            Self::History(_) | Self::Presence | Self::PresenceStats => 0,
        }
    }

    /// Whether doing it twice does the same as doing it once.
    const fn is_a_question(&self) -> bool {
        matches!(self, Self::History(_) | Self::Presence | Self::PresenceStats)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) table: Table<RequestId, Call>,
    waiters: Table<u32, Waiter>,
    bytes: usize,
    unsent: usize,
    last: u32,
}

impl Calls {
    pub(crate) fn await_answer(&mut self, command: u32, waiter: Waiter) {
        self.waiters.insert(command, waiter);
    }

    pub(crate) fn answered(&mut self, command: u32) -> Option<Waiter> {
        self.waiters.remove(command)
    }

    pub(crate) fn next_id(&mut self) -> RequestId {
        self.last += 1;
        RequestId(self.last)
    }

    /// The earliest deadline. Calls are made in order and wait equally long, so it is the first one's.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.table.values().next().map(|call| call.deadline)
    }
}

impl RealtimeClient {
    pub(crate) fn call(&mut self, channel: &str, body: Body) -> Result<RequestId, Error> {
        self.ensure_usable()?;
        if self.calls.table.len() >= self.config.max_requests {
            return Err(Error::exceeded(
                ErrorCode::QueueFull,
                self.calls.table.len() + 1,
                self.config.max_requests,
            ));
        }
        let bytes = self.calls.bytes.saturating_add(body.bytes());
        if bytes > self.config.max_request_bytes {
            return Err(Error::exceeded(ErrorCode::QueueFull, bytes, self.config.max_request_bytes));
        }
        self.calls.bytes = bytes;
        self.calls.unsent += 1;
        let id = self.calls.next_id();
        let deadline = self.now + self.config.request_timeout;
        self.calls.table.insert(id, Call { deadline, command: None, channel: channel.into(), body });
        self.flush_calls();
        Ok(id)
    }

    /// Whatever may have waited for a subscription.
    pub(crate) fn flush_waiting(&mut self) {
        self.flush_calls();
        self.flush_outbox();
    }

    /// Sends what can be sent. A call to a channel that is being joined waits until it is joined: the server
    /// may allow it to subscribers only.
    pub(crate) fn flush_calls(&mut self) {
        if self.calls.unsent == 0 || !matches!(self.link.phase, Phase::Online(_)) {
            return;
        }
        let channels = &self.channels;
        let ready = self.calls.table.keys_where(&mut |call| {
            call.command.is_none() && (call.channel.is_empty() || !channels.is_joining(&call.channel))
        });
        for id in ready {
            self.send_call(id);
        }
    }

    fn send_call(&mut self, id: RequestId) {
        let Phase::Online(live) = &mut self.link.phase else { return };
        let Some(call) = self.calls.table.get_mut(id) else { return };
        // What was taken before this server told its limit is refused alone, and not by the loss of the connection.
        if let Body::Publish(data) | Body::Send(data) = &call.body
            && data.len() > live.max_message_bytes
        {
            let error = Error::exceeded(ErrorCode::MessageTooLarge, data.len(), live.max_message_bytes);
            return self.settle(id, Err(error));
        }
        let channel = (&*call.channel).into();
        self.calls.unsent -= 1;
        if let Body::Send(data) = &call.body {
            self.out.command(live.conn, 0, Request::Send(wire::Send { data: Some(Raw::trusted(data)) }));
            return self.settle(id, Ok(Response::Sent));
        }
        let command = live.next_command();
        call.command = Some(command);
        self.calls.waiters.insert(command, Waiter::Call(id));
        let request = match &call.body {
            Body::Publish(data) => {
                let data = Some(Raw::trusted(data));
                Request::Publish(wire::Publish { channel, data, ..wire::Publish::default() })
            }
            Body::History(query) => Request::History(wire::History {
                channel,
                limit: query.limit,
                since: query.since.as_ref().map(Position::since),
                reverse: query.reverse,
            }),
            Body::Presence => Request::Presence(wire::Presence { channel }),
            Body::PresenceStats => Request::PresenceStats(wire::PresenceStats { channel }),
            Body::Rpc(method, data) => {
                Request::Rpc(wire::Rpc { method: (&**method).into(), data: Some(Raw::trusted(data)) })
            }
            Body::Send(_) => return,
        };
        self.out.command(live.conn, command, request);
    }

    fn settle(&mut self, id: RequestId, result: Result<Response, Error>) {
        if let Some(call) = self.calls.table.remove(id) {
            self.calls.bytes -= call.body.bytes();
            match call.command {
                Some(command) => drop(self.calls.waiters.remove(command)),
                None if matches!(result, Ok(Response::Sent)) => {}
                None => self.calls.unsent -= 1,
            }
            self.out.push(Output::Settled { request: id, result });
        }
    }

    pub(crate) fn on_call_answered(&mut self, id: RequestId, outcome: Outcome<'_>) {
        let Some(call) = self.calls.table.get(id) else { return };
        let response = match (&call.body, outcome) {
            (_, Outcome::Error(reply)) => Err(Error::from_wire(&reply)),
            (Body::Publish(_), Outcome::Publish(result)) => Ok(Response::Published {
                position: result.position(),
                time: result.time,
                duplicate: result.duplicate,
            }),
            (Body::History(_), Outcome::History(result)) => {
                let mut messages = Vec::new();
                for publication in &result.publications {
                    messages.push(Message::from_wire(publication));
                }
                let position =
                    (!result.epoch.is_empty()).then(|| Position::new(&result.epoch, result.offset));
                Ok(Response::History { messages, position })
            }
            (Body::Presence, Outcome::Presence(result)) => {
                let mut members = Vec::new();
                for (_, info) in &result.presence {
                    members.push(ClientInfo::from_wire(info));
                }
                Ok(Response::Presence(members))
            }
            (Body::PresenceStats, Outcome::PresenceStats(result)) => {
                Ok(Response::PresenceStats { clients: result.num_clients, users: result.num_users })
            }
            (Body::Rpc(..), Outcome::Rpc(result)) => {
                Ok(Response::Rpc(result.data.unwrap_or(Raw::trusted("null")).into()))
            }
            // A server may leave out a result whose fields are all zero.
            (Body::Publish(_), Outcome::Empty) => {
                Ok(Response::Published { position: None, time: 0, duplicate: false })
            }
            (Body::Rpc(..), Outcome::Empty) => Ok(Response::Rpc(Raw::trusted("null").into())),
            // The loss of the connection settles the call, or asks again.
            _ => return self.on_protocol_error("the answer to a call is of another kind"),
        };
        self.settle(id, response);
    }

    /// The connection is gone: questions are asked again on the next one, the rest has an unknown end. A message that
    /// is now or never, and waited for its channel, is not sent on another one.
    pub(crate) fn calls_lost(&mut self) {
        self.calls.waiters.clear();
        let mut lost = Vec::new();
        let is_over = |call: &Call| call.command.is_some() || matches!(call.body, Body::Publish(_));
        for id in self.calls.table.keys_where(&mut |call| is_over(call)) {
            match self.calls.table.get_mut(id) {
                Some(call) if call.body.is_a_question() => {
                    call.command = None;
                    self.calls.unsent += 1;
                }
                _ => lost.push(id),
            }
        }
        for id in lost {
            self.give_up(id, ErrorCode::NotSent);
        }
    }

    pub(crate) fn on_calls_due(&mut self) {
        let now = self.now;
        for id in self.calls.table.keys_where(&mut |call| call.deadline <= now) {
            self.give_up(id, ErrorCode::NotSent);
        }
    }

    /// Ends a call without an answer; `unsent` tells why if it never left.
    pub(crate) fn give_up(&mut self, id: RequestId, unsent: ErrorCode) {
        let Some(call) = self.calls.table.get(id) else { return };
        let mut error = match call.command {
            None => Error::new(unsent),
            Some(_) => Error::new(ErrorCode::OutcomeUnknown),
        };
        error.retryable |= call.body.is_a_question();
        self.settle(id, Err(error));
    }

    /// The client is over. What the server may have acted on has an unknown end, a question has none.
    pub(crate) fn give_up_all(&mut self) {
        for id in self.calls.table.keys_where(&mut |_| true) {
            let acts = |call: &Call| call.command.is_some() && !call.body.is_a_question();
            let unknown = self.calls.table.get(id).is_some_and(acts);
            let code = if unknown { ErrorCode::OutcomeUnknown } else { ErrorCode::Closed };
            self.settle(id, Err(Error::new(code)));
        }
    }

    /// What waits to be sent will not be: the app said so.
    pub(crate) fn give_up_unsent(&mut self) {
        for id in self.calls.table.keys_where(&mut |call| call.command.is_none()) {
            self.give_up(id, ErrorCode::Disconnected);
        }
    }
}
