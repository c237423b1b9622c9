//! A node on the memory engine, and clients that talk to their sessions directly. The engine can be told to
//! be away, or to keep its answers back.

use homing_server::{
    Config,
    clock::{Clock, Millis},
    config,
    engine::{
        Append, Appended, Call, Channel, Engine, EngineError, Hint, Join, Joined, Leave, Left, Log, Map,
        NotAppended, Page, Part, PubSub, Read, Reaped, Renewal, Renewed, Sink, Snapshot, Stats,
        memory::Memory,
    },
    hooks::{AnyHooks, Hooks},
    hub::{Close, Connection, Outgoing},
    metrics::Metrics,
    node::{Node, Parts, Work},
    rpc::Procedures,
    session::Session,
};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tokio::sync::oneshot;

/// Unix milliseconds at which every test begins.
pub(crate) const START: i64 = 1_700_000_000_000;

pub(crate) const SECRET: &str = "a secret of the tests";

#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }

    fn unix(&self) -> i64 {
        START + i64::try_from(self.now()).unwrap()
    }
}

/// The memory engine with a switch: away, or slow to answer.
pub(crate) struct Moody {
    inner: Memory,
    away: AtomicBool,
    holds: AtomicBool,
    held: Mutex<Vec<oneshot::Sender<()>>>,
    loses: AtomicUsize,
}

impl Moody {
    fn new(inner: Memory) -> Self {
        let (away, holds) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner, away, holds, held: Mutex::default(), loses: AtomicUsize::new(0) }
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// So many orders and answers to other nodes get lost.
    pub(crate) fn lose_controls(&self, count: usize) {
        self.loses.store(count, Ordering::Relaxed);
    }

    /// Calls are carried out, but their answers are kept back.
    pub(crate) fn hold(&self) {
        self.holds.store(true, Ordering::Relaxed);
    }

    /// Gives the answers that were kept back, oldest first; later calls are held still.
    pub(crate) fn release(&self) {
        for one in self.held.lock().unwrap().drain(..) {
            let _ = one.send(());
        }
    }

    /// Gives the oldest of the answers that were kept back.
    pub(crate) fn release_first(&self) {
        let first = self.held.lock().unwrap().remove(0);
        let _ = first.send(());
    }

    pub(crate) fn stop_holding(&self) {
        self.holds.store(false, Ordering::Relaxed);
        self.release();
    }

    fn answer<T: Send + 'static>(&self, call: impl FnOnce() -> Call<T>) -> Call<T> {
        if self.away.load(Ordering::Relaxed) {
            return Call::Ready(Err(EngineError::Away { retry_after: 1500 }));
        }
        let call = call();
        if !self.holds.load(Ordering::Relaxed) {
            return call;
        }
        let (sender, receiver) = oneshot::channel();
        self.held.lock().unwrap().push(sender);
        Call::Pending(Box::pin(async move {
            let _ = receiver.await;
            call.finish().await
        }))
    }
}

impl Log for Moody {
    fn append(&self, append: Append) -> Call<Result<Appended, NotAppended>> {
        self.answer(|| self.inner.append(append))
    }
    fn read(&self, read: Read) -> Call<Page> {
        self.answer(|| self.inner.read(read))
    }
    fn clear(&self, channel: Channel) -> Call<()> {
        self.answer(|| self.inner.clear(channel))
    }
}

impl Map for Moody {
    fn join(&self, join: Join) -> Call<Joined> {
        self.answer(|| self.inner.join(join))
    }
    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>> {
        self.answer(|| self.inner.renew(renewals))
    }
    fn leave(&self, leave: Leave) -> Call<Left> {
        self.answer(|| self.inner.leave(leave))
    }
    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot> {
        self.answer(|| self.inner.snapshot(part, channel, limit))
    }
    fn stats(&self, part: Part, channel: Channel) -> Call<Stats> {
        self.answer(|| self.inner.stats(part, channel))
    }
    fn reap(&self, limit: u32) -> Call<Reaped> {
        self.answer(|| self.inner.reap(limit))
    }
}

impl PubSub for Moody {
    fn attach(&self, sink: Arc<dyn Sink>) {
        self.inner.attach(sink);
    }
    fn subscribe(&self, channel: Channel) -> Call<()> {
        self.answer(|| self.inner.subscribe(channel))
    }
    fn unsubscribe(&self, channel: Channel) -> Call<()> {
        self.answer(|| self.inner.unsubscribe(channel))
    }
    fn announce(&self, channel: Channel, hint: Hint) -> Call<()> {
        self.answer(|| self.inner.announce(channel, hint))
    }
    fn control(&self, message: bytes::Bytes) -> Call<()> {
        let matters = message.starts_with(b"ask ") || message.starts_with(b"answer ");
        if matters && self.loses.load(Ordering::Relaxed) > 0 {
            self.loses.fetch_sub(1, Ordering::Relaxed);
            return Call::Ready(Ok(()));
        }
        self.answer(|| self.inner.control(message))
    }
}

impl Engine for Moody {
    fn is_ready(&self) -> bool {
        !self.away.load(Ordering::Relaxed)
    }
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
    fn name(&self) -> &'static str {
        "moody"
    }
}

/// A node and its world.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) engine: Arc<Moody>,
    pub(crate) node: Arc<Node>,
    works: Mutex<Vec<Work>>,
    neighbours: AtomicU8,
}

/// Settings of most tests: tokens are needed, and there are namespaces of every kind.
pub(crate) fn settings() -> Config {
    config::parse(&format!(
        r#"
        [client]
        connect_include_server_time = true
        [client.token]
        hmac_secret_key = "{SECRET}"
        [channel.without_namespace]
        allow_subscribe_for_client = true
        allow_publish_for_client = true
        [[channel.namespaces]]
        name = "chat"
        presence = true
        join_leave = true
        history_size = 10
        history_ttl = "60s"
        force_recovery = true
        allow_subscribe_for_client = true
        allow_publish_for_subscriber = true
        allow_history_for_subscriber = true
        allow_presence_for_subscriber = true
        allow_user_limited_channels = true
        [[channel.namespaces]]
        name = "cache"
        history_size = 1
        history_ttl = "60s"
        force_recovery = true
        force_recovery_mode = "cache"
        allow_subscribe_for_client = true
        allow_publish_for_client = true
        [[channel.namespaces]]
        name = "asks"
        history_size = 10
        history_ttl = "60s"
        allow_recovery = true
        allow_positioning = true
        allow_subscribe_for_client = true
        allow_subscribe_for_anonymous = true
        allow_history_for_client = true
        [[channel.namespaces]]
        name = "closed"
        "#
    ))
    .unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn changed(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = settings();
        change(&mut config);
        config::check(&config).unwrap();
        Self::with(config)
    }

    pub(crate) fn with(config: Config) -> Self {
        let clock = Arc::new(TestClock::default());
        let memory = Memory::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self::on(config, clock, memory, 1, None)
    }

    /// A world in which these hooks are asked.
    pub(crate) fn asking(config: Config, hooks: impl Hooks) -> Self {
        config::check(&config).unwrap();
        let clock = Arc::new(TestClock::default());
        let memory = Memory::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self::on(config, clock, memory, 1, Some(AnyHooks::new(hooks)))
    }

    fn on(
        config: Config,
        clock: Arc<TestClock>,
        memory: Memory,
        entropy: u8,
        hooks: Option<AnyHooks>,
    ) -> Self {
        let engine = Arc::new(Moody::new(memory));
        let mut procedures = Procedures::default();
        procedures.add("echo", async |_, data| Ok(data));
        let node = Node::new(Parts {
            config,
            engine: Arc::clone(&engine) as Arc<dyn Engine>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: [entropy; 32],
            procedures,
            hooks,
            metrics: Metrics::unread(),
        });
        Self { clock, engine, node, works: Mutex::default(), neighbours: AtomicU8::new(1) }
    }

    /// Another node on the same store and the same clock.
    pub(crate) fn neighbour(&self) -> Self {
        let config = self.node.config.clone();
        let entropy = 1 + self.neighbours.fetch_add(1, Ordering::Relaxed);
        Self::on(config, Arc::clone(&self.clock), self.engine.inner.node(), entropy, None)
    }

    /// Lets time pass in small steps; sessions see to their own deadlines.
    pub(crate) fn pass(&self, clients: &mut [&mut Client], millis: Millis) {
        let end = self.clock.now() + millis;
        while self.clock.now() < end {
            let step = (end - self.clock.now()).min(100);
            self.clock.0.fetch_add(step, Ordering::Relaxed);
            self.settle();
            for client in clients.iter_mut() {
                client.turn();
            }
        }
    }

    /// Lets time pass while nobody does anything.
    pub(crate) fn clock_forward(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// Does what the node's host would.
    pub(crate) fn settle(&self) {
        if self.node.poll_timeout() <= self.clock.now() {
            self.node.handle_timeout();
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut works = self.works.lock().unwrap();
        loop {
            works.retain_mut(|work| work.as_mut().poll(&mut cx).is_pending());
            match self.node.poll_work(&mut cx) {
                Poll::Ready(new) => works.extend(new),
                Poll::Pending => return,
            }
        }
    }

    /// A client that has said nothing yet.
    pub(crate) fn client(&self) -> Client {
        let connection = self.node.connection();
        let place = self.node.registry.add(&connection, 0).unwrap();
        let session = Session::new(Arc::clone(&self.node), Arc::clone(&connection), place);
        Client { session: Some(session), connection, outgoing: Outgoing::default(), seen: Vec::new(), id: 0 }
    }

    /// A client that has connected with a token for this user.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut client = self.client();
        let token = token(&format!(r#"{{"sub":"{name}"}}"#));
        let result = client.call("connect", &format!(r#"{{"token":"{token}"}}"#));
        assert!(result["connect"]["client"].is_string(), "{result}");
        client
    }
}

/// A token with these claims.
pub(crate) fn token(claims: &str) -> String {
    let claims: Value = serde_json::from_str(claims).unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// One client, at the far end of its session.
pub(crate) struct Client {
    session: Option<Session>,
    pub(crate) connection: Arc<Connection>,
    outgoing: Outgoing,
    seen: Vec<Value>,
    id: u32,
}

impl Client {
    /// Sends a frame, and lets the session do what it can.
    pub(crate) fn send(&mut self, frame: &str) {
        if let Some(session) = &mut self.session {
            session.handle_frame(frame);
        }
        self.turn();
    }

    /// Lets the session see to its deadlines, its calls and its queue.
    pub(crate) fn turn(&mut self) {
        let mut written = 0;
        loop {
            let Some(session) = &mut self.session else { return };
            if session.poll_timeout().is_some_and(|at| at <= session.node().now()) {
                session.handle_timeout();
            }
            session.poll_calls(&mut Context::from_waker(Waker::noop()));
            if self.connection.poll_outgoing(&mut self.outgoing, written, None).is_pending() {
                return;
            }
            session.handle_waiting(0);
            written = self.outgoing.frames.iter().map(bytes::Bytes::len).sum();
            for frame in self.outgoing.frames.drain(..) {
                for line in std::str::from_utf8(&frame).unwrap().split('\n') {
                    self.seen.push(serde_json::from_str(line).unwrap());
                }
            }
            for control in self.outgoing.controls.drain(..) {
                session.handle_control(control);
            }
            if self.outgoing.close.is_some() {
                self.session = None;
            }
        }
    }

    /// Sends a command and waits for nothing: the id that it got.
    pub(crate) fn command(&mut self, verb: &str, request: &str) -> u32 {
        self.id += 1;
        self.send(&format!(r#"{{"id":{},"{verb}":{request}}}"#, self.id));
        self.id
    }

    /// Sends a command and takes its reply.
    pub(crate) fn call(&mut self, verb: &str, request: &str) -> Value {
        let id = self.command(verb, request);
        self.reply(id).unwrap_or_else(|| panic!("no reply to {verb} {request}, close: {:?}", self.close()))
    }

    /// Takes the reply to a command, if it is there.
    pub(crate) fn reply(&mut self, id: u32) -> Option<Value> {
        self.turn();
        let at = self.seen.iter().position(|reply| reply["id"] == id)?;
        Some(self.seen.remove(at))
    }

    /// Sends a command and takes the code of its error.
    pub(crate) fn refused(&mut self, verb: &str, request: &str) -> u64 {
        let reply = self.call(verb, request);
        reply["error"]["code"].as_u64().unwrap_or_else(|| panic!("not refused: {reply}"))
    }

    /// Subscribes, and takes the result.
    pub(crate) fn subscribe(&mut self, channel: &str) -> Value {
        let reply = self.call("subscribe", &format!(r#"{{"channel":"{channel}"}}"#));
        assert!(reply["subscribe"].is_object(), "{reply}");
        reply["subscribe"].clone()
    }

    pub(crate) fn publish(&mut self, channel: &str, data: &str) -> Value {
        let reply = self.call("publish", &format!(r#"{{"channel":"{channel}","data":{data}}}"#));
        assert!(reply["publish"].is_object(), "{reply}");
        reply["publish"].clone()
    }

    /// Takes the pushes of a kind that have come.
    pub(crate) fn pushes(&mut self, kind: &str) -> Vec<Value> {
        self.turn();
        let (these, others) =
            std::mem::take(&mut self.seen).into_iter().partition(|reply| !reply["push"][kind].is_null());
        self.seen = others;
        these
    }

    /// Takes the publications that have come: their data.
    pub(crate) fn data(&mut self) -> Vec<Value> {
        self.pushes("pub").into_iter().map(|push| push["push"]["pub"]["data"].clone()).collect()
    }

    /// Takes the server's pings.
    pub(crate) fn pings(&mut self) -> usize {
        self.turn();
        let before = self.seen.len();
        self.seen.retain(|reply| *reply != serde_json::json!({}));
        before - self.seen.len()
    }

    /// Takes everything that has come.
    pub(crate) fn all(&mut self) -> Vec<Value> {
        self.turn();
        std::mem::take(&mut self.seen)
    }

    /// Why the connection was closed, if it was.
    pub(crate) fn close(&self) -> Option<&Close> {
        self.outgoing.close.as_deref()
    }

    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close().map(|close| close.code)
    }

    /// Whether the session reads on.
    pub(crate) fn is_read(&self) -> bool {
        self.session.as_ref().is_some_and(Session::wants_input)
    }

    /// The socket is gone.
    pub(crate) fn vanish(&mut self) {
        self.session = None;
    }

    pub(crate) fn id(&self) -> String {
        self.connection.client().to_string()
    }
}
