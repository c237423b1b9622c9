//! With what a subscription is made: what the client asks for and the namespace offers, and what a token, a hook
//! or the application says beyond that. Decides nothing about connections.

use super::{
    Admission, Refusal, Session, Since, Stage,
    asking::Denied,
    connect::position,
    subscriptions::{Asked, Attempt, Purpose},
};
use crate::{
    auth::{SubscriptionClaims, TokenError},
    config::{ChannelOptions, RecoveryMode},
    engine::Channel,
    hooks::{AnyHooks, Line, SubscribeAsk, SubscribeGrant},
};
use homing_core::wire::{self, ErrorCode};
use std::sync::Arc;

/// Bit of a subscribe request's flag: an impossible recovery is an error.
const REJECT_UNRECOVERED: u32 = 2;

impl Asked {
    pub(super) fn new(options: &ChannelOptions, request: &wire::Subscribe<'_>) -> Self {
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

/// What the options decide on, for when it is known whether they are others.
fn wanted(request: &wire::Subscribe<'_>) -> wire::Subscribe<'static> {
    wire::Subscribe {
        recover: request.recover,
        epoch: request.epoch.to_string().into(),
        offset: request.offset,
        positioned: request.positioned,
        recoverable: request.recoverable,
        join_leave: request.join_leave,
        flag: request.flag,
        ..wire::Subscribe::default()
    }
}

impl Session {
    pub(super) fn subscribe_by_hook(
        &mut self,
        attempt: Attempt,
        request: &wire::Subscribe<'_>,
        line: &Arc<Line>,
    ) {
        let data = match self.payload(request.data) {
            Ok(data) => data,
            Err(refusal) => return self.fail(attempt, refusal),
        };
        let channel: Channel = (&*request.channel).into();
        let ask = SubscribeAsk { asker: self.asker(line), channel, data };
        let wanted = wanted(request);
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

    pub(super) fn subscribe_by_token(&mut self, attempt: Attempt, request: &wire::Subscribe<'_>) {
        let node = Arc::clone(&self.node);
        let claims = node.subscription_tokens.subscription(&request.token, &node.clock);
        let wanted = wanted(request);
        self.then(claims, move |session, claims| {
            let claims = claims.map_err(|error| refused_token(&error));
            match claims.and_then(|claims| session.accept_claims(attempt, &wanted, claims)) {
                Ok(()) => session.enter(attempt),
                Err(refusal) => session.fail(attempt, refusal),
            }
        });
    }

    fn accept_claims(
        &mut self,
        attempt: Attempt,
        wanted: &wire::Subscribe<'_>,
        claims: SubscriptionClaims,
    ) -> Result<(), Refusal> {
        let SubscriptionClaims { user, channel, expires_at, info, changes } = claims;
        let theirs = user == self.user();
        let Some(subscription) = self.subscriptions.attempt_mut(attempt) else { return Ok(()) };
        if !theirs || channel != *subscription.channel {
            return Err(ErrorCode::PermissionDenied.into());
        }
        self.accept_grant(attempt, wanted, SubscribeGrant { info, data: None, expires_at, changes })
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
