//! Reads settings: a file (TOML or JSON), then the environment over it, each key checked against the keys
//! that exist before it is read as a value.

use super::{
    ChannelOptions, Config, ConfigError, NamedOptions, NamedProxy, NamedRpcOptions, Proxy, RpcOptions, Span,
    Token,
};
use serde_json::{Map, Value};

/// What the names of environment variables begin with: `HOMING_CLIENT_INSECURE` is `client.insecure`.
pub const ENV_PREFIX: &str = "HOMING_";

/// Keys that Centrifugo's files may hold and that this server does not have. Switched off, they pass.
const UNSUPPORTED: &[&str] = &[
    "admin",
    "broker",
    "cluster",
    "consumers",
    "graphite",
    "grpc_api",
    "nats",
    "node.info_metrics_aggregate_interval",
    "opentelemetry",
    "presence_manager",
    "redis_stream",
    "swagger",
    "uni_grpc",
    "uni_http_stream",
    "uni_sse",
    "uni_websocket",
    "usage_stats",
    "webtransport",
    "debug",
    "pid_file",
    "client.subscribe_to_user_personal_channel",
    "channel.proxy.map_publish",
    "channel.proxy.map_remove",
    "channel.proxy.subscribe_stream",
    "channel.proxy.cache_empty",
    "client.connection_subscription_limit",
    "client.concurrency",
    "client.channel_level_ping",
    "channel.publication_data_format",
    "http_server.tls",
    "http_server.internal_tls",
    "http_server.http3",
    "websocket.disabled",
    "websocket.compression",
    "websocket.compression_min_size",
    "websocket.compression_level",
    "websocket.read_buffer_size",
    "websocket.write_buffer_size",
    "websocket.use_write_buffer_pool",
    "engine.redis.tls",
    "engine.redis.cluster_address",
    "engine.redis.sentinel_address",
    "engine.redis.sentinel_master_name",
    "engine.redis.sentinel_user",
    "engine.redis.sentinel_password",
    "engine.redis.sentinel_tls",
    "engine.redis.db",
    "engine.redis.connect_timeout",
    "log.file",
];

/// The same for the options of a namespace.
const UNSUPPORTED_OPTIONS: &[&str] = &[
    "subscribe_stream_proxy_enabled",
    "subscribe_stream_proxy_name",
    "subscribe_stream_proxy_bidirectional",
    "delta_publish",
    "allowed_delta_types",
    "subscription_type",
    "map",
    "publication_data_format",
    "shared_position_sync",
    "keep_latest_publication",
    "channel_regex_compiled",
    "subscribe_cel",
];

/// What a hook's address may have in Centrifugo's files.
const UNSUPPORTED_OF_PROXIES: &[&str] = &["binary_encoding", "grpc", "grpc_metadata", "test_grpc_dialer"];

/// Settings from a file, if one is given, and the environment's variables.
///
/// # Errors
/// The first setting that does not exist, is not supported, or has a value that does not fit.
pub fn load(
    file: Option<&str>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut tree = match file {
        None => {
            serde_json::to_value(development()).map_err(|error| ConfigError::Syntax(error.to_string()))?
        }
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::File { file: path.into(), reason: error.to_string() })?;
            read_tree(&text)?
        }
    };
    let known = known();
    for (name, value) in environment {
        if let Some(name) = name.strip_prefix(ENV_PREFIX) {
            set_from_environment(&mut tree, &known, name, &value)?;
        }
    }
    from_tree(tree)
}

/// Settings from the text of a file.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    from_tree(read_tree(text)?)
}

/// What holds where no file is given: a `chat` namespace to try everything in.
#[must_use]
pub fn development() -> Config {
    let chat = ChannelOptions {
        presence: true,
        join_leave: true,
        history_size: 300,
        history_ttl: Span::hours(1),
        force_recovery: true,
        allow_recovery: true,
        allow_positioning: true,
        allow_subscribe_for_client: true,
        allow_publish_for_subscriber: true,
        allow_history_for_subscriber: true,
        allow_presence_for_subscriber: true,
        allow_user_limited_channels: true,
        ..ChannelOptions::default()
    };
    let mut config = Config::default();
    config.client.allowed_origins = vec!["http://localhost:*".into(), "http://127.0.0.1:*".into()];
    config.channel.namespaces = vec![NamedOptions { name: "chat".into(), options: chat }];
    config
}

fn read_tree(text: &str) -> Result<Value, ConfigError> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()));
    }
    let table: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    serde_json::to_value(table).map_err(|error| ConfigError::Syntax(error.to_string()))
}

fn from_tree(mut tree: Value) -> Result<Config, ConfigError> {
    check_keys(&mut tree, &known(), "", UNSUPPORTED)?;
    check_flattened(&tree)?;
    let config: Config = serde_path_to_error::deserialize(tree)?;
    super::check(&config)?;
    Ok(config)
}

/// Reads what is flattened into another type once by itself: serde loses the path of an error in it.
fn check_flattened(tree: &Value) -> Result<(), ConfigError> {
    let namespaces = tree.pointer("/channel/namespaces").and_then(Value::as_array);
    for (at, options) in namespaces.into_iter().flatten().enumerate() {
        check_part::<ChannelOptions>(options, &format!("channel.namespaces[{at}]"))?;
    }
    let proxies = tree.pointer("/proxies").and_then(Value::as_array);
    for (at, proxy) in proxies.into_iter().flatten().enumerate() {
        check_part::<Proxy>(proxy, &format!("proxies[{at}]"))?;
    }
    for key in ["connect", "refresh"] {
        if let Some(proxy) = tree.pointer(&format!("/client/proxy/{key}")) {
            check_part::<Proxy>(proxy, &format!("client.proxy.{key}"))?;
        }
    }
    let methods = tree.pointer("/rpc/namespaces").and_then(Value::as_array);
    for (at, options) in methods.into_iter().flatten().enumerate() {
        check_part::<RpcOptions>(options, &format!("rpc.namespaces[{at}]"))?;
    }
    let token = tree.pointer("/client/subscription_token");
    token.map_or(Ok(()), |token| check_part::<Token>(token, "client.subscription_token"))
}

fn check_part<T: serde::de::DeserializeOwned>(part: &Value, path: &str) -> Result<(), ConfigError> {
    serde_path_to_error::deserialize::<_, T>(part).map(drop).map_err(|error| {
        let key = joined(path, &error.path().to_string());
        ConfigError::Invalid { reason: plainly(&key, &error.into_inner()), key }
    })
}

/// What is wrong with a value, in the words of the file in place of those of the program.
fn plainly(key: &str, error: &serde_json::Error) -> String {
    let reason = error.to_string();
    if reason.ends_with("map, expected a sequence") {
        return format!("expected a list; in TOML each of its tables is headed [[{key}]]");
    }
    let expected = [
        ("expected a sequence", "expected a list, such as [\"one\", \"two\"]"),
        ("expected u16", "expected a number up to 65535"),
        ("expected u32", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected usize", "expected a whole number"),
    ];
    expected.iter().fold(reason, |reason, (technical, plain)| reason.replace(technical, plain))
}

/// A configuration that holds every key there is.
fn known() -> Value {
    let mut config = Config::default();
    config.channel.namespaces = vec![NamedOptions::default()];
    config.proxies = vec![NamedProxy::default()];
    config.rpc.namespaces = vec![NamedRpcOptions::default()];
    serde_json::to_value(config).unwrap_or_default()
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0s",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.get("enabled").map_or(fields.values().all(is_off), is_off),
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Refuses keys that do not exist, and takes out those that this server does not have but that are off.
fn check_keys(tree: &mut Value, known: &Value, path: &str, unsupported: &[&str]) -> Result<(), ConfigError> {
    match (tree, known) {
        // Names of the application's own.
        (Value::Object(_), Value::Object(_)) if path.ends_with("http.static_headers") => Ok(()),
        (Value::Object(fields), Value::Object(names)) => {
            let options = path == "channel.without_namespace" || path.starts_with("channel.namespaces[");
            let proxy = names.contains_key("endpoint");
            let mut kept = Map::new();
            for (key, mut value) in std::mem::take(fields) {
                let full = joined(path, &key);
                if let Some(known) = names.get(&key) {
                    check_keys(&mut value, known, &full, unsupported)?;
                    kept.insert(key, value);
                } else if unsupported.contains(&&*full)
                    || options && UNSUPPORTED_OPTIONS.contains(&&*key)
                    || proxy && UNSUPPORTED_OF_PROXIES.contains(&&*key)
                {
                    if !is_off(&value) {
                        return Err(ConfigError::Unsupported { key: full });
                    }
                } else {
                    let nearest = nearest(&key, names.keys().map(|name| &**name));
                    return Err(ConfigError::Unknown {
                        nearest: nearest.map(|name| joined(path, name)),
                        key: full,
                    });
                }
            }
            *fields = kept;
            Ok(())
        }
        (Value::Array(items), Value::Array(known)) => {
            let Some(known) = known.first().filter(|known| known.is_object()) else { return Ok(()) };
            for (at, item) in items.iter_mut().enumerate() {
                check_keys(item, known, &format!("{path}[{at}]"), unsupported)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(key, name), name));
    scored.min().filter(|(distance, name)| *distance <= 1 + name.len() / 4).map(|(_, name)| name)
}

/// Every key of the tree, and what stands there by default.
fn paths<'a>(known: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    match known {
        Value::Object(fields) => {
            for (key, value) in fields {
                paths(value, &joined(path, key), found);
            }
        }
        value => found.push((path.to_owned(), value)),
    }
}

fn set_from_environment(tree: &mut Value, known: &Value, name: &str, text: &str) -> Result<(), ConfigError> {
    let mut all = Vec::new();
    paths(known, "", &mut all);
    let variable = |path: &str| path.replace('.', "_").to_uppercase();
    let Some((path, default)) = all.iter().find(|(path, _)| variable(path) == name) else {
        let names: Vec<String> = all.iter().map(|(path, _)| variable(path)).collect();
        let nearest = nearest(name, names.iter().map(|name| &**name));
        return Err(ConfigError::Unknown {
            key: format!("{ENV_PREFIX}{name}"),
            nearest: nearest.map(|name| format!("{ENV_PREFIX}{name}")),
        });
    };
    let wrong = |reason: &str| ConfigError::invalid(format!("{ENV_PREFIX}{name}"), reason);
    let value = match default {
        Value::Bool(_) => Value::Bool(text.parse().map_err(|_| wrong("expected true or false"))?),
        Value::Number(_) => Value::from(text.parse::<u64>().map_err(|_| wrong("expected a number"))?),
        Value::Array(_) | Value::Object(_) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?
        }
        Value::Array(_) | Value::Object(_) => {
            text.split([' ', ',']).filter(|item| !item.is_empty()).collect()
        }
        Value::Null | Value::String(_) => Value::from(text),
    };
    let mut place = tree;
    for key in path.split('.') {
        let Value::Object(fields) = place else {
            return Err(wrong("a part of its name is a value in the file"));
        };
        place = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = value;
    Ok(())
}

impl From<serde_path_to_error::Error<serde_json::Error>> for ConfigError {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let key = error.path().to_string();
        Self::Invalid { reason: plainly(&key, &error.into_inner()), key }
    }
}
