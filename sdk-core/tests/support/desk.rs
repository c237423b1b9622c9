//! A desk at which a test plays network, server and host by hand, frame by frame. It keeps what the client said
//! until the test takes it, and asserts what every host may rely on. It decides nothing and answers nothing.

use homing_core::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct Desk {
    pub now: u64,
    pub client: RealtimeClient,
    /// The socket that was asked for and not closed.
    pub conn: Option<ConnId>,
    /// Every address that was opened, and when.
    pub sockets: Vec<(u64, String)>,
    /// Commands that the client sent and no test has taken.
    pub commands: Vec<Value>,
    pub events: Vec<Event>,
    /// Questions for tokens: whose, and for which channel.
    pub tokens: Vec<(TokenRequestId, Option<String>)>,
    pub resolves: Vec<EndpointRequestId>,
    pub settled: BTreeMap<RequestId, Result<Response, Error>>,
    /// Sockets that the client closed, with the code.
    pub closed: Vec<(ConnId, u16)>,
    /// How often a deadline was kept.
    pub wakes: u64,
    /// How often in a row a deadline was kept without time going by.
    still: u32,
}

pub fn config() -> Config {
    Config { endpoints: vec!["ws://one".into()], ..Config::default() }
}

impl Desk {
    pub fn new(config: Config) -> Self {
        Self::seeded(config, 7)
    }

    pub fn seeded(config: Config, seed: u64) -> Self {
        let entropy = super::Dice::new(seed).entropy();
        Self {
            now: 0,
            client: RealtimeClient::new(config, entropy, Instant::from_millis(0)),
            conn: None,
            sockets: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
            tokens: Vec::new(),
            resolves: Vec::new(),
            settled: BTreeMap::new(),
            closed: Vec::new(),
            wakes: 0,
            still: 0,
        }
    }

    /// Connected to a Homing server, with nothing left to take.
    pub fn connected(config: Config) -> Self {
        let mut desk = Self::new(config);
        desk.connect();
        desk.accept();
        desk.events.clear();
        desk
    }

    /// Connected, with one handle on `channel` at `offset` of epoch `e1`.
    pub fn in_channel(channel: &str, offset: u64) -> (Self, HandleId, ChannelKey) {
        let mut desk = Self::connected(config());
        let (handle, key) = desk.subscribe(channel);
        desk.confirm(channel, "e1", offset);
        desk.events.clear();
        (desk, handle, key)
    }

    pub fn run<T>(&mut self, command: impl FnOnce(&mut RealtimeClient, Instant) -> T) -> T {
        let result = command(&mut self.client, Instant::from_millis(self.now));
        self.drain();
        result
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.run(|client, now| client.handle_input(now, input));
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::OpenSocket { conn, url } => {
                    assert_eq!(self.conn, None, "never two sockets");
                    self.conn = Some(conn);
                    self.sockets.push((self.now, url.into()));
                }
                Output::SendFrame { conn, text } => {
                    assert_eq!(self.conn, Some(conn), "frames go to the open socket");
                    for line in text.lines() {
                        self.commands.push(serde_json::from_str(line).expect("a command is JSON"));
                    }
                }
                Output::CloseSocket { conn, code, .. } => {
                    assert_eq!(self.conn.take(), Some(conn), "only the open socket is closed");
                    self.closed.push((conn, code));
                }
                Output::RequestToken { request, channel } => {
                    self.tokens.push((request, channel.map(Into::into)));
                }
                Output::ResolveEndpoints { request } => self.resolves.push(request),
                Output::Event(event) => self.tell(event),
                Output::Settled { request, result } => {
                    assert!(self.settled.insert(request, result).is_none(), "a call settles once");
                }
                other => panic!("an output that this host does not know: {other:?}"),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        if let Event::Connection(state) = &event {
            let last = self.events.iter().rev().find(|event| matches!(event, Event::Connection(_)));
            assert_ne!(last, Some(&event), "no state is told twice in a row: {state:?}");
        }
        self.events.push(event);
    }

    /// Keeps every deadline on time for `millis`.
    pub fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.keep_deadline(until) {}
        self.now = until;
    }

    /// Keeps the next deadline, if there is one until then.
    fn keep_deadline(&mut self, until: u64) -> bool {
        let at = self.client.poll_timeout().map(|deadline| deadline.at.as_millis());
        let Some(at) = at.filter(|at| *at <= until) else { return false };
        self.still = if at > self.now { 0 } else { self.still + 1 };
        assert!(self.still < 1_000, "a deadline spins: {:?}", self.client.poll_timeout());
        self.now = self.now.max(at);
        self.wakes += 1;
        self.run(|client, now| client.handle_timeout(now));
        true
    }

    /// Lets time go by unseen: no deadline is kept.
    pub fn jump(&mut self, millis: u64) {
        self.now += millis;
    }

    pub fn tick(&mut self) {
        self.run(|client, now| client.handle_timeout(now));
    }

    pub fn connect(&mut self) {
        self.run(|client, now| client.connect(now)).expect("connect");
    }

    pub fn disconnect(&mut self) {
        self.run(|client, now| client.disconnect(now));
    }

    pub fn subscribe(&mut self, channel: &str) -> (HandleId, ChannelKey) {
        self.subscribe_with(channel, &SubscribeOptions::default())
    }

    pub fn subscribe_with(&mut self, channel: &str, options: &SubscribeOptions) -> (HandleId, ChannelKey) {
        self.run(|client, now| client.subscribe(now, channel, options)).expect("subscribe")
    }

    pub fn unsubscribe(&mut self, handle: HandleId) {
        self.run(|client, now| client.unsubscribe(now, handle));
    }

    pub fn publish(&mut self, channel: &str, data: &str) -> RequestId {
        self.run(|client, now| client.publish(now, channel, data, &PublishOptions::default()))
            .expect("publish")
            .request
    }

    /// A publish that is not queued: now or never.
    pub fn publish_now(&mut self, channel: &str, data: &str) -> RequestId {
        let options = PublishOptions { ephemeral: true, ..PublishOptions::default() };
        self.run(|client, now| client.publish(now, channel, data, &options)).expect("publish").request
    }

    /// A call that waits for a connection.
    pub fn rpc(&mut self, data: &str) -> RequestId {
        self.run(|client, now| client.rpc(now, "echo", data)).expect("rpc")
    }

    /// Runs until a socket is wanted; fails after `millis`.
    pub fn until_socket(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.conn.is_none() && self.keep_deadline(until) {}
        assert!(self.conn.is_some(), "a socket within {millis} ms: {:?}", self.client.connection());
    }

    /// Runs until the provider is asked; fails after `millis`.
    pub fn until_token(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.tokens.is_empty() && self.keep_deadline(until) {}
        assert_eq!(self.tokens.len(), 1, "a question within {millis} ms: {:?}", self.client.connection());
    }

    pub fn open(&mut self) {
        let conn = self.conn.expect("a socket to open");
        self.input(Input::SocketOpened { conn });
    }

    pub fn frame(&mut self, text: &str) {
        let conn = self.conn.expect("a socket to hear on");
        self.input(Input::FrameReceived { conn, text });
    }

    pub fn say(&mut self, reply: Value) {
        self.frame(&reply.to_string());
    }

    /// The other end closes the socket.
    pub fn closed_by_peer(&mut self, code: u32) {
        let conn = self.conn.take().expect("a socket to close");
        self.input(Input::SocketClosed { conn, code, reason: "by the peer" });
    }

    /// Opens the socket and answers connect as a Homing server.
    pub fn accept(&mut self) {
        self.accept_with(
            json!({"homing": {"version": 1, "capabilities": ["ping", "publish-position", "retry-after"]}}),
        );
    }

    /// The same, with fields of the test's own in the connect result.
    pub fn accept_with(&mut self, fields: Value) {
        self.open();
        let id = self.take("connect").0;
        let mut result = json!({"client": "c1", "version": "model", "ping": 25, "pong": true});
        for (name, value) in fields.as_object().expect("fields") {
            result[name] = value.clone();
        }
        self.answer(id, "connect", result);
        assert!(
            matches!(self.client.connection(), ConnectionState::Connected(_)),
            "the connection is accepted"
        );
    }

    pub fn answer(&mut self, id: u64, verb: &str, result: Value) {
        self.say(json!({"id": id, verb: result}));
    }

    pub fn refuse(&mut self, id: u64, code: u32) {
        self.say(json!({"id": id, "error": {"code": code, "message": "refused"}}));
    }

    pub fn stumble(&mut self, id: u64) {
        self.say(json!({"id": id, "error": {"code": 100, "message": "stumbled", "temporary": true}}));
    }

    /// Answers the subscribe to `channel`; gives back what was asked.
    pub fn confirm(&mut self, channel: &str, epoch: &str, offset: u64) -> Value {
        let (id, request) = self.take("subscribe");
        assert_eq!(request["channel"], channel);
        let recovered = request["recover"] == true;
        let result = json!({"recoverable": true, "positioned": true, "epoch": epoch, "offset": offset,
            "was_recovering": recovered, "recovered": recovered});
        self.answer(id, "subscribe", result);
        request
    }

    /// Cut, and connected again: gives back the subscribe that waits for its answer.
    pub fn cut(&mut self) -> (u64, Value) {
        self.closed_by_peer(1006);
        self.until_socket(30_000);
        self.accept();
        self.events.clear();
        self.take("subscribe")
    }

    /// Answers a subscribe that asked for recovery, with fields of the test's own.
    pub fn answer_subscribe(&mut self, id: u64, fields: &Value) {
        let mut result = json!({"recoverable": true, "positioned": true, "was_recovering": true});
        for (name, value) in fields.as_object().expect("fields") {
            result[name] = value.clone();
        }
        self.answer(id, "subscribe", result);
    }

    /// Takes a leave and the subscribe from `place` that follows it; gives back the subscribe's id.
    pub fn rejoins(&mut self, place: &Position) -> u64 {
        self.take("unsubscribe");
        let (id, asked) = self.take("subscribe");
        assert_eq!((&asked["epoch"], &asked["offset"]), (&json!(*place.epoch), &json!(place.offset)));
        id
    }

    /// Answers the page of history that was asked for; gives back where it was to begin.
    pub fn answer_page(&mut self, offsets: impl IntoIterator<Item = u64>, epoch: &str, top: u64) -> Value {
        let (id, asked) = self.take("history");
        self.answer(id, "history", json!({"publications": page(offsets), "epoch": epoch, "offset": top}));
        asked["since"].clone()
    }

    /// A publication as the server pushes it.
    pub fn publication(&mut self, channel: &str, offset: u64) {
        self.say(json!({"push": {"channel": channel, "pub": {"data": offset, "offset": offset}}}));
    }

    /// Takes the oldest command of a verb: its id and body.
    pub fn take(&mut self, verb: &str) -> (u64, Value) {
        let at = self.commands.iter().position(|command| command.get(verb).is_some());
        let at = at.unwrap_or_else(|| panic!("a {verb} among {:?}", self.commands));
        let command = self.commands.remove(at);
        (command["id"].as_u64().unwrap_or(0), command[verb].clone())
    }

    /// How many commands of a verb wait to be taken.
    pub fn sent(&self, verb: &str) -> usize {
        self.commands.iter().filter(|command| command.get(verb).is_some()).count()
    }

    /// How many pongs wait to be taken.
    pub fn pongs(&self) -> usize {
        self.commands
            .iter()
            .filter(|command| command.as_object().is_some_and(serde_json::Map::is_empty))
            .count()
    }

    pub fn answer_token(&mut self, answer: Result<&str, TokenRefusal>) {
        let request = self.tokens.remove(0).0;
        self.input(Input::TokenProvided { request, token: answer.map(Into::into) });
    }

    pub fn answer_endpoints(&mut self, answer: Result<&[&str], &str>) {
        let request = self.resolves.remove(0);
        let endpoints = answer.map(|urls| urls.iter().map(|url| (*url).into()).collect()).map_err(Into::into);
        self.input(Input::EndpointsResolved { request, endpoints });
    }

    pub fn states(&self) -> Vec<&ConnectionState> {
        let mut states = Vec::new();
        for event in &self.events {
            if let Event::Connection(state) = event {
                states.push(state);
            }
        }
        states
    }

    pub fn health_events(&self) -> Vec<Health> {
        let health = |event: &Event| match event {
            Event::Health(health) => Some(*health),
            _ => None,
        };
        self.events.iter().filter_map(health).collect()
    }

    pub fn channel_events(&self, key: ChannelKey) -> Vec<&ChannelEvent> {
        let mut events = Vec::new();
        for event in &self.events {
            if let Event::Channel { channel, event } = event
                && *channel == key
            {
                events.push(event);
            }
        }
        events
    }

    pub fn offsets(&self, key: ChannelKey) -> Vec<u64> {
        let offset = |event: &ChannelEvent| match event {
            ChannelEvent::Message(message) => Some(message.offset),
            _ => None,
        };
        self.channel_events(key).into_iter().filter_map(offset).collect()
    }

    pub fn gaps(&self, key: ChannelKey) -> Vec<Gap> {
        let gap = |event: &ChannelEvent| match event {
            ChannelEvent::Gap(gap) => Some(gap.clone()),
            _ => None,
        };
        self.channel_events(key).into_iter().filter_map(gap).collect()
    }

    pub fn subscription(&self, key: ChannelKey) -> SubscriptionState {
        self.client.subscription(key).state
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.client.connection(), ConnectionState::Connected(_))
    }

    /// The reason of a disconnected client.
    pub fn refusal(&self) -> Option<u32> {
        match self.client.connection() {
            ConnectionState::Disconnected { reason } => Some(reason.code),
            _ => None,
        }
    }

    /// Why a client that tries is not connected.
    pub fn trouble(&self) -> Option<u32> {
        match self.client.connection() {
            ConnectionState::Connecting { reason, .. } => Some(reason.code),
            _ => None,
        }
    }

    pub fn failed_with(&self, request: RequestId) -> Option<ErrorCode> {
        self.settled.get(&request).and_then(|result| result.as_ref().err()).map(|error| error.code)
    }
}

/// A position.
pub fn at(epoch: &str, offset: u64) -> Position {
    Position { epoch: epoch.into(), offset }
}

/// A page of publications, whose payload is their offset.
pub fn page(offsets: impl IntoIterator<Item = u64>) -> Value {
    offsets.into_iter().map(|offset| json!({"data": offset, "offset": offset})).collect()
}
