//! How many commands a connection may send: a bucket that fills at the allowed rate.

use crate::clock::Millis;

/// Tokens of one command; the bucket counts in thousandths.
const ONE: u64 = 1000;

pub(super) struct Budget {
    /// Commands a second; 0: no limit.
    rate: u32,
    /// Commands refused since one was allowed.
    refused: u32,
    tokens: u64,
    filled_at: Millis,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Allowed,
    /// Milliseconds after which there is room for another one.
    Refused {
        retry_after: u32,
    },
    /// It goes on although it was told.
    Abused,
}

impl Budget {
    pub(super) fn new(now: Millis, rate: u32) -> Self {
        Self { rate, refused: 0, tokens: Self::full(rate), filled_at: now }
    }

    const fn full(rate: u32) -> u64 {
        2 * rate as u64 * ONE
    }

    pub(super) fn spend(&mut self, now: Millis) -> Spent {
        if self.rate == 0 {
            return Spent::Allowed;
        }
        let rate = u64::from(self.rate);
        let since = now.saturating_sub(self.filled_at);
        self.tokens = self.tokens.saturating_add(since.saturating_mul(rate)).min(Self::full(self.rate));
        self.filled_at = now;
        if self.tokens >= ONE {
            self.tokens -= ONE;
            self.refused = 0;
            return Spent::Allowed;
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused > self.rate.saturating_mul(2) {
            return Spent::Abused;
        }
        let retry_after = (ONE - self.tokens).div_ceil(rate);
        Spent::Refused { retry_after: u32::try_from(retry_after).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut budget = Budget::new(0, 10);
        for _ in 0..20 {
            assert_eq!(budget.spend(0), Spent::Allowed);
        }
        assert_eq!(budget.spend(0), Spent::Refused { retry_after: 100 });
        assert_eq!(budget.spend(50), Spent::Refused { retry_after: 50 });
        assert_eq!(budget.spend(100), Spent::Allowed);
        assert_eq!(budget.spend(100), Spent::Refused { retry_after: 100 });
    }

    #[test]
    fn who_does_not_listen_is_found_out() {
        let mut budget = Budget::new(0, 5);
        let outcomes: Vec<_> = (0..30).map(|_| budget.spend(0)).collect();
        assert_eq!(outcomes.iter().filter(|spent| **spent == Spent::Allowed).count(), 10);
        assert_eq!(outcomes.last(), Some(&Spent::Abused));
    }
}
