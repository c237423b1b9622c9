//! Channels on a sound network: messages, history, presence, permissions.

use crate::support::{client_of, connected, expect, fresh, is_plain, next, publish, token};
use homing::{ChannelEvent, Decode, Delivery, ErrorCode, HistoryQuery, SubscribeOptions, SubscriptionState};
use homing_tests::peer::Peer;
use homing_tests::stage::soon;
use serde_json::{Value, json};

#[tokio::test]
async fn messages_come_in_order_with_place_and_publisher() {
    let peer = Peer::start(&[]).unwrap();
    let (ada, bob) =
        (connected(client_of(peer.url(), "ada")).await, connected(client_of(peer.url(), "bob")).await);
    let name = fresh("chat");
    let room = ada.channel(&*name);
    let mut messages = room.messages();
    let subscribed = soon(room.join()).await.unwrap();
    assert_eq!(subscribed.position.unwrap().offset, 0);
    let calls: Vec<_> = (1..=100_u64).map(|number| bob.channel(&*name).publish(&number)).collect();
    for (call, number) in calls.into_iter().zip(1..) {
        let published = soon(call).await.unwrap();
        // A plain server does not tell where a message stands.
        assert_eq!(published.position.map(|position| position.offset), (!is_plain()).then_some(number));
    }
    for number in 1..=100 {
        let Some(Ok(Delivery::Message(message))) = soon(messages.next()).await else { panic!("no message") };
        assert_eq!((message.offset, message.decode::<u64>().unwrap()), (number, number));
        let info = message.info.unwrap();
        assert_eq!(info.user, "bob");
        assert_eq!(info.conn_info.unwrap().decode::<Value>().unwrap(), json!({ "name": "bob" }));
    }
}

#[tokio::test]
async fn any_json_arrives_as_it_was() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let room = client.channel(fresh("chat"));
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let long = "\u{1f54a}\u{0}\"\\\n".repeat(3000);
    for value in [json!(null), json!(-0.5), json!(long), json!([[], {}, ""]), json!({ "": { "push": {} } })] {
        soon(room.publish(&value)).await.unwrap();
        let Some(Ok(Delivery::Message(message))) = soon(messages.next()).await else { panic!("no message") };
        assert_eq!(message.decode::<Value>().unwrap(), value);
    }
}

#[tokio::test]
async fn history_is_paged_both_ways() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let room = client.channel(fresh("chat"));
    soon(room.join()).await.unwrap();
    publish(&room, 1..=25).await;
    let head = soon(room.history(HistoryQuery::default())).await.unwrap();
    assert!(head.messages.is_empty());
    let head = head.position.unwrap();
    assert_eq!(head.offset, 25);
    for reverse in [false, true] {
        let (mut found, mut since) = (Vec::new(), None);
        loop {
            let query = HistoryQuery { limit: 10, since: since.take(), reverse };
            let page = soon(room.history(query)).await.unwrap();
            let Some(last) = page.messages.last() else { break };
            since = Some(homing::Position { offset: last.offset, ..head.clone() });
            found.extend(page.messages.iter().map(|message| message.offset));
        }
        if reverse {
            found.reverse();
        }
        assert_eq!(found, (1..=25).collect::<Vec<_>>());
    }
    let stale = homing::Position { epoch: "another".into(), offset: 3 };
    let query = HistoryQuery { limit: 10, since: Some(stale), reverse: false };
    assert_eq!(soon(room.history(query)).await.unwrap_err().code, ErrorCode::UnrecoverablePosition);
}

#[tokio::test]
async fn the_newest_of_the_history_join_the_live_messages() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let writer = connected(client_of(peer.url(), "bob")).await.channel(fresh("chat"));
    publish(&writer, 1..=60).await;
    let room = client.channel(writer.name());
    let mut messages = room.messages_from(20);
    let writing = async { publish(&writer, 61..=160).await };
    let reading = async {
        let (first, offset) = next(&mut messages).await;
        assert_eq!(first, offset);
        assert!((41..=141).contains(&first), "{first}");
        expect(&mut messages, first + 1..=160).await;
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn who_is_there_and_who_comes_and_goes() {
    let peer = Peer::start(&[]).unwrap();
    let ada = connected(client_of(peer.url(), "ada")).await;
    let room = ada.channel_with(fresh("chat"), SubscribeOptions { join_leave: true, ..Default::default() });
    let mut events = room.events();
    soon(room.join()).await.unwrap();
    let bob = connected(client_of(peer.url(), "bob")).await;
    let theirs = bob.channel(room.name());
    soon(theirs.join()).await.unwrap();
    soon(async {
        loop {
            if let ChannelEvent::Joined(info) = events.next().await.unwrap().unwrap()
                && info.user == "bob"
            {
                return;
            }
        }
    })
    .await;
    let mut members = soon(room.presence().get()).await.unwrap();
    members.sort_by(|one, other| one.user.cmp(&other.user));
    assert_eq!(members.iter().map(|member| &*member.user).collect::<Vec<_>>(), ["ada", "bob"]);
    let stats = soon(room.presence().stats()).await.unwrap();
    assert_eq!((stats.clients, stats.users), (2, 2));
    drop((theirs, bob));
    soon(async {
        loop {
            if let ChannelEvent::Left(info) = events.next().await.unwrap().unwrap() {
                assert_eq!(info.user, "bob");
                return;
            }
        }
    })
    .await;
    assert_eq!(soon(room.presence().stats()).await.unwrap().clients, 1);
}

#[tokio::test]
async fn what_the_server_does_not_allow_is_a_typed_error() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let unknown = client.channel(fresh("nowhere"));
    assert_eq!(soon(unknown.join()).await.unwrap_err().code, ErrorCode::UnknownChannel);
    assert_eq!(soon(unknown.publish(&1)).await.unwrap_err().code, ErrorCode::UnknownChannel);
    let closed = client.channel(fresh("closed"));
    let error = soon(closed.messages().next()).await.unwrap().unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::PermissionDenied, false));
    assert_eq!(soon(closed.snapshot()).await.state, SubscriptionState::Unsubscribed);
    let bare = client.channel("bare");
    soon(bare.join()).await.unwrap();
    assert_eq!(soon(bare.presence().get()).await.unwrap_err().code, ErrorCode::NotAvailable);
    assert_eq!(soon(bare.history(HistoryQuery::default())).await.unwrap_err().code, ErrorCode::NotAvailable);
    assert_eq!(soon(bare.publish(&1)).await.unwrap().position, None);
}

#[tokio::test]
async fn a_channel_with_a_token_asks_for_it() {
    let peer = Peer::start(&[]).unwrap();
    let name = format!("${}", fresh("chat"));
    let provider = |channel: Option<String>| async move {
        Ok(match channel {
            None => token("ada", None, json!({})),
            Some(channel) => token("ada", Some(60), json!({ "channel": channel })),
        })
    };
    let client = connected(client_of(peer.url(), "ada").token("").token_provider(provider)).await;
    assert_eq!(soon(client.channel(&*name).join()).await.unwrap_err().code, ErrorCode::PermissionDenied);
    let options = SubscribeOptions { provides_tokens: true, ..SubscribeOptions::default() };
    let room = client.channel_with(&*name, options);
    soon(room.join()).await.unwrap();
    publish(&room, 1..=1).await;
}
