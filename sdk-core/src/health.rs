//! How the connection looks to a person: a short cut is no news.

use crate::{ConnectionState, Event, Health, Instant, RealtimeClient};

#[derive(Debug, Default)]
pub(crate) struct HealthMonitor {
    pub(crate) health: Health,
    /// Since when the connection has been away, while it is wanted.
    away_since: Option<Instant>,
}

impl RealtimeClient {
    /// When the health changes next, if nothing else happens.
    pub(crate) fn health_deadline(&self) -> Option<Instant> {
        let since = self.monitor.away_since?;
        match self.monitor.health {
            Health::Ok => Some(since + self.config.degraded_after),
            Health::Degraded => Some(since + self.config.lost_after),
            Health::Lost => None,
        }
    }

    pub(crate) fn on_health_due(&mut self) {
        self.set_health(match self.monitor.health {
            Health::Ok => Health::Degraded,
            Health::Degraded | Health::Lost => Health::Lost,
        });
    }

    pub(crate) fn health_lost(&mut self) {
        self.set_health(Health::Lost);
    }

    /// Called after everything that may have changed the connection's state.
    pub(crate) fn watch_health(&mut self) {
        match self.link.state {
            ConnectionState::Connecting { .. } => {
                self.monitor.away_since.get_or_insert(self.now);
            }
            ConnectionState::Connected(_) => {
                self.monitor.away_since = None;
                self.set_health(Health::Ok);
            }
            ConnectionState::Disconnected { .. } | ConnectionState::Closed => self.monitor.away_since = None,
        }
    }

    pub(crate) fn set_health(&mut self, health: Health) {
        if self.monitor.health != health {
            self.monitor.health = health;
            self.out.event(Event::Health(health));
        }
    }
}
