//! A subscription's token: asked for before every subscribe, one question at a time, renewed in band before it
//! expires. A refusal ends that subscription alone.

use super::{Channel, State};
use crate::{
    ChannelEvent, ChannelKey, Duration, Error, ErrorCode, Output, RealtimeClient, TokenRefusal,
    TokenRequestId,
    calls::Waiter,
    connection::{Phase, backoff, token::Refresh},
    wire::{self, Outcome, Request},
};
use alloc::boxed::Box;

/// Least wait before a token that is not yet needed is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl RealtimeClient {
    /// One question at a time: the answer to one that is under way will do.
    pub(crate) fn ask_channel_token(&mut self, key: ChannelKey) {
        let deadline = self.now + self.config.provider_timeout;
        let Some(channel) = self.channels.get_mut(key).filter(|channel| channel.asked.is_none()) else {
            return;
        };
        let request = TokenRequestId(self.link.question());
        channel.asked = Some((request, deadline));
        self.out.push(Output::RequestToken { request, channel: Some(channel.name.clone()) });
    }

    /// The answer to a question for a subscription's token.
    pub(crate) fn on_channel_token(
        &mut self,
        request: TokenRequestId,
        token: Result<Box<str>, TokenRefusal>,
    ) {
        let key =
            self.channels.keys_where(&mut |channel| channel.asked.is_some_and(|(asked, _)| asked == request));
        let Some(key) = key.first().copied() else { return };
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.asked = None;
        let authorising = matches!(channel.state, State::Authorising);
        let refreshing = channel.refresh == Refresh::Asking;
        match token {
            Ok(token) if authorising => {
                channel.token = token;
                self.send_subscribe(key);
            }
            Ok(token) if refreshing => self.send_sub_refresh(key, &token),
            Ok(_) => {}
            Err(refusal) => {
                let error = refusal.error();
                match refusal {
                    TokenRefusal::Forbidden(_) if authorising => self.end_channel(key, &error),
                    TokenRefusal::Forbidden(_) if refreshing => {
                        let name = channel.name.clone();
                        self.end_channel(key, &error);
                        self.send_unsubscribe(&name);
                    }
                    TokenRefusal::Failed(_) if authorising => {
                        self.join_later(key, 0, &error);
                    }
                    _ if refreshing => self.sub_refresh_later(key, &error),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn on_channel_tokens_overdue(&mut self) {
        let now = self.now;
        for key in self
            .channels
            .keys_where(&mut |channel| channel.asked.is_some_and(|(_, deadline)| deadline <= now))
        {
            if let Some((request, _)) = self.channels.get(key).and_then(|channel| channel.asked) {
                self.on_channel_token(request, Err(TokenRefusal::Failed("no answer in time".into())));
            }
        }
    }

    pub(crate) fn on_sub_refresh_due(&mut self) {
        let now = self.now;
        let mut is_due = |channel: &Channel| channel.refresh.deadline().is_some_and(|at| at <= now);
        for key in self.channels.keys_where(&mut is_due) {
            let Some(channel) = self.channels.get_mut(key) else { continue };
            if let Refresh::Sent { .. } = channel.refresh {
                let error =
                    Error::new(ErrorCode::TokenFailed).with_detail("the server did not answer sub_refresh");
                self.sub_refresh_later(key, &error);
            } else if channel.options.provides_tokens {
                channel.refresh = Refresh::Asking;
                self.ask_channel_token(key);
            } else {
                // Without a provider the server's verdict on the old token is all that can be waited for.
                channel.refresh = Refresh::Never;
            }
        }
    }

    fn sub_refresh_later(&mut self, key: ChannelKey, error: &Error) {
        let at = self.now + backoff::leisurely(ASK_AGAIN, &mut self.rng);
        if let Some(channel) = self.channels.get_mut(key) {
            channel.refresh = Refresh::At(at);
            channel.tell(ChannelEvent::Error(error.clone()), &mut self.out);
        }
    }

    fn send_sub_refresh(&mut self, key: ChannelKey, token: &str) {
        let deadline = self.now + self.config.request_timeout;
        let Phase::Online(live) = &mut self.link.phase else { return };
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.refresh = Refresh::Sent { deadline };
        let command = live.next_command();
        self.calls.await_answer(command, Waiter::SubRefresh(key));
        let request = wire::SubRefresh { channel: (&*channel.name).into(), token: token.into() };
        self.out.command(live.conn, command, Request::SubRefresh(request));
    }

    pub(crate) fn on_sub_refreshed(&mut self, key: ChannelKey, outcome: &Outcome<'_>) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(key).filter(|channel| channel.is_subscribed()) else {
            return;
        };
        match outcome {
            Outcome::SubRefresh(result) => channel.refresh = Refresh::after(now, result.expires, result.ttl),
            Outcome::Error(reply) => {
                let error = Error::from_wire(reply);
                if reply.is_temporary() || error.code == ErrorCode::TokenExpired {
                    return self.sub_refresh_later(key, &error);
                }
                let name = channel.name.clone();
                self.end_channel(key, &error);
                self.send_unsubscribe(&name);
            }
            _ => self.on_protocol_error("the answer to sub_refresh is of another kind"),
        }
    }
}
