//! The way to the server and the socket itself: every stage has its deadline, every buffer its bound, and
//! reading never waits for writing.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod peer;

use homing::{
    BoxedIo, BuildError, ClientEvent, Decode, Delivery, ErrorCode, OutboxLimits, RealtimeClient, Stage,
    Target, TransportError, TransportOptions,
};
use homing_core::wire::{ConnectResult, Publication, Push, PushEvent, Raw, Reply};
use peer::{Conn, Peer, fault, pipes, quick, soon, until};
use std::{future::pending, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

const SHORT: Duration = Duration::from_millis(150);
/// What a busy machine may add to a deadline.
const LATE: Duration = Duration::from_secs(5);

fn short() -> TransportOptions {
    TransportOptions {
        connect_timeout: SHORT,
        tls_timeout: SHORT,
        upgrade_timeout: SHORT,
        write_timeout: SHORT,
        ..TransportOptions::default()
    }
}

/// The first fault of a client that connects to `url`, and that it came in its time.
async fn first_fault(client: RealtimeClient) -> TransportError {
    let mut events = client.events();
    let began = Instant::now();
    client.connect().unwrap();
    let error = fault(&mut events).await;
    assert!(began.elapsed() < SHORT + LATE);
    error
}

/// A server that accepts and says nothing.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn a_connect_that_does_not_end_has_a_deadline() {
    let never = |_target: Target| pending::<io::Result<BoxedIo>>();
    let client = quick("ws://example.org/").transport(short()).connector(never).build().unwrap();
    let error = first_fault(client).await;
    assert_eq!(error, TransportError::TimedOut { stage: Stage::Connect, after: SHORT });
}

#[tokio::test]
async fn an_upgrade_that_is_not_answered_has_a_deadline() {
    let (_listener, address) = silent().await;
    let client = quick(format!("ws://{address}/")).transport(short()).build().unwrap();
    let error = first_fault(client).await;
    assert_eq!(error, TransportError::TimedOut { stage: Stage::Upgrade, after: SHORT });
}

#[tokio::test]
async fn a_greeting_that_is_not_answered_has_a_deadline_and_another_attempt_follows() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/")
        .connector(connector)
        .configure(|config| config.connect_timeout = SHORT)
        .build()
        .unwrap();
    client.connect().unwrap();
    let mut first = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    assert!(soon(first.frame()).await.is_some());
    assert!(soon(first.frame()).await.is_none(), "the client gives the silent socket up");
    let mut second = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    second.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_refused_connection_says_so_and_is_tried_again() {
    let (listener, address) = silent().await;
    drop(listener);
    let client = quick(format!("ws://{address}/")).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    for _ in 0..3 {
        let error = fault(&mut events).await;
        assert!(matches!(error, TransportError::Failed { stage: Stage::Connect, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_no_websocket_is_told_by_its_status() {
    let (listener, address) = silent().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let client = quick(format!("ws://{address}/")).build().unwrap();
    assert_eq!(first_fault(client).await, TransportError::Refused { status: 503 });
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_one_fails() {
    let (listener, address) = silent().await;
    drop(listener);
    let peer = Peer::start().await;
    let client = quick(format!("ws://{address}/")).endpoint(peer.url()).build().unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_resolver_is_asked_before_every_attempt() {
    let peer = Peer::start().await;
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let url = peer.url();
    let resolver = move || {
        sender.send(()).unwrap();
        let url = url.clone();
        async move { Ok::<_, String>(vec![url]) }
    };
    let client = RealtimeClient::resolving()
        .resolver(resolver)
        .configure(|config| config.backoff_base = Duration::from_millis(10))
        .build()
        .unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    peer.cut();
    until(|| peer.behave().connections == 2).await;
    assert!(asked.try_recv().is_ok() && asked.try_recv().is_ok());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/")
        .connector(connector)
        .configure(|config| config.silence_slack = Duration::ZERO)
        .build()
        .unwrap();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult { ping: 1, pong: true, ..ConnectResult::default() }).await;
    let began = Instant::now();
    // It is given up although nothing was closed, and the next socket is opened.
    let next = soon(streams.recv()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900) && began.elapsed() < LATE);
    let mut next = Conn::accept(Box::new(next)).await;
    next.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_write_that_stalls_has_a_deadline_and_its_calls_an_unknown_outcome() {
    let (connector, mut streams) = pipes(256);
    let impatient = TransportOptions { write_timeout: SHORT, ..TransportOptions::default() };
    let client = quick("ws://example.org/").transport(impatient).connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    let began = Instant::now();
    let call = client.channel("room").publish(&"x".repeat(10_000));
    let error = fault(&mut events).await;
    assert_eq!(error, TransportError::TimedOut { stage: Stage::Write, after: SHORT });
    assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT + LATE);
    assert_eq!(soon(call).await.unwrap_err().code, ErrorCode::OutcomeUnknown);
}

#[tokio::test]
async fn a_slow_write_that_moves_is_no_stall() {
    let (connector, mut streams) = pipes(64);
    let patient = TransportOptions { write_timeout: SHORT * 4, ..TransportOptions::default() };
    let client = quick("ws://example.org/").transport(patient).connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    let _call = client.channel("room").publish(&"x".repeat(12_000));
    // 64 bytes now and then: the whole takes several times the deadline of a stall.
    let stream = conn.socket.get_mut();
    let (mut taken, mut some) = (0, [0; 64]);
    while taken < 12_000 {
        tokio::time::sleep(SHORT / 15).await;
        taken += soon(stream.read(&mut some)).await.unwrap();
    }
    client.close(Duration::ZERO).await;
    while let Some(event) = soon(events.next()).await {
        assert!(!matches!(event, Ok(ClientEvent::Transport(_))), "{event:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_heard_all_the_same() {
    let (connector, mut streams) = pipes(1024);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    let calls: Vec<_> = (0..100).map(|_| client.rpc::<()>("swallowed", &"x".repeat(1000))).collect();
    for number in 1..=50_u32 {
        let data = number.to_string();
        let event = PushEvent::Message(homing_core::wire::ServerMessage { data: Some(Raw::trusted(&data)) });
        soon(conn.say(Reply::Push(Push { channel: "".into(), event }))).await;
    }
    let mut heard = 0;
    while heard < 50 {
        if let Some(Ok(ClientEvent::ServerMessage(json))) = soon(events.next()).await {
            heard += 1;
            assert_eq!(json.decode::<u32>().unwrap(), heard);
        }
    }
    drop(calls);
}

#[tokio::test]
async fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
    let (connector, mut streams) = pipes(1024);
    let client = quick("ws://example.org/")
        .connector(connector)
        .outbox(OutboxLimits { bytes: 100_000, ..OutboxLimits::default() })
        .build()
        .unwrap();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    let room = client.channel("room");
    let mut waiting = Vec::new();
    let refused = loop {
        let mut call = room.publish(&"x".repeat(10_000));
        match futures::poll!(&mut call) {
            std::task::Poll::Pending => waiting.push(call),
            std::task::Poll::Ready(settled) => break settled.unwrap_err(),
        }
    };
    assert_eq!((refused.code, waiting.len()), (ErrorCode::QueueFull, 9));
}

#[tokio::test]
async fn a_full_write_buffer_ends_the_connection_with_its_figures() {
    let outgoing = TransportOptions { max_outgoing_bytes: 50_000, ..TransportOptions::default() };
    let (connector, mut streams) = pipes(1024);
    let client = quick("ws://example.org/").transport(outgoing).connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    // Messages that nobody answers settle when the socket takes them, so only its own buffer bounds them.
    soon(async {
        loop {
            let _ = client.send(&"x".repeat(10_000)).await;
            if let Some(Some(Ok(ClientEvent::Transport(error)))) =
                futures::FutureExt::now_or_never(events.next())
            {
                let TransportError::WriteBacklog { queued, maximum } = error else { panic!("{error}") };
                assert!(queued > maximum && queued < maximum + 15_000 && maximum == 50_000);
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pipes_of_a_few_bytes_carry_a_conversation() {
    // Fewer would pass for an attack on the upgrade.
    let (connector, mut streams) = pipes(8);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    client.connect().unwrap();
    let server = async {
        let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
        conn.greet(ConnectResult::default()).await;
        // Both sides write at length before either has read: the client must go on reading.
        let frame = "y".repeat(3_000);
        let data = format!("\"{frame}\"");
        for offset in 0..3 {
            let publication =
                Publication { data: Some(Raw::trusted(&data)), offset, ..Publication::default() };
            let event = PushEvent::Publication(publication);
            conn.say(Reply::Push(Push { channel: "elsewhere".into(), event })).await;
        }
        let frame = conn.frame().await.unwrap();
        assert!(frame.contains(&"x".repeat(3_000)));
    };
    let app = async {
        soon(client.connected()).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(1), client.rpc::<()>("long", &"x".repeat(3_000)))
            .await;
    };
    soon(async { tokio::join!(server, app) }).await;
}

#[tokio::test]
async fn a_binary_frame_is_no_protocol_of_ours() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    futures::SinkExt::send(&mut conn.socket, tokio_tungstenite::tungstenite::Message::binary(vec![1, 2]))
        .await
        .unwrap();
    assert!(matches!(fault(&mut events).await, TransportError::Failed { stage: Stage::Read, .. }));
}

#[tokio::test]
async fn what_the_protocol_does_not_allow_is_counted_and_ends_the_connection() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    client.connect().unwrap();
    for count in 1..=2 {
        let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
        conn.greet(ConnectResult::default()).await;
        soon(client.connected()).await.unwrap();
        assert_eq!(client.protocol_errors(), count - 1);
        let wrong = r#"{"push":{"channel":"a","pub":{"offset":-1,"data":0}}}"#;
        futures::SinkExt::send(&mut conn.socket, tokio_tungstenite::tungstenite::Message::text(wrong))
            .await
            .unwrap();
        while conn.frame().await.is_some() {}
        assert_eq!(client.protocol_errors(), count);
    }
}

#[tokio::test]
async fn headers_reach_the_upgrade() {
    let (connector, mut streams) = pipes(1 << 16);
    let client =
        quick("ws://example.org/room?x=y").header("x-shard", "seven").connector(connector).build().unwrap();
    client.connect().unwrap();
    let mut stream = soon(streams.recv()).await.unwrap();
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        let mut some = [0; 256];
        let read = soon(stream.read(&mut some)).await.unwrap();
        request.push_str(std::str::from_utf8(&some[..read]).unwrap());
    }
    assert!(request.starts_with("GET /room?x=y HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-shard: seven\r\n"), "{request}");
}

#[tokio::test]
async fn options_that_make_no_sense_are_named() {
    let build = |builder: homing::Builder| builder.build().err().unwrap();
    let url = "ws://example.org/";
    let zero = build(quick(url).configure(|config| config.request_timeout = Duration::ZERO));
    assert_eq!(zero, BuildError::ZeroOption { option: "request_timeout" });
    let zero = TransportOptions { write_timeout: Duration::ZERO, ..TransportOptions::default() };
    let zero = build(quick(url).transport(zero));
    assert_eq!(zero, BuildError::ZeroOption { option: "transport.write_timeout" });
    assert_eq!(build(RealtimeClient::resolving()), BuildError::NoEndpoint);
    assert!(matches!(build(quick("http://example.org")), BuildError::Endpoint(_)));
    assert!(matches!(build(quick(url).header("no good", "x")), BuildError::InvalidHeader { .. }));
    let not_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(build(quick(url).data(&not_json)), BuildError::InvalidData(_)));
}

#[test]
fn a_client_without_a_runtime_is_a_typed_error() {
    assert_eq!(RealtimeClient::builder("ws://example.org/").build().err(), Some(BuildError::NoRuntime));
}

#[tokio::test]
async fn a_frame_above_the_limit_ends_the_connection_not_the_client() {
    let (connector, mut streams) = pipes(1 << 16);
    let options = TransportOptions { max_frame_bytes: 1_000, ..TransportOptions::default() };
    let client = quick("ws://example.org/").transport(options).connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    let room = client.channel("room");
    let mut messages = room.messages();
    let data = format!("\"{}\"", "y".repeat(2_000));
    let event =
        PushEvent::Publication(Publication { data: Some(Raw::trusted(&data)), ..Publication::default() });
    conn.say(Reply::Push(Push { channel: "room".into(), event })).await;
    assert!(matches!(fault(&mut events).await, TransportError::Failed { stage: Stage::Read, .. }));
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    assert!(!matches!(
        futures::FutureExt::now_or_never(messages.next()),
        Some(Some(Ok(Delivery::Message(_))))
    ));
}
