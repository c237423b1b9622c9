//! A length of time as configuration files have it: "25s", "720h", "1m30s", "500ms".

use crate::clock::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A port: a number, or text, as the environment and some files have it.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let port = match &value {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::String(text) if text.is_empty() => return Ok(None),
        serde_json::Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    port.map(Some).ok_or_else(|| D::Error::custom("expected a port, a number up to 65535"))
}

/// A length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Millis);

impl Span {
    /// No time at all, or "off" where a setting says so.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: Millis) -> Self {
        Self(millis)
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// So many hours.
    #[must_use]
    pub const fn hours(hours: u64) -> Self {
        Self::seconds(hours * 3600)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn millis(self) -> Millis {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::ZERO);
        }
        let (mut rest, mut total) = (text, 0_u64);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let millis = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
            rest = tail;
        }
        // Ten thousand years: far enough, and no sum with a clock overflows.
        (!text.is_empty() && total < 315_360_000_000_000).then_some(Self(total))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(millis) = *self;
        let (number, unit) = match millis {
            0 => (0, "s"),
            _ if millis % 3_600_000 == 0 => (millis / 3_600_000, "h"),
            _ if millis % 1000 == 0 => (millis / 1000, "s"),
            _ => (millis, "ms"),
        };
        serializer.serialize_str(&format!("{number}{unit}"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let span = match &value {
            serde_json::Value::String(text) => Self::parse(text),
            // The one number that needs no unit.
            value => (value.as_u64() == Some(0)).then_some(Self::ZERO),
        };
        span.ok_or_else(|| {
            D::Error::custom(format!("{value} is no duration such as \"25s\", \"500ms\" or \"1h30m\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for (text, millis) in
            [("25s", 25_000), ("500ms", 500), ("1h30m", 5_400_000), ("0", 0), ("0s", 0), ("2d", 172_800_000)]
        {
            assert_eq!(Span::parse(text), Some(Span(millis)), "{text}");
        }
        for text in ["", "25", "s", "25 s", "-1s", "1.5s", "1w", "99999999999999h"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
