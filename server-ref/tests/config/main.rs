//! Settings: what is accepted, and what is said of what is not. Every complaint names its key.

mod reference;

use homing_server::config::{self, EngineKind, Span};

/// Complaint and cause, one beside the other; `golden.txt` is read as pairs of a line `# complaint` and the
/// settings below it.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn every_complaint_names_its_key() {
    let mut seen = 0;
    for case in GOLDEN.split("\n# ").map(|case| case.strip_prefix("# ").unwrap_or(case)) {
        let (complaint, settings) = case.split_once('\n').unwrap();
        let error = config::parse(settings).expect_err(complaint);
        assert_eq!(error.to_string(), complaint, "{settings}");
        seen += 1;
    }
    assert!(seen > 20, "{seen} cases");
}

#[test]
fn the_settings_of_the_front_page_and_of_the_examples_are_fine() {
    let (_, shown) = include_str!("../../../README.md").split_once("```toml\n").unwrap();
    for settings in [shown.split_once("```").unwrap().0, include_str!("../../../examples/backend.toml")] {
        config::check(&config::parse(settings).unwrap()).unwrap();
    }
}

#[test]
fn settings_of_a_centrifugo_file_keep_their_meaning() {
    let config = config::parse(
        r#"{
          "http_server": {"port": 9000},
          "client": {
            "allowed_origins": ["https://example.org"],
            "ping_interval": "10s", "pong_timeout": "4s", "channel_limit": 5,
            "token": {"hmac_secret_key": "secret"},
            "proxy": {"connect": {"enabled": false, "endpoint": ""}}
          },
          "admin": {"enabled": false},
          "engine": {"type": "redis", "redis": {"address": "10.0.0.1:6379", "password": "p@ss"}},
          "channel": {
            "without_namespace": {"allow_subscribe_for_client": true},
            "namespaces": [{"name": "news", "history_size": 10, "history_ttl": "5m", "force_recovery": true,
                            "subscribe_proxy_enabled": false, "allowed_delta_types": []}]
          }
        }"#,
    )
    .unwrap();
    assert_eq!(config.http_server.port, 9000);
    assert_eq!(config.client.ping_interval, Span::seconds(10));
    assert_eq!(config.engine.kind, EngineKind::Redis);
    assert_eq!(config.engine.redis.url(), "redis://:p%40ss@10.0.0.1:6379");
    assert!(config.channel.without_namespace.allow_subscribe_for_client);
    assert_eq!(config.channel.namespaces[0].options.history_ttl, Span::seconds(300));
}

#[test]
fn the_environment_stands_over_the_file() {
    let variables = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config::load(None, pairs.into_iter())
    };
    let config = variables(&[
        ("HOMING_CLIENT_INSECURE", "true"),
        ("HOMING_HTTP_SERVER_PORT", "1234"),
        ("HOMING_CLIENT_ALLOWED_ORIGINS", "https://a.example https://b.example"),
        ("HOMING_CLIENT_TOKEN_HMAC_SECRET_KEY", "12345"),
        ("HOMING_ENGINE_TYPE", "redis"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert!(config.client.insecure);
    assert_eq!(config.http_server.port, 1234);
    assert_eq!(config.client.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.client.token.hmac_secret_key.as_deref(), Some("12345"));
    assert_eq!(config.engine.kind, EngineKind::Redis);
    for (pair, complaint) in [
        (("HOMING_CLIENT_INSECURE", "yes"), "HOMING_CLIENT_INSECURE: expected true or false"),
        (("HOMING_HTTP_SERVER_PORT", "many"), "HOMING_HTTP_SERVER_PORT: expected a number"),
        (
            ("HOMING_CLIENT_INSECUR", "true"),
            "HOMING_CLIENT_INSECUR: unknown setting, did you mean HOMING_CLIENT_INSECURE?",
        ),
    ] {
        assert_eq!(variables(&[pair]).unwrap_err().to_string(), complaint);
    }
}

#[test]
fn the_settings_for_development_have_a_chat_that_keeps_300_messages() {
    let config = config::load(None, std::iter::empty()).unwrap();
    let [chat] = &config.channel.namespaces[..] else { panic!("one namespace") };
    assert_eq!((&*chat.name, chat.options.history_size), ("chat", 300));
    assert!(chat.options.presence && chat.options.join_leave && chat.options.force_recovery);
    assert!(!config.client.insecure);
}
