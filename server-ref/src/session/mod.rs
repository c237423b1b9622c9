//! One client's conversation with the server, without a socket: frames in, frames into the connection's
//! queue, deadlines out.
//!
//! The host hands in what it reads ([`Session::handle_frame`]) and what the connection's queue holds for the
//! session ([`Session::handle_control`]), calls [`Session::handle_timeout`] when [`Session::poll_timeout`]
//! says so, and polls [`Session::poll_calls`] with its waker. Dropping the session leaves every channel.
//!
//! Commands to one channel are carried out in the order in which they come: the engine keeps the order of
//! calls, and one that needs the result of an earlier one waits in the channel's lane. Those to other channels
//! overtake it.

mod admission;
mod asking;
mod budget;
mod calls;
mod connect;
mod entitlement;
mod info;
mod lanes;
mod leaving;
mod permission;
mod publish;
mod query;
mod refresh;
mod subscribe;
mod subscriptions;
mod times;

use crate::{
    engine::EngineError,
    frames,
    hooks::Visit,
    hub::{Close, Connection, Control},
    node::{Node, Registered},
    rpc::ProcedureError,
};
pub use admission::{Admission, Changes, Refreshed, Since};
use budget::{Budget, Spent};
use bytes::Bytes;
use calls::Waiting;
use connect::Connecting;
use homing_core::wire::{
    Command, DisconnectCode, ErrorCode, ErrorReply, Outcome, Push, PushEvent, Reply, Request, json,
};
use lanes::{Lanes, Step};
use std::{borrow::Cow, sync::Arc};
use subscriptions::Subscriptions;
use times::Times;

/// Calls that one connection may have under way; behind them it is read no further.
const MAX_CALLS: usize = 64;

/// Where a command goes.
enum Place<'a> {
    Now,
    /// Into the lane of this channel.
    Lane(&'a str),
    /// With everything behind it.
    Backlog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has said who this is.
    New,
    /// The connect command is being answered.
    Connecting,
    Connected,
    /// It is over, whatever comes.
    Ended,
}

/// One client's conversation.
pub struct Session {
    node: Arc<Node>,
    connection: Arc<Connection>,
    place: Registered,
    stage: Stage,
    identity: Option<Box<Identity>>,
    subscriptions: Subscriptions,
    calls: Vec<Box<dyn Waiting>>,
    connecting: Option<Box<Connecting>>,
    visit: Visit,
    /// Commands that wait for an earlier one to their channel.
    lanes: Lanes,
    /// Commands that wait for the connect command, for room, or for the client to read.
    backlog: String,
    /// Bytes that waited to be written when that was last seen.
    waiting: usize,
    /// What came before the connect command was answered.
    deferred: Vec<Control>,
    times: Times,
    budget: Budget,
    /// Whether a numbered publish was given up: it may be carried out at any later time.
    has_lost_track: bool,
    /// What names this session to nodes, where its commands come in requests of their own.
    secret: Option<Arc<str>>,
}

/// Who the client is.
struct Identity {
    user: Arc<str>,
    /// JSON from the token, put into presence and publications.
    info: Option<Box<str>>,
    /// What every publication of this client says of it: `{"info":{…}}`.
    meta: Bytes,
    /// JSON for hooks; the client never sees it.
    aside: Option<Arc<str>>,
}

/// Why a command is refused, as the client is told.
#[derive(Clone, Debug, PartialEq)]
struct Refusal {
    code: u32,
    message: Cow<'static, str>,
    temporary: bool,
    retry_after: u32,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code: code.code(),
            message: Cow::Borrowed(code.text()),
            temporary: code.is_temporary(),
            retry_after: 0,
        }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let retry_after = match error {
            EngineError::TooMany { .. } => {
                return Self::because(ErrorCode::LimitExceeded, error.to_string());
            }
            EngineError::Away { retry_after } => u32::try_from(retry_after).unwrap_or(u32::MAX),
            EngineError::Deadline | EngineError::Unconfirmed | EngineError::Broken(_) => 0,
        };
        Self { message: error.to_string().into(), retry_after, ..ErrorCode::Internal.into() }
    }
}

impl From<ProcedureError> for Refusal {
    fn from(error: ProcedureError) -> Self {
        let ProcedureError { code, message, temporary } = error;
        Self { code, message: message.into(), temporary, retry_after: 0 }
    }
}

impl Refusal {
    fn because(code: ErrorCode, message: String) -> Self {
        Self { message: message.into(), ..code.into() }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("connection", &self.connection).field("stage", &self.stage).finish()
    }
}

impl Session {
    /// A session that waits for its connect command.
    #[must_use]
    pub fn new(node: Arc<Node>, connection: Arc<Connection>, place: Registered) -> Self {
        let now = node.now();
        let times = Times::new(now, &node.config.client);
        Self {
            budget: Budget::new(now, node.config.client.command_rate_limit),
            node,
            connection,
            place,
            stage: Stage::New,
            identity: None,
            subscriptions: Subscriptions::default(),
            calls: Vec::new(),
            connecting: None,
            visit: Visit::default(),
            lanes: Lanes::default(),
            backlog: String::new(),
            waiting: 0,
            deferred: Vec::new(),
            times,
            has_lost_track: false,
            secret: None,
        }
    }

    /// Tells the client in its connect result by which secret its further commands name this session.
    pub fn set_secret(&mut self, secret: Arc<str>) {
        self.secret = Some(secret);
    }

    /// The node that it belongs to.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The reachable part of this session's connection.
    #[must_use]
    pub const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the host should read on. While commands wait, or too much of what was answered, it should
    /// not: so a client that asks faster than the engine answers, or than it reads, is slowed down by its own
    /// socket.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.backlog.is_empty() && !self.is_clogged()
    }

    /// Notes how many bytes wait to be written, and goes on with commands that waited for it.
    pub fn handle_waiting(&mut self, bytes: usize) {
        self.waiting = bytes;
        if !self.is_clogged() {
            self.resume();
        }
    }

    fn is_clogged(&self) -> bool {
        self.waiting > self.node.config.client.queue_max_size / 2
    }

    /// Takes a message of the client: one or more commands, or a pong.
    pub fn handle_frame(&mut self, text: &str) {
        self.times.heard();
        if text == "{}" {
            return;
        }
        if !self.backlog.is_empty() {
            self.backlog.push('\n');
            self.backlog.push_str(text);
            return;
        }
        if text.trim_ascii().is_empty() {
            return self.end_with(DisconnectCode::BadRequest, "an empty frame");
        }
        self.read(text);
    }

    /// Takes a sign of life that is no command.
    pub fn handle_pong(&mut self) {
        self.times.heard();
    }

    fn read(&mut self, text: &str) {
        let mut commands = json::commands(text);
        loop {
            let rest = commands.rest();
            match commands.next() {
                _ if self.stage == Stage::Ended => return,
                None => return,
                Some(Err(error)) => return self.end_with(DisconnectCode::BadRequest, error),
                Some(Ok(command)) => match self.place(&command) {
                    Place::Now => self.handle_command(&command),
                    Place::Lane(channel) => {
                        let is_publish = matches!(command.request, Request::Publish(_));
                        let text = rest.strip_suffix(commands.rest()).unwrap_or(rest);
                        self.lanes.wait(channel, text, is_publish);
                    }
                    Place::Backlog => {
                        rest.clone_into(&mut self.backlog);
                        return;
                    }
                },
            }
        }
    }

    /// Where a command has to wait for one that is under way, if it has to.
    fn place<'c>(&self, command: &'c Command<'_>) -> Place<'c> {
        let is_full = || self.calls.len() >= MAX_CALLS || !self.lanes.has_room() || self.is_clogged();
        let channel = match &command.request {
            Request::Pong => return Place::Now,
            _ if self.stage == Stage::Connecting || is_full() => return Place::Backlog,
            Request::Subscribe(request) => &request.channel,
            Request::Unsubscribe(request) => &request.channel,
            Request::Publish(request) => &request.channel,
            Request::Presence(request) => &request.channel,
            Request::PresenceStats(request) => &request.channel,
            Request::History(request) => &request.channel,
            Request::SubRefresh(request) => &request.channel,
            Request::Connect(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Rpc(_)
            | Request::Refresh(_) => return Place::Now,
        };
        let is_publish = matches!(command.request, Request::Publish(_));
        if self.is_blocked(channel) || self.lanes.holds_back(channel, is_publish) {
            Place::Lane(channel)
        } else {
            Place::Now
        }
    }

    /// Whether commands to a channel need the outcome of a subscribe command that is under way.
    fn is_blocked(&self, channel: &str) -> bool {
        self.subscriptions.find(channel).is_some_and(|subscription| !subscription.is_active())
    }

    /// Carries out what has waited in lanes and need not wait any more.
    fn advance_lanes(&mut self) {
        for channel in self.lanes.channels() {
            while self.stage != Stage::Ended {
                match self.lanes.next(&channel, self.is_blocked(&channel)) {
                    None => break,
                    Some(Step::Settle(queued)) => self.settle_publish(&channel, *queued),
                    Some(Step::Begin(text, rest)) => {
                        if let Some(Ok(command)) = json::commands(&text).next() {
                            self.handle_command(&command);
                        }
                        self.lanes.put_back(&channel, rest);
                    }
                }
            }
        }
    }

    fn handle_command(&mut self, command: &Command<'_>) {
        let id = command.id;
        match (&command.request, self.stage) {
            (Request::Pong, _) => return,
            (Request::Connect(request), Stage::New) if id > 0 => return self.connect(id, request),
            (_, Stage::Connected) => {}
            _ => return self.end_with(DisconnectCode::BadRequest, "the first command must be connect"),
        }
        self.node.metrics.commands.increment(1);
        match self.budget.spend(self.node.now()) {
            Spent::Allowed => {}
            Spent::Refused { .. } if id == 0 => return,
            Spent::Refused { retry_after } => {
                let refusal = Refusal { retry_after, ..ErrorCode::TooManyRequests.into() };
                return match &command.request {
                    Request::Publish(request) => self.refuse_publish(id, request, refusal),
                    _ => self.refuse(id, refusal),
                };
            }
            Spent::Abused => return self.end(DisconnectCode::TooManyRequests.into()),
        }
        match &command.request {
            Request::Send(request) => self.take_message(request),
            _ if id == 0 => self.end_with(DisconnectCode::BadRequest, "a command without an id"),
            Request::Subscribe(request) => self.subscribe(id, request),
            Request::Unsubscribe(request) => self.unsubscribe(id, request),
            Request::Publish(request) => self.publish(id, request),
            Request::Presence(request) => self.presence(id, request),
            Request::PresenceStats(request) => self.presence_stats(id, request),
            Request::History(request) => self.history(id, request),
            Request::Ping => self.answer(id, Outcome::Ping),
            Request::Rpc(request) => self.rpc(id, request),
            Request::Refresh(request) => self.refresh(id, request),
            Request::SubRefresh(request) => self.sub_refresh(id, request),
            Request::Connect(_) => self.end_with(DisconnectCode::BadRequest, "a second connect command"),
            Request::Pong => {}
        }
    }

    /// Takes what the node or the application wants of this session.
    pub fn handle_control(&mut self, control: Control) {
        match self.stage {
            Stage::Connected => {}
            Stage::Connecting => return self.deferred.push(control),
            Stage::New | Stage::Ended => return,
        }
        match control {
            Control::Dropped { channel, slot, code } => self.dropped(&channel, slot, code),
            Control::Unsubscribe { channel, code, reason } if channel.is_empty() => {
                self.end_subscriptions(code, &reason);
            }
            Control::Unsubscribe { channel, code, reason } => self.end_subscription(&channel, code, &reason),
            Control::Subscribe { channel, admission } => self.subscribe_by_server(&channel, &admission),
            Control::Refresh(refreshed) => self.refreshed_by_server(&refreshed),
        }
    }

    fn answer_frame(&mut self, frame: Bytes) {
        self.waiting = self.connection.reply(frame);
    }

    fn answer(&mut self, id: u32, outcome: Outcome<'_>) {
        self.answer_frame(frames::answer(id, outcome));
    }

    fn push(&self, channel: &str, event: PushEvent<'_>) {
        self.connection.push(frames::reply(&Reply::Push(Push { channel: channel.into(), event })));
    }

    fn refuse(&mut self, id: u32, refusal: impl Into<Refusal>) {
        self.node.metrics.errors.increment(1);
        let Refusal { code, message, temporary, retry_after } = refusal.into();
        self.answer(
            id,
            Outcome::Error(ErrorReply { code, message, temporary, retry_after, ..ErrorReply::default() }),
        );
    }

    fn end(&mut self, close: Close) {
        self.stage = Stage::Ended;
        self.backlog = String::new();
        self.lanes = Lanes::default();
        self.connection.close(close);
    }

    fn end_with(&mut self, code: DisconnectCode, why: impl std::fmt::Display) {
        let reason = format!("{}: {why}", code.text()).into();
        self.end(Close { reason, ..code.into() });
    }

    fn user(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| &identity.user)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stage = Stage::Ended;
        self.leave_all();
        let user = self.identity.as_ref().map(|identity| Arc::clone(&identity.user)).unwrap_or_default();
        self.node.registry.remove(self.place, &self.connection, &user);
    }
}
