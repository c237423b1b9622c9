//! Subscribing: into the room, listen to the topic, read the log, into the presence, answer. Who may, and with
//! what, is `entitlement`'s business; the ways out again are `leaving`'s.
//!
//! From the first step on the room holds back what happens for this member, so that nothing between the read
//! and the answer is lost. An attempt that was ended meanwhile is not found any more and ends by itself.

use super::{
    Refusal, Session,
    permission::Entrance,
    query::MAX_PAGE_BYTES,
    subscriptions::{Asked, Attempt, Purpose, Subscription},
};
use crate::{
    channels::Namespace,
    engine::{Channel, EngineError, Joined, Page, Position, Reach, Read},
    frames,
    hub::{Activation, NewMember},
    node::Lease,
};
use bytes::Bytes;
use homing_core::wire::{
    self, ErrorCode, Outcome, PushEvent, Raw, SubscribeResult, Subscribed, UnsubscribeCode,
};
use std::sync::Arc;

impl Session {
    pub(super) fn subscribe(&mut self, id: u32, request: &wire::Subscribe<'_>) {
        match self.admit(request) {
            Err(refusal) => self.refuse(id, refusal),
            Ok((namespace, entrance)) => {
                let asked = Asked::new(&namespace.options, request);
                let channel: Channel = (&*request.channel).into();
                let meta = self.meta(None);
                let attempt = self.subscriptions.add(channel, Purpose::Command(id), asked, meta);
                match entrance {
                    Entrance::Open => self.enter(attempt),
                    Entrance::ByHook(line) => self.subscribe_by_hook(attempt, request, &line),
                    Entrance::ByToken => self.subscribe_by_token(attempt, request),
                }
            }
        }
    }

    fn admit(&self, request: &wire::Subscribe<'_>) -> Result<(Arc<Namespace>, Entrance), Refusal> {
        let channel = &*request.channel;
        let namespace = self.namespace(channel)?;
        if self.subscriptions.find(channel).is_some() {
            return Err(ErrorCode::AlreadySubscribed.into());
        }
        let limit = self.node.config.client.channel_limit;
        if self.subscriptions.len() >= limit {
            let message = format!("limit exceeded: {limit} channels are there");
            return Err(Refusal::because(ErrorCode::LimitExceeded, message));
        }
        let entrance = self.may_subscribe(&namespace, channel, &request.token)?;
        Ok((namespace, entrance))
    }

    /// First step: into the room.
    pub(super) fn enter(&mut self, attempt: Attempt) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let Some(asked) = &subscription.asked else { return };
        let member = NewMember {
            connection: Arc::clone(&self.connection),
            positioned: asked.positioned,
            join_leave: asked.join_leave,
        };
        let (room, slot) = self.node.hub.enter(&subscription.channel, member);
        subscription.channel = Arc::clone(room.channel());
        subscription.membership = Some((Arc::clone(&room), slot));
        if room.is_listening() {
            return self.listened(attempt, Ok(()));
        }
        let ticket = room.ticket();
        let call = self.node.engine.subscribe(Arc::clone(room.channel()));
        self.then(call, move |session, result| {
            if result.is_ok() {
                room.set_listening(ticket);
            }
            session.listened(attempt, result);
        });
    }

    /// Second step: what is new reaches the room; now what is there already.
    fn listened(&mut self, attempt: Attempt, result: Result<(), EngineError>) {
        if let Err(error) = result {
            return self.fail(attempt, error);
        }
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let Some(asked) = &subscription.asked else { return };
        if !asked.positioned {
            return self.handle_page(attempt, None);
        }
        let channel = Arc::clone(&subscription.channel);
        let (since, limit, reverse) = match asked.recover {
            None => (None, 0, false),
            Some(_) if asked.cache => (None, 1, true),
            since => (since, self.node.config.client.recovery_max_publication_limit, false),
        };
        let meta_ttl = self.namespace(&channel).map_or(0, |namespace| namespace.retention.meta_ttl);
        let owner = self.owner();
        let read = Read { channel, since, limit, reverse, heard: false, owner, meta_ttl };
        let call = self.node.engine.read(read);
        self.then(call, move |session, page| match page {
            Ok(page) => session.handle_page(attempt, Some(page)),
            Err(error) => session.fail(attempt, error),
        });
    }

    /// Third step: into the presence.
    fn handle_page(&mut self, attempt: Attempt, page: Option<Page>) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let Some(asked) = &mut subscription.asked else { return };
        asked.page = page;
        if let (Some(page), Some(since)) = (&mut asked.page, asked.recover) {
            asked.recovered = recover(page, since, asked.cache);
            let metrics = &self.node.metrics;
            if asked.recovered { &metrics.recovered } else { &metrics.unrecovered }.increment(1);
            if !asked.recovered && asked.reject_unrecovered {
                return self.fail(attempt, ErrorCode::UnrecoverablePosition);
            }
        }
        self.join(attempt);
    }

    fn join(&mut self, attempt: Attempt) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let Some(asked) = &subscription.asked else { return };
        let (present, announce) = (asked.present, asked.announced);
        if !present && !announce {
            return self.settle(attempt);
        }
        let channel = Arc::clone(&subscription.channel);
        let meta = subscription.meta.clone();
        subscription.joined = true;
        let owner = self.identity.as_ref().map(|identity| Arc::clone(&identity.user)).unwrap_or_default();
        let value = frames::info_of(&meta);
        let lease = Lease { birth: Position::default(), owner, value, announce, is_stale: false };
        let client = Arc::clone(self.connection.client());
        let call = self.node.join(&channel, &client, &lease);
        self.then(call, move |session, joined: Result<Joined, EngineError>| match joined {
            Ok(joined) => {
                let Some(subscription) = session.subscriptions.attempt_mut(attempt) else { return };
                // What is told of the client may have become another while the engine was asked.
                let value = frames::info_of(&subscription.meta);
                session.node.keep_lease(&channel, &client, Lease { birth: joined.birth, ..lease });
                session.node.change_lease(&channel, &client, value);
                session.settle(attempt);
            }
            Err(error) => session.fail(attempt, error),
        });
    }

    /// Last step: the answer.
    fn settle(&mut self, attempt: Attempt) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let reply = match subscription.purpose {
            Purpose::Connect => return self.connect_settled(),
            Purpose::Command(id) => {
                let channel = Arc::clone(&subscription.channel);
                let Some(subscription) = self.subscriptions.find(&channel) else { return };
                let result = Outcome::Subscribe(Box::new(self.subscribe_result(subscription)));
                frames::answer(id, result)
            }
            Purpose::Push => {
                let channel = Arc::clone(&subscription.channel);
                let Some(subscription) = self.subscriptions.find(&channel) else { return };
                let SubscribeResult {
                    recoverable, positioned, epoch, mut offset, data, publications, ..
                } = self.subscribe_result(subscription);
                // The push has no place for what was missed: it follows, counting on from where the client was.
                if let Some(first) = publications.first() {
                    offset = first.offset - 1;
                }
                let result = Subscribed { recoverable, positioned, epoch, offset, data };
                let events = std::iter::once(PushEvent::Subscribed(Box::new(result)));
                let events = events.chain(publications.into_iter().map(PushEvent::Publication));
                let push = |event| wire::Reply::Push(wire::Push { channel: (&*channel).into(), event });
                frames::replies(events.map(push))
            }
        };
        self.activate(attempt, Some(reply));
    }

    /// The connect result is on its way: the subscriptions in it begin.
    pub(super) fn activate_connected(&mut self) {
        let attempts: Vec<_> = self.subscriptions.iter().map(|one| one.attempt).collect();
        for attempt in attempts {
            self.activate(attempt, None);
        }
    }

    fn activate(&mut self, attempt: Attempt, reply: Option<Bytes>) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let Some(asked) = subscription.asked.take() else { return };
        let Some((room, slot)) = subscription.membership.clone() else { return };
        let channel = Arc::clone(&subscription.channel);
        let head = asked.page.as_ref().map(|page| page.head);
        let from = head.map(|head| head.offset);
        match room.activate(slot, reply, head, from) {
            Activation::Active => {}
            Activation::Behind | Activation::Gone => {
                let code = UnsubscribeCode::InsufficientState;
                return self.end_subscription(&channel, code.code(), code.text());
            }
        }
        if let Some((code, reason)) = asked.ended {
            self.end_subscription(&channel, code, &reason);
        }
    }

    /// What the client is told of a subscription that is about to begin.
    pub(super) fn subscribe_result<'a>(&self, subscription: &'a Subscription) -> SubscribeResult<'a> {
        let Some(asked) = &subscription.asked else { return SubscribeResult::default() };
        // A hook sees to the expiry, so the client need not.
        let expiry = subscription.expiry().filter(|expiry| expiry.asks_at.is_none());
        let mut result = SubscribeResult {
            recoverable: asked.recoverable,
            positioned: asked.positioned,
            recovered: asked.recovered,
            was_recovering: asked.recover.is_some(),
            expires: expiry.is_some(),
            ttl: expiry.map_or(0, |expiry| self.seconds_until(expiry.expires_at)),
            data: asked.data.as_deref().map(Raw::trusted),
            ..SubscribeResult::default()
        };
        if let Some(page) = &asked.page {
            result.epoch = page.head.epoch.to_string().into();
            result.offset = page.head.offset;
            result.publications = page.publications.iter().map(frames::wire_publication).collect();
        }
        if let Ok(namespace) = self.node.rules.namespace(&subscription.channel) {
            result.homing = Some(namespace.told_retention());
        }
        result
    }

    /// The attempt has come to nothing.
    pub(super) fn fail(&mut self, attempt: Attempt, refusal: impl Into<Refusal>) {
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return };
        let (channel, purpose) = (Arc::clone(&subscription.channel), subscription.purpose);
        self.remove(&channel);
        match purpose {
            Purpose::Command(id) => self.refuse(id, refusal),
            Purpose::Connect => self.abandon_connect(refusal.into()),
            Purpose::Push => {
                let refusal = refusal.into();
                tracing::warn!(
                    channel = &*channel,
                    reason = &*refusal.message,
                    "a subscription of the server failed"
                );
            }
        }
    }
}

/// Leaves in a page what the client gets: all that it missed, or nothing. Says which.
fn recover(page: &mut Page, since: Position, cache: bool) -> bool {
    page.cut(MAX_PAGE_BYTES);
    let newest = page.publications.last().map_or(since.offset, |publication| publication.offset);
    if since == page.head {
        page.publications.clear();
    }
    let recovered = if cache {
        since == page.head || !page.publications.is_empty() && newest == page.head.offset
    } else {
        page.reach == Reach::Complete && newest == page.head.offset
    };
    if !recovered {
        page.publications.clear();
    }
    recovered
}
