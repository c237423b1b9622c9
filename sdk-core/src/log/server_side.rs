//! Subscriptions that the server makes: in its answer to connect, or by a push.

use crate::{
    ChannelEvent, ChannelKey, Event, RealtimeClient, Reason, SubscribeOptions,
    channel::State,
    wire::{self, Text},
};
use alloc::vec::Vec;

impl RealtimeClient {
    /// Takes the list of the connect result: it is whole, so what it lacks is gone.
    pub(crate) fn join_server_side(&mut self, subs: &[(Text<'_>, wire::SubscribeResult<'_>)]) {
        let mut listed = Vec::new();
        for (name, _) in subs {
            listed.push(self.server_side_channel(name));
        }
        for key in
            self.channels.keys_where(&mut |channel| channel.server_side && !listed.contains(&channel.key))
        {
            self.on_server_unsubscribed(key, Reason::new(2000, "no longer subscribed by the server"));
        }
        for (key, (_, result)) in listed.iter().zip(subs) {
            self.on_joined(*key, result);
        }
    }

    fn server_side_channel(&mut self, name: &str) -> ChannelKey {
        let key = match self.channels.by_name(name) {
            Some(key) => key,
            None => self.channels.add(name, &SubscribeOptions::default(), true),
        };
        if let Some(channel) = self.channels.get_mut(key) {
            channel.server_side = true;
            channel.linger = None;
            if channel.handles.is_empty() {
                channel.announce(&mut self.out);
            }
        }
        key
    }

    pub(crate) fn on_server_subscribed(&mut self, name: &str, subscribed: &wire::Subscribed<'_>) {
        let key = self.server_side_channel(name);
        let result = wire::SubscribeResult {
            recoverable: subscribed.recoverable,
            positioned: subscribed.positioned,
            epoch: subscribed.epoch.clone(),
            offset: subscribed.offset,
            data: subscribed.data,
            ..wire::SubscribeResult::default()
        };
        self.on_joined(key, &result);
        self.flush_waiting();
    }

    /// The server took its subscription back. Handles that hold the channel ask for one of their own.
    pub(crate) fn on_server_unsubscribed(&mut self, key: ChannelKey, reason: Reason) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.handles.is_empty() {
            channel.tell(ChannelEvent::Unsubscribed(reason), &mut self.out);
            if let Some(channel) = self.channels.remove(key) {
                self.out.event(Event::ServerUnsubscribed { channel: key, name: channel.name });
            }
            return;
        }
        channel.server_side = false;
        if channel.set_down(State::Offline) {
            channel.tell(ChannelEvent::Subscribing(reason), &mut self.out);
        }
        self.join(key);
    }
}
