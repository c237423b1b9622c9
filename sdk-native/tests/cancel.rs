//! Every future and stream of the client can be dropped wherever it waits: nothing is lost, nothing leaks, and
//! the client goes on.

mod peer;

use futures::future::BoxFuture;
use homing::{Channel, Decode, Delivery, HistoryQuery, RealtimeClient};
use peer::{Peer, quick, soon, until};
use std::{task::Poll, time::Duration};
use tokio::runtime::Handle;

/// Polls a future that often, everybody else having a turn in between, and drops it where it stands.
async fn abandon<T>(mut work: BoxFuture<'_, T>, polls: usize) {
    for _ in 0..polls {
        if futures::poll!(&mut work).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Every future that an app can hold.
fn all<'a>(client: &'a RealtimeClient, room: &'a Channel) -> Vec<BoxFuture<'a, ()>> {
    vec![
        Box::pin(async { drop(client.connected().await) }),
        Box::pin(async { drop(client.disconnected().await) }),
        Box::pin(async { drop(client.rpc::<u32>("echo", &1).await) }),
        Box::pin(async { drop(client.send(&1).await) }),
        Box::pin(async { drop(client.events().next().await) }),
        Box::pin(async { drop(room.join().await) }),
        Box::pin(async { drop(room.snapshot().await) }),
        Box::pin(async { drop(room.publish(&"dropped").await) }),
        Box::pin(async { drop(room.history(HistoryQuery { limit: 10, ..HistoryQuery::default() }).await) }),
        Box::pin(async { drop(room.presence().get().await) }),
        Box::pin(async { drop(room.presence().stats().await) }),
        Box::pin(async { drop(room.messages().next().await) }),
        Box::pin(async { drop(room.messages_from(5).next().await) }),
        Box::pin(async { drop(room.events().next().await) }),
    ]
}

#[tokio::test]
async fn a_future_may_be_dropped_wherever_it_waits() {
    let peer = Peer::start().await;
    let base = Handle::current().metrics().num_alive_tasks();
    for connected in [true, false] {
        // So few calls that one which leaked would be noticed.
        let client = quick(peer.url()).configure(|config| config.max_requests = 4).build().unwrap();
        if connected {
            client.connect().unwrap();
            soon(client.connected()).await.unwrap();
        }
        let count = all(&client, &client.channel("room")).len();
        for which in 0..count {
            for polls in 0..12 {
                let room = client.channel("room");
                let work = all(&client, &room).swap_remove(which);
                abandon(work, polls).await;
            }
        }
        client.connect().unwrap();
        let room = client.channel("fresh");
        let mut messages = room.messages();
        soon(room.join()).await.unwrap();
        // The driver may not have seen the last drop yet.
        soon(async {
            while room.publish(&"kept").await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let Some(Ok(Delivery::Message(message))) = soon(messages.next()).await else { panic!("no message") };
        assert_eq!(message.decode::<String>().unwrap(), "kept");
        peer.trim("fresh", 0);
        abandon(Box::pin(client.close(Duration::from_secs(5))), 1).await;
        soon(client.disconnected()).await;
        drop((messages, room, client));
    }
    until(|| Handle::current().metrics().num_alive_tasks() <= base).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_between_any_two_polls_loses_nothing() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages_buffered(homing::BufferLimits { items: 16, bytes: 10_000 });
    soon(room.join()).await.unwrap();
    let publishing = async {
        for number in 1..=2000 {
            peer.publish("room", &number.to_string());
            if number % 50 == 0 {
                tokio::task::yield_now().await;
            }
            if number % 500 == 0 {
                peer.cut();
            }
        }
    };
    let reading = async {
        let mut dice = 7_u32;
        for number in 1..=2000_u64 {
            loop {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let mut next = Box::pin(messages.next());
                let mut found = None;
                for _ in 0..=(dice >> 24) % 3 {
                    if let Poll::Ready(item) = futures::poll!(&mut next) {
                        found = Some(item);
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let Some(item) = found else { continue };
                let Some(Ok(Delivery::Message(message))) = item else { panic!("{item:?} at {number}") };
                assert_eq!((message.offset, message.decode::<u64>().unwrap()), (number, number));
                break;
            }
        }
    };
    soon(async { tokio::join!(publishing, reading) }).await;
}

#[tokio::test]
async fn a_call_can_be_awaited_in_pieces() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let mut call = client.channel("room").publish(&1);
    let published = soon(async {
        loop {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                published = &mut call => return published,
            }
        }
    })
    .await;
    assert_eq!(published.unwrap().position.unwrap().offset, 1);
}
