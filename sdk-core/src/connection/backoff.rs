//! How long to wait before the next attempt: full jitter over a width that doubles, above a floor.

use crate::{Config, Duration, rng::Rng, time::millis};

/// Waits of a crowd that lost its server together must not meet again, so the whole width is random from
/// the first attempt on. The server's own wish comes first where it told one.
pub(crate) fn delay(
    config: &Config,
    failures: u32,
    retry_after: Option<Duration>,
    rng: &mut Rng,
) -> Duration {
    let width =
        millis(config.backoff_base).saturating_mul(1 << failures.min(16)).min(millis(config.backoff_cap));
    let least = retry_after.map_or(0, millis).max(millis(config.backoff_floor));
    Duration::from_millis(least.saturating_add(rng.up_to(width)))
}

/// The wait that a server wished for, as it stands on the wire.
pub(crate) fn wish(retry_after: u32) -> Option<Duration> {
    (retry_after > 0).then(|| Duration::from_millis(retry_after.into()))
}

/// A wait from `least` to twice that, for what is asked again without hurry.
pub(crate) fn leisurely(least: Duration, rng: &mut Rng) -> Duration {
    let least = millis(least);
    Duration::from_millis(least.saturating_add(rng.up_to(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_floor_and_cap_and_use_the_whole_width() {
        let config = Config::default();
        let mut rng = Rng::new([7; 32]);
        for failures in [0, 1, 5, 31, u32::MAX] {
            let all: alloc::vec::Vec<_> =
                (0..1000).map(|_| delay(&config, failures, None, &mut rng)).collect();
            let width = config.backoff_base.saturating_mul(1 << failures.min(16)).min(config.backoff_cap);
            let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
            assert!(*least >= config.backoff_floor && *most <= config.backoff_floor + width);
            assert!(
                *least < config.backoff_floor + width / 50 && *most > config.backoff_floor + width / 50 * 49
            );
        }
    }

    #[test]
    fn the_servers_wish_is_kept() {
        let config = Config::default();
        let wish = Duration::from_secs(60);
        let wait = delay(&config, 0, Some(wish), &mut Rng::new([1; 32]));
        assert!(wait >= wish && wait <= wish + config.backoff_base);
    }
}
