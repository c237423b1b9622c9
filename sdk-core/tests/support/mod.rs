//! A whole world on virtual time around one client: a network that misbehaves by seed, and a small model of a
//! server that speaks the protocol's frames. Nothing here reads a clock; the same seed gives the same story.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "each test file uses a part of it, and a story can be told"
)]

pub mod desk;
pub mod disk;
pub mod producers;
pub mod reader;
pub mod server;

use disk::Disk;
use homing_core::*;
use server::Server;
use std::collections::BTreeMap;

/// The seeds of a run: `SEEDS` of them from `START` on, or as many as usual from 0.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let start = number("START").unwrap_or(0);
    start..start + number("SEEDS").unwrap_or(usual)
}

/// Small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        (self.next() >> 16) % most.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn entropy(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Parcel {
    Opened(ConnId),
    ToServer(ConnId, String),
    ToClient(ConnId, String),
    ClosedForClient(ConnId, u32, String),
    ClosedForServer(ConnId),
    Token(TokenRequestId, Result<Box<str>, TokenRefusal>),
    Endpoints(EndpointRequestId, Result<Vec<Box<str>>, Box<str>>),
    /// The storage of that life has done what it was asked.
    Disk(u32, disk::Done),
}

/// What the network does to a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Frames to the server vanish.
    pub deaf: bool,
    /// Frames to the client vanish.
    pub mute: bool,
}

/// How the host answers for a token.
pub type TokenPlan = Box<dyn FnMut(u64, Option<&str>) -> Option<(u64, Result<Box<str>, TokenRefusal>)>>;

pub struct World {
    pub now: u64,
    pub dice: Dice,
    pub client: RealtimeClient,
    pub server: Server,
    /// Milliseconds that a parcel takes, least and spread.
    pub delay: (u64, u64),
    /// Whether new sockets open.
    pub reachable: bool,
    /// Faults of sockets that are open.
    pub faults: BTreeMap<ConnId, Fault>,
    /// Faults that every new socket gets.
    pub fault_of_new: Fault,
    pub tokens: TokenPlan,
    pub endpoints: Result<Vec<Box<str>>, Box<str>>,
    parcels: BTreeMap<(u64, u64), Parcel>,
    sent: u64,
    /// When the last parcel of a direction arrives: a socket keeps its order.
    order: BTreeMap<(ConnId, bool), u64>,
    pub open: Vec<ConnId>,
    pub opened_urls: Vec<(u64, String)>,
    pub frames: Vec<(u64, String)>,
    pub events: Vec<(u64, Event)>,
    pub settled: BTreeMap<RequestId, (u64, Result<Response, Error>)>,
    pub token_questions: Vec<(u64, Option<String>)>,
    /// The question for the connection's token that is open, and until when it counts.
    open_token_question: Option<(TokenRequestId, u64)>,
    provider_timeout: u64,
    pub disk: Disk,
    /// Messages that were told to be kept, and whether durably.
    pub kept: BTreeMap<RequestId, bool>,
    /// Number of the last socket of an earlier life: a client begins to count anew.
    base: u32,
    /// How often the client was crashed and made anew.
    pub lives: u32,
    /// In percent: frames to the server on a socket that is cut arrive later than those of the next one.
    pub linger: u64,
    /// Everything the client said, for comparing runs.
    pub transcript: String,
}

pub fn config() -> Config {
    Config { endpoints: vec!["ws://one".into()], ..Config::default() }
}

impl World {
    pub fn new(seed: u64, config: Config) -> Self {
        let mut dice = Dice::new(seed);
        let provider_timeout = config.provider_timeout.as_millis() as u64;
        let client = RealtimeClient::new(config, dice.entropy(), Instant::from_millis(0));
        Self {
            now: 0,
            client,
            server: Server::new(),
            delay: (5, 20),
            reachable: true,
            faults: BTreeMap::new(),
            fault_of_new: Fault::default(),
            tokens: Box::new(|_, _| Some((5, Ok("token".into())))),
            endpoints: Ok(vec!["ws://resolved".into()]),
            parcels: BTreeMap::new(),
            sent: 0,
            order: BTreeMap::new(),
            open: Vec::new(),
            opened_urls: Vec::new(),
            frames: Vec::new(),
            events: Vec::new(),
            settled: BTreeMap::new(),
            token_questions: Vec::new(),
            open_token_question: None,
            provider_timeout,
            disk: Disk::default(),
            kept: BTreeMap::new(),
            base: 0,
            lives: 0,
            linger: 0,
            transcript: String::new(),
            dice,
        }
    }

    pub fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Runs a command of the client and everything that it orders.
    pub fn run<T>(&mut self, command: impl FnOnce(&mut RealtimeClient, Instant) -> T) -> T {
        let now = self.instant();
        let result = command(&mut self.client, now);
        self.drain();
        result
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.run(|client, now| client.handle_input(now, input));
    }

    /// Something that a socket says; those of an earlier life have nobody to say it to.
    fn input_of<'a>(&mut self, conn: ConnId, input: impl FnOnce(ConnId) -> Input<'a>) {
        if let Some(conn) = conn.0.checked_sub(self.base).filter(|conn| *conn > 0) {
            self.input(input(ConnId(conn)));
        }
    }

    /// The client dies between two steps, and another one is made on the same storage. What was on its way to the
    /// server still arrives; a write that was under way is there or not.
    pub fn crash(&mut self, config: Config) {
        self.disk.crash(&mut self.dice);
        self.base = self.order.keys().map(|(conn, _)| conn.0).max().unwrap_or(self.base).max(self.base);
        self.base = self.open.iter().map(|conn| conn.0).max().unwrap_or(self.base).max(self.base);
        for conn in core::mem::take(&mut self.open) {
            self.post(Parcel::ClosedForServer(conn));
        }
        self.lives += 1;
        self.settled.clear();
        self.kept.clear();
        self.events.clear();
        self.open_token_question = None;
        self.client = RealtimeClient::new(config, self.dice.entropy(), self.instant());
    }

    pub fn connect(&mut self) {
        self.run(|client, now| client.connect(now)).expect("connect");
    }

    pub fn subscribe(&mut self, channel: &str) -> (HandleId, ChannelKey) {
        self.run(|client, now| client.subscribe(now, channel, &SubscribeOptions::default()))
            .expect("subscribe")
    }

    pub fn publish(&mut self, channel: &str, data: &str) -> RequestId {
        self.run(|client, now| client.publish(now, channel, data, &PublishOptions::default()))
            .expect("publish")
            .request
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            let line = format!("{} {output:?}\n", self.now);
            if std::env::var_os("TELL").is_some() {
                print!("{line}");
            }
            self.transcript.push_str(&line);
            match output {
                Output::OpenSocket { conn, url } => {
                    let conn = ConnId(conn.0 + self.base);
                    self.open.push(conn);
                    assert_eq!(self.open.len(), 1, "never two sockets");
                    self.opened_urls.push((self.now, url.into()));
                    self.faults.insert(conn, self.fault_of_new);
                    if self.reachable {
                        self.post(Parcel::Opened(conn));
                    } else if self.fault_of_new == Fault::default() {
                        self.post(Parcel::ClosedForClient(conn, 1006, "refused".into()));
                    }
                }
                Output::SendFrame { conn, text } => {
                    let conn = ConnId(conn.0 + self.base);
                    assert!(self.open.contains(&conn), "frames go to the open socket only");
                    self.frames.push((self.now, text.clone()));
                    self.post(Parcel::ToServer(conn, text));
                }
                Output::CloseSocket { conn, .. } => {
                    let conn = ConnId(conn.0 + self.base);
                    assert!(self.open.contains(&conn), "only an open socket is closed");
                    self.open.retain(|open| *open != conn);
                    self.post(Parcel::ClosedForServer(conn));
                }
                Output::RequestToken { request, channel } => {
                    self.token_questions.push((self.now, channel.as_deref().map(Into::into)));
                    if channel.is_none() {
                        let open = self.open_token_question.filter(|(_, until)| *until > self.now);
                        assert_eq!(open, None, "one question for the connection's token at a time");
                        self.open_token_question = Some((request, self.now + self.provider_timeout));
                    }
                    if let Some((after, answer)) = (self.tokens)(self.now, channel.as_deref()) {
                        self.post_at(self.now + after, Parcel::Token(request, answer));
                    }
                }
                Output::ResolveEndpoints { request } => {
                    let answer = self.endpoints.clone();
                    self.post_at(self.now + 5, Parcel::Endpoints(request, answer));
                }
                Output::Event(event) => {
                    if let Event::Connection(state) = &event {
                        let last = self.events.iter().rev().find_map(|(_, event)| match event {
                            Event::Connection(state) => Some(state),
                            _ => None,
                        });
                        assert_ne!(last, Some(state), "no state is told twice");
                    }
                    self.events.push((self.now, event));
                }
                Output::Settled { request, result } => {
                    let before = self.settled.insert(request, (self.now, result));
                    assert!(before.is_none(), "a call settles once");
                }
                Output::Storage(order) => {
                    let done = self.disk.execute(order);
                    if let Some(done) = done {
                        let at = self.now + self.disk.delay(&mut self.dice);
                        self.post_at(at, Parcel::Disk(self.lives, done));
                    }
                }
                Output::Accepted { request, durably } => drop(self.kept.insert(request, durably)),
                other => panic!("an output that this host does not know: {other:?}"),
            }
        }
    }

    fn post_at(&mut self, at: u64, parcel: Parcel) {
        self.sent += 1;
        self.parcels.insert((at, self.sent), parcel);
    }

    /// Puts something on its way, behind what travels the same way already.
    pub fn post(&mut self, parcel: Parcel) {
        let mut at = self.now + self.delay.0 + self.dice.below(self.delay.1 + 1);
        let way = match &parcel {
            Parcel::Opened(conn) | Parcel::ToClient(conn, _) | Parcel::ClosedForClient(conn, ..) => {
                Some((*conn, true))
            }
            Parcel::ToServer(conn, _) | Parcel::ClosedForServer(conn) => Some((*conn, false)),
            Parcel::Token(..) | Parcel::Endpoints(..) | Parcel::Disk(..) => None,
        };
        if let Some(way) = way {
            let last = self.order.entry(way).or_default();
            at = at.max(*last);
            *last = at;
        }
        self.post_at(at, parcel);
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Opened(conn) => {
                if !self.faults.get(&conn).is_some_and(|fault| fault.mute) {
                    self.input_of(conn, |conn| Input::SocketOpened { conn });
                }
            }
            Parcel::ToServer(conn, text) => {
                if !self.faults.get(&conn).is_some_and(|fault| fault.deaf) {
                    self.server.handle_frame(self.now, conn, &text, &mut self.dice);
                    self.forward();
                }
            }
            Parcel::ToClient(conn, text) => {
                if !self.faults.get(&conn).is_some_and(|fault| fault.mute) {
                    self.input_of(conn, |conn| Input::FrameReceived { conn, text: &text });
                }
            }
            Parcel::ClosedForClient(conn, code, reason) => {
                self.open.retain(|open| *open != conn);
                self.input_of(conn, |conn| Input::SocketClosed { conn, code, reason: &reason });
            }
            Parcel::ClosedForServer(conn) => {
                if !self.faults.get(&conn).is_some_and(|fault| fault.deaf) {
                    self.server.forget(conn);
                }
            }
            Parcel::Token(request, token) => {
                self.open_token_question = self.open_token_question.filter(|(open, _)| *open != request);
                self.input(Input::TokenProvided { request, token });
            }
            Parcel::Disk(life, done) if life == self.lives => {
                let input = self.disk.finish(done);
                self.input(input);
            }
            Parcel::Disk(..) => {}
            Parcel::Endpoints(request, endpoints) => {
                self.input(Input::EndpointsResolved { request, endpoints })
            }
        }
    }

    /// Puts what the server said on its way.
    pub fn forward(&mut self) {
        for (conn, said) in core::mem::take(&mut self.server.said) {
            match said {
                server::Said::Frame(text) => self.post(Parcel::ToClient(conn, text)),
                server::Said::Close(code, reason) => self.post(Parcel::ClosedForClient(conn, code, reason)),
            }
        }
    }

    /// The server's application publishes.
    pub fn server_publishes(&mut self, channel: &str, data: &str) {
        self.server.publish(channel, data, None, &mut self.dice);
        self.forward();
    }

    /// Cuts every socket: both ends hear of it.
    pub fn cut(&mut self) {
        for conn in self.open.clone() {
            self.server.forget(conn);
            self.post(Parcel::ClosedForClient(conn, 1006, "cut".into()));
        }
    }

    /// Cuts every socket for the client only: what it has sent still reaches the server, later than what the next
    /// socket sends.
    pub fn cut_late(&mut self) {
        for conn in self.open.clone() {
            let late = 500 + self.dice.below(8_000);
            let all = core::mem::take(&mut self.parcels);
            for ((at, number), parcel) in all {
                let to_server = matches!(&parcel, Parcel::ToServer(to, _) if *to == conn);
                self.parcels.insert((if to_server { at + late } else { at }, number), parcel);
            }
            self.faults.insert(conn, Fault { deaf: false, mute: true });
            self.post_at(self.now + late + 1_000, Parcel::ClosedForServer(conn));
            self.open.retain(|open| *open != conn);
            self.input_of(conn, |conn| Input::SocketClosed { conn, code: 1006, reason: "cut" });
        }
    }

    /// Swallows everything on every open socket from here on.
    pub fn blackhole(&mut self) {
        for conn in self.open.clone() {
            self.faults.insert(conn, Fault { deaf: true, mute: true });
        }
    }

    /// Lets time pass until `until`, with everything that happens meanwhile.
    pub fn run_until(&mut self, until: u64) {
        let mut steps = 0_u32;
        loop {
            let parcel = self.parcels.keys().next().map(|(at, _)| *at);
            let timer = self.client.poll_timeout().map(|deadline| deadline.at.as_millis().max(self.now));
            let server = self.server.next_ping();
            let next = [parcel, timer, server].into_iter().flatten().min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            steps += 1;
            assert!(steps < 200_000, "the world goes round in circles: {:?}", self.client.poll_timeout());
            self.now = self.now.max(next);
            if parcel == Some(next) {
                let parcel = self.parcels.pop_first().expect("a parcel").1;
                self.deliver(parcel);
            } else if server == Some(next) {
                self.server.ping_due(self.now);
                self.forward();
            } else {
                self.run(|client, now| client.handle_timeout(now));
            }
            self.check_deadlines();
        }
        self.now = self.now.max(until);
    }

    pub fn run_for(&mut self, millis: u64) {
        self.run_until(self.now + millis);
    }

    /// Lets the clock jump as after a sleep: nothing happens meanwhile, and the host notices.
    pub fn sleep(&mut self, millis: u64) {
        self.now += millis;
        self.input(Input::Resumed);
        self.run(|client, now| client.handle_timeout(now));
    }

    /// Runs until `done`; fails after `millis`.
    pub fn run_while(&mut self, millis: u64, what: &str, mut waiting: impl FnMut(&Self) -> bool) {
        let until = self.now + millis;
        while waiting(self) {
            assert!(self.now < until, "in time: {what}");
            self.run_until(self.now + 1);
        }
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.client.connection(), ConnectionState::Connected(_))
    }

    pub fn until_connected(&mut self) {
        self.run_while(120_000, "connected", |world| !world.is_connected());
    }

    pub fn channel_events(&self, key: ChannelKey) -> Vec<ChannelEvent> {
        let of_key = |event: &Event| match event {
            Event::Channel { channel, event } if *channel == key => Some(event.clone()),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| of_key(event)).collect()
    }

    /// Offsets of the messages that a channel delivered, in order.
    pub fn offsets(&self, key: ChannelKey) -> Vec<u64> {
        let offset = |event: ChannelEvent| match event {
            ChannelEvent::Message(message) => Some(message.offset),
            _ => None,
        };
        self.channel_events(key).into_iter().filter_map(offset).collect()
    }

    pub fn gaps(&self, key: ChannelKey) -> Vec<Gap> {
        let gap = |event: ChannelEvent| match event {
            ChannelEvent::Gap(gap) => Some(gap),
            _ => None,
        };
        self.channel_events(key).into_iter().filter_map(gap).collect()
    }

    /// Whoever waits has a deadline.
    fn check_deadlines(&self) {
        if !matches!(self.client.connection(), ConnectionState::Connecting { reason, .. } if reason.code != Reason::SUSPENDED)
        {
            return;
        }
        assert!(self.client.poll_timeout().is_some(), "something is awaited, so there is a deadline");
    }
}
