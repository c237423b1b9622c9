//! The client: its commands, and the verbs that a host drives it with.

use crate::{
    ChannelEvent, ChannelKey, Config, ConnId, ConnectionState, Duration, Error, ErrorCode, Event, HandleId,
    Health, HistoryQuery, Input, Instant, Output, Reason, RequestId, SubscribeOptions, SubscriptionSnapshot,
    calls::{Body, Calls},
    channel::{Registry, State},
    connection::{Connection, Phase, Socket},
    health::HealthMonitor,
    outbound::Outbound,
    outbox::Outbox,
    rng::Rng,
    storage::{Storage, StorageOrder},
    wire::{MAX_CHANNEL_LENGTH, json},
};

/// One client. See the crate's front page for the loop around it.
#[derive(Debug)]
pub struct RealtimeClient {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) out: Outbound,
    pub(crate) link: Connection,
    pub(crate) calls: Calls,
    pub(crate) channels: Registry,
    pub(crate) outbox: Outbox,
    pub(crate) storage: Storage,
    /// Whether the stored data is erased at the close.
    pub(crate) forgets: bool,
    pub(crate) monitor: HealthMonitor,
    /// When a close that waits for calls to settle stops waiting; `None`: not closing.
    pub(crate) closing: Option<Instant>,
}

impl RealtimeClient {
    /// A client that does nothing until [`connect`](Self::connect). All its randomness comes from `entropy`.
    #[must_use]
    pub fn new(config: Config, entropy: [u8; 32], now: Instant) -> Self {
        Self {
            link: Connection::new(&config),
            rng: Rng::new(entropy),
            storage: Storage::new(config.durable),
            outbox: Outbox::default(),
            forgets: false,
            config,
            now,
            out: Outbound::default(),
            calls: Calls::default(),
            channels: Registry::default(),
            monitor: HealthMonitor::default(),
            closing: None,
        }
    }

    pub(crate) fn advance_to(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(crate) fn ensure_usable(&self) -> Result<(), Error> {
        if self.closing.is_some() || matches!(self.link.phase, Phase::Closed) {
            return Err(Error::new(ErrorCode::Closed));
        }
        Ok(())
    }

    /// Something happened outside. Infallible: faults become outputs.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.advance_to(now);
        match input {
            Input::SocketOpened { conn } => self.on_opened(conn),
            Input::FrameReceived { conn, text } => self.on_frame(conn, text),
            Input::SocketClosed { conn, code, reason } => self.on_closed(conn, code, reason),
            Input::TokenProvided { request, token } => {
                if !self.on_token(request, &token) {
                    self.on_channel_token(request, token);
                }
            }
            Input::EndpointsResolved { request, endpoints } => self.on_endpoints(request, endpoints),
            Input::StorageOpened { records } => self.on_storage_opened(records),
            Input::StorageAdopted { records } => self.on_storage_adopted(&records),
            Input::Stored { write, result } => self.on_stored(write, result),
            Input::Online => self.on_hint(),
            Input::Visible => {
                self.link.hidden = false;
                self.on_hint();
            }
            Input::Hidden => self.link.hidden = true,
            Input::Offline => self.probe(),
            Input::Resumed => self.on_resumed(),
            Input::Suspended => self.on_suspended(),
        }
        self.watch_health();
        self.finish_close_if_settled();
    }

    /// The next thing to do, in order; `None`: nothing until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_drained() {
            self.flush_storage();
        }
        self.out.pop()
    }

    /// The fast lane: whether the publication at `offset` (0: none) is the next one of a live channel that
    /// somebody holds. If so the position has moved and the caller hands the message to the app at once; else
    /// nothing has changed and the frame takes the ordinary way. The caller has drained all outputs before.
    pub fn advance(&mut self, now: Instant, conn: ConnId, channel: ChannelKey, offset: u64) -> bool {
        self.advance_to(now);
        let now = self.now;
        let Some(live) = self.link.live().filter(|live| live.conn == conn) else { return false };
        live.heartbeat.heard(now);
        let Some(channel) = self.channels.get_mut(channel) else { return false };
        let next = matches!(channel.state, State::Live) && channel.is_heard() && channel.is_next(offset);
        if next && let Some(position) = channel.position.as_mut().filter(|_| offset > 0) {
            position.offset = offset;
        }
        next
    }

    /// Wants to be connected, until [`disconnect`](Self::disconnect). Harmless if it is wanted already; after
    /// a refusal it starts again.
    ///
    /// # Errors
    /// [`ErrorCode::Closed`]; [`ErrorCode::InvalidOption`] without an endpoint.
    pub fn connect(&mut self, now: Instant) -> Result<(), Error> {
        self.advance_to(now);
        self.ensure_usable()?;
        if self.config.endpoints.is_empty() && !self.config.resolves_endpoints {
            return Err(Error::new(ErrorCode::InvalidOption).with_detail("no endpoint"));
        }
        self.open_known_scope();
        if matches!(self.link.phase, Phase::Idle) {
            self.start();
            self.set_health(Health::Ok);
            self.watch_health();
        }
        Ok(())
    }

    /// Wants to be disconnected. Calls that wait to be sent are rejected; channels stay wanted.
    pub fn disconnect(&mut self, now: Instant) {
        self.advance_to(now);
        if matches!(self.link.phase, Phase::Closed) {
            return;
        }
        if !matches!(self.link.phase, Phase::Idle) {
            self.rest(Reason::new(Reason::DISCONNECT_CALLED, "disconnect called"), Phase::Idle, Socket::Open);
        }
        self.give_up_unsent();
        self.set_health(Health::Ok);
        self.watch_health();
        self.finish_close_if_settled();
    }

    /// Ends the client. Calls under way may still settle for the time of `flush`; then all that are left are
    /// rejected ([`ErrorCode::OutcomeUnknown`] where the server may have acted on one, else
    /// [`ErrorCode::Closed`]), the socket is closed, and the last event is [`ConnectionState::Closed`].
    pub fn close(&mut self, now: Instant, flush: Duration) {
        self.advance_to(now);
        if !matches!(self.link.phase, Phase::Closed) {
            let deadline = self.now + flush;
            self.closing = Some(self.closing.map_or(deadline, |earlier| earlier.min(deadline)));
            if flush.is_zero() {
                self.finish_close();
            }
            self.finish_close_if_settled();
        }
    }

    /// Erases the stored data of this user at the close: messages that were not sent, positions, everything. Where
    /// nobody knows who the user is no [`StorageOrder::Erase`] comes.
    pub const fn forget(&mut self) {
        self.forgets = true;
    }

    /// A close that waits ends with the last call.
    pub(crate) fn finish_close_if_settled(&mut self) {
        // Without a wish to connect nothing of the outbox can settle.
        let quiet = self.outbox.is_quiet() || matches!(self.link.phase, Phase::Idle);
        let settled = self.calls.table.len() == 0 && quiet && self.storage.is_quiet();
        if self.closing.is_some() && settled {
            self.finish_close();
        }
    }

    pub(crate) fn finish_close(&mut self) {
        if matches!(self.link.phase, Phase::Closed) {
            return;
        }
        self.closing = None;
        self.out.drop_events();
        self.give_up_all();
        self.finish_storage(ErrorCode::Closed);
        if self.forgets {
            self.open_known_scope();
            // Also where the open is not answered yet or has failed: then the host hears what comes of it.
            if self.config.durable && self.storage.scope.is_some() {
                self.out.push(Output::Storage(StorageOrder::Erase));
            }
        }
        self.storage.close();
        self.forget_outbox(ErrorCode::Closed);
        self.end_socket(Socket::Open);
        self.channels.clear();
        self.link.phase = Phase::Closed;
        self.link.asked = None;
        self.link.reason = Reason::new(Reason::CLOSE_CALLED, "close called");
        self.link.state = ConnectionState::Closed;
        self.out.event(Event::Connection(ConnectionState::Closed));
        self.watch_health();
    }

    /// State of the connection.
    #[must_use]
    pub const fn connection(&self) -> &ConnectionState {
        &self.link.state
    }

    /// Health of the connection.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.monitor.health
    }

    /// One more interest in a channel; the first one subscribes. A handle that joins a channel which is
    /// subscribed already gets no event for that: see [`subscription`](Self::subscription).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::InvalidPayload`] for `data` that is not JSON,
    /// [`ErrorCode::OptionsConflict`] where another handle has other options, [`ErrorCode::Closed`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        channel: &str,
        options: &SubscribeOptions,
    ) -> Result<(HandleId, ChannelKey), Error> {
        self.advance_to(now);
        self.ensure_usable()?;
        check_channel(channel)?;
        if !options.data.is_empty() {
            check_payload(&options.data)?;
        }
        if options.durable {
            self.open_known_scope();
        }
        let mut known = self.channels.by_name(channel);
        if let Some(key) = known
            && let Some(existing) = self.channels.get(key)
        {
            let (ended, held) = (matches!(existing.state, State::Ended), !existing.handles.is_empty());
            let differs = existing.options != *options;
            if differs && held && !ended && !existing.server_side {
                return Err(Error::new(ErrorCode::OptionsConflict).with_detail(channel));
            }
            // One that ended for good, or that nobody holds any more under these options, is made anew.
            if (ended || differs) && !existing.server_side {
                self.forget_channel(key);
                known = None;
            }
        }
        let key = match known {
            Some(key) => key,
            None => {
                let key = self.channels.add(channel, options, false);
                let reason = Reason::new(Reason::SUBSCRIBE_CALLED, "subscribe called");
                self.out.channel(key, ChannelEvent::Subscribing(reason));
                self.join(key);
                key
            }
        };
        Ok((self.channels.hold(key), key))
    }

    /// Gives an interest up; when the last one is gone the channel is left after a moment, so that leaving
    /// and joining in the same breath costs nothing. A second call is harmless.
    pub fn unsubscribe(&mut self, now: Instant, handle: HandleId) {
        self.advance_to(now);
        let until = self.now + self.config.linger;
        let Some(key) = self.channels.release(handle) else { return };
        let Some(channel) = self.channels.get_mut(key) else { return };
        if !channel.handles.is_empty() {
            return;
        }
        if channel.server_side {
            channel.announce(&mut self.out);
        } else if matches!(channel.state, State::Ended) {
            self.channels.remove(key);
        } else {
            channel.linger = Some(until);
        }
    }

    /// A channel as it stands. One that is not in the registry is unsubscribed.
    #[must_use]
    pub fn subscription(&self, channel: ChannelKey) -> SubscriptionSnapshot {
        self.channels.get(channel).map_or_else(SubscriptionSnapshot::default, |channel| {
            SubscriptionSnapshot {
                state: channel.public_state(),
                position: channel.told(),
                retention: channel.retention.clone(),
                data: channel.data.clone(),
            }
        })
    }

    /// Asks for a page of history. Settles with [`Response::History`](crate::Response::History).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::QueueFull`], [`ErrorCode::Closed`].
    pub fn history(&mut self, now: Instant, channel: &str, query: &HistoryQuery) -> Result<RequestId, Error> {
        self.advance_to(now);
        check_channel(channel)?;
        self.call(channel, Body::History(query.clone()))
    }

    /// Asks who is in a channel. Settles with [`Response::Presence`](crate::Response::Presence).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::QueueFull`], [`ErrorCode::Closed`].
    pub fn presence(&mut self, now: Instant, channel: &str) -> Result<RequestId, Error> {
        self.advance_to(now);
        check_channel(channel)?;
        self.call(channel, Body::Presence)
    }

    /// Asks how many are in a channel. Settles with
    /// [`Response::PresenceStats`](crate::Response::PresenceStats).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::QueueFull`], [`ErrorCode::Closed`].
    pub fn presence_stats(&mut self, now: Instant, channel: &str) -> Result<RequestId, Error> {
        self.advance_to(now);
        check_channel(channel)?;
        self.call(channel, Body::PresenceStats)
    }

    /// Calls a procedure of the server with one JSON value. Settles with
    /// [`Response::Rpc`](crate::Response::Rpc).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPayload`], [`ErrorCode::QueueFull`], [`ErrorCode::Closed`].
    pub fn rpc(&mut self, now: Instant, method: &str, data: &str) -> Result<RequestId, Error> {
        self.advance_to(now);
        check_payload(data)?;
        self.call("", Body::Rpc(method.into(), data.into()))
    }

    /// Sends one JSON value to the server, which does not answer. Settles with
    /// [`Response::Sent`](crate::Response::Sent) when it was handed to the socket: it may still be lost.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPayload`], [`ErrorCode::MessageTooLarge`], [`ErrorCode::QueueFull`],
    /// [`ErrorCode::Closed`].
    pub fn send(&mut self, now: Instant, data: &str) -> Result<RequestId, Error> {
        self.advance_to(now);
        self.check_message(data)?;
        self.call("", Body::Send(data.into()))
    }

    /// Stops waiting for a call: [`ErrorCode::Cancelled`] if it was not sent, else
    /// [`ErrorCode::OutcomeUnknown`]. Harmless if it has settled.
    pub fn cancel(&mut self, now: Instant, request: RequestId) {
        self.advance_to(now);
        self.give_up(request, ErrorCode::Cancelled);
        self.cancel_entry(request);
        self.finish_close_if_settled();
    }

    pub(crate) fn check_publish(&mut self, channel: &str, data: &str) -> Result<(), Error> {
        check_channel(channel)?;
        self.check_message(data)
    }

    fn check_message(&mut self, data: &str) -> Result<(), Error> {
        let configured = self.config.max_message_bytes;
        let maximum = self.link.live().map_or(configured, |live| live.max_message_bytes);
        if data.len() > maximum {
            return Err(Error::exceeded(ErrorCode::MessageTooLarge, data.len(), maximum));
        }
        check_payload(data)
    }
}

fn check_payload(data: &str) -> Result<(), Error> {
    json::check(data).map_err(|error| Error::new(ErrorCode::InvalidPayload).with_detail(error.what()))
}

fn check_channel(channel: &str) -> Result<(), Error> {
    let fits = (1..=MAX_CHANNEL_LENGTH).contains(&channel.len());
    if fits && channel.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        return Ok(());
    }
    if fits || channel.is_empty() {
        return Err(Error::new(ErrorCode::InvalidChannel));
    }
    Err(Error::exceeded(ErrorCode::InvalidChannel, channel.len(), MAX_CHANNEL_LENGTH))
}
