//! The one deadline: what is due next, and what then happens.

use crate::{
    Deadline, ErrorCode, Instant, RealtimeClient, Timer,
    connection::{Phase, token::Refresh},
};

/// Keeps the earlier one; of two at the same moment the one that came first. Not inlined: it stands in a dozen
/// places.
#[inline(never)]
fn consider(next: &mut Option<Deadline>, timer: Timer, at: Option<Instant>) {
    if let Some(at) = at
        && next.is_none_or(|next| at < next.at)
    {
        *next = Some(Deadline { at, timer });
    }
}

impl RealtimeClient {
    /// The earliest deadline with its name; `None`: nothing happens unless somebody does something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let mut next: Option<Deadline> = None;
        let mut consider = |timer: Timer, at: Option<Instant>| consider(&mut next, timer, at);
        consider(Timer::ProviderDeadline, self.link.asked.map(|asked| asked.deadline));
        match &self.link.phase {
            Phase::Waiting { until } => consider(Timer::Reconnect, Some(*until)),
            Phase::Resolving { deadline, .. } => consider(Timer::ProviderDeadline, Some(*deadline)),
            Phase::Opening { deadline, .. } | Phase::Greeting { deadline, .. } => {
                consider(Timer::ConnectDeadline, Some(*deadline));
            }
            Phase::Online(live) => {
                consider(Timer::Silence, live.heartbeat.silence_deadline());
                consider(Timer::Probe, live.heartbeat.probe);
                consider(Timer::Stable, live.stable_at);
                consider(Timer::TokenRefresh, live.refresh.deadline());
            }
            Phase::Idle | Phase::Suspended | Phase::Authorising | Phase::Closed => {}
        }
        consider(Timer::RequestDeadline, self.calls.deadline());
        consider(Timer::Outbox, self.outbox_deadline());
        consider(Timer::Storage, self.storage.deadline());
        consider(Timer::Health, self.health_deadline());
        consider(Timer::Close, self.closing);
        // Those who leave wait equally long, so the first one's is the next.
        consider(Timer::SubscribeDeadline, self.channels.leaves.values().next().map(|deadline| **deadline));
        for channel in self.channels.iter() {
            consider(Timer::SubscribeDeadline, channel.join_deadline());
            consider(Timer::Resubscribe, channel.retry_deadline());
            consider(Timer::Repair, channel.repair_deadline());
            consider(Timer::ProviderDeadline, channel.asked.map(|(_, deadline)| deadline));
            consider(Timer::Linger, channel.linger);
            consider(Timer::SubscriptionRefresh, channel.refresh.deadline());
        }
        next
    }

    /// Everything that is due; a call that comes early, late or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_to(now);
        while let Some(deadline) = self.poll_timeout().filter(|deadline| deadline.at <= self.now) {
            self.on_timer(deadline);
        }
        self.watch_health();
        self.finish_close_if_settled();
    }

    /// Each arm moves or clears the deadline that it was called for.
    fn on_timer(&mut self, deadline: Deadline) {
        match deadline.timer {
            Timer::Reconnect => self.attempt(),
            Timer::ConnectDeadline => self.fail(ErrorCode::ConnectTimedOut),
            Timer::ProviderDeadline => self.on_providers_overdue(),
            Timer::Silence => self.on_silence(deadline.at),
            Timer::Probe => self.on_probe_failed(),
            Timer::Stable => {
                self.link.failures = 0;
                if let Some(live) = self.link.live() {
                    live.stable_at = None;
                }
            }
            Timer::TokenRefresh => match self.link.live().map(|live| live.refresh) {
                Some(Refresh::Sent { .. }) => self.on_refresh_overdue(),
                _ => self.on_refresh_due(),
            },
            Timer::RequestDeadline => self.on_calls_due(),
            Timer::Outbox => self.on_outbox_due(),
            Timer::Storage => self.on_storage_overdue(),
            Timer::SubscribeDeadline => self.fail(ErrorCode::SubscribeTimedOut),
            Timer::Resubscribe => self.on_rejoin_due(),
            Timer::Repair => self.on_repair_due(),
            Timer::SubscriptionRefresh => self.on_sub_refresh_due(),
            Timer::Linger => self.on_linger_over(),
            Timer::Health => self.on_health_due(),
            Timer::Close => self.finish_close(),
        }
    }

    fn on_providers_overdue(&mut self) {
        let now = self.now;
        if let Phase::Resolving { deadline, .. } = self.link.phase
            && deadline <= now
        {
            self.endpoints_failed("no answer in time");
        }
        if self.link.asked.is_some_and(|asked| asked.deadline <= now) {
            self.on_token_overdue();
        }
        self.on_channel_tokens_overdue();
    }
}
