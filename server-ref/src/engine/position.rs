//! Positions: an epoch, which names one generation of a channel's data, and an offset in it.

use std::fmt;

/// One generation of a channel's data: the engine's time in microseconds when it began. A later generation
/// is greater; the text form has a fixed width, so that it orders as the number does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Matches no channel: what an epoch that cannot be read stands for.
    pub const NONE: Self = Self(0);

    /// Characters of the text form: decimal digits, zeros in front.
    pub const WIDTH: usize = 16;

    /// The epoch that began at this time.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// When it began, in microseconds of the engine's time.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Reads the text form; anything else is [`Epoch::NONE`].
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if text.len() == Self::WIDTH && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Self(text.parse().unwrap_or(0))
        } else {
            Self::NONE
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}", self.0)
    }
}

/// A place in a channel. Ordered by epoch first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The generation.
    pub epoch: Epoch,
    /// Offset of a publication in it; 0: before the first.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_epoch_orders_as_its_number() {
        let (early, late) = (Epoch::from_micros(9), Epoch::from_micros(1_700_000_000_000_000));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(Epoch::from_text(&late.to_string()), late);
    }

    #[test]
    fn text_that_is_no_epoch_matches_nothing() {
        for text in ["", "x1", "17", "+000000000000001", "00000000000000001"] {
            assert_eq!(Epoch::from_text(text), Epoch::NONE);
        }
    }
}
