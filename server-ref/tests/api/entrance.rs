//! Who may call, and where.

use crate::support::{KEY, answer, start};
use homing_server::serve;
use reqwest::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn without_a_key_there_is_no_api() {
    for (key, disabled) in [(None, false), (Some(String::new()), false), (Some(KEY.to_owned()), true)] {
        let server = start(|config| {
            config.http_api.key = key.clone();
            config.http_api.disabled = disabled;
        })
        .await;
        for path in ["info", "publish"] {
            let response = server.post(path, "{}").header("X-API-Key", key.as_deref().unwrap_or_default());
            assert_eq!(response.send().await.unwrap().status(), StatusCode::NOT_FOUND);
        }
        let page = server.http.get(server.url("/api/openapi.json")).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_missing_key_and_a_wrong_one_look_alike() {
    let server = start(|_| {}).await;
    let plain = || server.post("publish", r#"{"channel":"chat:a","data":1}"#);
    let mut seen = Vec::new();
    for request in [
        plain(),
        plain().header("X-API-Key", ""),
        plain().header("X-API-Key", "wrong"),
        plain().header("X-API-Key", &KEY[..KEY.len() - 1]),
        plain().header("X-API-Key", format!("{KEY} and more")),
        plain().header("Authorization", KEY),
        plain().header("Authorization", format!("Bearer {KEY}")),
        plain().header("Authorization", "apikey"),
        plain().header("Authorization", "apikey wrong"),
        // The one header that counts is the first.
        plain().header("X-API-Key", "wrong").header("Authorization", format!("apikey {KEY}")),
        server.post("nothing", "{"),
        server.http.get(server.url("/api/openapi.json")),
    ] {
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        let status = response.status();
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.retain(|(name, _)| name != "date");
        seen.push((status, headers, response.text().await.unwrap()));
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:#?}");
    assert_eq!(
        (seen[0].0, &*seen[0].2),
        (StatusCode::UNAUTHORIZED, r#"{"error":{"code":101,"message":"unauthorized"}}"#)
    );
    assert!(server.metric("homing_api_unauthorized_total").await >= 12.0);
    assert!(server.result("history", json!({"channel": "chat:a"})).await["offset"] == 0);
}

#[tokio::test]
async fn the_key_is_taken_from_either_header() {
    let server = start(|_| {}).await;
    for scheme in ["apikey", "ApiKey", "APIKEY"] {
        let request = server.post("info", "{}").header("Authorization", format!("{scheme} {KEY}"));
        assert_eq!(answer(request).await.0, StatusCode::OK);
    }
    assert_eq!(answer(server.post("info", "").header("X-API-Key", KEY)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn only_posts_are_calls() {
    let server = start(|_| {}).await;
    for request in [server.http.get(server.url("/api/publish")), server.http.put(server.url("/api/publish"))]
    {
        let status = request.header("X-API-Key", KEY).send().await.unwrap().status();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
    // A page that asks whether it may call hears nothing that lets it.
    let preflight = server.http.request(reqwest::Method::OPTIONS, server.url("/api/publish"));
    let preflight =
        preflight.header("Origin", "https://evil.example").header("Access-Control-Request-Method", "POST");
    let response = preflight.send().await.unwrap();
    assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn an_insecure_api_refuses_foreign_pages() {
    let server = start(|config| {
        config.http_api.key = None;
        config.http_api.insecure = true;
        config.client.allowed_origins = vec!["https://app.example".into()];
    })
    .await;
    let publish = || server.post("publish", r#"{"channel":"chat:a","data":1}"#);
    assert_eq!(answer(publish()).await.0, StatusCode::OK);
    assert_eq!(answer(publish().header("Origin", "https://app.example")).await.0, StatusCode::OK);
    for origin in ["https://evil.example", "null"] {
        assert_eq!(answer(publish().header("Origin", origin)).await.0, StatusCode::UNAUTHORIZED, "{origin}");
    }
}

#[test]
fn a_prefix_that_cannot_be_is_refused() {
    for (prefix, fits) in [
        ("/api", true),
        ("/a/b", true),
        ("/", false),
        ("", false),
        ("api", false),
        ("/api/", false),
        ("/{a}", false),
    ] {
        let mut config = homing_server::Config::default();
        config.http_api.handler_prefix = prefix.into();
        assert_eq!(homing_server::config::check(&config).is_ok(), fits, "{prefix}");
    }
}

#[tokio::test]
async fn an_internal_port_takes_the_api_away_from_clients() {
    for external in [false, true] {
        let server = start(|config| {
            config.http_server.internal_port = Some(0);
            config.http_api.external = external;
            config.http_api.handler_prefix = "/inside".into();
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inside = listener.local_addr().unwrap();
        tokio::spawn(serve::listen(listener, server.server.internal_router().unwrap()));
        let post =
            |address| server.http.post(format!("http://{address}/inside/info")).header("X-API-Key", KEY);
        assert_eq!(answer(post(inside)).await.0, StatusCode::OK);
        let outside = post(server.address).send().await.unwrap().status();
        assert_eq!(outside == StatusCode::OK, external, "{outside}");
        for path in ["health", "ready", "metrics"] {
            let get = |address| server.http.get(format!("http://{address}/{path}")).send();
            assert_eq!(get(inside).await.unwrap().status(), StatusCode::OK);
            assert_eq!(get(server.address).await.unwrap().status(), StatusCode::NOT_FOUND);
        }
    }
}
