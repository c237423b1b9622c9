//! The exported class: the core, the drain loop, and the browser's things around it.
//!
//! Every method takes `&self`; the core's borrow ends before any JavaScript runs. Calls change the core and
//! return, [`Host::drain`] carries out: so JavaScript knows the id of a call before it hears of its end.

use crate::{
    clock::{Clock, Reading},
    events, options,
    page::Page,
    socket::{Said, Socket},
    timer::Timer,
};
use homing_core::{
    ChannelKey, ConnId, ConnectionState, Duration, EndpointRequestId, Error, Event, HandleId, HistoryQuery,
    Input, Instant, Output, Position, RealtimeClient, Recovery, RequestId, SubscribeOptions, TokenRefusal,
    TokenRequestId,
};
use std::{
    cell::{Cell, RefCell, RefMut},
    rc::{Rc, Weak},
};
use wasm_bindgen::prelude::*;

/// A call was refused; [`Host::refusal`] tells why.
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
    open: js_sys::Function,
    emit: js_sys::Function,
    socket: RefCell<Option<Socket>>,
    timer: RefCell<Option<Timer>>,
    page: RefCell<Option<Page>>,
    refusal: RefCell<String>,
    key: Cell<u32>,
}

#[wasm_bindgen]
impl Host {
    /// A client that does nothing yet. `open(url, conn)` makes a socket and listens to its messages and errors;
    /// `emit(text)` takes one event. Neither may throw, `open` apart: that counts as a socket that closed.
    ///
    /// # Errors
    /// The name of an option that makes no sense.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &str,
        entropy: &[u8],
        open: js_sys::Function,
        emit: js_sys::Function,
    ) -> Result<Self, String> {
        let config = options::config(options)?;
        let mut seed = [0; 32];
        for (slot, byte) in seed.iter_mut().zip(entropy) {
            *slot = *byte;
        }
        let clock = Clock::start();
        let now = clock.read().now;
        Ok(Self {
            inner: Rc::new(Inner {
                core: RefCell::new(RealtimeClient::new(config, seed, now)),
                clock,
                draining: Cell::new(false),
                open,
                emit,
                socket: RefCell::default(),
                timer: RefCell::default(),
                page: RefCell::default(),
                refusal: RefCell::default(),
                key: Cell::new(0),
            }),
        })
    }

    /// Carries out what the calls before have asked for. Within another drain it returns at once.
    pub fn drain(&self) {
        self.inner.drain();
    }

    /// Why the last call was refused, as JSON.
    pub fn refusal(&self) -> String {
        self.inner.refusal.take()
    }

    /// Wants to be connected; below zero: refused.
    pub fn connect(&self) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer(core.connect(now).map(|()| 0))
    }

    /// Wants to be disconnected.
    pub fn disconnect(&self) {
        let (mut core, now) = self.inner.enter();
        core.disconnect(now);
    }

    /// Ends the client; calls under way may settle for `flush` milliseconds.
    pub fn close(&self, flush: f64) {
        let (mut core, now) = self.inner.enter();
        core.close(now, Duration::from_millis(flush as u64));
    }

    /// One more interest in a channel; gives the handle, and [`key`](Self::key) the channel. `flags`: 1 provides
    /// tokens, 2 positioned, 4 recoverable, 8 joins and leaves, 16 recovery of the newest only.
    pub fn subscribe(
        &self,
        channel: &str,
        token: String,
        data: String,
        flags: u32,
        epoch: Option<String>,
        offset: f64,
    ) -> f64 {
        let has = |flag: u32| flags & flag != 0;
        let options = SubscribeOptions {
            token: token.into(),
            provides_tokens: has(1),
            data: data.into(),
            positioned: has(2),
            recoverable: has(4),
            join_leave: has(8),
            recovery: if has(16) { Recovery::Cache } else { Recovery::Stream },
            since: position(epoch, offset),
        };
        let (mut core, now) = self.inner.enter();
        self.inner.answer(core.subscribe(now, channel, &options).map(|(handle, key)| {
            self.inner.key.set(key.0);
            handle.0
        }))
    }

    /// Key of the channel that was subscribed last.
    pub fn key(&self) -> u32 {
        self.inner.key.get()
    }

    /// Gives an interest up.
    pub fn unsubscribe(&self, handle: u32) {
        let (mut core, now) = self.inner.enter();
        core.unsubscribe(now, HandleId(handle));
    }

    /// A channel as it stands, as JSON.
    pub fn subscription(&self, key: u32) -> String {
        events::snapshot(&self.inner.core.borrow().subscription(ChannelKey(key)))
    }

    /// Publishes one JSON value; gives the call's id.
    pub fn publish(&self, channel: &str, data: &str) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.publish(now, channel, data))
    }

    /// Asks for a page of history; gives the call's id.
    pub fn history(
        &self,
        channel: &str,
        limit: i32,
        reverse: bool,
        epoch: Option<String>,
        offset: f64,
    ) -> f64 {
        let query = HistoryQuery { limit, since: position(epoch, offset), reverse };
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.history(now, channel, &query))
    }

    /// Asks who is in a channel; gives the call's id.
    pub fn presence(&self, channel: &str) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.presence(now, channel))
    }

    /// Asks how many are in a channel; gives the call's id.
    #[wasm_bindgen(js_name = presenceStats)]
    pub fn presence_stats(&self, channel: &str) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.presence_stats(now, channel))
    }

    /// Calls a procedure of the server; gives the call's id.
    pub fn rpc(&self, method: &str, data: &str) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.rpc(now, method, data))
    }

    /// Sends a message without an answer; gives the call's id.
    pub fn send(&self, data: &str) -> f64 {
        let (mut core, now) = self.inner.enter();
        self.inner.answer_request(core.send(now, data))
    }

    /// Stops waiting for a call.
    pub fn cancel(&self, request: u32) {
        let (mut core, now) = self.inner.enter();
        core.cancel(now, RequestId(request));
    }

    /// Answers a question for a token. `failure`: 0 none, 1 forbidden, 2 another; `text` is the token or why.
    #[wasm_bindgen(js_name = tokenProvided)]
    pub fn token_provided(&self, request: u32, text: String, failure: u32) {
        let text = text.into();
        let token = match failure {
            0 => Ok(text),
            1 => Err(TokenRefusal::Forbidden(text)),
            _ => Err(TokenRefusal::Failed(text)),
        };
        self.inner.hear(Input::TokenProvided { request: TokenRequestId(request), token });
    }

    /// Answers a question for endpoints: one a line, or why there are none.
    #[wasm_bindgen(js_name = endpointsResolved)]
    pub fn endpoints_resolved(&self, request: u32, endpoints: &str, failure: Option<String>) {
        let endpoints = match failure {
            Some(why) => Err(why.into()),
            None => Ok(endpoints.lines().map(Into::into).collect()),
        };
        self.inner.hear(Input::EndpointsResolved { request: EndpointRequestId(request), endpoints });
    }

    /// A frame, or what is left of one, on the ordinary lane.
    pub fn frame(&self, conn: u32, text: &str) {
        self.inner.hear(Input::FrameReceived { conn: ConnId(conn), text });
    }

    /// Why a socket is about to close, in the words of its implementation.
    #[wasm_bindgen(js_name = socketFailed)]
    pub fn socket_failed(&self, conn: u32, text: String) {
        if let Some(socket) = self.inner.socket.borrow().as_ref().filter(|socket| socket.conn().0 == conn) {
            socket.set_error(text);
        }
    }

    /// The fast lane: takes `count` publications of one channel from `offset` on (0: without offsets) and
    /// answers how many of them were the next ones. Those belong to the app at once; the rest of the frame
    /// takes the ordinary lane.
    pub fn advance(&self, conn: u32, channel: u32, offset: f64, count: u32) -> u32 {
        let inner = &*self.inner;
        if inner.draining.get() {
            return 0;
        }
        let mut core = inner.core.borrow_mut();
        let Reading { now, slept } = inner.clock.read();
        if slept {
            core.handle_input(now, Input::Resumed);
            return 0;
        }
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

fn position(epoch: Option<String>, offset: f64) -> Option<Position> {
    epoch.map(|epoch| Position { epoch: epoch.into(), offset: offset as u64 })
}

impl Inner {
    /// The core and the time, to change it. A borrow that still stands is that of a call that panicked: the
    /// panic that follows here tells the page. Not inlined, nor is [`answer`](Self::answer): all exports share
    /// them.
    #[inline(never)]
    fn enter(&self) -> (RefMut<'_, RealtimeClient>, Instant) {
        let mut core = self.core.borrow_mut();
        let Reading { now, slept } = self.clock.read();
        if slept {
            core.handle_input(now, Input::Resumed);
        }
        (core, now)
    }

    /// What JavaScript gets for a call: its id, or [`REFUSED`].
    #[inline(never)]
    fn answer(&self, result: Result<u32, Error>) -> f64 {
        match result {
            Ok(id) => id.into(),
            Err(error) => {
                self.refusal.replace(events::refusal(&error));
                REFUSED
            }
        }
    }

    fn answer_request(&self, result: Result<RequestId, Error>) -> f64 {
        self.answer(result.map(|request| request.0))
    }

    #[inline(never)]
    fn hear(&self, input: Input<'_>) {
        let (mut core, now) = self.enter();
        core.handle_input(now, input);
    }

    /// The browser says something: nothing happens any more once a call has panicked.
    fn overhear(self: &Rc<Self>, input: Input<'_>) {
        if self.core.try_borrow_mut().is_ok() {
            self.hear(input);
            self.drain();
        }
    }

    fn on_timeout(self: &Rc<Self>) {
        self.timer.replace(None);
        if self.core.try_borrow_mut().is_ok() {
            let (mut core, now) = self.enter();
            core.handle_timeout(now);
            drop(core);
            self.drain();
        }
    }

    fn drain(self: &Rc<Self>) {
        if self.draining.replace(true) {
            return;
        }
        loop {
            let output = self.core.borrow_mut().poll_output();
            match output {
                Some(output) => self.carry_out(output),
                None => break,
            }
        }
        self.draining.set(false);
        self.arm();
    }

    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::OpenSocket { conn, url } => self.open(conn, &url),
            Output::SendFrame { conn, text } => {
                if let Some(socket) = self.socket.borrow().as_ref().filter(|socket| socket.conn() == conn) {
                    socket.send(&text);
                }
            }
            Output::CloseSocket { conn, code, reason } => {
                let socket = self.socket.borrow_mut().take_if(|socket| socket.conn() == conn);
                if let Some(socket) = socket {
                    socket.close(code, reason);
                }
            }
            Output::RequestToken { request, channel } => {
                self.emit(&events::token_wanted(request.0, channel.as_deref()));
            }
            Output::ResolveEndpoints { request } => self.emit(&events::endpoints_wanted(request.0)),
            Output::Settled { request, result } => self.emit(&events::settled(request, &result)),
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
        // The listener never throws; were it to, there would be nobody to tell.
        let _ = self.emit.call1(&JsValue::NULL, &JsValue::from_str(text));
    }

    fn open(self: &Rc<Self>, conn: ConnId, url: &str) {
        match self.open.call2(&JsValue::NULL, &JsValue::from_str(url), &JsValue::from(conn.0)) {
            Ok(made) => {
                let weak = Rc::downgrade(self);
                let socket = Socket::adopt(conn, made, move |said| on_socket(&weak, conn, said));
                self.socket.replace(Some(socket));
            }
            Err(thrown) => {
                let reason = js_sys::Error::from(thrown).message();
                let reason = reason.as_string().unwrap_or_default();
                self.hear(Input::SocketClosed { conn, code: 0, reason: &reason });
            }
        }
    }

    /// Page events count only while a client is meant to be connected.
    fn watch_page(self: &Rc<Self>, state: &ConnectionState) {
        let wanted = matches!(state, ConnectionState::Connecting { .. } | ConnectionState::Connected(_));
        let watched = self.page.borrow().is_some();
        if wanted && !watched {
            let weak = Rc::downgrade(self);
            let page = Page::watch(move |input| {
                if let Some(inner) = weak.upgrade() {
                    inner.overhear(input);
                }
            });
            self.page.replace(page);
        } else if !wanted {
            self.page.replace(None);
        }
    }

    /// Arms the timeout, if the one that is armed would come too late.
    fn arm(self: &Rc<Self>) {
        let deadline = self.core.borrow().poll_timeout();
        let mut timer = self.timer.borrow_mut();
        let Some(deadline) = deadline else {
            *timer = None;
            return;
        };
        if timer.as_ref().is_some_and(|timer| timer.serves(deadline.at)) {
            return;
        }
        let weak = Rc::downgrade(self);
        *timer = Some(Timer::armed(self.clock.read().now, deadline.at, move || {
            if let Some(inner) = weak.upgrade() {
                inner.on_timeout();
            }
        }));
    }
}

fn on_socket(inner: &Weak<Inner>, conn: ConnId, said: Said) {
    let Some(inner) = inner.upgrade() else { return };
    match said {
        Said::Opened => inner.overhear(Input::SocketOpened { conn }),
        Said::Closed { code, mut reason } => {
            let socket = inner.socket.borrow_mut().take_if(|socket| socket.conn() == conn);
            if let Some(socket) = socket
                && reason.is_empty()
            {
                reason = socket.take_error();
            }
            let input = Input::SocketClosed { conn, code, reason: &reason };
            inner.overhear(input);
        }
    }
}
