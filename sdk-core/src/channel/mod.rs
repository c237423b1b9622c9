//! One shared subscription and those who hold it.

mod registry;
mod token;

pub(crate) use registry::Registry;

use crate::{
    ChannelEvent, ChannelKey, Event, GapReason, HandleId, Instant, Json, Position, RealtimeClient, Reason,
    SubscribeOptions, SubscriptionState, TokenRequestId, connection::token::Refresh, log::recovery::Repair,
    outbound::Outbound, wire,
};
use alloc::{boxed::Box, vec::Vec};

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) key: ChannelKey,
    pub(crate) name: Box<str>,
    /// Who is interested; the last one to leave ends the subscription.
    pub(crate) handles: Vec<HandleId>,
    /// When the channel is left for good, unless somebody joins again before.
    pub(crate) linger: Option<Instant>,
    pub(crate) options: SubscribeOptions,
    /// The server made this subscription; it is not the client's to end.
    pub(crate) server_side: bool,
    /// The app was told the key of this subscription of the server's own, which no handle holds.
    pub(crate) announced: bool,
    pub(crate) state: State,
    /// The last message that was delivered, or where the reader began.
    pub(crate) position: Option<Position>,
    /// What will not come whatever else is read: where it begins, and why. Told before the next message.
    pub(crate) lost: Option<(Position, GapReason)>,
    pub(crate) retention: Option<wire::Retention>,
    pub(crate) data: Option<Json>,
    /// Failed attempts to subscribe or to read history since the last success.
    pub(crate) failures: u32,
    pub(crate) token: Box<str>,
    pub(crate) asked: Option<(TokenRequestId, Instant)>,
    pub(crate) refresh: Refresh,
    /// The server called the last token expired, and a fresh one was fetched without a wait.
    pub(crate) renewed_at_once: bool,
}

/// Where a subscription stands. "Subscribed" means that the server confirmed it on the socket that counts.
#[derive(Debug)]
pub(crate) enum State {
    /// Wanted; joined when there is a connection.
    Offline,
    /// Refused for now.
    Waiting { until: Instant },
    /// A token is on its way.
    Authorising,
    /// The server has been asked; the answer to any other command changes nothing.
    Joining { command: u32, deadline: Instant },
    /// Confirmed; the next message is the one behind `position`.
    Live,
    /// Confirmed; what was missed is being read from the history, live messages are held back.
    Repairing(Repair),
    /// Ended for good.
    Ended,
}

impl Channel {
    pub(crate) fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Live | State::Repairing(_))
    }

    /// Leaves the state for one without a subscription; answers whether there was one.
    pub(crate) fn set_down(&mut self, state: State) -> bool {
        let was_subscribed = self.is_subscribed();
        self.state = state;
        self.refresh = Refresh::Never;
        was_subscribed
    }

    pub(crate) fn is_cache(&self) -> bool {
        self.options.recovery == crate::Recovery::Cache
            || self.retention.as_ref().is_some_and(|retention| retention.cache)
    }

    pub(crate) fn public_state(&self) -> SubscriptionState {
        match self.state {
            State::Ended => SubscriptionState::Unsubscribed,
            State::Live | State::Repairing(_) => SubscriptionState::Subscribed,
            _ => SubscriptionState::Subscribing,
        }
    }

    /// Whether the app wants to hear of this channel.
    pub(crate) fn is_heard(&self) -> bool {
        !self.handles.is_empty() || self.server_side
    }

    pub(crate) fn tell(&self, event: ChannelEvent, out: &mut Outbound) {
        if self.is_heard() {
            out.channel(self.key, event);
        }
    }

    /// Tells the app, once, the key of a subscription that the server made and no handle holds.
    pub(crate) fn announce(&mut self, out: &mut Outbound) {
        if !core::mem::replace(&mut self.announced, true) {
            out.event(Event::ServerSubscribed { channel: self.key, name: self.name.clone() });
        }
    }
}

impl RealtimeClient {
    pub(crate) fn on_member(
        &mut self,
        key: ChannelKey,
        info: &wire::ClientInfo<'_>,
        event: fn(crate::ClientInfo) -> ChannelEvent,
    ) {
        if let Some(channel) = self.channels.get(key).filter(|channel| channel.is_subscribed()) {
            channel.tell(event(crate::ClientInfo::from_wire(info)), &mut self.out);
        }
    }

    pub(crate) fn on_linger_over(&mut self) {
        let now = self.now;
        for key in self.channels.keys_where(&mut |channel| channel.linger.is_some_and(|at| at <= now)) {
            self.forget_channel(key);
        }
        // What waited for the subscription need not wait any more.
        self.flush_waiting();
    }

    /// Removes a channel, and tells the server if it may know of it.
    pub(crate) fn forget_channel(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.remove(key) else { return };
        if channel.is_subscribed() || matches!(channel.state, State::Joining { .. }) {
            self.send_unsubscribe(&channel.name);
        }
    }

    /// The connection is gone, and every confirmation with it.
    pub(crate) fn channels_lost(&mut self, reason: &Reason) {
        self.channels.leaves.clear();
        for channel in self.channels.iter_mut() {
            if matches!(channel.state, State::Ended) {
                continue;
            }
            if channel.set_down(State::Offline) {
                channel.tell(ChannelEvent::Subscribing(reason.clone()), &mut self.out);
            }
        }
    }
}
