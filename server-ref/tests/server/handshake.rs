//! Who is let in, and what is said to the others.

use crate::socket::{Socket, fetch, frame, handshake, request, start, until};
use homing_server::config::Span;

const PATH: &str = "/connection/websocket";

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused() {
    let server = start(|_| {}).await;
    assert_eq!(fetch(server.address, PATH).await.0, 400);
    let old = handshake(PATH, "").replace("Version: 13", "Version: 8");
    let (status, head) = request(server.address, &old).await;
    assert_eq!(status, 426);
    assert!(head.to_lowercase().contains("sec-websocket-version: 13"));
    let keyless = handshake(PATH, "").replace("Sec-WebSocket-Key", "X-Key");
    assert_eq!(request(server.address, &keyless).await.0, 400);
    assert_eq!(fetch(server.address, "/nowhere").await.0, 404);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = start(|config| {
        config.client.insecure = false;
        config.client.allowed_origins = vec!["https://*.example.net".into()];
    })
    .await;
    for (origin, status) in [
        ("https://chat.example.net", 101),
        ("https://evil.example", 403),
        ("https://example.org", 101),
        ("null", 403),
    ] {
        let head = handshake(PATH, &format!("Origin: {origin}\r\n"));
        assert_eq!(request(server.address, &head).await.0, status, "{origin}");
    }
    assert_eq!(request(server.address, &handshake(PATH, "")).await.0, 101);
}

#[tokio::test]
async fn commands_sent_together_with_the_handshake_are_answered() {
    let server = start(|_| {}).await;
    let early = frame(0x81, b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"chat:a\"}}");
    let mut socket = Socket::open_at(server.address, PATH, &early).await;
    assert_eq!(socket.line().await["id"], 1);
    assert_eq!(socket.line().await["id"], 2);
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more() {
    let server = start(|config| config.client.connection_limit = 2).await;
    let _one = Socket::connected(&server).await;
    let two = Socket::connected(&server).await;
    let (status, head) = request(server.address, &handshake(PATH, "")).await;
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 2"), "{head}");
    drop(two);
    until("the second one's end", || server.handle.connections() == 1).await;
    Socket::connected(&server).await;
}

#[tokio::test]
async fn new_connections_have_a_rate() {
    let server = start(|config| config.client.connection_rate_limit = 2).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(request(server.address, &handshake(PATH, "")).await.0);
    }
    assert_eq!(statuses[0], 101);
    assert!(statuses.contains(&503), "{statuses:?}");
}

#[tokio::test]
async fn silence_ends_the_connection() {
    let server = start(|config| config.client.stale_close_delay = Span::from_millis(50)).await;
    let mut socket = Socket::open(&server).await;
    assert_eq!(socket.close().await.0, 3502);
    until("the end", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let server = start(|config| {
        config.client.ping_interval = Span::from_millis(100);
        config.client.pong_timeout = Span::from_millis(50);
    })
    .await;
    let mut socket = Socket::connected(&server).await;
    let (code, _, pushes) = socket.close().await;
    assert_eq!((code, pushes.len()), (3012, 1));
}
