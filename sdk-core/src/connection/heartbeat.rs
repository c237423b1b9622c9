//! Whether the peer is alive: its pings, its silence, and probes after a doubt.
//!
//! Any frame proves the peer alive. Deadlines compare clock readings and never count ticks, so a host whose
//! timers are throttled to one a minute loses no connection.

use super::{Again, Phase, Socket};
use crate::{
    Config, Duration, Error, ErrorCode, Instant, RealtimeClient, Reason,
    time::millis,
    wire::{self, Request},
};

/// How late a timer may fire before the host is taken to have slept, so that silence proves nothing.
const OVERSLEPT: Duration = Duration::from_secs(2);
/// Silence after which a server without pings of its own is probed.
const IDLE_PROBE: Duration = Duration::from_secs(30);
/// A sign of life this fresh makes a probe needless.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) last_heard: Instant,
    /// Longest silence; `None`: the server does not ping, so it is probed instead.
    silence: Option<Duration>,
    /// Whether the server wants its pings answered.
    pub(crate) answers: bool,
    /// When a probe has failed; `None`: none is under way.
    pub(crate) probe: Option<Instant>,
}

impl Heartbeat {
    pub(crate) fn new(now: Instant, config: &Config, ping_seconds: u32, answers: bool) -> Self {
        let longest = (u64::from(ping_seconds) * 1000).saturating_add(millis(config.silence_slack));
        let silence = (ping_seconds > 0).then_some(Duration::from_millis(longest));
        Self { last_heard: now, silence, answers, probe: None }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.probe = None;
    }

    /// When silence has lasted too long; not while a probe is under way.
    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        self.probe.is_none().then(|| self.last_heard + self.silence.unwrap_or(IDLE_PROBE))
    }
}

impl RealtimeClient {
    pub(crate) fn probe(&mut self) {
        let deadline = self.now + self.config.probe_timeout;
        let now = self.now;
        let Phase::Online(live) = &mut self.link.phase else { return };
        if live.heartbeat.probe.is_none() && now.since(live.heartbeat.last_heard) >= FRESH {
            live.heartbeat.probe = Some(deadline);
            let (conn, id) = (live.conn, live.next_command());
            // A plain server closes on `ping`; this question it answers, be it with an error.
            let question = wire::PresenceStats { channel: "probe".into() };
            let request = if live.has_ping { Request::Ping } else { Request::PresenceStats(question) };
            self.out.command(conn, id, request);
        }
    }

    pub(crate) fn on_silence(&mut self, deadline: Instant) {
        let pings = self.link.live().is_some_and(|live| live.heartbeat.silence.is_some());
        if pings && self.now.since(deadline) < OVERSLEPT {
            self.fail(ErrorCode::Silent);
        } else {
            self.probe();
        }
    }

    pub(crate) fn on_probe_failed(&mut self) {
        let reason = Reason::of(&Error::new(ErrorCode::Probed));
        self.lose(reason, Socket::Open, Again::AtOnce);
    }
}
