//! The outbox against a server that cannot tell duplicates: unknown outcomes, sending again, age, order.

mod peer;

use homing::{Decode, EntryState, ErrorCode, Kept, MemoryStorage, OutboxChange, OutboxLimits};
use peer::{Peer, quick, soon, until};
use std::time::Duration;

#[tokio::test]
async fn an_unknown_outcome_is_parked_and_never_sent_again_by_itself() {
    let peer = Peer::start().await;
    peer.behave().mute = true;
    let client = peer.client();
    client.connect().unwrap();
    let room = client.channel("room");
    let doubtful = room.publish(&1);
    let id = doubtful.id().to_owned();
    until(|| peer.seen("publish") == 1).await;
    peer.behave().mute = false;
    peer.cut();
    assert_eq!(soon(doubtful).await.unwrap_err().code, ErrorCode::OutcomeUnknown);
    soon(room.publish(&2)).await.unwrap();
    assert_eq!(peer.seen("publish"), 2);
    let again = soon(client.outbox().retry(&id)).await.unwrap();
    assert_eq!(soon(again).await.unwrap().position.unwrap().offset, 2);
    assert!(client.outbox().is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_is_sent_again_where_the_app_has_chosen_so() {
    let peer = Peer::start().await;
    peer.behave().mute = true;
    let client = quick(peer.url()).resend(true).build().unwrap();
    client.connect().unwrap();
    let doubtful = client.channel("room").publish(&1);
    until(|| peer.seen("publish") == 1).await;
    peer.behave().mute = false;
    peer.cut();
    soon(doubtful).await.unwrap();
    assert_eq!(peer.seen("publish"), 2);
}

#[tokio::test]
async fn what_grows_too_old_without_having_been_sent_is_parked() {
    let limits = OutboxLimits { age: Duration::from_millis(50), ..OutboxLimits::default() };
    let client = quick("ws://127.0.0.1:9/").outbox(limits).build().unwrap();
    let old = client.channel("room").publish(&1);
    let id = old.id().to_owned();
    assert_eq!(soon(old).await.unwrap_err().code, ErrorCode::OutboxExpired);
    let entries = client.outbox().entries().await;
    assert!(matches!(&entries[0].state, EntryState::Parked(error) if error.code == ErrorCode::OutboxExpired));
    soon(client.outbox().discard(&id)).await.unwrap();
    assert_eq!(client.outbox().len(), 0);
}

#[tokio::test]
async fn what_is_queued_in_one_life_is_sent_in_the_next_one_and_can_be_seen_there() {
    let peer = Peer::start().await;
    let storage = MemoryStorage::new();
    let client = || quick(peer.url()).user("ada").storage(storage.clone()).build().unwrap();
    let first = client();
    for number in 1..=3_u64 {
        assert_eq!(soon(first.channel("room").publish(&number).stored()).await, Ok(Kept::Durably));
    }
    first.close(Duration::from_secs(5)).await;

    let second = client();
    let (_, mut events) = second.outbox().observe().await;
    second.connect().unwrap();
    assert_eq!(soon(second.outbox().kept()).await, Ok(Kept::Durably));
    let mut acked = Vec::new();
    let mut found = Vec::new();
    while acked.len() < 3 {
        let event = soon(events.next()).await.unwrap().unwrap();
        match (event.change, event.entry) {
            (OutboxChange::Added, entry) => {
                found.extend(entry.map(|entry| entry.data.decode::<u64>().unwrap()))
            }
            (OutboxChange::Acked { position, .. }, _) => acked.push(position.unwrap().offset),
            _ => {}
        }
    }
    assert_eq!((found, acked), (vec![1, 2, 3], vec![1, 2, 3]));
    assert!(second.outbox().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_name_the_user_keeps_nothing_unless_the_app_does() {
    let peer = Peer::start().await;
    let client = quick(peer.url()).storage(MemoryStorage::new()).build().unwrap();
    let sending = client.channel("room").publish(&1);
    client.connect().unwrap();
    assert_eq!(soon(sending.stored()).await, Ok(Kept::InMemory));
    soon(sending).await.unwrap();
}
