//! The life of a client: what starts it, what ends it, and that nothing is left behind.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod peer;

use futures::FutureExt;
use homing::{
    ChannelEvent, ClientEvent, Clock, ConnectionState, ErrorCode, Health, Hint, RealtimeClient, TokenRefusal,
};
use homing_core::wire::{
    ConnectResult, ErrorCode as WireError, PushEvent, Raw, ServerMessage, SubscribeResult,
};
use peer::{Conn, Peer, pipes, quick, soon, until};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// A client over pipes, with the server's end of its first connection.
async fn wired() -> (RealtimeClient, Conn) {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    (client, conn)
}

#[tokio::test]
async fn nothing_opens_before_connect() {
    let peer = Peer::start().await;
    let client = peer.client();
    let room = client.channel("room");
    let _messages = room.messages();
    let _call = room.publish(&1);
    assert_eq!(soon(client.connected()).await.unwrap_err().code, ErrorCode::Disconnected);
    assert_eq!(peer.behave().connections, 0);
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    assert_eq!(peer.behave().connections, 1);
}

#[tokio::test]
async fn the_last_handle_ends_task_and_socket() {
    let before = tasks();
    let (client, mut conn) = wired().await;
    let clone = client.clone();
    let room = client.channel("room");
    let messages = room.messages();
    let call = room.publish(&1);
    // The subscribe and the publish.
    assert!(soon(conn.frame()).await.is_some());
    drop((client, clone, room));
    assert_eq!(tasks(), before + 1, "a stream and a call are still held");
    drop(messages);
    drop(call);
    soon(async { while conn.frame().await.is_some() {} }).await;
    drop(conn);
    until(|| tasks() == before).await;
}

#[tokio::test]
async fn a_client_dropped_in_any_state_leaves_no_task() {
    let before = tasks();
    let peer = Peer::start().await;
    let serving = tasks();
    // Never connected; connecting to nobody; waiting to try again; waiting for a token; connected.
    drop(peer.client());
    let client = quick("ws://127.0.0.1:1/").build().unwrap();
    client.connect().unwrap();
    let mut state = client.watch_state();
    let waits =
        |state: &ConnectionState| matches!(state, ConnectionState::Connecting { retry_at: Some(_), .. });
    soon(state.wait_for(waits)).await.unwrap();
    drop(client);
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let token = move |_| {
        counter.fetch_add(1, Relaxed);
        std::future::pending::<Result<String, TokenRefusal>>()
    };
    let client = quick(peer.url()).token_provider(token).build().unwrap();
    client.connect().unwrap();
    until(|| asked.load(Relaxed) == 1).await;
    drop(client);
    let client = peer.client();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    drop((client, state));
    until(|| tasks() == serving).await;
    drop(peer);
    until(|| tasks() == before).await;
}

#[tokio::test]
async fn event_streams_do_not_keep_a_client_alive() {
    let peer = Peer::start().await;
    let client = peer.client();
    let mut events = client.events();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    drop(client);
    soon(async { while events.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn close_waits_for_what_is_under_way_and_no_longer() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let calls: Vec<_> = (0..100).map(|number| client.channel("room").publish(&number)).collect();
    let (first, second) = (client.close(Duration::from_secs(20)), client.close(Duration::from_secs(20)));
    soon(async { tokio::join!(first, second) }).await;
    for call in calls {
        assert!(call.now_or_never().expect("settled").is_ok());
    }
    assert_eq!(client.state(), ConnectionState::Closed);
}

#[tokio::test]
async fn close_returns_by_its_deadline_whatever_the_server_does() {
    let deadline = Duration::from_millis(200);
    // A server that is away.
    let away = quick("ws://127.0.0.1:1/").build().unwrap();
    away.connect().unwrap();
    let call = away.channel("room").publish(&1);
    // A server that has stopped to answer, to read, and to say goodbye.
    let (silent, _conn) = wired().await;
    let other = silent.channel("room").publish(&2);
    for (client, call, error) in [(away, call, ErrorCode::Closed), (silent, other, ErrorCode::OutcomeUnknown)]
    {
        let began = Instant::now();
        soon(client.close(deadline)).await;
        assert!(began.elapsed() < deadline + Duration::from_secs(2));
        assert_eq!(soon(call).await.unwrap_err().code, error);
    }
}

#[tokio::test]
async fn everything_after_close_is_a_typed_error_and_streams_end() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let (mut messages, mut events) = (room.messages(), room.events());
    soon(room.join()).await.unwrap();
    soon(client.close(Duration::from_secs(1))).await;
    assert!(soon(messages.next()).await.is_none());
    soon(async { while events.next().await.is_some() {} }).await;
    assert_eq!(client.connect().unwrap_err().code, ErrorCode::Closed);
    assert_eq!(soon(client.connected()).await.unwrap_err().code, ErrorCode::Closed);
    assert_eq!(soon(client.disconnected()).await.code, ErrorCode::Closed);
    assert_eq!(soon(room.publish(&1)).await.unwrap_err().code, ErrorCode::Closed);
    assert_eq!(soon(room.join()).await.unwrap_err().code, ErrorCode::Closed);
    assert_eq!(soon(room.messages().next()).await.unwrap().unwrap_err().code, ErrorCode::Closed);
    soon(client.close(Duration::from_secs(1))).await;
    client.disconnect();
    client.hint(Hint::Online);
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let peer = Peer::start().await;
    let before = tasks();
    for round in 0..200 {
        let client = peer.client();
        client.connect().unwrap();
        let room = client.channel("room");
        let _messages = room.messages();
        if round % 2 == 0 {
            soon(room.join()).await.unwrap();
            soon(client.close(Duration::from_secs(1))).await;
        }
    }
    until(|| tasks() == before).await;
}

#[tokio::test]
async fn disconnect_rests_until_connect_and_channels_come_back() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut events = room.events();
    soon(room.join()).await.unwrap();
    client.disconnect();
    assert_eq!(soon(client.disconnected()).await.code, ErrorCode::Disconnected);
    assert_eq!(client.health(), Health::Ok);
    client.hint(Hint::Online);
    peer.publish("room", "1");
    client.connect().unwrap();
    soon(room.join()).await.unwrap();
    assert_eq!(peer.behave().connections, 2);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match soon(events.next()).await.unwrap().unwrap() {
            ChannelEvent::Subscribing(_) => seen.push("subscribing"),
            ChannelEvent::Subscribed(subscribed) => {
                seen.push("subscribed");
                assert_eq!(subscribed.was_recovering, seen.len() > 2);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["subscribing", "subscribed", "subscribing", "subscribed"]);
}

#[tokio::test]
async fn a_refusal_for_good_is_told_and_ends_the_trying() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 3500.into(),
        reason: "invalid token".into(),
    };
    conn.socket.close(Some(close)).await.unwrap();
    let error = soon(client.disconnected()).await;
    assert_eq!(
        (error.code, error.number, &*error.detail),
        (ErrorCode::ClosedByServer, 3500, "invalid token")
    );
    assert_eq!(client.health(), Health::Lost);
    assert!(streams.try_recv().is_err());
}

/// A clock whose wall hand a test can move.
#[derive(Clone)]
struct Hands {
    started: Instant,
    slept: Arc<AtomicU64>,
}

impl Clock for Hands {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
    fn wall(&self) -> Duration {
        Duration::from_secs(1_000_000 + self.slept.load(Relaxed)) + self.started.elapsed()
    }
}

#[tokio::test]
async fn after_a_sleep_a_dead_socket_is_found_and_replaced_within_seconds() {
    let hands = Hands { started: Instant::now(), slept: Arc::default() };
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/")
        .connector(connector)
        .clock(hands.clone())
        .configure(|config| config.probe_timeout = Duration::from_millis(300))
        .build()
        .unwrap();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult { ping: 25, pong: true, ..ConnectResult::default() }).await;
    soon(client.connected()).await.unwrap();
    hands.slept.store(600, Relaxed);
    let woke = Instant::now();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    assert!(woke.elapsed() < Duration::from_secs(4));
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn health_worries_later_than_the_state() {
    let peer = Peer::start().await;
    let client = quick(peer.url())
        .configure(|config| {
            config.degraded_after = Duration::from_millis(50);
            config.lost_after = Duration::from_millis(150);
        })
        .build()
        .unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    let mut health = client.watch_health();
    assert_eq!(client.health(), Health::Ok);
    drop(peer);
    for expected in [Health::Degraded, Health::Lost] {
        soon(health.wait_for(|health| *health == expected)).await.unwrap();
    }
    assert!(client.retry_at().is_some() || matches!(client.state(), ConnectionState::Connecting { .. }));
}

#[tokio::test]
async fn what_the_server_subscribes_is_told_to_those_who_watch_the_client() {
    let (connector, mut streams) = pipes(1 << 16);
    let client = quick("ws://example.org/").connector(connector).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    let subs = vec![(
        "personal".into(),
        SubscribeResult { epoch: "e".into(), recoverable: true, ..Default::default() },
    )];
    conn.greet(ConnectResult { subs, ..ConnectResult::default() }).await;
    soon(async {
        loop {
            match events.next().await.unwrap().unwrap() {
                ClientEvent::ServerSubscribed { channel } => assert_eq!(&*channel, "personal"),
                ClientEvent::ServerChannel { channel, event: ChannelEvent::Subscribed(_) } => {
                    assert_eq!(&*channel, "personal");
                    return;
                }
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn events_that_nobody_reads_are_counted_not_kept() {
    let (connector, mut streams) = pipes(1 << 20);
    let limits = homing::BufferLimits { items: 10, bytes: 1000 };
    let client = quick("ws://example.org/").connector(connector).buffer(limits).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    let mut conn = Conn::accept(Box::new(soon(streams.recv()).await.unwrap())).await;
    conn.greet(ConnectResult::default()).await;
    soon(client.connected()).await.unwrap();
    for _ in 0..50 {
        conn.tell("", PushEvent::Message(ServerMessage { data: Some(Raw::trusted("1")) })).await;
    }
    // Its answer tells that all before it were taken in.
    let asked = client.rpc::<()>("anything", &());
    conn.refuse(WireError::MethodNotFound).await;
    assert_eq!(soon(asked).await.unwrap_err().code, ErrorCode::MethodNotFound);
    let lagged = soon(events.next()).await.unwrap().unwrap_err();
    assert!(lagged.0 >= 40, "{lagged}");
    for _ in 0..10 {
        assert!(matches!(soon(events.next()).await, Some(Ok(ClientEvent::ServerMessage(_)))));
    }
}

#[test]
fn a_runtime_that_ends_closes_the_client() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let (client, mut messages) = first.block_on(async {
        let peer = Peer::start().await;
        let client = peer.client();
        client.connect().unwrap();
        soon(client.connected()).await.unwrap();
        (client.clone(), client.channel("room").messages())
    });
    drop(first);
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        assert_eq!(soon(client.rpc::<u32>("echo", &1)).await.unwrap_err().code, ErrorCode::Closed);
        assert_eq!(soon(client.disconnected()).await.code, ErrorCode::Closed);
        assert!(soon(messages.next()).await.is_none());
        soon(client.close(Duration::from_secs(1))).await;
    });
}

#[tokio::test]
async fn a_stream_can_be_read_on_a_thread_without_a_runtime() {
    let peer = Peer::start().await;
    peer.publish("room", "1");
    // The page of history is refused for the moment, and asked for again after a wait.
    peer.behave().history = Some(WireError::Internal);
    let client = peer.client();
    client.connect().unwrap();
    let mut messages = client.channel("room").messages_from(5);
    let reading = std::thread::spawn(move || futures::executor::block_on(messages.next()));
    until(|| peer.seen("history") > 0).await;
    peer.behave().history = None;
    until(|| reading.is_finished()).await;
    assert!(matches!(reading.join().unwrap(), Some(Ok(homing::Delivery::Message(_)))));
}

#[test]
fn handles_and_streams_can_go_to_other_threads() {
    fn anywhere<T: Send + Sync + 'static>() {}
    fn elsewhere<T: Send + 'static>() {}
    anywhere::<RealtimeClient>();
    anywhere::<homing::Channel>();
    elsewhere::<homing::Messages>();
    elsewhere::<homing::ChannelEvents>();
    elsewhere::<homing::ClientEvents>();
    elsewhere::<homing::Call<homing::Published>>();
}
