//! The connection's token: asked for before every attempt, one question at a time, renewed in band before
//! it expires.

use super::{Again, Phase, Socket, backoff};
use crate::{
    Duration, Error, ErrorCode, Event, Instant, Output, RealtimeClient, Reason, TokenRefusal, TokenRequestId,
    calls::Waiter, wire,
};
use alloc::boxed::Box;

/// Least wait before the provider is asked again for a token that is not yet needed.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A question to the provider that has not been answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) request: TokenRequestId,
    pub(crate) deadline: Instant,
    /// The attempt that asked is over: its answer may be somebody else's token.
    pub(crate) stale: bool,
}

/// Where the renewal of a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// The token does not expire.
    Never,
    /// The provider is asked then.
    At(Instant),
    /// The provider has been asked.
    Asking,
    /// The server has been asked.
    Sent { deadline: Instant },
}

impl Refresh {
    /// A little before `ttl` seconds are over: a tenth of them, at least half a second, at most half a minute.
    pub(crate) fn after(now: Instant, expires: bool, ttl: u32) -> Self {
        if !expires {
            return Self::Never;
        }
        let ttl = u64::from(ttl) * 1000;
        let lead = (ttl / 10).clamp(500, 30_000);
        Self::At(now + Duration::from_millis(ttl.saturating_sub(lead).max(500)))
    }

    /// When something is due, be it a question or the end of a wait for an answer.
    pub(crate) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::At(at) | Self::Sent { deadline: at } => Some(at),
            Self::Never | Self::Asking => None,
        }
    }
}

impl RealtimeClient {
    pub(crate) fn authorise(&mut self) {
        if self.config.provides_tokens && self.link.token.is_empty() {
            self.link.phase = Phase::Authorising;
            self.ask_token();
        } else {
            self.open();
        }
    }

    fn ask_token(&mut self) {
        // One question at a time: the answer to a stale one is awaited, dropped, and then it is asked anew.
        if self.link.asked.is_some() {
            return;
        }
        let request = TokenRequestId(self.link.question());
        let deadline = self.now + self.config.provider_timeout;
        self.link.asked = Some(Asked { request, deadline, stale: false });
        self.out.push(Output::RequestToken { request, channel: None });
    }

    /// Answers whether the question was the connection's.
    pub(crate) fn on_token(
        &mut self,
        request: TokenRequestId,
        token: &Result<Box<str>, TokenRefusal>,
    ) -> bool {
        let Some(asked) = self.link.asked.filter(|asked| asked.request == request) else { return false };
        self.link.asked = None;
        let refreshing = self.link.live().is_some_and(|live| live.refresh == Refresh::Asking);
        let authorising = matches!(self.link.phase, Phase::Authorising);
        if asked.stale {
            if authorising || refreshing {
                self.ask_token();
            }
            return true;
        }
        match token {
            Ok(token) if authorising => {
                self.link.token = token.clone();
                self.open();
            }
            Ok(token) if refreshing => self.send_refresh(token),
            Ok(_) => {}
            Err(refusal) => {
                let error = refusal.error();
                self.out.event(Event::Error(error.clone()));
                match refusal {
                    TokenRefusal::Forbidden(_) if authorising || refreshing => {
                        self.refuse(Reason::of(&error), Socket::Open)
                    }
                    TokenRefusal::Failed(_) if authorising => {
                        self.lose(Reason::of(&error), Socket::Gone, Again::Later(None));
                    }
                    _ if refreshing => self.refresh_later(),
                    _ => {}
                }
            }
        }
        true
    }

    /// The provider did not answer in time; if it ever does, its answer is dropped.
    pub(crate) fn on_token_overdue(&mut self) {
        if let Some(asked) = self.link.asked {
            let refusal = TokenRefusal::Failed("no answer in time".into());
            self.on_token(asked.request, &Err(refusal));
        }
    }

    pub(crate) fn on_refresh_due(&mut self) {
        let provides = self.config.provides_tokens;
        if let Some(live) = self.link.live() {
            // Without a provider the server's verdict on the old token is all that can be waited for.
            live.refresh = if provides { Refresh::Asking } else { Refresh::Never };
            if provides {
                self.ask_token();
            }
        }
    }

    fn refresh_later(&mut self) {
        let at = self.now + backoff::leisurely(ASK_AGAIN, &mut self.rng);
        if let Some(live) = self.link.live() {
            live.refresh = Refresh::At(at);
        }
    }

    fn send_refresh(&mut self, token: &str) {
        let deadline = self.now + self.config.request_timeout;
        let Phase::Online(live) = &mut self.link.phase else { return };
        live.refresh = Refresh::Sent { deadline };
        let (conn, id) = (live.conn, live.next_command());
        self.calls.await_answer(id, Waiter::Refresh);
        self.out.command(conn, id, wire::Request::Refresh(wire::Refresh { token: token.into() }));
    }

    /// The server did not answer a refresh; it is asked again.
    pub(crate) fn on_refresh_overdue(&mut self) {
        self.refresh_later();
    }

    pub(crate) fn on_refreshed(&mut self, outcome: &wire::Outcome<'_>) {
        match outcome {
            wire::Outcome::Refresh(result) => self.on_prolonged(result),
            wire::Outcome::Error(reply) => {
                let error = Error::from_wire(reply);
                self.out.event(Event::Error(error.clone()));
                if reply.is_temporary() || error.code == ErrorCode::TokenExpired {
                    self.refresh_later();
                } else {
                    self.refuse(Reason::of(&error), Socket::Open);
                }
            }
            _ => self.on_protocol_error("the answer to refresh is of another kind"),
        }
    }

    /// The server told how long the connection lasts from here.
    pub(crate) fn on_prolonged(&mut self, result: &wire::RefreshResult<'_>) {
        let refresh = Refresh::after(self.now, result.expires, result.ttl);
        if let Some(live) = self.link.live() {
            live.refresh = refresh;
        }
    }
}
