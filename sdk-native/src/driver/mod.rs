//! The one task behind a client: it owns the core, the socket and the timer, and polls them together.
//!
//! Handles talk to it over a queue; it ends when the client is closed or when nobody holds a handle any more,
//! and takes everything with it: socket, timer, providers' futures. It never waits for a reader or for the
//! network before it looks at everything else.

mod command;
mod ledger;
mod link;
mod providers;
mod subscribers;

pub use command::Hint;
pub(crate) use command::{Command, InterestId, OutboxCommand, OwnerId, Request, Sink};
pub(crate) use ledger::{Ledger, Outgoing};
pub(crate) use providers::{Providers, Resolver, TokenProvider};

use crate::{
    ClientEvent, TransportError,
    call::{CallId, Permit, Settlement},
    clock::Timeline,
    storage::Keeper,
    transport::Dialer,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use homing_core::{
    ConnId, ConnectionState, Error, ErrorCode, Event, Health, Input, Instant, Output, RealtimeClient,
    RequestId, StorageOrder,
};
use link::{Link, LinkEvent};
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use subscribers::Subscribers;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, Sleep},
};

/// How often the clocks are compared while the client wants to be connected: a machine that wakes up is
/// noticed within this, whatever timer is armed.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(2);
/// Frames that are taken in one after the other before everything else has its turn.
const BURST: usize = 64;
/// What a close keeps of its deadline for what comes behind the last call.
const FAREWELL: Duration = Duration::from_millis(250);
/// How long a socket that the client closes may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a handle can read without asking.
pub(crate) struct Shown {
    pub(crate) state: watch::Sender<ConnectionState>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) retry_at: watch::Sender<Option<time::Instant>>,
    pub(crate) protocol_errors: Arc<AtomicU64>,
}

pub(crate) struct Driver {
    pub(crate) core: RealtimeClient,
    pub(crate) timeline: Timeline,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) providers: Providers,
    pub(crate) shown: Shown,
    /// The time of the last look at the clocks.
    now: Instant,
    work: Work,
}

/// What is under way.
struct Work {
    link: Link,
    /// Inputs that arose while outputs were carried out; the core takes them when it is drained.
    faults: VecDeque<(ConnId, TransportError)>,
    goodbyes: FuturesUnordered<BoxFuture<'static, ()>>,
    keeper: Option<Keeper>,
    ledger: Ledger,
    calls: HashMap<RequestId, Waiting>,
    numbers: HashMap<CallId, RequestId>,
    subscribers: Subscribers,
    closers: Vec<oneshot::Sender<Result<(), Error>>>,
    /// Until when the client may take to end; also the bound of a goodbye.
    deadline: Option<time::Instant>,
    alarm: Pin<Box<Sleep>>,
    armed: bool,
}

struct Waiting {
    id: CallId,
    answer: oneshot::Sender<Settlement>,
    _permit: Permit,
}

impl Driver {
    pub(crate) fn new(
        core: RealtimeClient,
        timeline: Timeline,
        commands: mpsc::UnboundedReceiver<Command>,
        dialer: Arc<Dialer>,
        providers: Providers,
        shown: Shown,
        (keeper, ledger): (Option<Keeper>, Ledger),
    ) -> Self {
        let work = Work {
            link: Link::None,
            faults: VecDeque::new(),
            goodbyes: FuturesUnordered::new(),
            keeper,
            ledger,
            calls: HashMap::new(),
            numbers: HashMap::new(),
            subscribers: Subscribers::default(),
            closers: Vec::new(),
            deadline: None,
            alarm: Box::pin(time::sleep(Duration::ZERO)),
            armed: false,
        };
        Self { core, timeline, commands, dialer, providers, shown, now: Instant::default(), work }
    }

    /// Runs until the client is closed or forgotten.
    pub(crate) async fn run(mut self) {
        while !matches!(self.core.connection(), ConnectionState::Closed) {
            self.arm();
            let work = &mut self.work;
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => self.end(time::Instant::now() + GOODBYE, Duration::ZERO),
                },
                event = work.link.next() => self.on_link(event),
                answer = next_kept(&mut work.keeper) => self.on_kept(answer),
                answer = self.providers.next() => self.with_core(|core, now| core.handle_input(now, answer)),
                Some(()) = work.goodbyes.next() => {}
                () = &mut work.alarm, if work.armed => {
                    self.work.armed = false;
                    self.with_core(|core, now| core.handle_timeout(now));
                }
            }
        }
        // Calls that come from here on find the queue closed; those inside it are dropped with it.
        self.commands.close();
        let deadline = self.work.deadline.unwrap_or_else(time::Instant::now);
        let goodbyes = std::mem::take(&mut self.work.goodbyes).collect::<()>();
        let keeper = self.work.keeper.take();
        let mut erased = if keeper.is_some() { Err("it did not end in time".into()) } else { Ok(()) };
        let kept = async {
            if let Some(keeper) = keeper {
                erased = match keeper.finish().await {
                    Some(result) => result.map_err(|error| error.to_string()),
                    None => Err("nobody knows whose data it is: give the builder the user".into()),
                };
            }
        };
        let _ = time::timeout_at(deadline, async { tokio::join!(goodbyes, kept) }).await;
        let erased = erased.map_err(|why: String| Error::new(ErrorCode::NotErased).with_detail(&why));
        self.work.link = Link::None;
        let closers = std::mem::take(&mut self.work.closers);
        drop(self);
        for closer in closers {
            let _ = closer.send(erased.clone());
        }
    }

    /// Ends the client: what is under way may settle for `flush`.
    fn end(&mut self, deadline: time::Instant, flush: Duration) {
        let deadline = self.work.deadline.map_or(deadline, |earlier| earlier.min(deadline));
        self.work.deadline = Some(deadline);
        self.with_core(|core, now| core.close(now, flush));
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect => self.with_core(|core, now| {
                // Everything that it could complain about was checked when the client was built.
                let _ = core.connect(now);
            }),
            Command::Disconnect => self.with_core(|core, now| core.disconnect(now)),
            Command::Hint(hint) => {
                let input = match hint {
                    Hint::Online => Input::Online,
                    Hint::Offline => Input::Offline,
                    Hint::Resumed => Input::Resumed,
                };
                self.with_core(|core, now| core.handle_input(now, input));
            }
            Command::Close { deadline, forget, done } => {
                self.work.closers.push(done);
                if forget {
                    self.core.forget();
                }
                let left = deadline.saturating_duration_since(time::Instant::now());
                // The socket's goodbye and the storage's last write need some of it.
                self.end(deadline, left - (left / 4).min(FAREWELL));
            }
            Command::Call { id, request, answer, permit } => {
                let call = Waiting { id, answer, _permit: permit };
                self.with_core_and_work(|core, work, now| work.call(core, now, &request, call));
            }
            Command::Publish(message) => {
                self.with_core_and_work(|core, work, now| work.ledger.publish(core, now, message));
            }
            Command::Outbox(command) => {
                self.with_core_and_work(|core, work, now| work.on_outbox(core, now, command));
            }
            Command::Processed(id, progress) => self.with_core_and_work(|core, work, now| {
                let Some(position) = progress.take() else { return };
                if let Some((key, lowest)) = work.subscribers.processed(id, position) {
                    core.processed(now, key, &lowest);
                }
            }),
            Command::Echo(id, board) => {
                let channel = self.work.subscribers.show_pending(id, &board);
                let pending = self.core.outbox().filter(|entry| channel.as_ref() == Some(&entry.channel));
                pending.for_each(|entry| board.tell_entry(entry));
                self.work.subscribers.nudge(id);
            }
            Command::Cancel(id) => self.with_core_and_work(|core, work, now| {
                if let Some(request) = work.numbers.get(&id) {
                    core.cancel(now, *request);
                }
            }),
            Command::Subscribe { id, owner, channel, options, sink } => {
                self.with_core_and_work(|core, work, now| {
                    if let (Some(key), Sink::Join(_)) = (work.subscribers.channel_of(id), &sink)
                        && core.subscription(key).state != homing_core::SubscriptionState::Subscribed
                    {
                        if let Sink::Join(answer) = sink {
                            work.subscribers.wait_too(key, answer);
                        }
                        return;
                    }
                    match core.subscribe(now, &channel, &options) {
                        Err(error) => sink.refuse(error),
                        Ok((handle, key)) => {
                            // A handle that joins twice holds the channel once.
                            if let Some(before) = work.subscribers.remove(id) {
                                core.unsubscribe(now, before);
                            }
                            let known = core.subscription(key);
                            let processed = core.processed_position(key).cloned();
                            let place = (known, processed);
                            work.subscribers.add((id, owner, handle), (key, &channel), &options, place, sink);
                        }
                    }
                });
            }
            Command::Release(id) => self.with_core_and_work(|core, work, now| {
                let key = work.subscribers.channel_of(id);
                if let Some(handle) = work.subscribers.remove(id) {
                    core.unsubscribe(now, handle);
                }
                // The slowest of several readers may be gone.
                if let Some((key, lowest)) = key.and_then(|key| work.subscribers.lowest(key)) {
                    core.processed(now, key, &lowest);
                }
            }),
            Command::Leave(owner) => self.with_core_and_work(|core, work, now| {
                for handle in work.subscribers.remove_owner(owner) {
                    core.unsubscribe(now, handle);
                }
            }),
            Command::Snapshot { channel, answer } => {
                let key = self.work.subscribers.key_of(&channel);
                let snapshot = key.map(|key| self.core.subscription(key)).unwrap_or_default();
                let _ = answer.send(snapshot);
            }
            Command::Watch(feed) => self.work.subscribers.watch(feed),
        }
    }

    /// Takes what the socket says; frames that lie ready behind the first one go with it, at the same time of
    /// the client.
    fn on_link(&mut self, event: LinkEvent) {
        self.look_at_clocks();
        let mut event = event;
        for left in (0..BURST).rev() {
            let LinkEvent::Frame(conn, text) = event else { return self.on_link_changed(event) };
            self.core.handle_input(self.now, Input::FrameReceived { conn, text: &text });
            self.drain();
            if left == 0 {
                return;
            }
            let Some(next) = self.work.link.next().now_or_never() else { return };
            event = next;
        }
    }

    fn on_link_changed(&mut self, event: LinkEvent) {
        match &event {
            LinkEvent::Opened(conn) => {
                self.core.handle_input(self.now, Input::SocketOpened { conn: *conn });
            }
            LinkEvent::Closed { conn, code, reason } => {
                self.core.handle_input(self.now, Input::SocketClosed { conn: *conn, code: *code, reason });
            }
            LinkEvent::Failed(conn, error) => self.work.faults.push_back((*conn, error.clone())),
            LinkEvent::Frame(..) => {}
        }
        self.drain();
    }

    fn with_core(&mut self, act: impl FnOnce(&mut RealtimeClient, Instant)) {
        self.with_core_and_work(|core, _, now| act(core, now));
    }

    /// Calls the core at the time that it is, sleep told first, and does what it wants.
    fn with_core_and_work(&mut self, act: impl FnOnce(&mut RealtimeClient, &mut Work, Instant)) {
        self.look_at_clocks();
        act(&mut self.core, &mut self.work, self.now);
        self.drain();
    }

    fn look_at_clocks(&mut self) {
        let reading = self.timeline.read();
        self.now = reading.now;
        if reading.resumed {
            self.core.handle_input(self.now, Input::Resumed);
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.core.poll_output() {
                self.carry_out(output);
            }
            self.work.ledger.tell_where_kept(&self.core);
            let Some((conn, error)) = self.work.faults.pop_front() else { break };
            self.work.subscribers.tell_watchers(&ClientEvent::Transport(error.clone()));
            let reason = error.to_string();
            self.core.handle_input(self.now, Input::SocketClosed { conn, code: 1006, reason: &reason });
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::OpenSocket { conn, url } => self.work.link = Link::open(&self.dialer, conn, url),
            Output::SendFrame { conn, text } => {
                if let Err(error) = self.work.link.send(conn, text) {
                    self.work.link = Link::None;
                    self.work.faults.push_back((conn, error));
                }
            }
            Output::CloseSocket { conn, code, reason } => {
                if let Some(socket) = self.work.link.take(conn) {
                    let until = time::Instant::now() + GOODBYE;
                    let until = self.work.deadline.map_or(until, |deadline| deadline.min(until));
                    self.work.goodbyes.push(Box::pin(socket.close(code, reason, until)));
                }
            }
            Output::RequestToken { request, channel } => self.providers.ask_token(request, channel),
            Output::ResolveEndpoints { request } => self.providers.ask_endpoints(request),
            Output::Event(event) => self.on_event(event),
            Output::Settled { request, result } => self.work.settle(request, result),
            Output::Accepted { request, durably } => self.work.ledger.accepted(request, durably),
            Output::Storage(order) => self.order(order),
            // A kind of output that a newer core knows; this host has no part in it.
            _ => {}
        }
    }

    fn order(&mut self, order: StorageOrder) {
        if let Some(keeper) = &mut self.work.keeper {
            keeper.order(order);
        }
    }

    /// The storage has done something.
    fn on_kept(&mut self, answer: Input<'static>) {
        self.with_core(|core, now| core.handle_input(now, answer));
    }

    fn on_event(&mut self, event: Event) {
        let subscribers = &mut self.work.subscribers;
        match event {
            Event::Channel { channel, event } => {
                let processed = self.core.processed_position(channel);
                let ended = subscribers.on_channel_event(channel, event, processed);
                // Giving handles back of a subscription that has ended gives rise to nothing more.
                ended.into_iter().for_each(|handle| self.core.unsubscribe(self.now, handle));
            }
            Event::Connection(state) => {
                let retry_at = match &state {
                    ConnectionState::Connecting { retry_at: Some(at), .. } => Some(*at),
                    _ => None,
                };
                let retry_at = retry_at.map(|at| moment(at, self.now));
                self.shown.retry_at.send_replace(retry_at);
                self.shown.state.send_replace(state.clone());
                subscribers.tell_watchers(&ClientEvent::Connection(state));
            }
            Event::Health(health) => {
                self.shown.health.send_replace(health);
                subscribers.tell_watchers(&ClientEvent::Health(health));
            }
            Event::ServerMessage(json) => subscribers.tell_watchers(&ClientEvent::ServerMessage(json)),
            Event::Error(error) => {
                if error.code == ErrorCode::Protocol {
                    self.shown.protocol_errors.fetch_add(1, Ordering::Relaxed);
                }
                subscribers.tell_watchers(&ClientEvent::Error(error));
            }
            Event::Outbox { entry, change } => {
                let shown = subscribers.shows_pending();
                let change = self.work.ledger.on_change(&self.core, entry, change, shown);
                if let Some(change) = change {
                    subscribers.on_outbox(&change.channel, &change.event);
                }
            }
            Event::AckedLost { channel, count, from, to } => {
                subscribers.tell_watchers(&ClientEvent::AckedLost { channel, count, from, to });
            }
            Event::ServerSubscribed { channel, name } => subscribers.on_server_subscribed(channel, name),
            Event::ServerUnsubscribed { channel, name } => subscribers.on_server_unsubscribed(channel, name),
            _ => {}
        }
    }

    /// Sets the timer no later than the core's deadline. One that is early costs a harmless call.
    fn arm(&mut self) {
        let wanted = !matches!(self.core.connection(), ConnectionState::Disconnected { .. });
        let due = self.core.poll_timeout().map(|deadline| moment(deadline.at, self.now));
        let look = wanted.then(|| time::Instant::now() + LOOK_AT_CLOCKS);
        let Some(at) = due.into_iter().chain(look).min() else { return };
        let work = &mut self.work;
        if !work.armed || at < work.alarm.deadline() {
            work.armed = true;
            work.alarm.as_mut().reset(at);
        }
    }
}

/// The storage's next answer; never, where there is none. Cancel-safe.
async fn next_kept(keeper: &mut Option<Keeper>) -> Input<'static> {
    match keeper {
        Some(keeper) => keeper.next().await,
        None => std::future::pending().await,
    }
}

/// The runtime's name for a moment of the client's.
fn moment(at: Instant, now: Instant) -> time::Instant {
    time::Instant::now() + at.since(now)
}

impl Work {
    fn call(&mut self, core: &mut RealtimeClient, now: Instant, request: &Request, call: Waiting) {
        let made = match request {
            Request::History { channel, query } => core.history(now, channel, query),
            Request::Presence { channel } => core.presence(now, channel),
            Request::PresenceStats { channel } => core.presence_stats(now, channel),
            Request::Rpc { method, data } => core.rpc(now, method, data),
            Request::Send { data } => core.send(now, data),
        };
        match made {
            Ok(number) => {
                self.numbers.insert(call.id, number);
                self.calls.insert(number, call);
            }
            Err(error) => drop(call.answer.send(Err(error))),
        }
    }

    fn settle(&mut self, request: RequestId, result: Settlement) {
        let Some(result) = self.ledger.settle(request, result) else { return };
        if let Some(call) = self.calls.remove(&request) {
            self.numbers.remove(&call.id);
            let _ = call.answer.send(result);
        }
    }
}

impl Drop for Driver {
    /// Whatever ends the task, a panic included: nobody is left waiting, and the state says so.
    fn drop(&mut self) {
        self.work.ledger.close();
        for (_, call) in self.work.calls.drain() {
            let _ = call.answer.send(Err(Error::new(ErrorCode::Closed)));
        }
        self.shown.retry_at.send_replace(None);
        self.shown.state.send_replace(ConnectionState::Closed);
    }
}
