//! The connection: from wanted to connected, for ever or until somebody refuses for good.
//!
//! Owns the phases, the sockets' generations and the endpoints. Only the app's `connect` leaves
//! [`Phase::Idle`]; hints, timers and late callbacks never do. What belongs to one socket lives in
//! [`Live`] and dies with it.

pub(crate) mod backoff;
mod frames;
pub(crate) mod heartbeat;
pub(crate) mod token;

use crate::{
    Config, ConnId, ConnectionState, Duration, EndpointRequestId, Error, ErrorCode, Event, Instant, Output,
    RealtimeClient, Reason, time::signed_millis, wire,
};
use alloc::{boxed::Box, vec::Vec};
use heartbeat::Heartbeat;
use token::{Asked, Refresh};

/// A failure this soon after a hint that the network is back says nothing about the server.
const HINT_GRACE: Duration = Duration::from_secs(3);

/// After so many failures in a row another connection that does not last speaks against its address.
const SHORT_LIVED: u32 = 2;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: ConnectionState,
    pub(crate) phase: Phase,
    /// Why the client is not connected.
    pub(crate) reason: Reason,
    pub(crate) endpoints: Vec<Box<str>>,
    endpoint: usize,
    /// Where a first attempt begins.
    preferred: usize,
    /// Failed attempts since the last connection that lasted.
    pub(crate) failures: u32,
    pub(crate) token: Box<str>,
    pub(crate) asked: Option<Asked>,
    /// The server called the last token expired, and a fresh one was fetched without a wait.
    renewed_at_once: bool,
    hinted_at: Option<Instant>,
    /// Nobody looks at the page.
    pub(crate) hidden: bool,
    /// No hint shortens a wait to before this: the server asked for a pause, or an attempt has just failed.
    earliest: Instant,
    conns: u32,
    /// Numbers the questions to providers.
    questions: u32,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Not wanted, or refused for good.
    Idle,
    /// Wanted, but the page sleeps in the back/forward cache.
    Suspended,
    Waiting {
        until: Instant,
    },
    Resolving {
        request: EndpointRequestId,
        deadline: Instant,
    },
    Authorising,
    Opening {
        conn: ConnId,
        deadline: Instant,
    },
    Greeting {
        conn: ConnId,
        deadline: Instant,
    },
    Online(Box<Live>),
    Closed,
}

/// What belongs to one connection that the server has confirmed.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) conn: ConnId,
    /// Id of the last command.
    commands: u32,
    pub(crate) heartbeat: Heartbeat,
    /// When the connection has lasted; `None`: it has.
    pub(crate) stable_at: Option<Instant>,
    pub(crate) refresh: Refresh,
    pub(crate) max_message_bytes: usize,
    pub(crate) history_page: u32,
    /// How long the server knows a producer's messages again; `None`: not at all.
    pub(crate) dedupe_window: Option<Duration>,
    /// Publishes to one channel that may be under way.
    pub(crate) in_flight: usize,
    /// The server's Unix milliseconds when the connection began; `None`: not told.
    server_time: Option<(i64, Instant)>,
    /// Whether the server knows the command `ping`.
    pub(crate) has_ping: bool,
}

/// The id of the connect command; it is the first on its socket.
const GREETING: u32 = 1;

impl Live {
    pub(crate) fn next_command(&mut self) -> u32 {
        self.commands += 1;
        self.commands
    }
}

impl Connection {
    pub(crate) fn new(config: &Config) -> Self {
        let reason = Reason::new(0, "not connected yet");
        Self {
            state: ConnectionState::Disconnected { reason: reason.clone() },
            phase: Phase::Idle,
            reason,
            endpoints: config.endpoints.clone(),
            endpoint: 0,
            preferred: 0,
            failures: 0,
            token: config.token.clone(),
            asked: None,
            renewed_at_once: false,
            hinted_at: None,
            hidden: false,
            earliest: Instant::default(),
            conns: 0,
            questions: 0,
        }
    }

    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        match &mut self.phase {
            Phase::Online(live) => Some(live),
            _ => None,
        }
    }

    /// The socket that counts.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match &self.phase {
            Phase::Opening { conn, .. } | Phase::Greeting { conn, .. } => Some(*conn),
            Phase::Online(live) => Some(live.conn),
            _ => None,
        }
    }

    pub(crate) fn question(&mut self) -> u32 {
        self.questions += 1;
        self.questions
    }
}

/// Whether the socket of a lost connection is still to be closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    Open,
    Gone,
}

/// When to try again.
#[derive(Clone, Copy)]
pub(crate) enum Again {
    AtOnce,
    /// With backoff, and not before the server's wish.
    Later(Option<Duration>),
}

impl RealtimeClient {
    /// Unix milliseconds of the server, as far as it tells them; else of this machine.
    pub(crate) fn server_clock(&self) -> i64 {
        let told = match &self.link.phase {
            Phase::Online(live) => live.server_time,
            _ => None,
        };
        told.map_or_else(
            || self.wall_clock(),
            |(time, at)| time.saturating_add(signed_millis(self.now.since(at))),
        )
    }

    pub(crate) fn set_state(&mut self, state: ConnectionState) {
        if self.link.state != state {
            self.link.state = state.clone();
            self.out.event(Event::Connection(state));
        }
    }

    pub(crate) fn start(&mut self) {
        self.link.failures = 0;
        self.link.endpoint = self.link.preferred;
        self.link.renewed_at_once = false;
        self.link.reason = Reason::new(Reason::CONNECT_CALLED, "connect called");
        self.attempt();
    }

    /// The host knows the endpoint to begin with, by its place: attempts start there, and a connection over another
    /// one moves there at once. Calls that are under way end as with any lost connection: it is for the host to
    /// choose the moment.
    pub fn prefer_endpoint(&mut self, now: Instant, place: usize) {
        self.advance_to(now);
        self.link.preferred = place;
        let moves = core::mem::replace(&mut self.link.endpoint, place) != place;
        if moves && matches!(self.link.phase, Phase::Online(_)) {
            let reason = Reason::new(Reason::ENDPOINT_CHANGED, "a better endpoint opens again");
            self.lose(reason, Socket::Open, Again::AtOnce);
        }
    }

    /// Begins an attempt: endpoints, then a token, then a socket.
    pub(crate) fn attempt(&mut self) {
        let (reason, attempt) = (self.link.reason.clone(), self.link.failures);
        self.set_state(ConnectionState::Connecting { reason, attempt, retry_at: None });
        if self.config.resolves_endpoints {
            let request = EndpointRequestId(self.link.question());
            self.link.phase = Phase::Resolving { request, deadline: self.now + self.config.provider_timeout };
            self.out.push(Output::ResolveEndpoints { request });
        } else {
            self.authorise();
        }
    }

    pub(crate) fn on_endpoints(
        &mut self,
        answered: EndpointRequestId,
        endpoints: Result<Vec<Box<str>>, Box<str>>,
    ) {
        let Phase::Resolving { request, .. } = self.link.phase else { return };
        if request != answered {
            return;
        }
        match endpoints {
            Ok(endpoints) if !endpoints.is_empty() => {
                self.link.endpoints = endpoints;
                self.authorise();
            }
            Ok(_) => self.endpoints_failed("the resolver gave no endpoint"),
            Err(why) => self.endpoints_failed(&why),
        }
    }

    pub(crate) fn endpoints_failed(&mut self, why: &str) {
        let error = Error::new(ErrorCode::EndpointFailed).with_detail(why);
        self.out.event(Event::Error(error.clone()));
        self.lose(Reason::of(&error), Socket::Gone, Again::Later(None));
    }

    pub(crate) fn open(&mut self) {
        self.link.conns += 1;
        let conn = ConnId(self.link.conns);
        let at = self.link.endpoint % self.link.endpoints.len().max(1);
        let url = self.link.endpoints.get(at).cloned().unwrap_or_default();
        self.link.phase = Phase::Opening { conn, deadline: self.now + self.config.connect_timeout };
        self.out.push(Output::OpenSocket { conn, url });
    }

    pub(crate) fn on_opened(&mut self, opened: ConnId) {
        let Phase::Opening { conn, deadline } = self.link.phase else { return };
        if conn != opened {
            return;
        }
        self.link.phase = Phase::Greeting { conn, deadline };
        // A provider's token is used once; one that the app gave and cannot renew is all there is.
        let token = if self.config.provides_tokens {
            core::mem::take(&mut self.link.token)
        } else {
            self.link.token.clone()
        };
        let request = wire::Connect {
            token: (&*token).into(),
            data: (!self.config.data.is_empty()).then(|| wire::Raw::trusted(&self.config.data)),
            name: (&*self.config.name).into(),
            version: (&*self.config.version).into(),
            headers: None,
            subs: self.channels.server_side_positions(),
        };
        self.out.command(conn, GREETING, wire::Request::Connect(request));
    }

    fn on_greeting(&mut self, outcome: wire::Outcome<'_>) {
        let Phase::Greeting { conn, .. } = self.link.phase else { return };
        let result = match outcome {
            wire::Outcome::Connect(result) => result,
            wire::Outcome::Error(reply) => return self.on_greeting_refused(&reply),
            _ => return self.on_protocol_error("the answer to connect is of another kind"),
        };
        let homing = result.homing.as_ref();
        let limits = homing.map(|homing| homing.limits.clone()).unwrap_or_default();
        let told = |told: u32, otherwise: usize| if told == 0 { otherwise } else { told as usize };
        let max_message_bytes = told(limits.message_bytes, self.config.max_message_bytes);
        self.link.renewed_at_once = false;
        let offers = |name: &str| {
            homing.is_some_and(|homing| homing.capabilities.iter().any(|offered| **offered == *name))
        };
        let window = Duration::from_secs(limits.dedupe_window.into());
        let dedupe_window = Some(window).filter(|window| offers("producers") && !window.is_zero());
        let user = homing.map(|homing| &*homing.user);
        self.link.phase = Phase::Online(Box::new(Live {
            conn,
            commands: GREETING,
            heartbeat: Heartbeat::new(self.now, &self.config, result.ping, result.pong),
            stable_at: Some(self.now + self.config.stable_after),
            refresh: Refresh::after(self.now, result.expires, result.ttl),
            max_message_bytes,
            dedupe_window,
            in_flight: told(limits.in_flight, usize::MAX),
            server_time: Some((result.time, self.now)).filter(|(time, _)| *time > 0),
            has_ping: homing.is_some(),
            history_page: match limits.history_page {
                0 => self.config.repair_page.max(1),
                most => self.config.repair_page.clamp(1, most),
            },
        }));
        let mut capabilities: Vec<Box<str>> = Vec::new();
        if let Some(homing) = homing {
            for name in &homing.capabilities {
                capabilities.push((&**name).into());
            }
        }
        self.set_state(ConnectionState::Connected(crate::Session {
            client: result.client.as_ref().into(),
            server: result.version.as_ref().into(),
            data: result.data.map(Into::into),
            capabilities,
            user: homing.map(|homing| (&*homing.user).into()).unwrap_or_default(),
            max_message_bytes,
            dedupe_window,
        }));
        self.confirm_scope(user);
        self.join_server_side(&result.subs);
        self.join_all();
        self.flush_calls();
        self.flush_outbox();
    }

    fn on_greeting_refused(&mut self, reply: &wire::ErrorReply<'_>) {
        let error = Error::from_wire(reply);
        let expired = error.code == ErrorCode::TokenExpired;
        if expired && !self.config.provides_tokens {
            return self.refuse(Reason::of(&error), Socket::Open);
        }
        if expired && !self.link.renewed_at_once {
            self.link.renewed_at_once = true;
            return self.lose(Reason::of(&error), Socket::Open, Again::AtOnce);
        }
        if expired || reply.is_temporary() {
            let again = Again::Later(backoff::wish(reply.retry_after));
            return self.lose(Reason::of(&error), Socket::Open, again);
        }
        self.refuse(Reason::of(&error), Socket::Open);
    }

    pub(crate) fn on_closed(&mut self, closed: ConnId, code: u32, text: &str) {
        if self.link.conn() != Some(closed) {
            return;
        }
        if wire::closes_for_good(code) {
            let text = if text.is_empty() { ErrorCode::ClosedByServer.name() } else { text };
            return self.refuse(Reason::new(code, text), Socket::Gone);
        }
        let reason = if code >= 3000 {
            Reason::new(code, text)
        } else {
            let opening = matches!(self.link.phase, Phase::Opening { .. });
            let kind = if opening { ErrorCode::ConnectFailed } else { ErrorCode::ConnectionLost };
            Reason::of(&Error::new(kind).with_detail(text))
        };
        self.lose(reason, Socket::Gone, Again::Later(None));
    }

    /// The server broke the protocol: nothing more of this socket is believed.
    pub(crate) fn on_protocol_error(&mut self, what: &str) {
        let error = Error::new(ErrorCode::Protocol).with_detail(what);
        self.out.event(Event::Error(error.clone()));
        self.lose(Reason::of(&error), Socket::Open, Again::Later(None));
    }

    pub(crate) fn fail(&mut self, code: ErrorCode) {
        self.lose(Reason::of(&Error::new(code)), Socket::Open, Again::Later(None));
    }

    /// The attempt or connection is over; another one follows.
    pub(crate) fn lose(&mut self, reason: Reason, socket: Socket, again: Again) {
        let lasted = match &self.link.phase {
            Phase::Idle | Phase::Closed => return,
            Phase::Online(live) if live.stable_at.is_none() => true,
            // A proxy may hold everything back until the end: its answers come, and come to nothing.
            Phase::Online(_) if self.link.failures < SHORT_LIVED => false,
            Phase::Online(_) | Phase::Opening { .. } | Phase::Greeting { .. }
                if !matches!(again, Again::AtOnce) =>
            {
                self.link.endpoint = self.link.endpoint.wrapping_add(1);
                false
            }
            _ => false,
        };
        let hinted = self.link.hinted_at.is_some_and(|at| self.now.since(at) < HINT_GRACE);
        let failures = if lasted || hinted { 0 } else { self.link.failures };
        self.end_socket(socket);
        self.link.reason = reason;
        self.offline();
        let wish = match again {
            Again::AtOnce => return self.attempt(),
            Again::Later(wish) => wish,
        };
        let until = self.now + backoff::delay(&self.config, failures, wish, &mut self.rng);
        self.link.earliest = if wish.is_some() { until } else { self.now + self.config.backoff_floor };
        self.link.failures = failures.saturating_add(1);
        let least = if self.link.hidden { self.now + self.config.hidden_wait } else { until };
        self.wait(until.max(least));
    }

    fn wait(&mut self, until: Instant) {
        self.link.phase = Phase::Waiting { until };
        let (reason, attempt) = (self.link.reason.clone(), self.link.failures);
        self.set_state(ConnectionState::Connecting { reason, attempt, retry_at: Some(until) });
    }

    /// Nothing more is tried until the app says `connect` again.
    pub(crate) fn refuse(&mut self, reason: Reason, socket: Socket) {
        self.rest(reason, Phase::Idle, socket);
        self.health_lost();
    }

    /// Closes what is open and goes to a phase without a socket.
    pub(crate) fn rest(&mut self, reason: Reason, phase: Phase, socket: Socket) {
        self.end_socket(socket);
        self.link.reason = reason.clone();
        if let Some(asked) = &mut self.link.asked {
            asked.stale = true;
        }
        self.offline();
        self.link.phase = phase;
        match self.link.phase {
            Phase::Suspended => {
                self.set_state(ConnectionState::Connecting { reason, attempt: 0, retry_at: None })
            }
            _ => self.set_state(ConnectionState::Disconnected { reason }),
        }
    }

    pub(crate) fn end_socket(&mut self, socket: Socket) {
        // What the provider gave belongs to the attempt that asked: it may have expired by the next one.
        if self.config.provides_tokens && matches!(self.link.phase, Phase::Opening { .. }) {
            self.link.token = Box::default();
        }
        if let Some(conn) = self.link.conn() {
            self.out.drop_frames();
            if socket == Socket::Open {
                self.out.push(Output::CloseSocket { conn, code: 1000, reason: "" });
            }
        }
    }

    /// What the calls and channels make of a lost connection.
    fn offline(&mut self) {
        let reason = self.link.reason.clone();
        if matches!(self.link.phase, Phase::Online(_)) {
            self.link.phase = Phase::Idle;
            self.calls_lost();
            self.outbox_lost();
            self.channels_lost(&reason);
        }
    }

    /// The network may be back, or somebody looks at the page again.
    pub(crate) fn on_hint(&mut self) {
        self.link.hinted_at = Some(self.now);
        match self.link.phase {
            Phase::Waiting { .. } | Phase::Suspended if self.link.earliest <= self.now => {
                self.link.failures = 0;
                self.attempt();
            }
            Phase::Waiting { .. } | Phase::Suspended => {
                self.link.failures = 0;
                self.wait(self.link.earliest);
            }
            Phase::Online(_) => self.probe(),
            _ => {}
        }
    }

    /// The clock jumped: whatever was going on may be dead without knowing it.
    pub(crate) fn on_resumed(&mut self) {
        self.storage.wait_anew(self.now + self.config.storage_timeout);
        if matches!(self.link.phase, Phase::Opening { .. } | Phase::Greeting { .. }) {
            self.link.hinted_at = Some(self.now);
            let reason = self.link.reason.clone();
            return self.lose(reason, Socket::Open, Again::AtOnce);
        }
        self.on_hint();
    }

    pub(crate) fn on_suspended(&mut self) {
        if !matches!(self.link.phase, Phase::Idle | Phase::Closed) {
            self.rest(Reason::new(Reason::SUSPENDED, "page suspended"), Phase::Suspended, Socket::Open);
        }
    }
}
