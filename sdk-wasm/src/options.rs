//! The client's options as JavaScript gives them: the text of one flat JSON object of texts, which the core's
//! own scanner reads. Durations are milliseconds, addresses stand one a line, the seed is 64 hexadecimal digits.
//! What is left out keeps the core's default; JavaScript has checked names and ranges before. (serde-wasm-bindgen
//! did the same for 15 kB more.)

use homing_core::{
    Config, Duration,
    wire::{Raw, json::text_map},
};

pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) seed: [u8; 32],
}

const DURATIONS: [&str; 13] = [
    "connectTimeout",
    "requestTimeout",
    "providerTimeout",
    "silenceSlack",
    "probeTimeout",
    "backoffFloor",
    "backoffBase",
    "backoffCap",
    "hiddenWait",
    "stableAfter",
    "linger",
    "degradedAfter",
    "lostAfter",
];
const COUNTS: [&str; 4] = ["maxRequests", "maxRequestBytes", "maxMessageBytes", "maxHeld"];

impl Options {
    /// `None` if something in `text` makes no sense.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let fields = Raw::new(text).and_then(text_map).ok()?;
        let mut options = Self { config: Config::default(), seed: [0; 32] };
        for (key, value) in &fields {
            options.set(key, value)?;
        }
        Some(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let config = &mut self.config;
        match key {
            "endpoints" => config.endpoints = lines(value),
            "token" => config.token = value.into(),
            "data" => config.data = value.into(),
            "name" => config.name = value.into(),
            "version" => config.version = value.into(),
            "resolvesEndpoints" => config.resolves_endpoints = true,
            "providesTokens" => config.provides_tokens = true,
            "seed" => {
                let (digits, _) = value.as_bytes().as_chunks();
                for (slot, [high, low]) in self.seed.iter_mut().zip(digits) {
                    *slot = nibble(*high)? << 4 | nibble(*low)?;
                }
            }
            _ => self.set_number(key, value.parse().ok()?)?,
        }
        Some(())
    }

    fn set_number(&mut self, key: &str, value: u32) -> Option<()> {
        let config = &mut self.config;
        if let Some(at) = DURATIONS.iter().position(|name| *name == key) {
            let slots = [
                &mut config.connect_timeout,
                &mut config.request_timeout,
                &mut config.provider_timeout,
                &mut config.silence_slack,
                &mut config.probe_timeout,
                &mut config.backoff_floor,
                &mut config.backoff_base,
                &mut config.backoff_cap,
                &mut config.hidden_wait,
                &mut config.stable_after,
                &mut config.linger,
                &mut config.degraded_after,
                &mut config.lost_after,
            ];
            **slots.into_iter().nth(at).as_mut()? = Duration::from_millis(value.into());
        } else if let Some(at) = COUNTS.iter().position(|name| *name == key) {
            let slots = [
                &mut config.max_requests,
                &mut config.max_request_bytes,
                &mut config.max_message_bytes,
                &mut config.max_held,
            ];
            **slots.into_iter().nth(at).as_mut()? = value as usize;
        } else if key == "repairPage" {
            config.repair_page = value;
        } else {
            return None;
        }
        Some(())
    }
}

/// The lines of a text, empty ones apart.
pub(crate) fn lines(mut text: &str) -> Vec<Box<str>> {
    let mut lines = Vec::new();
    while !text.is_empty() {
        let line = first_line(&mut text);
        if !line.is_empty() {
            lines.push(line.into());
        }
    }
    lines
}

/// Takes the first line off a text. (The standard library's searchers weigh a kilobyte.)
pub(crate) fn first_line<'t>(text: &mut &'t str) -> &'t str {
    let at = text.bytes().position(|byte| byte == b'\n').unwrap_or(text.len());
    let line = text.get(..at).unwrap_or_default();
    *text = text.get(at + 1..).unwrap_or_default();
    line
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_set_and_the_rest_keeps_its_default() {
        let text =
            r#"{"endpoints":"ws://a\nws://b","providesTokens":"1","linger":"7","maxHeld":"9","seed":"01ff"}"#;
        let Options { config, seed } = Options::read(text).expect("good options");
        assert_eq!(config.endpoints.len(), 2);
        assert!(config.provides_tokens && !config.resolves_endpoints);
        assert_eq!((config.linger, config.max_held), (Duration::from_millis(7), 9));
        assert_eq!(config.connect_timeout, Config::default().connect_timeout);
        assert_eq!((seed[0], seed[1], seed[2]), (1, 255, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Options::read(r#"{"linger":"soon"}"#).is_none());
        assert!(Options::read(r#"{"lingers":"7"}"#).is_none());
        assert!(Options::read("7").is_none());
    }
}
