//! HTTP as no good client speaks it: bodies that never end, answers that nobody reads, odd requests. The clock of the
//! slow ones is paused: whenever everybody waits, it goes on to the next deadline.

use crate::socket::{Running, fetch, request, start};
use homing_server::api::PublishOptions;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep},
};

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;
const ESCAPED: &str = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";

async fn keyed() -> Running {
    start(|config| config.http_api.key = Some("key".into())).await
}

/// Everything up to the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        all.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let server = keyed().await;
    for (path, head, status) in [
        ("/connection/http_stream", "Content-Length: 100", "408"),
        ("/connection/http_stream", "Transfer-Encoding: chunked", "408"),
        ("/emulation", "Content-Length: 100", "408"),
        ("/api/info", "X-API-Key: key\r\nContent-Length: 100", "200"),
        // Without the key nothing is waited for.
        ("/api/info", "Content-Length: 100", "401"),
    ] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let drops = tokio::spawn(async move {
            while writer.write_all(b"1\r\n \r\n").await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
        });
        let mut all = Vec::new();
        let _ = reader.read_to_end(&mut all).await;
        let answer = String::from_utf8_lossy(&all);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {head}: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(120), "{path}: {:?}", begun.elapsed());
        drops.abort();
    }
    assert_eq!(server.handle.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up() {
    let server = keyed().await;
    let data = format!("\"{}\"", "x".repeat(60_000));
    for _ in 0..100 {
        server.handle.publish("chat:large", &data, PublishOptions::default()).await.unwrap();
    }
    // Much more than the buffers of both sockets hold.
    let history = r#"{"history":{"channel":"chat:large","limit":-1}}"#;
    let body = format!(r#"{{"commands":[{history},{history},{history}]}}"#);
    let length = body.len();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head =
        format!("POST /api/batch HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    let answer = rest(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let wanted: usize = wanted.parse().unwrap();
    assert!(wanted > 18_000_000 && body.len() < wanted, "{} of {wanted}", body.len());
    assert_eq!(fetch(server.address, "/health").await.0, 200);
}

#[tokio::test]
async fn links_pictures_and_forms_of_other_pages_open_nothing() {
    let server = start(|config| {
        config.client.insecure = false;
        config.client.allow_anonymous_connect_without_token = true;
    })
    .await;
    let sse = format!("GET /connection/sse?cf_connect={ESCAPED} HTTP/1.1");
    let lines = "POST /connection/http_stream HTTP/1.1";
    let ask = async |line: &str, more: &str| {
        let body = if line.starts_with("POST") { CONNECT } else { "" };
        let length = body.len();
        let text = format!("{line}\r\nHost: x\r\n{more}\r\nContent-Length: {length}\r\n\r\n{body}");
        request(server.address, &text).await.0
    };
    for mode in ["navigate", "no-cors", "", "nested-navigate"] {
        for line in [&*sse, lines] {
            assert_eq!(ask(line, &format!("Sec-Fetch-Mode: {mode}")).await, 403, "{line} {mode}");
        }
    }
    for line in [&*sse, lines] {
        // An EventSource or a fetch of the own page, an old browser, a program.
        for more in ["Sec-Fetch-Mode: cors", "Sec-Fetch-Mode: same-origin", "Accept: */*"] {
            assert_eq!(ask(line, more).await, 200, "{line} {more}");
        }
        assert_eq!(ask(line, "Origin: https://evil.example\r\nSec-Fetch-Mode: cors").await, 403);
        assert_eq!(ask(line, "Origin: null").await, 403);
    }
}

#[tokio::test]
async fn odd_requests_are_answered_or_refused_and_open_nothing() {
    let server = keyed().await;
    for (line, status) in [
        ("POST /api/ HTTP/1.1", 404),
        ("POST /api HTTP/1.1", 404),
        ("POST /api//info HTTP/1.1", 404),
        ("POST /api/info/ HTTP/1.1", 404),
        ("POST /API/info HTTP/1.1", 404),
        ("POST /connection/../api/info HTTP/1.1", 404),
        ("POST /api/%ff HTTP/1.1", 400),
        ("GET /connection/../metrics HTTP/1.1", 404),
        ("GET //metrics HTTP/1.1", 404),
        ("GET /emulation HTTP/1.1", 405),
        ("GET /connection/http_stream HTTP/1.1", 405),
        ("TRACE /metrics HTTP/1.1", 405),
        ("OPTIONS /metrics HTTP/1.1", 405),
        ("HEAD /metrics HTTP/1.1", 200),
        ("POST /api/info HTTP/1.0", 200),
    ] {
        let text = format!("{line}\r\nHost: x\r\nX-API-Key: key\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(request(server.address, &text).await.0, status, "{line}");
    }
    for (head, status) in [
        (format!("Host: x\r\n{}", "A: b\r\n".repeat(500)), 431),
        (format!("Host: x\r\nA: {}\r\n", "x".repeat(100_000)), 431),
        ("Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n".into(), 400),
        ("Host: x\r\nA b\r\n".into(), 400),
    ] {
        let text = format!("POST /api/info HTTP/1.1\r\n{head}\r\n");
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may be refused before all of it is there.
        let _ = stream.write_all(text.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    // Requests that come one behind the other are answered in that order.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let call = "POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\nContent-Length: 2\r\n\r\n{}";
    let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all((call.repeat(20) + last).as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stream).await.matches("HTTP/1.1 200").count(), 21);
    assert_eq!(server.handle.connections(), 0);
}
