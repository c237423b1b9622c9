//! Joining a channel and staying in it: attempts, answers, refusals.

use crate::{
    ChannelEvent, ChannelKey, Error, ErrorCode, Position, RealtimeClient, Reason, Subscribed,
    calls::Waiter,
    channel::{Channel, State},
    connection::{Again, Phase, Socket, backoff, token::Refresh},
    wire::{self, Outcome, Raw, Request},
};
use alloc::boxed::Box;

impl RealtimeClient {
    /// Joins everything that is wanted and not the server's own.
    pub(crate) fn join_all(&mut self) {
        for key in self.channels.keys_where(&mut |channel| matches!(channel.state, State::Offline)) {
            self.join(key);
        }
    }

    /// One attempt to subscribe, if there is a connection: a token, then the question.
    pub(crate) fn join(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.options.durable {
            // Where it continues is known only when the storage is.
            if !self.storage.is_settled() {
                return;
            }
            if channel.position.is_none() {
                channel.position = self.storage.positions.of(&channel.name).cloned();
            }
        }
        if channel.options.provides_tokens && channel.token.is_empty() && self.link.live().is_some() {
            channel.state = State::Authorising;
            return self.ask_channel_token(key);
        }
        self.send_subscribe(key);
    }

    pub(crate) fn send_subscribe(&mut self, key: ChannelKey) {
        let Phase::Online(live) = &mut self.link.phase else { return };
        let Some(channel) = self.channels.get_mut(key) else { return };
        let command = live.next_command();
        let options = &channel.options;
        let wire::Since { offset, epoch } =
            channel.position.as_ref().map(Position::since).unwrap_or_default();
        // A cache is recovered from nothing, too: the newest value is what the reader wants first.
        let recover = channel.position.is_some() || channel.is_cache();
        let subscribe = wire::Subscribe {
            channel: (&*channel.name).into(),
            token: (&*channel.token).into(),
            data: (!options.data.is_empty()).then(|| Raw::trusted(&options.data)),
            recover,
            epoch,
            offset,
            positioned: options.positioned,
            recoverable: options.recoverable,
            join_leave: options.join_leave,
            ..wire::Subscribe::default()
        };
        self.out.command(live.conn, command, Request::Subscribe(subscribe));
        if options.provides_tokens {
            channel.token = Box::default();
        }
        channel.state = State::Joining { command, deadline: self.now + self.config.request_timeout };
        self.calls.await_answer(command, Waiter::Join(key));
    }

    pub(crate) fn send_unsubscribe(&mut self, name: &str) {
        let deadline = self.now + self.config.request_timeout;
        let Phase::Online(live) = &mut self.link.phase else { return };
        let command = live.next_command();
        self.calls.await_answer(command, Waiter::Leave);
        self.channels.leaves.insert(command, deadline);
        let channel = name.into();
        self.out.command(live.conn, command, Request::Unsubscribe(wire::Unsubscribe { channel }));
    }

    pub(crate) fn on_left(&mut self, command: u32, outcome: &Outcome<'_>) {
        self.channels.leaves.remove(command);
        if let Outcome::Error(_) = outcome {
            // What the server thinks of this channel is not known any more.
            self.fail(ErrorCode::SubscribeTimedOut);
        }
    }

    pub(crate) fn on_join_answered(&mut self, key: ChannelKey, answered: u32, outcome: Outcome<'_>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        // The answer to an older attempt changes nothing.
        if !matches!(channel.state, State::Joining { command, .. } if command == answered) {
            return;
        }
        match outcome {
            Outcome::Subscribe(result) => {
                channel.renewed_at_once = false;
                self.on_joined(key, &result);
                if let Some(channel) = self.channels.get_mut(key)
                    && matches!(channel.state, State::Live)
                {
                    channel.failures = 0;
                }
                self.flush_waiting();
            }
            Outcome::Error(reply) => self.on_join_refused(key, &reply),
            _ => self.on_protocol_error("the answer to subscribe is of another kind"),
        }
    }

    fn on_join_refused(&mut self, key: ChannelKey, reply: &wire::ErrorReply<'_>) {
        let error = Error::from_wire(reply);
        let Some(channel) = self.channels.get_mut(key) else { return };
        match error.code {
            ErrorCode::TokenExpired if channel.options.provides_tokens => {
                channel.state = State::Offline;
                if !core::mem::replace(&mut channel.renewed_at_once, true) {
                    return self.join(key);
                }
                self.join_later(key, reply.retry_after, &error);
            }
            // Server and client disagree about what this connection has: start it afresh.
            ErrorCode::AlreadySubscribed => self.lose(Reason::of(&error), Socket::Open, Again::Later(None)),
            _ if reply.is_temporary() => self.join_later(key, reply.retry_after, &error),
            _ => self.end_channel(key, &error),
        }
    }

    pub(crate) fn join_later(&mut self, key: ChannelKey, retry_after: u32, error: &Error) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let wish = backoff::wish(retry_after);
        let wait = backoff::delay(&self.config, channel.failures, wish, &mut self.rng);
        channel.failures = channel.failures.saturating_add(1);
        channel.state = State::Waiting { until: self.now + wait };
        channel.tell(ChannelEvent::Error(error.clone()), &mut self.out);
    }

    /// Nothing more is tried; the handles stay until they are given back.
    pub(crate) fn end_channel(&mut self, key: ChannelKey, error: &Error) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.set_down(State::Ended);
        channel.tell(ChannelEvent::Error(error.clone()), &mut self.out);
        channel.tell(ChannelEvent::Unsubscribed(Reason::of(error)), &mut self.out);
        // The server decides about the calls that waited for the subscription.
        self.flush_waiting();
    }

    pub(crate) fn on_rejoin_due(&mut self) {
        let now = self.now;
        for key in self
            .channels
            .keys_where(&mut |channel| matches!(channel.state, State::Waiting { until } if until <= now))
        {
            self.join(key);
        }
    }

    pub(crate) fn on_unsubscribed(&mut self, key: ChannelKey, code: u32, text: &str) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let reason = Reason::new(code, text);
        if channel.server_side {
            return self.on_server_unsubscribed(key, reason);
        }
        if !channel.is_subscribed() {
            return;
        }
        if wire::resubscribes(code) {
            channel.set_down(State::Offline);
            channel.tell(ChannelEvent::Subscribing(reason), &mut self.out);
            self.join(key);
        } else {
            channel.set_down(State::Ended);
            channel.tell(ChannelEvent::Unsubscribed(reason), &mut self.out);
        }
    }

    /// Leaves and joins again from the position: the server's view of this channel is in doubt. The first time
    /// at once, then with a wait, until a page of history was read or nothing was missing.
    pub(crate) fn rejoin(&mut self, key: ChannelKey, error: &Error) {
        let reason = Reason::of(error);
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.set_down(State::Offline);
        let (name, server_side) = (channel.name.clone(), channel.server_side);
        let again = channel.failures > 0;
        channel.failures = channel.failures.saturating_add(1);
        channel.tell(ChannelEvent::Subscribing(reason.clone()), &mut self.out);
        if server_side {
            return self.lose(reason, Socket::Open, Again::Later(None));
        }
        self.send_unsubscribe(&name);
        if again {
            return self.join_later(key, 0, error);
        }
        self.join(key);
    }

    /// The server has confirmed a subscription, asked for or its own.
    pub(crate) fn on_joined(&mut self, key: ChannelKey, result: &wire::SubscribeResult<'_>) {
        // One subscription of a list may have ended the connection that the others came with.
        if !matches!(self.link.phase, Phase::Online(_)) {
            return;
        }
        let tracked = result.positioned || result.recoverable;
        if tracked && result.epoch.is_empty() {
            return self.on_protocol_error("a positioned subscription without an epoch");
        }
        let now = self.now;
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.retention = result.homing.clone();
        channel.data = result.data.map(Into::into);
        channel.refresh = Refresh::after(now, result.expires, result.ttl);
        channel.state = State::Live;
        // A plain server answers a recovery with the position asked from; what it brings stands behind that.
        let newest =
            result.publications.iter().map(|publication| publication.offset).fold(result.offset, u64::max);
        let head = tracked.then(|| Position::new(&result.epoch, newest));
        let before = channel.position.take();
        // Where a durable reader begins, it has processed everything before.
        if let (None, Some(head), true) = (&before, &head, channel.options.durable) {
            self.storage.positions.move_to(&channel.name, head.clone());
        }
        channel.tell(
            ChannelEvent::Subscribed(Subscribed {
                position: head.clone(),
                was_recovering: before.is_some(),
                recovered: before.is_some()
                    && channel.lost.is_none()
                    && stands_whole(before.as_ref(), head.as_ref(), result),
                missed: distance(before.as_ref(), head.as_ref()),
                data: channel.data.clone(),
                retention: channel.retention.clone(),
            }),
            &mut self.out,
        );
        self.recover(key, before, head, result);
    }
}

/// Whether nothing was missed beyond what came with the answer.
fn stands_whole(
    before: Option<&Position>,
    head: Option<&Position>,
    result: &wire::SubscribeResult<'_>,
) -> bool {
    result.recovered || before == head
}

/// How far the channel has gone beyond a position.
fn distance(before: Option<&Position>, head: Option<&Position>) -> Option<u64> {
    let (before, head) = (before?, head?);
    (before.epoch == head.epoch).then(|| head.offset.saturating_sub(before.offset))
}

impl Channel {
    /// When something is due, and what.
    pub(crate) fn join_deadline(&self) -> Option<crate::Instant> {
        match self.state {
            State::Joining { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    pub(crate) fn retry_deadline(&self) -> Option<crate::Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }
}
