//! The exported class: the core, the drain loop, and the browser's things around it.
//!
//! Every method takes `&self`; the core's borrow ends before any JavaScript runs. Calls change the core and
//! return, [`Host::drain`] carries out: so JavaScript knows the id of a call before it hears of its end.

use crate::{
    browser::{Function, Target},
    clock::{Clock, Reading},
    events,
    options::{Options, first_line, lines},
    page::Page,
    panic::set_bell,
    socket::{Said, Socket},
    timer::Timer,
    verb::Verb,
};
use homing_core::{
    ChannelKey, ConnId, ConnectionState, Duration, EndpointRequestId, EntryId, Error, ErrorCode, Event,
    HandleId, HistoryQuery, Input, Instant, Output, Position, PublishOptions, RealtimeClient, Record,
    Recovery, RequestId, SubscribeOptions, TokenRefusal, TokenRequestId, WriteId,
    wire::{Raw, json::text_list},
};
use std::{
    cell::{Cell, RefCell, RefMut},
    rc::{Rc, Weak},
};
use wasm_bindgen::prelude::*;

/// A call was refused; [`Host::said`] tells why.
const REFUSED: f64 = -1.0;

/// One client in a page, a worker or Node.
#[wasm_bindgen]
pub struct Host {
    inner: Rc<Inner>,
}

struct Inner {
    core: RefCell<RealtimeClient>,
    clock: Clock,
    draining: Cell<bool>,
    /// A call has panicked: nothing enters the core any more, not even what is on its way.
    abandoned: Cell<bool>,
    open: Function,
    emit: Function,
    /// `None` outside of a page.
    document: Option<Target>,
    socket: Cell<Option<Rc<Socket>>>,
    timer: Cell<Option<Timer>>,
    page: Cell<Option<Page>>,
    said: Cell<String>,
}

#[wasm_bindgen]
impl Host {
    /// A client that does nothing yet. `open(url, conn)` makes a socket and listens to its messages and errors;
    /// `emit(text)` takes one event, or an empty text when a callback of the browser has panicked: call nothing then
    /// but [`abandon`](Self::abandon), and not from within. Neither may throw, `open` apart: that counts as a socket that closed.
    /// `document` is that of the page, if there is one.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str, open: Function, emit: Function, document: Option<Target>) -> Self {
        let Some(Options { mut config, seed }) = Options::read(options) else {
            panic!("the page has not checked the options");
        };
        let clock = Clock::start();
        let now = clock.read().now;
        config.started_at = clock.wall();
        Self {
            inner: Rc::new(Inner {
                core: RefCell::new(RealtimeClient::new(config, seed, now)),
                clock,
                draining: Cell::new(false),
                abandoned: Cell::new(false),
                open,
                emit,
                document,
                socket: Cell::default(),
                timer: Cell::default(),
                page: Cell::default(),
                said: Cell::default(),
            }),
        }
    }

    /// Carries out what the calls before have asked for. Within another drain it returns at once.
    pub fn drain(&self) {
        self.inner.drain();
    }

    /// Tells the core one thing; [`Verb`] says what and with which arguments. Calls give their id and
    /// subscriptions their handle; below zero: refused. [`said`](Self::said) has what more there is to say.
    pub fn tell(&self, verb: u32, one: &str, two: &str, number: f64, offset: f64) -> f64 {
        let Some(verb) = Verb::from_number(verb) else { panic!("the page has another table of verbs") };
        self.inner.tell(verb, one, two, number, offset)
    }

    /// Why the last call was refused, or how the channel stands that was subscribed last, as JSON.
    pub fn said(&self) -> String {
        self.inner.said.take()
    }

    /// Lets go of the timer and of the page's events after a panic: no later event may enter the core. What the
    /// panic left borrowed stays.
    pub fn abandon(&self) {
        let inner = &*self.inner;
        inner.abandoned.set(true);
        inner.timer.set(None);
        inner.page.set(None);
    }

    /// The fast lane: takes `count` publications of one channel from `offset` on (0: without offsets) and
    /// answers how many of them were the next ones. Those belong to the app at once; the rest of the frame
    /// takes the ordinary lane.
    pub fn advance(&self, conn: u32, channel: u32, offset: f64, count: u32) -> u32 {
        let inner = &*self.inner;
        if inner.draining.get() {
            return 0;
        }
        let mut core = inner.core();
        let now = inner.clock.glance();
        let first = offset as u64;
        for taken in 0..count {
            let offset = if first == 0 { 0 } else { first + u64::from(taken) };
            if !core.advance(now, ConnId(conn), ChannelKey(channel), offset) {
                return taken;
            }
        }
        count
    }
}

fn position(epoch: &str, offset: f64) -> Option<Position> {
    (!epoch.is_empty()).then(|| Position { epoch: epoch.into(), offset: offset as u64 })
}

/// Keys and values in turn.
fn records(text: &str) -> Option<Vec<Record>> {
    let texts = Raw::new(text).and_then(text_list).ok()?;
    let (pairs, _) = texts.as_chunks::<2>();
    let mut records = Vec::new();
    for [key, value] in pairs {
        records.push(((&**key).into(), (&**value).into()));
    }
    Some(records)
}

fn subscribe_options(mut text: &str, flags: u32, offset: f64) -> SubscribeOptions {
    let has = |flag: u32| flags & flag != 0;
    let mut part = || first_line(&mut text);
    SubscribeOptions {
        token: part().into(),
        provides_tokens: has(1),
        data: part().into(),
        positioned: has(2),
        recoverable: has(4),
        join_leave: has(8),
        recovery: if has(16) { Recovery::Cache } else { Recovery::Stream },
        durable: has(32),
        since: position(part(), offset),
    }
}

impl Inner {
    /// The core, for one step. (The standard library's own panic would bring its formatting along.)
    fn core(&self) -> RefMut<'_, RealtimeClient> {
        match self.core.try_borrow_mut() {
            Ok(core) => core,
            Err(_) => panic!("a call came while another one was under way"),
        }
    }

    fn take_socket(&self, conn: ConnId) -> Option<Rc<Socket>> {
        let socket = self.socket.take();
        if socket.as_ref().is_some_and(|socket| socket.conn() == conn) {
            return socket;
        }
        self.socket.set(socket);
        None
    }

    fn socket(&self, conn: ConnId) -> Option<Rc<Socket>> {
        let socket = self.take_socket(conn)?;
        self.socket.set(Some(socket.clone()));
        Some(socket)
    }

    /// The core and the time, to change it. A borrow that still stands is that of a call that panicked: the
    /// panic that follows here tells the page. Not inlined, nor is [`answer`](Self::answer): all exports share
    /// them.
    #[inline(never)]
    fn enter(&self) -> (RefMut<'_, RealtimeClient>, Instant) {
        let mut core = self.core();
        let Reading { now, slept } = self.clock.read();
        if slept {
            core.handle_input(now, Input::Resumed);
        }
        (core, now)
    }

    fn tell(&self, verb: Verb, one: &str, two: &str, number: f64, offset: f64) -> f64 {
        let id = number as u32;
        let input = match verb {
            Verb::TokenProvided => {
                Input::TokenProvided { request: TokenRequestId(id), token: Ok(one.into()) }
            }
            Verb::TokenFailed => {
                let token = Err(TokenRefusal::Failed(one.into()));
                Input::TokenProvided { request: TokenRequestId(id), token }
            }
            Verb::TokenForbidden => {
                let token = Err(TokenRefusal::Forbidden(one.into()));
                Input::TokenProvided { request: TokenRequestId(id), token }
            }
            Verb::EndpointsResolved => {
                Input::EndpointsResolved { request: EndpointRequestId(id), endpoints: Ok(lines(one)) }
            }
            Verb::EndpointsFailed => {
                Input::EndpointsResolved { request: EndpointRequestId(id), endpoints: Err(one.into()) }
            }
            Verb::StorageOpened => {
                let code = ErrorCode::from_number(id).unwrap_or(ErrorCode::StorageFailed);
                let failed = |why| Err(Error::new(code).with_detail(why));
                let records = match (id, records(one)) {
                    (0, Some(records)) => Ok(records),
                    (0, None) => failed("its records are not text"),
                    _ => failed(two),
                };
                Input::StorageOpened { records }
            }
            Verb::StorageAdopted => Input::StorageAdopted { records: records(one).unwrap_or_default() },
            Verb::Stored => {
                let result = if one.is_empty() { Ok(()) } else { Err(one.into()) };
                Input::Stored { write: WriteId(id), result }
            }
            Verb::Frame => Input::FrameReceived { conn: ConnId(id), text: one },
            Verb::SocketFailed => {
                if let Some(socket) = self.socket(ConnId(id)) {
                    socket.set_error(one.into());
                }
                return 0.0;
            }
            _ => {
                return match self.order(verb, one, two, number, offset) {
                    Ok(id) => id.into(),
                    Err(error) => {
                        self.said.set(events::refusal(&error));
                        REFUSED
                    }
                };
            }
        };
        self.hear(input);
        0.0
    }

    /// An order of the app.
    fn order(&self, verb: Verb, one: &str, two: &str, number: f64, offset: f64) -> Result<u32, Error> {
        let (mut core, now) = self.enter();
        let id = number as u32;
        let request = match verb {
            Verb::Connect => return core.connect(now).map(|()| 0),
            Verb::Prefer => {
                core.prefer_endpoint(now, number as usize);
                return Ok(0);
            }
            Verb::Disconnect => {
                core.disconnect(now);
                return Ok(0);
            }
            Verb::Close => {
                if offset != 0.0 {
                    core.forget();
                }
                core.close(now, Duration::from_millis(number as u64));
                return Ok(0);
            }
            Verb::Subscribe => {
                let (handle, key) = core.subscribe(now, one, &subscribe_options(two, id, offset))?;
                self.said.set(events::standing(key, &core.subscription(key)));
                return Ok(handle.0);
            }
            Verb::Unsubscribe => {
                core.unsubscribe(now, HandleId(id));
                return Ok(0);
            }
            Verb::Publish => {
                let mut name = one;
                let channel = first_line(&mut name);
                let options = PublishOptions { ephemeral: id == 1, id: name.into() };
                core.publish(now, channel, two, &options).map(|accepted| accepted.request)
            }
            Verb::History | Verb::HistoryReverse => {
                let reverse = verb == Verb::HistoryReverse;
                let query = HistoryQuery { limit: number as i32, since: position(two, offset), reverse };
                core.history(now, one, &query)
            }
            Verb::Presence => core.presence(now, one),
            Verb::PresenceStats => core.presence_stats(now, one),
            Verb::Outbox => {
                self.said.set(events::outbox(&core, id == 1));
                return Ok(0);
            }
            Verb::Observe => {
                core.observe_outbox(id == 1);
                return Ok(0);
            }
            Verb::Edit => return core.edit(now, EntryId(id), two).map(|()| 0),
            Verb::Discard => return core.discard(now, EntryId(id)).map(|()| 0),
            Verb::Retry => {
                let accepted = core.retry(now, EntryId(id), Some(two).filter(|data| !data.is_empty()))?;
                self.said.set(accepted.id.into());
                Ok(accepted.request)
            }
            Verb::Processed => {
                if let Some(position) = position(one, offset) {
                    core.processed(now, ChannelKey(id), &position);
                }
                return Ok(0);
            }
            Verb::Rpc => core.rpc(now, one, two),
            Verb::Send => core.send(now, two),
            _ => {
                core.cancel(now, RequestId(id));
                return Ok(0);
            }
        };
        request.map(|request| request.0)
    }

    #[inline(never)]
    fn hear(&self, input: Input<'_>) {
        let (mut core, now) = self.enter();
        core.handle_input(now, input);
    }

    /// The browser says something; `None`: that it is time.
    fn overhear(self: &Rc<Self>, input: Option<Input<'_>>) {
        if self.abandoned.get() {
            return;
        }
        let before = set_bell(Some(self.emit.clone()));
        let (mut core, now) = self.enter();
        match input {
            Some(input) => core.handle_input(now, input),
            None => core.handle_timeout(now),
        }
        drop(core);
        self.drain();
        set_bell(before);
    }

    fn drain(self: &Rc<Self>) {
        if self.draining.replace(true) {
            return;
        }
        while !self.abandoned.get() {
            let output = self.core().poll_output();
            match output {
                Some(output) => self.carry_out(output),
                None => {
                    self.draining.set(false);
                    self.arm();
                    break;
                }
            }
        }
    }

    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::OpenSocket { conn, url } => self.open(conn, &url),
            Output::SendFrame { conn, text } => {
                if let Some(socket) = self.socket(conn) {
                    socket.send(&text);
                }
            }
            Output::CloseSocket { conn, code, reason } => {
                if let Some(socket) = self.take_socket(conn) {
                    socket.close(code, reason);
                }
            }
            Output::RequestToken { request, channel } => {
                self.emit(&events::token_wanted(request.0, channel.as_deref()));
            }
            Output::ResolveEndpoints { request } => self.emit(&events::endpoints_wanted(request.0)),
            Output::Settled { request, result } => self.emit(&events::settled(request, &result)),
            Output::Storage(order) => self.emit(&events::storage(&order)),
            Output::Accepted { request, durably } => self.emit(&events::accepted(request, durably)),
            Output::Event(Event::Outbox { entry, change }) => {
                let view = self.core().outbox_entry(entry);
                self.emit(&events::outbox_changed(entry, &change, view.as_ref()));
            }
            Output::Event(event) => {
                if let Event::Connection(state) = &event {
                    self.watch_page(state);
                }
                self.emit(&events::event(&event, self.clock.read().now));
            }
            _ => {}
        }
    }

    fn emit(&self, text: &str) {
        // What panics in there is seen by whoever called it.
        let bell = set_bell(None);
        // The listener never throws; were it to, there would be nobody to tell.
        let _ = self.emit.emit(&JsValue::NULL, text);
        set_bell(bell);
    }

    fn open(self: &Rc<Self>, conn: ConnId, url: &str) {
        match self.open.open(&JsValue::NULL, url, conn.0) {
            Ok(made) => {
                let weak = Rc::downgrade(self);
                let socket = Socket::adopt(conn, made, move |said| on_socket(&weak, conn, said));
                self.socket.set(Some(Rc::new(socket)));
            }
            Err(thrown) => {
                let reason = thrown.message().as_string().unwrap_or_default();
                self.hear(Input::SocketClosed { conn, code: 0, reason: &reason });
            }
        }
    }

    /// Page events count only while a client is meant to be connected.
    fn watch_page(self: &Rc<Self>, state: &ConnectionState) {
        let wanted = matches!(state, ConnectionState::Connecting { .. } | ConnectionState::Connected(_));
        let watching = self.page.take();
        if wanted && watching.is_some() {
            self.page.set(watching);
        } else if wanted {
            let Some(document) = &self.document else { return };
            if document.hidden() {
                self.hear(Input::Hidden);
            }
            let weak = Rc::downgrade(self);
            let page = Page::watch(document, move |input| {
                if let Some(inner) = weak.upgrade() {
                    inner.overhear(Some(input));
                }
            });
            self.page.set(page);
        }
    }

    /// Arms the timeout, if the one that is armed would come too late.
    fn arm(self: &Rc<Self>) {
        let deadline = self.core().poll_timeout();
        let armed = self.timer.take();
        let Some(deadline) = deadline else { return };
        if armed.as_ref().is_some_and(|timer| timer.serves(deadline.at)) {
            self.timer.set(armed);
            return;
        }
        let weak = Rc::downgrade(self);
        self.timer.set(Some(Timer::armed(self.clock.read().now, deadline.at, move || {
            if let Some(inner) = weak.upgrade() {
                inner.timer.set(None);
                inner.overhear(None);
            }
        })));
    }
}

fn on_socket(inner: &Weak<Inner>, conn: ConnId, said: Said) {
    let Some(inner) = inner.upgrade() else { return };
    match said {
        Said::Opened => inner.overhear(Some(Input::SocketOpened { conn })),
        Said::Closed { code, mut reason } => {
            if let Some(socket) = inner.take_socket(conn)
                && reason.is_empty()
            {
                reason = socket.take_error();
            }
            inner.overhear(Some(Input::SocketClosed { conn, code, reason: &reason }));
        }
    }
}
