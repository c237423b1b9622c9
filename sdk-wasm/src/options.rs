//! The client's options as JavaScript gives them: the text of one flat JSON object of texts, which the core's
//! own scanner reads. Durations are milliseconds, addresses stand one a line. What is left out keeps the core's
//! default; JavaScript has checked names and ranges before.

use homing_core::{
    Config, Duration,
    wire::{Raw, json::text_map},
};

/// What `text` sets; the name of what is wrong with it, where something is.
pub(crate) fn config(text: &str) -> Result<Config, String> {
    let fields = Raw::new(text).and_then(text_map).map_err(|_| "options".to_owned())?;
    let mut config = Config::default();
    for (key, value) in &fields {
        set(&mut config, key, value).ok_or_else(|| key.to_string())?;
    }
    Ok(config)
}

fn set(config: &mut Config, key: &str, value: &str) -> Option<()> {
    match key {
        "endpoints" => config.endpoints = value.lines().map(Into::into).collect(),
        "token" => config.token = value.into(),
        "data" => config.data = value.into(),
        "name" => config.name = value.into(),
        "version" => config.version = value.into(),
        "resolvesEndpoints" => config.resolves_endpoints = true,
        "providesTokens" => config.provides_tokens = true,
        _ => set_number(config, key, value.parse().ok()?)?,
    }
    Some(())
}

fn set_number(config: &mut Config, key: &str, value: u32) -> Option<()> {
    let duration = match key {
        "connectTimeout" => &mut config.connect_timeout,
        "requestTimeout" => &mut config.request_timeout,
        "providerTimeout" => &mut config.provider_timeout,
        "silenceSlack" => &mut config.silence_slack,
        "probeTimeout" => &mut config.probe_timeout,
        "backoffFloor" => &mut config.backoff_floor,
        "backoffBase" => &mut config.backoff_base,
        "backoffCap" => &mut config.backoff_cap,
        "hiddenWait" => &mut config.hidden_wait,
        "stableAfter" => &mut config.stable_after,
        "linger" => &mut config.linger,
        "degradedAfter" => &mut config.degraded_after,
        "lostAfter" => &mut config.lost_after,
        "repairPage" => {
            config.repair_page = value;
            return Some(());
        }
        _ => {
            let count = match key {
                "maxRequests" => &mut config.max_requests,
                "maxRequestBytes" => &mut config.max_request_bytes,
                "maxMessageBytes" => &mut config.max_message_bytes,
                "maxHeld" => &mut config.max_held,
                _ => return None,
            };
            *count = value as usize;
            return Some(());
        }
    };
    *duration = Duration::from_millis(value.into());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_set_and_the_rest_keeps_its_default() {
        let config =
            config(r#"{"endpoints":"ws://a\nws://b","providesTokens":"1","linger":"7","maxHeld":"9"}"#)
                .expect("good options");
        assert_eq!(config.endpoints.len(), 2);
        assert!(config.provides_tokens && !config.resolves_endpoints);
        assert_eq!((config.linger, config.max_held), (Duration::from_millis(7), 9));
        assert_eq!(config.connect_timeout, Config::default().connect_timeout);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(config(r#"{"linger":"soon"}"#).err().as_deref(), Some("linger"));
        assert_eq!(config(r#"{"lingers":"7"}"#).err().as_deref(), Some("lingers"));
        assert_eq!(config("7").err().as_deref(), Some("options"));
    }
}
