//! The ways out of a subscription: the client's wish, an order, a room that drops its member, a time that has
//! come. Takes it out of the room and the presence, and tells the client where it did not ask.

use super::{
    Session,
    subscriptions::{Expiry, Subscription},
};
use crate::clock::Millis;
use homing_core::wire::{Outcome, PushEvent, Unsubscribe, UnsubscribeCode, Unsubscribed};
use std::sync::Arc;

impl Session {
    /// Takes a subscription out of this session, its room and the presence.
    pub(super) fn remove(&mut self, channel: &str) -> bool {
        let Some(subscription) = self.subscriptions.remove(channel) else { return false };
        self.leave(&subscription);
        true
    }

    fn leave(&self, subscription: &Subscription) {
        if let Some((room, slot)) = &subscription.membership
            && room.leave(*slot, &self.connection)
        {
            self.node.room_is_empty(room);
        }
        if subscription.joined {
            self.node.drop_lease(&subscription.channel, self.connection.client());
        }
    }

    pub(super) fn leave_all(&mut self) {
        for subscription in self.subscriptions.take_all() {
            self.leave(&subscription);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: u32, request: &Unsubscribe<'_>) {
        self.remove(&request.channel);
        self.answer(id, Outcome::Unsubscribe);
    }

    /// Ends a subscription and tells the client.
    pub(super) fn end_subscription(&mut self, channel: &str, code: u32, reason: &str) {
        let Some(subscription) = self.subscriptions.find_mut(channel) else { return };
        if let Some(asked) = &mut subscription.asked {
            asked.ended = Some((code, reason.into()));
            return;
        }
        self.remove(channel);
        self.push(channel, PushEvent::Unsubscribed(Unsubscribed { code, reason: reason.into() }));
    }

    /// Ends all of them.
    pub(super) fn end_subscriptions(&mut self, code: u32, reason: &str) {
        let all: Vec<_> = self.subscriptions.iter().map(|one| Arc::clone(&one.channel)).collect();
        for channel in all {
            self.end_subscription(&channel, code, reason);
        }
    }

    /// The room has dropped this member.
    pub(super) fn dropped(&mut self, channel: &str, slot: usize, code: u32) {
        let membership = self.subscriptions.find(channel).and_then(|one| one.membership.as_ref());
        if membership.is_some_and(|(_, ours)| *ours == slot) {
            let reason = UnsubscribeCode::from_code(code).map_or("", UnsubscribeCode::text);
            self.end_subscription(channel, code, reason);
        }
    }

    /// Ends the subscriptions whose time has come.
    pub(super) fn expire_subscriptions(&mut self, now: Millis) {
        if self.subscriptions.first_due().is_none_or(|at| at > now) {
            return;
        }
        for channel in self.subscriptions.take_asked(now) {
            self.ask_sub_refresh(&channel);
        }
        let over = |one: &&Subscription| one.expiry().is_some_and(|expiry| expiry.ends_at <= now);
        let over: Vec<_> =
            self.subscriptions.iter().filter(over).map(|one| Arc::clone(&one.channel)).collect();
        for channel in over {
            self.expire_subscription(&channel);
        }
    }

    pub(super) fn expire_subscription(&mut self, channel: &str) {
        let code = UnsubscribeCode::Expired;
        self.subscriptions.set_expiry(channel, None);
        self.end_subscription(channel, code.code(), code.text());
    }

    /// A subscription's token holds until then.
    pub(super) fn prolong(&mut self, channel: &str, expires_at: Option<i64>) {
        let delay = self.node.config.client.expired_sub_close_delay.millis();
        let namespace = self.namespace(channel).ok();
        let by_hook = namespace.is_some_and(|namespace| self.sub_refresh_line(&namespace).is_some());
        let expiry = expires_at.map(|expires_at| {
            let at = self.moment(expires_at);
            Expiry { expires_at, asks_at: by_hook.then_some(at), ends_at: at + delay }
        });
        self.subscriptions.set_expiry(channel, expiry);
    }
}
