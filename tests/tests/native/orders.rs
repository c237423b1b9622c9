//! What the server does by itself: ending subscriptions and connections, and subscribing.

use crate::support::{away, client_of, connected, expect, fresh, publish, token};
use homing::{ChannelEvent, ClientEvent, Decode, ErrorCode, SubscriptionState};
use homing_tests::peer::Peer;
use homing_tests::stage::soon;
use serde_json::json;

#[tokio::test]
async fn a_subscription_that_the_server_ends_for_good_ends_its_stream() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let room = client.channel(fresh("chat"));
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    peer.unsubscribe("ada", room.name(), 2000).await.unwrap();
    let error = soon(messages.next()).await.unwrap().unwrap_err();
    assert_eq!((error.code, error.number), (ErrorCode::Unsubscribed, 2000));
    assert!(soon(messages.next()).await.is_none());
    // The app may join anew.
    soon(room.join()).await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_the_server_doubts_is_made_anew_without_a_hole() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let writer = connected(client_of(peer.url(), "bob")).await;
    let room = client.channel(fresh("chat"));
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let out = writer.channel(room.name());
    publish(&out, 1..=5).await;
    peer.unsubscribe("ada", room.name(), 2500).await.unwrap();
    publish(&out, 6..=20).await;
    expect(&mut messages, 1..=20).await;
    soon(room.join()).await.unwrap();
    assert_eq!(soon(room.snapshot()).await.state, SubscriptionState::Subscribed);
}

#[tokio::test]
async fn a_disconnect_that_allows_it_is_followed_by_a_reconnect() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    let room = client.channel(fresh("chat"));
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let before = client.state();
    peer.disconnect("ada", 3001).await.unwrap();
    away(&client).await;
    peer.publish(room.name(), &json!(1)).await.unwrap();
    expect(&mut messages, 1..=1).await;
    assert_ne!(client.state(), before);
}

#[tokio::test]
async fn a_disconnect_for_good_is_final() {
    let peer = Peer::start(&[]).unwrap();
    let client = connected(client_of(peer.url(), "ada")).await;
    peer.disconnect("ada", 3503).await.unwrap();
    let error = soon(client.disconnected()).await;
    assert_eq!((error.code, error.number, &*error.detail), (ErrorCode::ClosedByServer, 3503, "by order"));
}

#[tokio::test]
async fn a_channel_that_the_server_subscribes_is_told_with_its_messages() {
    let name = fresh("chat");
    let peer = Peer::start(&[]).unwrap();
    let invited = token("ada", None, json!({ "channels": [name] }));
    let client = client_of(peer.url(), "ada").token(invited).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
    peer.publish(&name, &json!("for you")).await.unwrap();
    let mut story = Vec::new();
    soon(async {
        while story.len() < 3 {
            match events.next().await.unwrap().unwrap() {
                ClientEvent::ServerSubscribed { channel } if *channel == *name => story.push("told"),
                ClientEvent::ServerChannel { channel, event: ChannelEvent::Subscribed(_) } => {
                    assert_eq!(*channel, *name);
                    story.push("subscribed");
                }
                ClientEvent::ServerChannel { event: ChannelEvent::Message(message), .. } => {
                    assert_eq!(message.decode::<String>().unwrap(), "for you");
                    story.push("message");
                }
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(story, ["told", "subscribed", "message"]);
}

#[tokio::test]
async fn a_channel_that_the_server_subscribed_can_be_read_like_any_other() {
    let name = fresh("chat");
    let peer = Peer::start(&[]).unwrap();
    let invited = token("ada", None, json!({ "channels": [name] }));
    let client = connected(client_of(peer.url(), "ada").token(invited)).await;
    let room = client.channel(&*name);
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    peer.publish(&name, &json!(1)).await.unwrap();
    expect(&mut messages, 1..=1).await;
    // What the app gives up the server still holds.
    room.leave();
    let mut again = room.messages();
    peer.publish(&name, &json!(2)).await.unwrap();
    expect(&mut again, 2..=2).await;
    peer.disconnect("ada", 3000).await.unwrap();
    away(&client).await;
    peer.publish(&name, &json!(3)).await.unwrap();
    expect(&mut again, 3..=3).await;
}
