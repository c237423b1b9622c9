//! What a node does at its own pace: renew leases, reap lapsed ones, check positions, end idle rooms.

use super::{Node, leases};
use crate::{
    clock::Millis,
    config::Config,
    engine::{Channel, EngineError, Reaped},
};
use std::sync::Arc;

/// How often lapsed entries are reaped, idle rooms ended and failed reads tried again.
const SWEEP: Millis = 1000;

/// Entries reaped in one call.
const REAP: u32 = 1000;

/// Parts in which rooms are checked, so that not all of them read the log at once.
const CHECKS: u64 = 16;

pub(super) struct Upkeep {
    renew_at: Millis,
    renew_part: usize,
    sweep_at: Millis,
    check_at: Option<Millis>,
    check_part: u64,
    idle: Vec<Channel>,
    retry: Vec<Channel>,
}

impl Upkeep {
    pub(super) fn new(config: &Config, now: Millis) -> Self {
        let check = config.client.channel_position_check_delay.millis();
        Self {
            renew_at: now + Node::renewal_tick(config.client.presence_update_interval.millis()),
            renew_part: 0,
            sweep_at: now + SWEEP,
            check_at: (check > 0).then_some(now + check / CHECKS),
            check_part: 0,
            idle: Vec::new(),
            retry: Vec::new(),
        }
    }

    pub(super) fn idle(&mut self, channel: Channel) {
        self.idle.push(channel);
    }

    pub(super) fn retry(&mut self, channel: Channel) {
        self.retry.push(channel);
    }
}

impl Node {
    /// When [`Node::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Millis {
        let upkeep = self.upkeep.lock();
        let own = upkeep.renew_at.min(upkeep.sweep_at).min(upkeep.check_at.unwrap_or(Millis::MAX));
        drop(upkeep);
        own.min(self.peers.lock().next_beat()).min(self.surveys.next().unwrap_or(Millis::MAX))
    }

    /// Does what is due. A call at any other time does no harm.
    pub fn handle_timeout(self: &Arc<Self>) {
        let now = self.now();
        self.beat(now);
        self.see_to_surveys(now);
        let (mut renew, mut sweep, mut check) = (None, None, None);
        {
            let mut upkeep = self.upkeep.lock();
            if now >= upkeep.renew_at {
                renew = Some(upkeep.renew_part);
                upkeep.renew_part = (upkeep.renew_part + 1) % leases::PARTS;
                let interval = self.config.client.presence_update_interval.millis();
                upkeep.renew_at = now + Self::renewal_tick(interval);
            }
            if now >= upkeep.sweep_at {
                sweep = Some((std::mem::take(&mut upkeep.idle), std::mem::take(&mut upkeep.retry)));
                upkeep.sweep_at = now + SWEEP;
            }
            if upkeep.check_at.is_some_and(|at| now >= at) {
                check = Some(upkeep.check_part);
                upkeep.check_part = (upkeep.check_part + 1) % CHECKS;
                let delay = self.config.client.channel_position_check_delay.millis();
                upkeep.check_at = Some(now + (delay / CHECKS).max(1));
            }
        }
        if let Some(part) = renew {
            self.renew_leases(part);
        }
        if let Some((idle, retry)) = sweep {
            self.metrics.connections.set(self.registry.len() as f64);
            self.metrics.rooms.set(self.hub.rooms() as f64);
            self.end_idle_rooms(idle);
            self.retry_rooms(retry);
            self.after(self.engine.reap(REAP), (), Self::handle_reaped);
        }
        if let Some(part) = check {
            let mut rooms = self.hub.all();
            let mut at = 0;
            rooms.retain(|_| {
                at += 1;
                at % CHECKS == part
            });
            self.doubt_rooms(rooms);
        }
    }

    fn handle_reaped(self: &Arc<Self>, (): (), result: Result<Reaped, EngineError>) {
        match result {
            Ok(reaped) if reaped.more => self.upkeep.lock().sweep_at = self.now(),
            Ok(_) => {}
            Err(error) => self.note_failure("reap", error),
        }
    }
}
