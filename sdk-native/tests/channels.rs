//! Reading and writing channels: order, recovery, history, slow readers, and leaving.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]
mod peer;

use homing::{
    BufferLimits, ChannelEvent, Decode, Delivery, ErrorCode, GapReason, Lagged, Messages, OutboxLimits,
    Publishing, SubscribeOptions, SubscriptionState,
};
use homing_core::wire;
use peer::{Peer, quick, soon, until};

/// The next message's number, which the tests publish as payload.
async fn number(messages: &mut Messages) -> u64 {
    match soon(messages.next()).await.expect("an item").expect("no end") {
        Delivery::Message(message) => message.decode().unwrap(),
        other => panic!("{other:?} came instead of a message"),
    }
}

async fn numbers(messages: &mut Messages, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < count {
        found.push(number(messages).await);
    }
    found
}

fn publish(peer: &Peer, channel: &str, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| {
        peer.publish(channel, &number.to_string());
    });
}

#[tokio::test]
async fn messages_come_in_order_with_their_place() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    for number in 1..=50 {
        let published = soon(room.publish(&number)).await.unwrap();
        assert_eq!(published.position.unwrap().offset, number);
        assert_eq!(published.time, 7);
    }
    assert_eq!(numbers(&mut messages, 50).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(messages.position().unwrap().offset, 50);
}

#[tokio::test]
async fn publishing_keeps_the_order_of_the_calls_made_before_connecting() {
    let peer = Peer::start().await;
    let client = peer.client();
    let room = client.channel("room");
    let calls: Vec<_> = (1..=100_u64).map(|number| room.publish(&number)).collect();
    client.connect().unwrap();
    for (call, number) in calls.into_iter().zip(1..) {
        assert_eq!(soon(call).await.unwrap().position.unwrap().offset, number);
    }
}

#[tokio::test]
async fn what_was_missed_during_a_cut_follows_before_anything_newer() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 1..=3);
    assert_eq!(numbers(&mut messages, 3).await, [1, 2, 3]);
    for round in 0..5 {
        let next = 4 + round * 10;
        let before = peer.behave().connections;
        peer.cut();
        publish(&peer, "room", next..=next + 9);
        assert_eq!(numbers(&mut messages, 10).await, (next..=next + 9).collect::<Vec<_>>());
        assert!(peer.behave().connections > before);
    }
}

#[tokio::test]
async fn what_the_history_has_dropped_is_one_gap() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 1..=2);
    assert_eq!(numbers(&mut messages, 2).await, [1, 2]);
    client.disconnect();
    until(|| matches!(client.state(), homing::ConnectionState::Disconnected { .. })).await;
    publish(&peer, "room", 3..=20);
    peer.trim("room", 5);
    client.connect().unwrap();
    let Some(Ok(Delivery::Gap(gap))) = soon(messages.next()).await else { panic!("no gap") };
    assert_eq!((gap.from.offset, gap.to.offset, gap.reason), (3, 15, GapReason::Retention));
    assert_eq!(numbers(&mut messages, 5).await, [16, 17, 18, 19, 20]);
}

#[tokio::test]
async fn history_joins_the_live_messages_without_a_hole_or_a_double() {
    let peer = Peer::start().await;
    publish(&peer, "room", 1..=250);
    peer.behave().page = 30;
    let client = peer.client();
    client.connect().unwrap();
    let mut messages = client.channel("room").messages_from(100);
    let publishing = async {
        for number in 251..=400 {
            peer.publish("room", &number.to_string());
            tokio::task::yield_now().await;
        }
    };
    let (found, ()) = tokio::join!(numbers(&mut messages, 100), publishing);
    let first = found[0];
    assert!(first >= 151, "the last hundred begin at {first}");
    assert_eq!(found, (first..first + 100).collect::<Vec<_>>());
    let left = numbers(&mut messages, usize::try_from(400 - first - 99).unwrap()).await;
    assert_eq!(left, (first + 100..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn history_that_may_not_be_read_is_a_gap_in_its_place() {
    let peer = Peer::start().await;
    publish(&peer, "room", 1..=9);
    peer.behave().history = Some(wire::ErrorCode::PermissionDenied);
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages_from(5);
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 10..=10);
    let Some(Ok(Delivery::Gap(gap))) = soon(messages.next()).await else { panic!("no gap") };
    assert_eq!((gap.to.offset, gap.reason), (9, GapReason::HistoryUnavailable));
    assert_eq!(number(&mut messages).await, 10);
}

#[tokio::test]
async fn a_slow_reader_goes_on_from_the_history() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut slow = room.messages_buffered(BufferLimits { items: 4, bytes: 1_000_000 });
    let mut fast = room.messages();
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 1..=1000);
    assert_eq!(numbers(&mut fast, 1000).await.len(), 1000);
    assert_eq!(numbers(&mut slow, 500).await, (1..=500).collect::<Vec<_>>());
    publish(&peer, "room", 1001..=1500);
    assert_eq!(numbers(&mut fast, 500).await.len(), 500);
    assert_eq!(numbers(&mut slow, 1000).await, (501..=1500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_reader_without_a_history_gets_one_gap() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut slow = room.messages_buffered(BufferLimits { items: 4, bytes: 1_000_000 });
    let mut fast = room.messages();
    soon(room.join()).await.unwrap();
    peer.behave().history = Some(wire::ErrorCode::PermissionDenied);
    publish(&peer, "room", 1..=20);
    assert_eq!(numbers(&mut fast, 20).await.len(), 20);
    // The mark that tells the place takes the room of one.
    let mut next = 1;
    let gap = loop {
        match soon(slow.next()).await.unwrap().unwrap() {
            Delivery::Message(message) => {
                assert_eq!(message.offset, next);
                next += 1;
            }
            Delivery::Gap(gap) => break gap,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((gap.from.offset, gap.to.offset, gap.reason), (next, 20, GapReason::Lagged));
    publish(&peer, "room", 21..=21);
    assert_eq!(number(&mut slow).await, 21);
}

#[tokio::test]
async fn a_slow_reader_of_a_channel_without_positions_is_told_how_many_it_lost() {
    let peer = Peer::start().await;
    peer.behave().positioned = false;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut slow = room.messages_buffered(BufferLimits { items: 4, bytes: 1_000_000 });
    let mut fast = room.messages();
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 1..=20);
    assert_eq!(numbers(&mut fast, 20).await.len(), 20);
    let Some(Ok(Delivery::Lagged(Lagged(lost)))) = soon(slow.next()).await else { panic!("no loss told") };
    let found = numbers(&mut slow, 4).await;
    assert_eq!(found, [17, 18, 19, 20]);
    // The mark of the start is an item as well.
    assert_eq!(lost, 17);
}

#[tokio::test]
async fn a_refused_subscription_ends_its_streams_with_the_reason() {
    let peer = Peer::start().await;
    peer.behave().subscribe = Some(wire::ErrorCode::PermissionDenied);
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let (mut messages, mut events) = (room.messages(), room.events());
    assert_eq!(soon(room.join()).await.unwrap_err().code, ErrorCode::PermissionDenied);
    let error = soon(messages.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert!(soon(messages.next()).await.is_none());
    let mut last = None;
    while let Some(event) = soon(events.next()).await {
        last = Some(event.unwrap());
    }
    assert!(matches!(last, Some(ChannelEvent::Unsubscribed(reason)) if reason.code == 103));
    // A new attempt is a new subscription.
    peer.behave().subscribe = None;
    soon(room.join()).await.unwrap();
}

#[tokio::test]
async fn the_server_can_end_a_subscription_for_good() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    peer.unsubscribe("room", 2000);
    let error = soon(messages.next()).await.unwrap().unwrap_err();
    assert_eq!((error.code, error.number), (ErrorCode::Unsubscribed, 2000));
    assert_eq!(soon(room.snapshot()).await.state, SubscriptionState::Unsubscribed);
}

#[tokio::test]
async fn handles_share_one_subscription_and_the_last_one_leaves() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let (one, two) = (client.channel("room"), client.channel("room"));
    soon(one.join()).await.unwrap();
    soon(two.join()).await.unwrap();
    let mut messages = two.messages();
    one.leave();
    drop(one);
    publish(&peer, "room", 1..=1);
    assert_eq!(number(&mut messages).await, 1);
    assert_eq!((peer.seen("subscribe"), peer.seen("unsubscribe")), (1, 0));
    drop(messages);
    two.leave();
    until(|| peer.seen("unsubscribe") == 1).await;
    assert_eq!(peer.seen("subscribe"), 1);
}

#[tokio::test]
async fn nothing_comes_after_leave_and_a_stream_that_waits_ends() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let (mut read, mut waiting) = (room.messages(), room.messages());
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 1..=2);
    assert_eq!(numbers(&mut waiting, 2).await, [1, 2]);
    let waiting = tokio::spawn(async move { waiting.next().await });
    room.leave();
    assert!(soon(read.next()).await.is_none());
    assert!(soon(waiting).await.unwrap().is_none());
    // The handle can be used again.
    let mut again = room.messages();
    soon(room.join()).await.unwrap();
    publish(&peer, "room", 3..=3);
    assert_eq!(number(&mut again).await, 3);
}

#[tokio::test]
async fn leaving_and_joining_in_the_same_breath_makes_no_traffic() {
    let peer = Peer::start().await;
    let client = quick(peer.url())
        .configure(|config| config.linger = std::time::Duration::from_millis(500))
        .build()
        .unwrap();
    client.connect().unwrap();
    let room = client.channel("room");
    soon(room.join()).await.unwrap();
    for _ in 0..50 {
        room.leave();
        soon(room.join()).await.unwrap();
    }
    assert_eq!((peer.seen("subscribe"), peer.seen("unsubscribe")), (1, 0));
}

#[tokio::test]
async fn two_handles_with_different_options_are_a_typed_error() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    soon(async {
        let room = client.channel("room");
        room.join().await.unwrap();
        let options = SubscribeOptions { join_leave: true, ..SubscribeOptions::default() };
        let other = client.channel_with("room", options);
        assert_eq!(other.join().await.unwrap_err().code, ErrorCode::OptionsConflict);
        let error = other.messages().next().await.unwrap().unwrap_err();
        assert_eq!(error.code, ErrorCode::OptionsConflict);
    })
    .await;
}

#[tokio::test]
async fn a_position_kept_by_the_app_is_continued_from() {
    let peer = Peer::start().await;
    publish(&peer, "room", 1..=10);
    let since = homing::Position { epoch: "e1".into(), offset: 4 };
    let client = peer.client();
    client.connect().unwrap();
    let options = SubscribeOptions { since: Some(since), ..SubscribeOptions::default() };
    let mut messages = client.channel_with("room", options).messages();
    assert_eq!(numbers(&mut messages, 6).await, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_message_that_is_taken_back_before_it_was_sent_never_is_and_one_that_is_dropped_is_sent() {
    let peer = Peer::start().await;
    let client = peer.client();
    let room = client.channel("room");
    let cancelled = room.publish(&"cancelled");
    drop(room.publish(&"dropped"));
    let kept = room.publish(&"kept");
    soon(cancelled.cancel()).await.unwrap();
    assert_eq!(soon(cancelled).await.unwrap_err().code, ErrorCode::Cancelled);
    client.connect().unwrap();
    assert_eq!(soon(kept).await.unwrap().position.unwrap().offset, 2);
    assert_eq!(peer.seen("publish"), 2);
}

#[tokio::test]
async fn what_was_sent_and_not_answered_has_an_unknown_outcome() {
    let peer = Peer::start().await;
    peer.behave().mute = true;
    let client = peer.client();
    client.connect().unwrap();
    let call = client.channel("room").publish(&1);
    until(|| peer.seen("publish") == 1).await;
    peer.cut();
    assert_eq!(soon(call).await.unwrap_err().code, ErrorCode::OutcomeUnknown);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let peer = Peer::start().await;
    let client = quick(peer.url())
        .configure(|config| {
            config.max_message_bytes = 50;
        })
        .outbox(OutboxLimits { entries: 3, bytes: 100, ..OutboxLimits::default() })
        .build()
        .unwrap();
    let room = client.channel("room");
    let refused = |call: &Publishing| {
        let error = call.refusal().expect("a refusal at the call").clone();
        (error.code, error.limit.map(|limit| (limit.actual, limit.maximum)))
    };
    let large = room.publish(&"x".repeat(60));
    assert_eq!(refused(&large), (ErrorCode::MessageTooLarge, Some((62, 50))));
    assert_eq!(soon(large).await.unwrap_err().code, ErrorCode::MessageTooLarge);
    let not_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(refused(&room.publish(&not_json)), (ErrorCode::InvalidPayload, None));
    assert_eq!(soon(client.channel("").publish(&1)).await.unwrap_err().code, ErrorCode::InvalidChannel);
    assert!(client.outbox().is_empty());
    let calls: Vec<_> = (0..3).map(|number| room.publish(&number)).collect();
    assert_eq!(refused(&room.publish(&4)), (ErrorCode::QueueFull, Some((4, 3))));
    soon(client.outbox().edit(calls[0].id(), &"x".repeat(46))).await.unwrap();
    let full = soon(client.outbox().edit(calls[1].id(), &"x".repeat(49))).await.unwrap_err();
    assert_eq!((full.code, full.limit.unwrap().maximum), (ErrorCode::MessageTooLarge, 50));
    soon(client.outbox().edit(calls[1].id(), &"x".repeat(48))).await.unwrap();
    let full = soon(client.outbox().edit(calls[2].id(), &"yy")).await.unwrap_err();
    assert_eq!((full.code, full.limit.unwrap().actual), (ErrorCode::QueueFull, 102));
    assert_eq!((client.outbox().len(), client.outbox().bytes()), (3, 99));
    drop(calls);
    client.connect().unwrap();
    // Room is there when a message has settled.
    soon(async {
        while room.publish(&5).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((client.outbox().len(), client.outbox().bytes()), (0, 0));
}

#[tokio::test]
async fn a_procedure_answers_in_the_apps_own_type() {
    let peer = Peer::start().await;
    let client = peer.client();
    client.connect().unwrap();
    let answer: Vec<u32> = soon(client.rpc("echo", &[1, 2, 3])).await.unwrap();
    assert_eq!(answer, [1, 2, 3]);
    let wrong = soon(client.rpc::<String>("echo", &1)).await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::InvalidPayload);
    soon(client.send(&"hello")).await.unwrap();
    until(|| peer.seen("send") == 1).await;
}
