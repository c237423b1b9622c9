//! Tokens that are renewed in band, the connection's and those of subscriptions.

use super::{Refreshed, Session, entitlement::refused_token};
use crate::{
    auth::{ConnectionClaims, TokenError},
    frames,
};
use homing_core::wire::{
    DisconnectCode, ErrorCode, Outcome, PushEvent, Refresh, RefreshResult, SubRefresh, SubRefreshResult,
};
use std::sync::Arc;

impl Session {
    pub(super) fn refresh(&mut self, id: u32, request: &Refresh<'_>) {
        let node = Arc::clone(&self.node);
        let claims = node.tokens.connection(&request.token, &node.clock);
        self.then(claims, move |session, claims| session.handle_refresh(id, claims));
    }

    fn handle_refresh(&mut self, id: u32, claims: Result<ConnectionClaims, TokenError>) {
        let ConnectionClaims { expires_at, info, meta, .. } = match claims {
            Ok(claims) if claims.user == self.user() => claims,
            Ok(_) => return self.end_with(DisconnectCode::InvalidToken, "a token of somebody else"),
            // The client comes back, is told that its token has expired, and fetches another.
            Err(TokenError::Expired) => return self.end(DisconnectCode::Expired.into()),
            Err(TokenError::Invalid(why)) => return self.end_with(DisconnectCode::InvalidToken, why),
            Err(error @ TokenError::Unavailable(_)) => return self.refuse(id, refused_token(&error)),
        };
        self.set_expiry(expires_at);
        self.change_info(info);
        self.put_aside(meta);
        let frame = frames::answer(id, Outcome::Refresh(self.refresh_result(expires_at)));
        self.answer_frame(frame);
    }

    fn refresh_result(&self, expires_at: Option<i64>) -> RefreshResult<'_> {
        RefreshResult {
            client: self.connection.client().as_ref().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            expires: expires_at.is_some(),
            ttl: expires_at.map_or(0, |at| self.seconds_until(at)),
        }
    }

    /// The application has moved the connection's expiry, or says something else of its client.
    pub(super) fn refreshed_by_server(&mut self, refreshed: &Refreshed) {
        self.set_expiry(refreshed.expires_at);
        self.change_info(refreshed.info.clone());
        self.push("", PushEvent::Refresh(self.refresh_result(refreshed.expires_at)));
    }

    /// Keeps JSON for later hooks; `None`: what there was.
    pub(super) fn put_aside(&mut self, meta: Option<Box<str>>) {
        if let (Some(identity), Some(meta)) = (&mut self.identity, meta) {
            identity.aside = Some(meta.into());
        }
    }

    pub(super) fn sub_refresh(&mut self, id: u32, request: &SubRefresh<'_>) {
        let channel = &*request.channel;
        if self.subscriptions.find(channel).is_none() {
            return self.refuse(id, ErrorCode::PermissionDenied);
        }
        let node = Arc::clone(&self.node);
        let claims = node.subscription_tokens.subscription(&request.token, &node.clock);
        let channel = channel.to_owned();
        self.then(claims, move |session, claims| match claims {
            Ok(claims) if claims.user != session.user() || claims.channel != channel => {
                session.refuse(id, ErrorCode::PermissionDenied);
            }
            Ok(claims) => {
                session.prolong(&channel, claims.expires_at);
                session.change_channel_info(&channel, claims.info.as_deref());
                let ttl = claims.expires_at.map_or(0, |at| session.seconds_until(at));
                let result = SubRefreshResult { expires: claims.expires_at.is_some(), ttl };
                session.answer(id, Outcome::SubRefresh(result));
            }
            Err(error) => session.refuse(id, refused_token(&error)),
        });
    }
}
