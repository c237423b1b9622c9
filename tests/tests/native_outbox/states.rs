//! What an app sees of its own messages: events of the outbox, echoes in the stream, retry and discard.

use homing::{
    Decode, Delivery, Echo, EntryState, ErrorCode, Messages, OutboxChange, OutboxEvents, PublishOptions,
};
use homing_tests::stage::{Embedded, builder, connected, soon, until};

async fn delivery(messages: &mut Messages) -> Delivery {
    soon(messages.next()).await.expect("an item").expect("no end")
}

async fn pending(messages: &mut Messages) -> homing::OutboxEntry {
    match delivery(messages).await {
        Delivery::Echo(Echo::Pending(entry)) => *entry,
        other => panic!("{other:?} came instead of an echo"),
    }
}

async fn change(events: &mut OutboxEvents) -> (String, OutboxChange) {
    let event = soon(events.next()).await.expect("an event").expect("no lag");
    (event.id.into(), event.change)
}

#[tokio::test]
async fn pending_messages_are_echoed_and_replaced_by_their_id() {
    let server = Embedded::start().await;
    let client = builder(server.url(), "ada").build().unwrap();
    let room = client.channel("chat:room");
    let first = room.publish(&1_u64);
    let mut messages = room.messages().echo();
    let echoed = pending(&mut messages).await;
    assert_eq!((&*echoed.id, echoed.data.decode::<u64>().unwrap()), (first.id(), 1));
    assert_eq!((echoed.state, echoed.was_sent), (EntryState::Queued, false));
    let second = room.publish(&2_u64);
    assert_eq!(&*pending(&mut messages).await.id, second.id());
    soon(client.outbox().edit(second.id(), &22_u64)).await.unwrap();
    assert_eq!(pending(&mut messages).await.data.decode::<u64>().unwrap(), 22);
    let third = room.publish(&3_u64);
    let third_id = third.id().to_owned();
    pending(&mut messages).await;
    soon(client.outbox().discard(&third_id)).await.unwrap();
    assert_eq!(delivery(&mut messages).await, Delivery::Echo(Echo::Withdrawn(third_id.into())));
    assert_eq!(soon(third).await.unwrap_err().code, ErrorCode::Cancelled);

    client.connect().unwrap();
    let mut came = Vec::new();
    while came.len() < 2 {
        match delivery(&mut messages).await {
            Delivery::Message(message) => {
                came.push((message.id.to_string(), message.decode::<u64>().unwrap()))
            }
            // The answer may be quicker than the message.
            Delivery::Echo(Echo::Sent { id, position }) => {
                assert!([first.id(), second.id()].contains(&&*id) && position.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, [(first.id().to_owned(), 1), (second.id().to_owned(), 22)]);
    let published = soon(second).await.unwrap();
    assert_eq!((published.position.unwrap().offset, published.duplicate), (2, false));
    assert!(published.time > 1_700_000_000_000);
}

#[tokio::test]
async fn a_refused_message_is_parked_alone_and_can_be_retried_or_discarded() {
    let server = Embedded::start().await;
    let client = connected(builder(server.url(), "ada"));
    let outbox = client.outbox();
    let (entries, mut events) = outbox.observe().await;
    assert_eq!(entries, []);
    let nowhere = client.channel("nowhere:room");
    let refused = nowhere.publish(&1_u64);
    let id = refused.id().to_owned();
    assert_eq!(soon(refused).await.unwrap_err().code, ErrorCode::UnknownChannel);
    soon(client.channel("chat:room").publish(&2_u64)).await.unwrap();
    assert_eq!(outbox.len(), 1);
    let entries = outbox.entries().await;
    let EntryState::Parked(error) = &entries[0].state else { panic!("{entries:?}") };
    assert_eq!((&*entries[0].id, error.code), (&*id, ErrorCode::UnknownChannel));
    assert_eq!(change(&mut events).await, (id.clone(), OutboxChange::Added));

    assert_eq!(soon(outbox.edit(&id, &3_u64)).await.unwrap_err().code, ErrorCode::AlreadySent);
    let again = soon(outbox.retry_with(&id, &4_u64)).await.unwrap();
    let next = again.id().to_owned();
    assert_ne!(next, id);
    assert_eq!(soon(outbox.discard(&id)).await.unwrap_err().code, ErrorCode::NotInOutbox);
    assert_eq!(soon(again).await.unwrap_err().code, ErrorCode::UnknownChannel);
    assert_eq!(outbox.entries().await[0].data.decode::<u64>().unwrap(), 4);
    soon(outbox.discard(&next)).await.unwrap();
    assert_eq!((outbox.len(), outbox.bytes()), (0, 0));
    loop {
        let (whose, what) = change(&mut events).await;
        if whose == next && what == OutboxChange::Discarded {
            break;
        }
    }
}

#[tokio::test]
async fn an_ephemeral_message_is_now_or_never() {
    let server = Embedded::start().await;
    let client = builder(server.url(), "ada").build().unwrap();
    let room = client.channel("chat:room");
    let ephemeral = || PublishOptions { ephemeral: true, ..PublishOptions::default() };
    assert_eq!(soon(room.publish_with(&1_u64, ephemeral())).await.unwrap_err().code, ErrorCode::NotSent);
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    let sending = room.publish_with(&2_u64, ephemeral());
    assert_eq!(soon(sending.stored()).await, Ok(homing::Kept::Nowhere));
    soon(sending).await.unwrap();
    until(|| client.outbox().is_empty()).await;
}

#[tokio::test]
async fn what_was_handed_to_a_socket_can_not_be_taken_back() {
    let server = Embedded::start().await;
    let client = connected(builder(server.url(), "ada"));
    let room = client.channel("chat:room");
    soon(client.connected()).await.unwrap();
    let mut sent = room.publish(&1_u64);
    let refused = soon(sent.cancel()).await.unwrap_err().code;
    assert!([ErrorCode::AlreadySent, ErrorCode::NotInOutbox].contains(&refused), "{refused:?}");
    soon(&mut sent).await.unwrap();
    assert_eq!(soon(sent.cancel()).await.unwrap_err().code, ErrorCode::NotInOutbox);
}
