//! What a single value cannot tell: settings that contradict each other, names that are taken.

use super::{Ack, ChannelOptions, Config, ConfigError};
use crate::{auth, hooks};
use std::collections::BTreeSet;

/// Names that prefix the parts of a channel that are maps.
const RESERVED: &[&str] = &["meta", "here", "lock", "seen", "typing"];

/// What the log may be set to, filters apart.
const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "off"];

/// Refuses settings that cannot work.
///
/// # Errors
/// The first of them.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let client = &config.client;
    if client.ping_interval.millis() > 0 && client.pong_timeout >= client.ping_interval {
        return Err(ConfigError::invalid("client.pong_timeout", "must be shorter than client.ping_interval"));
    }
    for origin in &client.allowed_origins {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let whole = authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('/'));
        if !whole && !origin.starts_with('*') && origin != "null" {
            let reason = format!(
                "\"{origin}\" is no origin such as \"https://example.org\", \"https://*.example.org\" or \"*\": \
                 a scheme and a host, and nothing behind"
            );
            return Err(ConfigError::invalid("client.allowed_origins", reason));
        }
    }
    let level = &*config.log.level;
    if !level.contains('=') && !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        let reason = format!(
            "\"{level}\" is none of {}, and no filter such as info,homing_server=debug",
            LEVELS.join(", ")
        );
        return Err(ConfigError::invalid("log.level", reason));
    }
    if client.message_size_limit > config.websocket.message_size_limit {
        let reason = "must not exceed websocket.message_size_limit";
        return Err(ConfigError::invalid("client.message_size_limit", reason));
    }
    if client.queue_max_size < config.websocket.message_size_limit.min(64 * 1024) {
        return Err(ConfigError::invalid(
            "client.queue_max_size",
            "must hold at least one message of 64 KiB",
        ));
    }
    if client.presence_update_interval.millis() == 0
        || client.presence_update_interval.millis() * 2 > config.engine.presence_ttl.millis()
    {
        let reason =
            "must be above 0 and at most half of engine.presence_ttl, so that one lost renewal is no leave";
        return Err(ConfigError::invalid("client.presence_update_interval", reason));
    }
    for (key, limit) in [
        ("client.history_max_publication_limit", client.history_max_publication_limit),
        ("client.recovery_max_publication_limit", client.recovery_max_publication_limit),
    ] {
        if !(1..=10_000).contains(&limit) {
            return Err(ConfigError::invalid(key, "must be between 1 and 10000"));
        }
    }
    if config.engine.call_timeout.millis() == 0 {
        return Err(ConfigError::invalid("engine.call_timeout", "must be above 0"));
    }
    let redis = &config.engine.redis;
    if redis.ack == Ack::Replicated && redis.ack_replicas == 0 {
        let reason = "must be at least 1 where engine.redis.ack is replicated";
        return Err(ConfigError::invalid("engine.redis.ack_replicas", reason));
    }
    if redis.ack_timeout.millis() == 0 {
        return Err(ConfigError::invalid("engine.redis.ack_timeout", "must be above 0"));
    }
    let window = config.engine.dedupe_window.millis();
    if window > 0 && window < 60_000 {
        return Err(ConfigError::invalid("engine.dedupe_window", "must be 0 or at least 60s"));
    }
    for (key, path) in [
        ("websocket.handler_prefix", &config.websocket.handler_prefix),
        ("http_stream.handler_prefix", &config.http_stream.handler_prefix),
        ("sse.handler_prefix", &config.sse.handler_prefix),
        ("emulation.handler_prefix", &config.emulation.handler_prefix),
    ] {
        if !path.starts_with('/') {
            return Err(ConfigError::invalid(key, "must begin with /"));
        }
    }
    let api = &config.http_api;
    let prefix = &*api.handler_prefix;
    if prefix.len() < 2 || !prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains(['{', '}']) {
        let reason = "must begin with / and go on, not end with it, and hold no braces";
        return Err(ConfigError::invalid("http_api.handler_prefix", reason));
    }
    if api.max_request_body_size == 0 {
        return Err(ConfigError::invalid("http_api.max_request_body_size", "must be above 0"));
    }
    auth::check(&client.token, "client.token")?;
    if client.subscription_token.enabled {
        auth::check(&client.subscription_token.token, "client.subscription_token")?;
    }
    hooks::http::check(config)?;
    check_channels(config)
}

fn check_channels(config: &Config) -> Result<(), ConfigError> {
    let channel = &config.channel;
    if channel.namespace_boundary.is_empty() {
        return Err(ConfigError::invalid("channel.namespace_boundary", "must not be empty"));
    }
    check_options(&channel.without_namespace, "channel.without_namespace")?;
    let mut names = BTreeSet::new();
    for (at, namespace) in channel.namespaces.iter().enumerate() {
        let path = format!("channel.namespaces[{at}]");
        let name = &namespace.name;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.len() < 2 || !name.bytes().all(valid) {
            let reason = "must be at least two letters, digits, '_', '-' or '.'";
            return Err(ConfigError::invalid(format!("{path}.name"), reason));
        }
        if RESERVED.contains(&&**name) {
            let reason = format!("\"{name}\" is reserved for the parts of channels");
            return Err(ConfigError::invalid(format!("{path}.name"), reason));
        }
        if !names.insert(name) {
            return Err(ConfigError::invalid(format!("{path}.name"), format!("\"{name}\" is there twice")));
        }
        check_options(&namespace.options, &path)?;
    }
    Ok(())
}

fn check_options(options: &ChannelOptions, path: &str) -> Result<(), ConfigError> {
    let keeps = options.history_size > 0 && options.history_ttl.millis() > 0;
    if (options.history_size > 0) != (options.history_ttl.millis() > 0) {
        return Err(ConfigError::invalid(
            format!("{path}.history_size"),
            "needs history_ttl, and history_ttl needs it",
        ));
    }
    let meta = options.history_meta_ttl.millis();
    if meta > 0 && meta < options.history_ttl.millis() {
        return Err(ConfigError::invalid(
            format!("{path}.history_meta_ttl"),
            "must not be below history_ttl",
        ));
    }
    for (key, on) in [
        ("force_recovery", options.force_recovery),
        ("allow_recovery", options.allow_recovery),
        ("force_positioning", options.force_positioning),
        ("allow_positioning", options.allow_positioning),
    ] {
        if on && !keeps {
            return Err(ConfigError::invalid(format!("{path}.{key}"), "needs history_size and history_ttl"));
        }
    }
    if let Some(pattern) = &options.channel_regex {
        regex::Regex::new(pattern)
            .map_err(|error| ConfigError::invalid(format!("{path}.channel_regex"), error))?;
    }
    Ok(())
}
