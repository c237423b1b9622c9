//! Subscribing: into the room, listen to the topic, read the log, into the presence, answer. And the ways
//! out again.
//!
//! From the first step on the room holds back what happens for this member, so that nothing between the read
//! and the answer is lost. An attempt that was ended meanwhile is not found any more and ends by itself.

use super::{
    Admission, Refusal, Session, Since, Stage,
    asking::Denied,
    connect::position,
    permission::Entrance,
    query::MAX_PAGE_BYTES,
    subscriptions::{Asked, Attempt, Expiry, Purpose, Subscription},
};
use crate::{
    auth::{SubscriptionClaims, TokenError},
    channels::Namespace,
    clock::Millis,
    config::{ChannelOptions, RecoveryMode},
    engine::{Channel, EngineError, Joined, Page, Position, Reach, Read},
    frames,
    hooks::{AnyHooks, Line, SubscribeAsk, SubscribeGrant},
    hub::{Activation, NewMember},
    node::Lease,
};
use bytes::Bytes;
use homing_core::wire::{
    self, ErrorCode, Outcome, PushEvent, Raw, SubscribeResult, Subscribed, Unsubscribe, UnsubscribeCode,
    Unsubscribed,
};
use std::sync::Arc;

/// Bit of a subscribe request's flag: an impossible recovery is an error.
const REJECT_UNRECOVERED: u32 = 2;

impl Asked {
    fn new(options: &ChannelOptions, request: &wire::Subscribe<'_>) -> Self {
        let keeps = options.history_size > 0;
        let recoverable = keeps && (options.force_recovery || options.allow_recovery && request.recoverable);
        let positioned = options.force_positioning || options.allow_positioning && request.positioned;
        Self {
            recover: (recoverable && request.recover).then(|| position(request)),
            reject_unrecovered: request.flag & REJECT_UNRECOVERED != 0,
            cache: options.force_recovery_mode == RecoveryMode::Cache,
            positioned: recoverable || keeps && positioned,
            recoverable,
            join_leave: options.force_push_join_leave || options.join_leave && request.join_leave,
            present: options.presence,
            announced: options.join_leave || options.force_push_join_leave,
            ..Self::default()
        }
    }

    /// A subscription that the server makes asks for all that the channel offers.
    pub(super) fn by_server(options: &ChannelOptions) -> Self {
        let request = wire::Subscribe {
            recoverable: true,
            positioned: true,
            join_leave: true,
            ..wire::Subscribe::default()
        };
        Self::new(options, &request)
    }
}

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
                    Entrance::ByToken => {
                        let node = Arc::clone(&self.node);
                        let claims = node.subscription_tokens.subscription(&request.token, &node.clock);
                        self.then(claims, move |session, claims| session.handle_claims(attempt, claims));
                    }
                }
            }
        }
    }

    fn subscribe_by_hook(&mut self, attempt: Attempt, request: &wire::Subscribe<'_>, line: &Arc<Line>) {
        let data = match self.payload(request.data) {
            Ok(data) => data,
            Err(refusal) => return self.fail(attempt, refusal),
        };
        let channel: Channel = (&*request.channel).into();
        let ask = SubscribeAsk { asker: self.asker(line), channel, data };
        // What the options decide on, once it is known whether they are others.
        let wanted = wire::Subscribe {
            recover: request.recover,
            epoch: request.epoch.to_string().into(),
            offset: request.offset,
            positioned: request.positioned,
            recoverable: request.recoverable,
            join_leave: request.join_leave,
            flag: request.flag,
            ..wire::Subscribe::default()
        };
        self.ask_hook(line, ask, AnyHooks::subscribe, move |session, verdict| match verdict {
            Ok(grant) => match session.accept_grant(attempt, &wanted, grant) {
                Ok(()) => session.enter(attempt),
                Err(refusal) => session.fail(attempt, refusal),
            },
            Err(error) => match error.into() {
                Denied::Refused(refusal) => session.fail(attempt, refusal),
                Denied::Ended(close) => session.end(close),
            },
        });
    }

    fn accept_grant(
        &mut self,
        attempt: Attempt,
        wanted: &wire::Subscribe<'_>,
        grant: SubscribeGrant,
    ) -> Result<(), Refusal> {
        let SubscribeGrant { info, data, expires_at, changes } = grant;
        if self.is_past(expires_at) {
            return Err(ErrorCode::Expired.into());
        }
        let meta = info.is_some().then(|| self.meta(info.as_deref()));
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return Ok(()) };
        if let Some(meta) = meta {
            subscription.meta = meta;
        }
        let channel = Arc::clone(&subscription.channel);
        let namespace = self.namespace(&channel)?;
        let options = changes.over(&namespace.options);
        if let Some(asked) = self.subscriptions.attempt_mut(attempt).and_then(|one| one.asked.as_mut()) {
            let ended = asked.ended.take();
            **asked = Asked { data, ended, ..Asked::new(&options, wanted) };
        }
        self.prolong(&channel, expires_at);
        Ok(())
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

    fn handle_claims(&mut self, attempt: Attempt, claims: Result<SubscriptionClaims, TokenError>) {
        let refusal = match claims {
            Ok(claims) => match self.accept_claims(attempt, claims) {
                Ok(()) => return self.enter(attempt),
                Err(refusal) => refusal,
            },
            Err(error) => refused_token(&error),
        };
        self.fail(attempt, refusal);
    }

    fn accept_claims(&mut self, attempt: Attempt, claims: SubscriptionClaims) -> Result<(), Refusal> {
        let SubscriptionClaims { user, channel, expires_at, info } = claims;
        let theirs = user == self.user();
        let meta = info.is_some().then(|| self.meta(info.as_deref()));
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return Ok(()) };
        if !theirs || channel != *subscription.channel {
            return Err(ErrorCode::PermissionDenied.into());
        }
        subscription.meta = meta.unwrap_or_else(|| subscription.meta.clone());
        self.prolong(&channel, expires_at);
        Ok(())
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
        let lease = Lease { birth: Position::default(), owner, value: frames::info_of(&meta), announce };
        let client = Arc::clone(self.connection.client());
        let call = self.node.join(&channel, &client, &lease);
        self.then(call, move |session, joined: Result<Joined, EngineError>| match joined {
            Ok(joined) => {
                let current = session.subscriptions.attempt_mut(attempt).is_some();
                if current {
                    session.node.keep_lease(&channel, &client, Lease { birth: joined.birth, ..lease });
                    session.settle(attempt);
                }
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
    fn fail(&mut self, attempt: Attempt, refusal: impl Into<Refusal>) {
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

    /// Takes a subscription out of this session, its room and the presence.
    fn remove(&mut self, channel: &str) -> bool {
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

    /// The application wants this client to be subscribed.
    pub(super) fn subscribe_by_server(&mut self, channel: &str, admission: &Admission) {
        if self.stage != Stage::Connected || self.subscriptions.find(channel).is_some() {
            return;
        }
        match self.namespace(channel) {
            Err(refusal) => {
                tracing::warn!(channel, reason = &*refusal.message, "a subscription of the server failed");
            }
            Ok(namespace) => {
                let mut asked = Asked::by_server(&admission.changes.over(&namespace.options));
                asked.data.clone_from(&admission.data);
                asked.recover = admission.since.as_ref().map(Since::position).filter(|_| asked.recoverable);
                let meta = self.meta(admission.info.as_deref());
                let attempt = self.subscriptions.add(channel.into(), Purpose::Push, asked, meta);
                self.prolong(channel, admission.expires_at);
                self.enter(attempt);
            }
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

pub(super) fn refused_token(error: &TokenError) -> Refusal {
    match error {
        TokenError::Expired => ErrorCode::TokenExpired.into(),
        TokenError::Invalid(_) => Refusal::because(ErrorCode::PermissionDenied, error.to_string()),
        TokenError::Unavailable(_) => {
            tracing::warn!(%error, "a token could not be checked");
            Refusal { retry_after: 1000, ..ErrorCode::Internal.into() }
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
