//! The Rust client against Homing's own server, which runs in this process on real sockets: restarts with and
//! without the log, drains, faults of the network, and what the server offers beyond the protocol.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing::{Channel, ConnectionState, Delivery, ErrorCode, GapReason, Hint, RealtimeClient};
use homing_server::{Server, api::PublishOptions, config::Span, engine::memory::Memory};
use homing_tests::{
    proxy::{Direction, FaultProxy},
    stage::{Embedded, expect, next, settings, soon, store, until},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// A server on a free port, or in the place of one that was there, over a node of the store.
async fn start(address: Option<SocketAddr>, store: &Memory) -> Embedded {
    let mut config = settings();
    config.client.ping_interval = Span::seconds(2);
    config.client.pong_timeout = Span::seconds(1);
    config.shutdown.drain_window = Span::seconds(1);
    let builder = Server::builder().config(config).engine(Arc::new(store.node()));
    Embedded::launch(builder.procedure("echo", |_, data| async move { Ok(data) }), address).await
}

fn client(url: String) -> RealtimeClient {
    let client = RealtimeClient::builder(url)
        .configure(|config| {
            config.backoff_floor = Duration::from_millis(20);
            config.backoff_base = Duration::from_millis(50);
            config.backoff_cap = Duration::from_millis(200);
            config.silence_slack = Duration::from_millis(500);
            config.probe_timeout = Duration::from_millis(500);
        })
        .build()
        .unwrap();
    client.connect().unwrap();
    client
}

fn through(proxy: &FaultProxy) -> String {
    format!("ws://{}/connection/websocket", proxy.address())
}

/// Publishes until the server has taken it; `true`: the first attempt was not answered, and may count.
async fn insist(room: &Channel, number: u64) -> bool {
    let mut doubtful = false;
    loop {
        match soon(room.publish(&number)).await {
            Ok(_) => return doubtful,
            Err(error) => {
                doubtful |= error.code == ErrorCode::OutcomeUnknown;
                assert!(error.retryable || error.code == ErrorCode::OutcomeUnknown, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn the_server_tells_what_it_offers_and_where_a_message_stands() {
    let server = start(None, &store()).await;
    let client = client(server.url());
    let session = soon(client.connected()).await.unwrap();
    assert_eq!(session.max_message_bytes, 64 * 1024);
    let room = client.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    for number in 1..=20 {
        let published = soon(room.publish(&number)).await.unwrap();
        let Some(Ok(Delivery::Message(message))) = soon(messages.next()).await else { panic!("no message") };
        assert_eq!((message.offset, published.position), (number, messages.position()));
    }
    let large = "x".repeat(65 * 1024);
    assert_eq!(soon(room.publish(&large)).await.unwrap_err().code, ErrorCode::MessageTooLarge);
    assert_eq!(soon(client.rpc::<u32>("nothing", &1)).await.unwrap_err().code, ErrorCode::MethodNotFound);
    assert_eq!(soon(client.channel("other:room").join()).await.unwrap_err().code, ErrorCode::UnknownChannel);
}

#[tokio::test]
async fn a_hint_probes_a_connection_that_lives_and_it_stays() {
    let server = start(None, &store()).await;
    let client = client(server.url());
    let session = soon(client.connected()).await.unwrap();
    // A probe is made only where nothing was heard for a moment.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.hint(Hint::Resumed);
    let echoed: u32 = soon(client.rpc("echo", &1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(echoed, 1);
    assert_eq!(client.state(), ConnectionState::Connected(session));
}

#[tokio::test]
async fn a_flow_through_restarts_loses_and_doubles_nothing() {
    let store = store();
    let mut server = start(None, &store).await;
    let address = server.address;
    let (reader, writer) = (client(server.url()), client(server.url()));
    let room = reader.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let out = writer.channel("chat:room");
    soon(out.join()).await.unwrap();
    let restarting = async {
        for round in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            if round % 2 == 0 {
                soon(server.handle.drain()).await;
            }
            drop(server);
            server = start(Some(address), &store).await;
        }
        server
    };
    let mut doubtful = Vec::new();
    let writing = async {
        for number in 1..=1500_u64 {
            if insist(&out, number).await {
                doubtful.push(number);
            }
            // The flow lasts about as long as the restarts.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut seen = Vec::new();
    let reading = async {
        while seen.last() != Some(&1500) {
            seen.push(next(&mut messages).await);
        }
    };
    let (_server, (), ()) = tokio::join!(restarting, writing, reading);
    // What stood in doubt was sent again, so it may be there twice, and only that.
    let mut counts = BTreeMap::new();
    for number in &seen {
        *counts.entry(*number).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 1500);
    for (number, count) in counts {
        assert!(count == 1 || count == 2 && doubtful.contains(&number), "{number} came {count} times");
    }
    assert!(seen.is_sorted());
    assert_eq!(messages.position().unwrap().offset, seen.len() as u64);
}

#[tokio::test]
async fn a_drain_moves_everybody_without_a_gap() {
    let store = store();
    let server = start(None, &store).await;
    let address = server.address;
    let clients: Vec<_> = (0..20).map(|_| client(server.url())).collect();
    let mut streams = Vec::new();
    for client in &clients {
        let room = client.channel("chat:room");
        streams.push(room.messages());
        soon(room.join()).await.unwrap();
    }
    server.handle.publish("chat:room", "1", PublishOptions::default()).await.unwrap();
    soon(server.handle.drain()).await;
    assert_eq!(server.handle.connections(), 0);
    drop(server);
    let server = start(Some(address), &store).await;
    server.handle.publish("chat:room", "2", PublishOptions::default()).await.unwrap();
    for messages in &mut streams {
        expect(messages, 1..=2).await;
    }
    drop((streams, clients));
    until(|| server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_server_that_lost_its_log_is_one_gap() {
    let server = start(None, &store()).await;
    let address = server.address;
    let reader = client(server.url());
    let room = reader.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    for number in 1..=5 {
        server.handle.publish("chat:room", &number.to_string(), PublishOptions::default()).await.unwrap();
    }
    expect(&mut messages, 1..=5).await;
    drop(server);
    let server = start(Some(address), &store()).await;
    let Some(Ok(Delivery::Gap(gap))) = soon(messages.next()).await else { panic!("no gap") };
    assert_eq!(gap.reason, GapReason::EpochChanged);
    server.handle.publish("chat:room", "6", PublishOptions::default()).await.unwrap();
    expect(&mut messages, 6..=6).await;
}

#[tokio::test]
async fn every_fault_of_the_network_is_survived_by_reader_and_writer() {
    let server = start(None, &store()).await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    let (reader, writer) = (client(through(&proxy)), client(through(&proxy)));
    let room = reader.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let out = writer.channel("chat:room");
    soon(out.join()).await.unwrap();
    let mut doubtful = Vec::new();
    let mut expected = 0;
    type Fault = (&'static str, fn(&FaultProxy));
    let faults: [Fault; 7] = [
        ("cut", FaultProxy::cut),
        ("reset", FaultProxy::reset),
        ("half-close up", |proxy| proxy.half_close(Direction::Up)),
        ("half-close down", |proxy| proxy.half_close(Direction::Down)),
        ("blackhole", |proxy| proxy.apply("blackhole".parse().unwrap())),
        ("stall", |proxy| proxy.apply("stall".parse().unwrap())),
        ("slow", |proxy| proxy.apply("throttle 20000".parse().unwrap())),
    ];
    for (name, fault) in faults {
        let before = expected;
        fault(&proxy);
        let healing = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            proxy.clear();
        };
        let writing = async {
            for number in before + 1..=before + 30 {
                if insist(&out, number).await {
                    doubtful.push(number);
                }
            }
        };
        let reading = async {
            let mut last = before;
            while last < before + 30 {
                let number = next(&mut messages).await;
                assert!(number == last || number == last + 1, "{name}: {number} came behind {last}");
                last = number;
            }
        };
        soon(async { tokio::join!(healing, writing, reading) }).await;
        // What was in doubt may have come twice; the rest of it is behind the last one.
        expected += 30;
    }
    assert!(doubtful.len() < 60, "{doubtful:?}");
}

#[tokio::test]
async fn a_crowd_that_comes_and_goes_leaves_no_connection() {
    let server = start(None, &store()).await;
    for _ in 0..10 {
        let clients: Vec<_> = (0..20).map(|_| client(server.url())).collect();
        for (number, client) in clients.iter().enumerate() {
            let room = client.channel("chat:room");
            match number % 3 {
                0 => drop(soon(room.join()).await.unwrap()),
                1 => drop(room.messages()),
                _ => soon(client.close(Duration::from_secs(1))).await,
            }
        }
    }
    until(|| server.handle.connections() == 0).await;
}
