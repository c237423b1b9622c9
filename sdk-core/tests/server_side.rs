//! Subscriptions that the server makes, and messages that it sends to a connection.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use support::desk::{Desk, at, config, page};

fn positioned(epoch: &str, offset: u64) -> Value {
    json!({"recoverable": true, "positioned": true, "epoch": epoch, "offset": offset})
}

/// Connected to a server that subscribes the client to `news`.
fn with_news(offset: u64) -> (Desk, ChannelKey) {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"subs": {"news": positioned("e1", offset)}}));
    let key = announced(&desk)[0].0;
    (desk, key)
}

fn announced(desk: &Desk) -> Vec<(ChannelKey, String)> {
    let announced = |event: &Event| match event {
        Event::ServerSubscribed { channel, name } => Some((*channel, name.to_string())),
        _ => None,
    };
    desk.events.iter().filter_map(announced).collect()
}

fn removed(desk: &Desk) -> Vec<ChannelKey> {
    let removed = |event: &Event| match event {
        Event::ServerUnsubscribed { channel, .. } => Some(*channel),
        _ => None,
    };
    desk.events.iter().filter_map(removed).collect()
}

fn subscribings(desk: &Desk, key: ChannelKey) -> usize {
    let events = desk.channel_events(key);
    events.iter().filter(|event| matches!(event, ChannelEvent::Subscribing(_))).count()
}

/// Cut, and connected again with these server-side subscriptions; gives back what was asked for.
fn reconnect(desk: &mut Desk, subs: &Value) -> Value {
    desk.closed_by_peer(1006);
    desk.until_socket(30_000);
    desk.events.clear();
    desk.open();
    let (id, asked) = desk.take("connect");
    desk.answer(id, "connect", json!({"client": "c2", "ping": 25, "subs": subs}));
    asked["subs"].clone()
}

#[test]
fn a_subscription_of_the_servers_is_announced_before_its_events() {
    let (mut desk, key) = with_news(4);
    let announced_at = desk.events.iter().position(|event| matches!(event, Event::ServerSubscribed { .. }));
    let subscribed_at = desk.events.iter().position(|event| {
        matches!(event, Event::Channel { channel, event: ChannelEvent::Subscribed(told) }
            if *channel == key && told.position == Some(at("e1", 4)))
    });
    assert!(announced_at < subscribed_at && announced_at.is_some(), "{:?}", desk.events);
    desk.publication("news", 5);
    assert_eq!(desk.offsets(key), [5]);
    assert_eq!(desk.sent("subscribe"), 0);
}

#[test]
fn its_position_goes_with_the_next_connect_and_what_was_missed_comes() {
    let (mut desk, key) = with_news(4);
    desk.publication("news", 5);
    let mut recovered = positioned("e1", 7);
    recovered["recovered"] = json!(true);
    recovered["publications"] = page([6, 7]);
    let asked = reconnect(&mut desk, &json!({ "news": recovered }));
    assert_eq!(asked, json!({"news": {"recover": true, "epoch": "e1", "offset": 5}}));
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![6, 7], 0));
    assert_eq!(announced(&desk), [], "it is the same subscription");
}

#[test]
fn what_its_recovery_lacks_is_read_from_history() {
    let (mut desk, key) = with_news(4);
    reconnect(&mut desk, &json!({"news": positioned("e1", 6)}));
    let id = desk.take("history").0;
    desk.answer(id, "history", json!({"publications": page([5, 6]), "epoch": "e1", "offset": 6}));
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![5, 6], 0));
}

#[test]
fn a_subscription_without_positions_is_announced_once_too() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"subs": {"news": {}}}));
    let (key, name) = announced(&desk).remove(0);
    assert_eq!(name, "news");
    let asked = reconnect(&mut desk, &json!({"news": {}}));
    assert_eq!((announced(&desk), asked), (vec![], Value::Null));
    desk.publication("news", 0);
    assert_eq!(desk.offsets(key), [0]);
}

#[test]
fn what_the_next_connection_does_not_list_is_gone() {
    let (mut desk, key) = with_news(4);
    reconnect(&mut desk, &json!({}));
    assert_eq!(removed(&desk), [key]);
    assert_eq!(desk.subscription(key), SubscriptionState::Unsubscribed);
    desk.publication("news", 5);
    assert!(desk.offsets(key).is_empty());
}

#[test]
fn a_push_subscribes_and_another_one_ends_it() {
    let mut desk = Desk::connected(config());
    let mut push = positioned("e1", 2);
    push["data"] = json!({"topic": 1});
    desk.say(json!({"push": {"channel": "news", "subscribe": push}}));
    let key = announced(&desk)[0].0;
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 2)));
    assert_eq!(desk.client.subscription(key).data.as_ref().map(Json::as_str), Some(r#"{"topic":1}"#));
    desk.publication("news", 3);
    desk.say(json!({"push": {"channel": "news", "unsubscribe": {"code": 2000, "reason": "enough"}}}));
    assert_eq!((desk.offsets(key), removed(&desk)), (vec![3], vec![key]));
    let last = desk.channel_events(key).pop().cloned();
    assert!(matches!(last, Some(ChannelEvent::Unsubscribed(reason)) if reason.code == 2000));
    assert_eq!(desk.sent("subscribe"), 0, "it is not the client's to ask for");
}

#[test]
fn a_handle_shares_the_servers_subscription_and_does_not_end_it() {
    let (mut desk, key) = with_news(4);
    let (handle, same) = desk.subscribe("news");
    assert_eq!(key, same);
    desk.publication("news", 5);
    desk.unsubscribe(handle);
    desk.pass(1_000);
    assert_eq!((desk.sent("subscribe"), desk.sent("unsubscribe")), (0, 0));
    desk.publication("news", 6);
    assert_eq!(desk.offsets(key), [5, 6]);
    assert_eq!(
        announced(&desk).len(),
        2,
        "with the last handle its events go back to who watches the client"
    );
}

#[test]
fn a_channel_that_was_joined_before_can_become_the_servers() {
    let (mut desk, handle, key) = Desk::in_channel("a", 3);
    let asked = reconnect(&mut desk, &json!({"a": positioned("e1", 3)}));
    assert_eq!(asked, Value::Null, "until then it was the client's own");
    assert_eq!((desk.subscription(key), desk.sent("subscribe")), (SubscriptionState::Subscribed, 0));
    assert_eq!(announced(&desk), [], "a handle holds it");
    desk.unsubscribe(handle);
    assert_eq!(announced(&desk), [(key, "a".into())]);
    desk.pass(1_000);
    assert_eq!(desk.sent("unsubscribe"), 0);
}

#[test]
fn a_join_that_the_server_overtakes_is_confirmed_by_either() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    desk.say(json!({"push": {"channel": "a", "subscribe": positioned("e1", 0)}}));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    let id = desk.take("subscribe").0;
    desk.refuse(id, 105);
    assert_eq!((desk.subscription(key), desk.sockets.len()), (SubscriptionState::Subscribed, 1));
}

/// L4: the answer to the first attempt comes when a second one is under way.
#[test]
fn an_answer_to_an_attempt_that_the_server_overtook_does_not_count_for_the_next_one() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let late = desk.take("subscribe").0;
    desk.say(json!({"push": {"channel": "a", "subscribe": positioned("e1", 0)}}));
    desk.say(json!({"push": {"channel": "a", "unsubscribe": {"code": 2000}}}));
    desk.answer(late, "subscribe", positioned("old", 7));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 0)));
}

#[test]
fn a_handle_asks_for_its_own_when_the_server_takes_its_subscription_back() {
    let (mut desk, key) = with_news(4);
    desk.subscribe("news");
    desk.events.clear();
    desk.say(json!({"push": {"channel": "news", "unsubscribe": {"code": 2000}}}));
    assert_eq!((subscribings(&desk, key), removed(&desk).len()), (1, 0));
    let asked = desk.confirm("news", "e1", 4);
    assert_eq!((&asked["recover"], &asked["offset"]), (&json!(true), &json!(4)));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn a_held_channel_that_the_next_connection_does_not_list_is_joined_and_told_once() {
    let (mut desk, key) = with_news(4);
    desk.subscribe("news");
    desk.events.clear();
    desk.closed_by_peer(1006);
    let before = subscribings(&desk, key);
    desk.until_socket(30_000);
    desk.accept();
    assert_eq!((before, subscribings(&desk, key)), (1, 1), "no transition is told twice");
    desk.confirm("news", "e1", 4);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn one_broken_subscription_of_a_list_confirms_none_of_the_others() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.open();
    let id = desk.take("connect").0;
    let subs = json!({"a": {"positioned": true}, "b": positioned("e1", 0)});
    desk.answer(id, "connect", json!({"client": "c", "subs": subs}));
    assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()));
    for (key, _) in announced(&desk) {
        assert_eq!(desk.subscription(key), SubscriptionState::Subscribing, "there is no connection");
    }
    desk.until_socket(5_000);
    desk.accept();
}

#[test]
fn a_message_to_the_connection_is_told_as_it_came() {
    let mut desk = Desk::connected(config());
    desk.frame(r#"{"push":{"message":{"data":{"n": 1.50}}}}"#);
    let [Event::ServerMessage(data)] = desk.events.as_slice() else { panic!("{:?}", desk.events) };
    assert_eq!(data.as_str(), r#"{"n": 1.50}"#);
}
