//! What a session asks hooks, and what their refusals are to the client.

use super::{Refusal, Session, calls::Late};
use crate::{
    auth::{ConnectionClaims, TokenSubscription},
    channels::Namespace,
    config::ChannelOptions,
    engine::{Call, Channel, Pending},
    hooks::{
        AnyHooks, Asker, ConnectAsk, ConnectGrant, Hook, HookError, Line, RefreshAsk, RefreshGrant, RpcAsk,
        SubRefreshAsk, SubscribeGrant, Verdict, Visit,
    },
    hub::Close,
};
use bytes::Bytes;
use homing_core::wire::{self, DisconnectCode, ErrorCode, Outcome, RpcResult};
use std::sync::Arc;

/// Milliseconds after which something is tried again where nobody says when.
const AGAIN: u32 = 1000;

/// What a hook's refusal comes to.
pub(super) enum Denied {
    Refused(Refusal),
    /// The connection ends.
    Ended(Close),
}

impl Late for HookError {
    fn late() -> Self {
        Self::Away { retry_after: AGAIN.into() }
    }
}

impl From<HookError> for Denied {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Refused { code, message, temporary } => {
                Self::Refused(Refusal { code, message: message.into(), temporary, retry_after: 0 })
            }
            HookError::Disconnect { code, reason } => {
                Self::Ended(Close { code, reason: reason.into(), retry_after: 0 })
            }
            HookError::Away { retry_after } => {
                let retry_after = match u32::try_from(retry_after).unwrap_or(u32::MAX) {
                    0 => AGAIN,
                    millis => millis,
                };
                Self::Refused(Refusal { retry_after, ..ErrorCode::Internal.into() })
            }
            // What the backend said is no business of the client's.
            HookError::Unusable(_) => {
                Self::Refused(Refusal { retry_after: AGAIN, ..ErrorCode::Internal.into() })
            }
        }
    }
}

impl Session {
    /// Says how the client came, before it says anything itself.
    pub fn came(&mut self, visit: Visit) {
        self.visit = visit;
    }

    pub(super) fn line(&self, hook: Hook, on: bool, proxy: &str) -> Option<Arc<Line>> {
        if on { self.node.desk.line(hook, proxy).cloned() } else { None }
    }

    pub(super) fn line_of(
        &self,
        hook: Hook,
        namespace: &Namespace,
        of: fn(&ChannelOptions) -> (bool, &str),
    ) -> Option<Arc<Line>> {
        let (on, proxy) = of(&namespace.options);
        self.line(hook, on, proxy)
    }

    pub(super) fn asker(&self, line: &Line) -> Asker {
        let identity = self.identity.as_ref();
        Asker {
            client: Arc::clone(self.connection.client()),
            user: identity.map(|identity| Arc::clone(&identity.user)).unwrap_or_default(),
            visit: self.visit.clone(),
            meta: identity.and_then(|identity| identity.aside.clone()),
            proxy: Arc::clone(&line.proxy),
        }
    }

    /// Asks, and goes on with the verdict.
    pub(super) fn ask_hook<T, A, F>(
        &mut self,
        line: &Arc<Line>,
        ask: A,
        put: fn(&AnyHooks, A) -> Pending<T, HookError>,
        next: F,
    ) where
        T: Send + 'static,
        A: Send + 'static,
        F: FnOnce(&mut Self, Verdict<T>) + Send + 'static,
    {
        let call: Call<T, HookError> = self.node.desk.ask(line, ask, put);
        self.then_within(call, line.patience, next);
    }

    /// Refuses a command, or ends the connection.
    pub(super) fn deny(&mut self, id: u32, error: HookError) {
        match error.into() {
            Denied::Refused(refusal) => self.refuse(id, refusal),
            Denied::Ended(close) => self.end(close),
        }
    }

    pub(super) fn connect_ask(
        &self,
        line: &Line,
        request: &wire::Connect<'_>,
        data: Option<Bytes>,
    ) -> ConnectAsk {
        ConnectAsk {
            asker: self.asker(line),
            name: request.name.to_string(),
            version: request.version.to_string(),
            data,
            channels: request.subs.iter().map(|(channel, _)| channel.to_string()).collect(),
        }
    }

    /// Whether something that a hook says expires at this time is past already.
    pub(super) fn is_past(&self, expires_at: Option<i64>) -> bool {
        expires_at.is_some_and(|at| at.saturating_mul(1000) <= self.node.clock.unix())
    }

    pub(super) fn rpc_by_hook(&mut self, id: u32, line: &Arc<Line>, method: &str, data: Option<Bytes>) {
        let ask = RpcAsk { asker: self.asker(line), method: method.to_owned(), data };
        self.ask_hook(line, ask, AnyHooks::rpc, move |session, verdict| match verdict {
            Ok(data) => {
                let result = RpcResult { data: data.as_ref().map(crate::frames::raw) };
                session.answer(id, Outcome::Rpc(result));
            }
            Err(error) => session.deny(id, error),
        });
    }

    /// The hook of expiring connections, where there is one.
    pub(super) fn refresh_line(&self) -> Option<Arc<Line>> {
        self.line(Hook::Refresh, self.node.config.client.proxy.refresh.enabled, "")
    }

    /// The connection expires: does it go on?
    pub(super) fn ask_refresh(&mut self) {
        let Some(line) = self.refresh_line() else { return };
        let ask = RefreshAsk { asker: self.asker(&line) };
        self.ask_hook(&line, ask, AnyHooks::refresh, Self::refreshed_by_hook);
    }

    fn refreshed_by_hook(&mut self, verdict: Verdict<RefreshGrant>) {
        match verdict {
            Ok(grant) if grant.expired || self.is_past(grant.expires_at) => {
                self.end(DisconnectCode::Expired.into());
            }
            Ok(RefreshGrant { expires_at, info, meta, .. }) => {
                self.set_expiry(expires_at);
                self.put_aside(meta);
                self.change_info(info);
            }
            Err(error) => match error.into() {
                // Until the end the client is let be: its backend is away, not its permission.
                Denied::Refused(Refusal { temporary: true, retry_after, .. }) => {
                    self.ask_refresh_after(retry_after.max(AGAIN).into());
                }
                Denied::Refused(_) => self.end(DisconnectCode::Expired.into()),
                Denied::Ended(close) => self.end(close),
            },
        }
    }

    /// The subscription to this channel expires: does it go on?
    pub(super) fn ask_sub_refresh(&mut self, channel: &Channel) {
        let line = self.namespace(channel).ok().and_then(|namespace| self.sub_refresh_line(&namespace));
        let (Some(line), Some(subscription)) = (line, self.subscriptions.find(channel)) else { return };
        let attempt = subscription.attempt;
        let ask = SubRefreshAsk { asker: self.asker(&line), channel: Arc::clone(channel) };
        let channel = Arc::clone(channel);
        self.ask_hook(&line, ask, AnyHooks::sub_refresh, move |session, verdict| {
            if session.subscriptions.attempt_mut(attempt).is_some() {
                session.sub_refreshed_by_hook(&channel, verdict);
            }
        });
    }

    pub(super) fn sub_refresh_line(&self, namespace: &Namespace) -> Option<Arc<Line>> {
        self.line_of(Hook::SubRefresh, namespace, |options| {
            (options.sub_refresh_proxy_enabled, &options.sub_refresh_proxy_name)
        })
    }

    fn sub_refreshed_by_hook(&mut self, channel: &str, verdict: Verdict<RefreshGrant>) {
        match verdict {
            Ok(grant) if grant.expired || self.is_past(grant.expires_at) => self.expire_subscription(channel),
            Ok(RefreshGrant { expires_at, info, .. }) => {
                self.prolong(channel, expires_at);
                self.change_channel_info(channel, info.as_deref());
            }
            Err(error) => match error.into() {
                Denied::Refused(Refusal { temporary: true, retry_after, .. }) => {
                    let at = self.node.now() + u64::from(retry_after.max(AGAIN));
                    self.subscriptions.ask_again(channel, at);
                }
                Denied::Refused(_) => self.expire_subscription(channel),
                Denied::Ended(close) => self.end(close),
            },
        }
    }
}

impl From<ConnectGrant> for ConnectionClaims {
    fn from(grant: ConnectGrant) -> Self {
        let ConnectGrant { user, expires_at, info, data, subs, meta } = grant;
        let subs = subs.into_iter().map(|(channel, sub)| {
            let SubscribeGrant { info, data, expires_at, changes } = sub;
            (channel, TokenSubscription { info, data, expires_at, changes })
        });
        Self { user, expires_at, info, data, meta, subs: subs.collect() }
    }
}
