//! The client's options as JavaScript gives them: one flat object, all durations in milliseconds. What is left
//! out keeps the core's default. JavaScript has checked names and ranges before.

use homing_core::{Config, Duration};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Options {
    endpoints: Vec<String>,
    resolves_endpoints: bool,
    token: String,
    provides_tokens: bool,
    data: String,
    name: Option<String>,
    version: Option<String>,
    connect_timeout: Option<u32>,
    request_timeout: Option<u32>,
    provider_timeout: Option<u32>,
    silence_slack: Option<u32>,
    probe_timeout: Option<u32>,
    backoff_floor: Option<u32>,
    backoff_base: Option<u32>,
    backoff_cap: Option<u32>,
    stable_after: Option<u32>,
    linger: Option<u32>,
    degraded_after: Option<u32>,
    lost_after: Option<u32>,
    max_requests: Option<u32>,
    max_request_bytes: Option<u32>,
    max_message_bytes: Option<u32>,
    max_held: Option<u32>,
    repair_page: Option<u32>,
}

impl From<Options> for Config {
    fn from(options: Options) -> Self {
        let mut config = Self {
            endpoints: options.endpoints.into_iter().map(Into::into).collect(),
            resolves_endpoints: options.resolves_endpoints,
            token: options.token.into(),
            provides_tokens: options.provides_tokens,
            data: options.data.into(),
            ..Self::default()
        };
        for (slot, text) in [(&mut config.name, options.name), (&mut config.version, options.version)] {
            if let Some(text) = text {
                *slot = text.into();
            }
        }
        for (slot, millis) in [
            (&mut config.connect_timeout, options.connect_timeout),
            (&mut config.request_timeout, options.request_timeout),
            (&mut config.provider_timeout, options.provider_timeout),
            (&mut config.silence_slack, options.silence_slack),
            (&mut config.probe_timeout, options.probe_timeout),
            (&mut config.backoff_floor, options.backoff_floor),
            (&mut config.backoff_base, options.backoff_base),
            (&mut config.backoff_cap, options.backoff_cap),
            (&mut config.stable_after, options.stable_after),
            (&mut config.linger, options.linger),
            (&mut config.degraded_after, options.degraded_after),
            (&mut config.lost_after, options.lost_after),
        ] {
            if let Some(millis) = millis {
                *slot = Duration::from_millis(millis.into());
            }
        }
        for (slot, count) in [
            (&mut config.max_requests, options.max_requests),
            (&mut config.max_request_bytes, options.max_request_bytes),
            (&mut config.max_message_bytes, options.max_message_bytes),
            (&mut config.max_held, options.max_held),
        ] {
            if let Some(count) = count {
                *slot = count as usize;
            }
        }
        if let Some(page) = options.repair_page {
            config.repair_page = page;
        }
        config
    }
}
