//! The client's options as JavaScript gives them: the text of a JSON array of texts, which the core's own scanner
//! reads. Durations are milliseconds, addresses stand one a line, the seed is 64 hexadecimal digits. An empty text
//! keeps the core's default; JavaScript has checked names and ranges before. (With names in the text the module was
//! half a kilobyte larger; with serde-wasm-bindgen, which did the same, 15 kB.)

use homing_core::{
    Config, Duration,
    wire::{Raw, Text, json::text_list},
};

pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) seed: [u8; 32],
}

/// The options that are numbers, in the order in which their values come; js/src/options.generated.ts is written
/// from it.
pub const NUMBERS: [&str; 22] = [
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
    "maxRequests",
    "maxRequestBytes",
    "maxMessageBytes",
    "maxHeld",
    "repairPage",
    "storageTimeout",
    "maxOutbox",
    "maxOutboxBytes",
    "outboxAge",
];

impl Options {
    /// `None` if something in `text` makes no sense.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let values = Raw::new(text).and_then(text_list).ok()?;
        let [
            seed,
            endpoints,
            resolves,
            token,
            provides,
            data,
            name,
            version,
            durable,
            storage_name,
            user,
            resend,
            numbers @ ..,
        ] = &*values
        else {
            return None;
        };
        let mut config = Config {
            endpoints: lines(endpoints),
            resolves_endpoints: !resolves.is_empty(),
            token: (&**token).into(),
            provides_tokens: !provides.is_empty(),
            data: (&**data).into(),
            durable: !durable.is_empty(),
            storage_name: given(storage_name),
            user: given(user),
            resends: !resend.is_empty(),
            ..Config::default()
        };
        for (slot, value) in [(&mut config.name, name), (&mut config.version, version)] {
            if !value.is_empty() {
                *slot = (&**value).into();
            }
        }
        set_numbers(&mut config, &mut numbers.iter())?;
        Some(Self { config, seed: read_seed(seed)? })
    }
}

fn given(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// In the order of [`NUMBERS`].
fn set_numbers(config: &mut Config, values: &mut core::slice::Iter<'_, Text<'_>>) -> Option<()> {
    let mut number = || {
        let value = values.next()?;
        if value.is_empty() { Some(None) } else { value.parse::<u32>().ok().map(Some) }
    };
    for slot in [
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
    ] {
        if let Some(millis) = number()? {
            *slot = Duration::from_millis(millis.into());
        }
    }
    for slot in [
        &mut config.max_requests,
        &mut config.max_request_bytes,
        &mut config.max_message_bytes,
        &mut config.max_held,
    ] {
        if let Some(count) = number()? {
            *slot = count as usize;
        }
    }
    if let Some(count) = number()? {
        config.repair_page = count;
    }
    if let Some(millis) = number()? {
        config.storage_timeout = Duration::from_millis(millis.into());
    }
    for slot in [&mut config.outbox.entries, &mut config.outbox.bytes] {
        if let Some(count) = number()? {
            *slot = count as usize;
        }
    }
    if let Some(millis) = number()? {
        config.outbox.age = Duration::from_millis(millis.into());
    }
    Some(())
}

fn read_seed(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    let (digits, _) = text.as_bytes().as_chunks();
    for (slot, [high, low]) in seed.iter_mut().zip(digits) {
        *slot = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(seed)
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

    /// An array of the texts before the numbers and of one value for each number.
    fn options(seed: &str, endpoints: &str, value: impl Fn(&str) -> String) -> String {
        let mut text = format!(r##"["{seed}","{endpoints}","","","1","","","","1","","ada","""##);
        for name in NUMBERS {
            text.push_str(&format!(r#","{}""#, value(name)));
        }
        text.push(']');
        text
    }

    #[test]
    fn what_is_set_is_set_and_the_rest_keeps_its_default() {
        let numbers = |name: &str| match name {
            "linger" => "7".to_owned(),
            "maxHeld" => "9".to_owned(),
            _ => String::new(),
        };
        let text = options("01ff", r"ws://a\nws://b", numbers);
        let Options { config, seed } = Options::read(&text).expect("good options");
        assert_eq!(config.endpoints.len(), 2);
        assert!(config.durable && config.storage_name.is_none() && config.user.as_deref() == Some("ada"));
        assert!(config.provides_tokens && !config.resolves_endpoints);
        assert_eq!((config.linger, config.max_held), (Duration::from_millis(7), 9));
        let untouched = Config::default();
        assert_eq!((config.connect_timeout, config.name), (untouched.connect_timeout, untouched.name));
        assert_eq!((seed[0], seed[1], seed[2]), (1, 255, 0));
    }

    #[test]
    fn numbers_come_in_the_order_of_their_names() {
        let place = |name: &str| NUMBERS.iter().position(|other| *other == name).map(|at| at + 1);
        let text = options("", "ws://a", |name| place(name).unwrap_or_default().to_string());
        let config = Options::read(&text).expect("good options").config;
        let millis = |duration: Duration| usize::try_from(duration.as_millis()).ok();
        assert_eq!(millis(config.connect_timeout), place("connectTimeout"));
        assert_eq!(millis(config.request_timeout), place("requestTimeout"));
        assert_eq!(millis(config.provider_timeout), place("providerTimeout"));
        assert_eq!(millis(config.silence_slack), place("silenceSlack"));
        assert_eq!(millis(config.probe_timeout), place("probeTimeout"));
        assert_eq!(millis(config.backoff_floor), place("backoffFloor"));
        assert_eq!(millis(config.backoff_base), place("backoffBase"));
        assert_eq!(millis(config.backoff_cap), place("backoffCap"));
        assert_eq!(millis(config.hidden_wait), place("hiddenWait"));
        assert_eq!(millis(config.stable_after), place("stableAfter"));
        assert_eq!(millis(config.linger), place("linger"));
        assert_eq!(millis(config.degraded_after), place("degradedAfter"));
        assert_eq!(millis(config.lost_after), place("lostAfter"));
        assert_eq!(Some(config.max_requests), place("maxRequests"));
        assert_eq!(Some(config.max_request_bytes), place("maxRequestBytes"));
        assert_eq!(Some(config.max_message_bytes), place("maxMessageBytes"));
        assert_eq!(Some(config.max_held), place("maxHeld"));
        assert_eq!(Some(config.repair_page as usize), place("repairPage"));
        assert_eq!(millis(config.storage_timeout), place("storageTimeout"));
        assert_eq!(Some(config.outbox.entries), place("maxOutbox"));
        assert_eq!(Some(config.outbox.bytes), place("maxOutboxBytes"));
        assert_eq!(millis(config.outbox.age), place("outboxAge"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Options::read(&options("", "", |_| "soon".to_owned())).is_none());
        assert!(Options::read(&options("0x", "", |_| String::new())).is_none());
        assert!(Options::read(r#"["",""]"#).is_none());
        assert!(Options::read("7").is_none());
    }
}
