//! A server that stops: spread over its window, with a code and a time to come back.

use crate::socket::{Socket, fetch, handshake, request, start, until};
use homing_server::config::Span;
use std::time::Instant;

#[tokio::test]
async fn a_drain_closes_everybody_in_batches_and_says_when_to_come_back() {
    let window = 600;
    let server = start(|config| config.shutdown.drain_window = Span::from_millis(window)).await;
    let mut readers = Vec::new();
    for _ in 0..40 {
        let mut socket = Socket::connected(&server).await;
        socket.call("subscribe", r#"{"channel":"chat:a"}"#).await;
        readers.push(tokio::spawn(async move {
            let (code, _, pushes) = socket.close().await;
            (Instant::now(), code, pushes)
        }));
    }
    assert_eq!(fetch(server.address, "/ready").await.0, 200);
    let begun = Instant::now();
    let handle = server.handle.clone();
    let drain = tokio::spawn(async move { handle.drain().await });
    until("the drain's begin", || !server.handle.is_ready()).await;
    let (status, body) = fetch(server.address, "/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("draining"), "{body}");
    assert_eq!(fetch(server.address, "/health").await.0, 200);
    assert_eq!(request(server.address, &handshake("/connection/websocket", "")).await.0, 503);
    drain.await.unwrap();
    assert_eq!(server.handle.connections(), 0);

    let (mut times, mut retries) = (Vec::new(), Vec::new());
    for reader in readers {
        let (at, code, pushes) = reader.await.unwrap();
        assert_eq!(code, 3001);
        let disconnect = &pushes.last().unwrap()["push"]["disconnect"];
        assert_eq!(
            (disconnect["code"].as_u64(), disconnect["reconnect"].as_bool()),
            (Some(3001), Some(true))
        );
        times.push(at - begun);
        retries.push(disconnect["retry_after"].as_u64().unwrap());
    }
    times.sort();
    let spread = (times[39] - times[0]).as_millis();
    assert!(spread >= u128::from(window) / 2, "all within {spread} ms");
    retries.sort_unstable();
    retries.dedup();
    assert!(retries.len() > 20 && retries[0] >= 1 && *retries.last().unwrap() <= 1000, "{retries:?}");
}
