//! The server's sessions against clients that send anything in any order, without sockets, on virtual time.

use bytes::Bytes;
use homing_core::wire::{Outcome, PushEvent, Reply, Request, json};
use homing_server::api::PublishOptions;
use homing_server::clock::{Clock, Millis};
use homing_server::engine::memory::Memory;
use homing_server::hub::{Connection, Outgoing};
use homing_server::metrics::Metrics;
use homing_server::node::{Node, Order, Parts, Whom};
use homing_server::rpc::Procedures;
use homing_server::session::Session;
use homing_server::{Config, config};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use super::script::Script;

const SETTINGS: &str = include_str!("../../conformance/homing.toml");
const CHANNELS: [&str; 8] =
    ["chat:a", "chat:b", "short:a", "cache:a", "plain", "$chat:a", "closed:a", "nowhere:a"];
const USERS: [&str; 3] = ["", "ada", "bob"];
const START: i64 = 1_700_000_000_000;

#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }

    fn unix(&self) -> i64 {
        START.saturating_add_unsigned(self.now())
    }
}

/// A client as its session's far end, and what it may expect.
struct Client {
    session: Option<Session>,
    connection: Arc<Connection>,
    outgoing: Outgoing,
    next_id: u32,
    ids: BTreeSet<u32>,
    /// Channels by the command that asks for them.
    asked: BTreeMap<u32, (String, bool)>,
    /// Last offset by channel that it is subscribed to.
    subscribed: BTreeMap<String, u64>,
    /// It has used an id twice, and cannot tell the answers apart.
    confused: bool,
    connected: bool,
}

struct World {
    clock: Arc<Hand>,
    node: Arc<Node>,
    clients: Vec<Client>,
}

/// Runs a script of frames, orders of the application and time on a few sessions, and checks what they send.
pub fn session_inputs(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let flags = script.byte();
    let mut world = World::new(flags);
    for _ in 0..512 {
        if script.is_empty() {
            break;
        }
        world.step(&mut script);
    }
    world.clients.clear();
    world.settle();
    assert!(world.node.registry.is_empty(), "a session that is dropped takes its connection along");
    let mut last = world.client();
    last.command("connect", "{}");
    last.command("subscribe", r#"{"channel":"chat:a"}"#);
    let here = last.command("presence_stats", r#"{"channel":"chat:a"}"#);
    let mut seen = None;
    last.drain(&mut |reply| {
        if let Reply::Answer(answer) = reply
            && let Outcome::PresenceStats(stats) = &answer.outcome
            && answer.id == here
        {
            seen = Some(stats.num_clients);
        }
    });
    assert_eq!(seen, Some(1), "sessions that are gone have left their channels");
}

fn settings(flags: u8) -> Config {
    static PARSED: LazyLock<Config> =
        LazyLock::new(|| config::parse(SETTINGS).expect("the settings of the conformance suites are fine"));
    let mut settings = PARSED.clone();
    settings.client.insecure = flags & 1 == 1;
    settings.client.channel_limit = 4;
    settings.client.queue_max_size = 16 * 1024;
    settings.client.message_size_limit = 1024;
    settings
}

impl World {
    fn new(flags: u8) -> Self {
        let clock = Arc::new(Hand::default());
        let mut procedures = Procedures::default();
        procedures.add("echo", async |_, data| Ok(data));
        let node = Node::new(Parts {
            config: settings(flags),
            engine: Arc::new(Memory::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: [flags; 32],
            procedures,
            hooks: None,
            metrics: Metrics::unread(),
        });
        let mut world = Self { clock, node, clients: Vec::new() };
        world.clients = (0..3).map(|_| world.client()).collect();
        for client in &mut world.clients {
            client.command("connect", "{}");
        }
        world
    }

    fn client(&self) -> Client {
        let connection = self.node.connection();
        let place = self.node.registry.add(&connection, 0).expect("there is no limit");
        Client {
            session: Some(Session::new(Arc::clone(&self.node), Arc::clone(&connection), place)),
            connection,
            outgoing: Outgoing::default(),
            next_id: 0,
            ids: BTreeSet::new(),
            asked: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            confused: false,
            connected: false,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let at = usize::from(script.byte()) % self.clients.len();
        let channel = CHANNELS[usize::from(script.byte()) % CHANNELS.len()];
        let user = USERS[usize::from(script.byte()) % USERS.len()];
        // What has ended is followed by another one, which mostly begins as clients do.
        if self.clients[at].session.is_none() {
            self.clients[at] = self.client();
            if script.byte() & 7 != 0 {
                self.clients[at].command("connect", &format!(r#"{{"data":{{"user":"{user}"}}}}"#));
            }
        }
        let client = &mut self.clients[at];
        match script.byte() % 24 {
            0 => client.send(script.text()),
            1..=4 => client.send("{}"),
            5 => drop(client.command("connect", &format!(r#"{{"data":{{"user":"{user}"}}}}"#))),
            6 => {
                client.command("connect", &format!(r#"{{"token":"{}"}}"#, script.text().escape_debug()));
            }
            7..=10 => drop(client.command("subscribe", &format!(r#"{{"channel":"{channel}"}}"#))),
            11 => {
                let (offset, epoch) = (script.byte(), script.text().escape_debug());
                let body = format!(
                    r#"{{"channel":"{channel}","recover":true,"offset":{offset},"epoch":"{epoch}"}}"#
                );
                client.command("subscribe", &body);
            }
            12 => drop(client.command("unsubscribe", &format!(r#"{{"channel":"{channel}"}}"#))),
            13..=14 => {
                let n = script.byte();
                client.command("publish", &format!(r#"{{"channel":"{channel}","data":{{"n":{n}}}}}"#));
            }
            15 => {
                let (limit, offset, reverse) =
                    (i16::from(script.byte()) - 2, script.byte(), script.byte() & 1 == 1);
                let body = format!(
                    r#"{{"channel":"{channel}","limit":{limit},"reverse":{reverse},"since":{{"offset":{offset},"epoch":""}}}}"#
                );
                client.command("history", &body);
            }
            16 => drop(client.command("presence", &format!(r#"{{"channel":"{channel}"}}"#))),
            17 => drop(client.command("rpc", r#"{"method":"echo","data":[1]}"#)),
            18 => {
                // What becomes of it is told by the call, which is ready at once here.
                if let Ok(call) = self.node.publish(channel, "\"server\"", &PublishOptions::default()) {
                    drop(call);
                }
            }
            19 => {
                let (channel, code) = (channel.to_owned(), 2000 + 500 * u32::from(script.byte() & 1));
                let reason = "by order".into();
                self.node.carry_out(&Order::Unsubscribe { whom: Whom::user(user), channel, code, reason });
            }
            20 => {
                let (channel, admission) = (channel.to_owned(), Box::default());
                self.node.carry_out(&Order::Subscribe { whom: Whom::user(user), channel, admission });
            }
            21 => {
                let reason = "by order".into();
                self.node.carry_out(&Order::Disconnect { whom: Whom::user(user), code: 3001, reason });
            }
            22 => self.clients[at] = self.client(),
            _ => {
                let millis = u64::from(script.byte()) * u64::from(script.byte());
                self.clock.0.fetch_add(millis, Ordering::Relaxed);
            }
        }
        self.settle();
        // One that is not looked after is a slow reader.
        if script.byte() & 7 != 0 {
            for client in &mut self.clients {
                client.drain(&mut |_| {});
            }
        }
    }

    /// Does what the node's host would.
    fn settle(&self) {
        if self.node.poll_timeout() <= self.clock.now() {
            self.node.handle_timeout();
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(work) = self.node.poll_work(&mut cx) {
            for mut one in work {
                let _ = one.as_mut().poll(&mut cx);
            }
        }
    }
}

impl Client {
    fn command(&mut self, verb: &str, body: &str) -> u32 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&format!(r#"{{"id":{id},"{verb}":{body}}}"#));
        id
    }

    fn send(&mut self, frame: &str) {
        let Some(session) = &mut self.session else { return };
        for command in json::commands(frame).map_while(Result::ok) {
            self.confused |= command.id > 0 && !self.ids.insert(command.id);
            match &command.request {
                Request::Subscribe(request) => {
                    self.asked.insert(command.id, (request.channel.to_string(), true));
                }
                Request::Unsubscribe(request) => {
                    self.asked.insert(command.id, (request.channel.to_string(), false));
                }
                _ => {}
            }
        }
        session.handle_frame(frame);
    }

    /// Lets the session see to its deadlines, calls and queue, and checks what it has sent.
    fn drain(&mut self, tell: &mut dyn FnMut(&Reply<'_>)) {
        let mut written = 0;
        for round in 0.. {
            assert!(round < 10_000, "a session comes to rest");
            let Some(session) = &mut self.session else { return };
            if session.poll_timeout().is_some_and(|at| at <= session.node().now()) {
                session.handle_timeout();
            }
            session.poll_calls(&mut Context::from_waker(Waker::noop()));
            if self.connection.poll_outgoing(&mut self.outgoing, written, None).is_pending() {
                return;
            }
            let frames = std::mem::take(&mut self.outgoing.frames);
            written = frames.iter().map(Bytes::len).sum();
            for control in std::mem::take(&mut self.outgoing.controls) {
                session.handle_control(control);
            }
            let closed = self.outgoing.close.is_some();
            for frame in &frames {
                let text = std::str::from_utf8(frame).expect("frames are text");
                for reply in json::replies(text) {
                    let reply = reply.expect("a client can read what the server sends");
                    self.check(&reply);
                    tell(&reply);
                }
            }
            if closed {
                self.session = None;
            }
        }
    }

    fn check(&mut self, reply: &Reply<'_>) {
        match reply {
            Reply::Ping => assert!(self.connected, "pings begin with the connection"),
            Reply::Answer(answer) => {
                let asked = self.asked.remove(&answer.id);
                match (&answer.outcome, asked) {
                    (Outcome::Connect(_), _) => {
                        assert!(!self.connected, "a connection is made once");
                        self.connected = true;
                    }
                    (Outcome::Subscribe(result), Some((channel, true))) => {
                        self.subscribed.insert(channel, result.offset);
                    }
                    (Outcome::Unsubscribe, Some((channel, false))) => {
                        self.subscribed.remove(&channel);
                    }
                    (_, _) => assert!(
                        self.connected || matches!(answer.outcome, Outcome::Error(_)),
                        "nothing but a refusal comes before the connection"
                    ),
                }
            }
            Reply::Push(push) => {
                let channel = &*push.channel;
                match &push.event {
                    PushEvent::Subscribed(subscribed) => {
                        self.subscribed.insert(channel.to_owned(), subscribed.offset);
                    }
                    PushEvent::Unsubscribed(_) => {
                        self.subscribed.remove(channel);
                    }
                    PushEvent::Publication(publication) if !self.confused => {
                        let last = self.subscribed.get_mut(channel).expect("what is pushed was subscribed");
                        if publication.offset > 0 {
                            assert_eq!(publication.offset, *last + 1, "no hole and no double in {channel}");
                            *last = publication.offset;
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
