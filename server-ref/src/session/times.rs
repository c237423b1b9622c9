//! A session's deadlines: the connect command, pings and their answers, expiry.

use super::{Session, Stage};
use crate::{clock::Millis, config::Client, frames};
use homing_core::wire::DisconnectCode;

pub(super) struct Times {
    /// The connect command has to be there.
    stale_at: Option<Millis>,
    ping_at: Option<Millis>,
    /// Something has to be heard.
    pong_by: Option<Millis>,
    /// A hook is asked whether the connection goes on.
    asks_at: Option<Millis>,
    /// The connection ends unless it was refreshed.
    expires_at: Option<Millis>,
}

impl Times {
    pub(super) fn new(now: Millis, config: &Client) -> Self {
        let stale = config.stale_close_delay.millis();
        Self {
            stale_at: (stale > 0).then(|| now + stale),
            ping_at: None,
            pong_by: None,
            asks_at: None,
            expires_at: None,
        }
    }

    /// The client has sent something: it is there.
    pub(super) fn heard(&mut self) {
        self.pong_by = None;
    }

    fn next(&self) -> Option<Millis> {
        let all = [self.stale_at, self.ping_at, self.pong_by, self.asks_at, self.expires_at];
        all.into_iter().flatten().min()
    }
}

fn due(at: Option<Millis>, now: Millis) -> bool {
    at.is_some_and(|at| at <= now)
}

impl Session {
    /// When [`Session::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        if self.stage == Stage::Ended {
            return None;
        }
        let times = [self.times.next(), self.subscriptions.first_due(), self.next_call_deadline()];
        times.into_iter().flatten().min()
    }

    /// Does what is due. A call at any other time does no harm.
    pub fn handle_timeout(&mut self) {
        let now = self.node.now();
        if self.stage == Stage::Ended {
            return;
        }
        if due(self.times.stale_at, now) {
            return self.end(DisconnectCode::Stale.into());
        }
        if due(self.times.pong_by, now) {
            return self.end(DisconnectCode::NoPong.into());
        }
        if due(self.times.expires_at, now) {
            return self.end(DisconnectCode::Expired.into());
        }
        if due(self.times.ping_at, now) {
            self.connection.push(frames::PING);
            let config = &self.node.config.client;
            let pong = config.pong_timeout.millis();
            self.times.ping_at = Some(now + config.ping_interval.millis());
            self.times.pong_by = (pong > 0).then_some(now + pong);
        }
        if due(self.times.asks_at, now) {
            self.times.asks_at = None;
            self.ask_refresh();
        }
        self.expire_subscriptions(now);
        self.expire_calls(now);
    }

    /// The connect command was answered: pings begin, the first somewhere in the interval, so that those
    /// who came together are not pinged together.
    pub(super) fn start_pings(&mut self) {
        self.times.stale_at = None;
        let interval = self.node.config.client.ping_interval.millis();
        if interval > 0 {
            let first = interval / 2 + self.node.random_below(interval / 2);
            self.times.ping_at = Some(self.node.now() + first.max(1));
        }
    }

    /// The connection expires at this Unix time, and ends a while after it.
    pub(super) fn set_expiry(&mut self, expires_at: Option<i64>) {
        let delay = self.node.config.client.expired_close_delay.millis();
        let at = expires_at.map(|at| self.moment(at));
        self.times.expires_at = at.map(|at| at + delay);
        self.times.asks_at = at.filter(|_| self.refresh_line().is_some());
    }

    /// Nobody could say whether the connection goes on: that is asked again.
    pub(super) fn ask_refresh_after(&mut self, millis: Millis) {
        self.times.asks_at = Some(self.node.now() + millis);
    }

    /// A Unix time in seconds, on the clock of deadlines.
    pub(super) fn moment(&self, unix: i64) -> Millis {
        let ahead = unix.saturating_mul(1000).saturating_sub(self.node.clock.unix());
        self.node.now() + u64::try_from(ahead).unwrap_or(0)
    }

    /// Seconds until a Unix time; at least 1, because 0 stands for no expiry.
    pub(super) fn seconds_until(&self, unix: i64) -> u32 {
        let seconds = unix.saturating_sub(self.node.clock.unix().div_euclid(1000));
        u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
    }
}
