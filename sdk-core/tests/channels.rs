//! Handles that share one subscription: who joins, who leaves, what that costs, and which late words count.

mod support;

use homing_core::*;
use serde_json::json;
use std::collections::BTreeMap;
use support::{
    Dice,
    desk::{Desk, config},
};

/// Answers every unsubscribe that waits.
fn answer_leaves(desk: &mut Desk) {
    while desk.sent("unsubscribe") > 0 {
        let id = desk.take("unsubscribe").0;
        desk.answer(id, "unsubscribe", json!({}));
    }
}

fn transitions(desk: &Desk, key: ChannelKey) -> Vec<String> {
    let word = |event: &&ChannelEvent| match event {
        ChannelEvent::Subscribing(reason) => Some(format!("subscribing {}", reason.code)),
        ChannelEvent::Subscribed(_) => Some("subscribed".into()),
        ChannelEvent::Unsubscribed(reason) => Some(format!("unsubscribed {}", reason.code)),
        _ => None,
    };
    desk.channel_events(key).iter().filter_map(word).collect()
}

#[test]
fn handles_of_one_channel_share_one_subscription() {
    let mut desk = Desk::connected(config());
    let (first, key) = desk.subscribe("a");
    let (second, same) = desk.subscribe("a");
    assert_ne!(first, second);
    assert_eq!(key, same);
    desk.confirm("a", "e1", 0);
    let (_, same) = desk.subscribe("a");
    assert_eq!(key, same);
    assert_eq!(desk.sent("subscribe"), 0, "the server was asked once");
    desk.publication("a", 1);
    assert_eq!(desk.offsets(key), [1]);
}

#[test]
fn the_last_leave_unsubscribes_and_removes_the_channel() {
    let (mut desk, first, key) = Desk::in_channel("a", 0);
    let (second, _) = desk.subscribe("a");
    desk.unsubscribe(first);
    desk.pass(1_000);
    assert_eq!(desk.sent("unsubscribe"), 0, "somebody is still there");
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    desk.unsubscribe(second);
    desk.pass(1_000);
    assert_eq!(desk.take("unsubscribe").1["channel"], "a");
    assert_eq!(desk.client.subscription(key), SubscriptionSnapshot::default());
    let (_, fresh) = desk.subscribe("a");
    assert_ne!(key, fresh, "a key is never used twice");
}

#[test]
fn leaving_twice_takes_nothing_from_the_others() {
    let (mut desk, first, key) = Desk::in_channel("a", 0);
    desk.subscribe("a");
    for _ in 0..3 {
        desk.unsubscribe(first);
        desk.pass(1_000);
    }
    assert_eq!((desk.sent("unsubscribe"), desk.subscription(key)), (0, SubscriptionState::Subscribed));
}

#[test]
fn an_old_handle_cannot_close_a_newer_subscription() {
    let (mut desk, old, _) = Desk::in_channel("a", 0);
    desk.unsubscribe(old);
    desk.pass(1_000);
    let (_, key) = desk.subscribe("a");
    answer_leaves(&mut desk);
    desk.confirm("a", "e1", 0);
    desk.unsubscribe(old);
    desk.pass(1_000);
    assert_eq!((desk.sent("unsubscribe"), desk.subscription(key)), (0, SubscriptionState::Subscribed));
}

/// X1: what development modes of web frameworks do.
#[test]
fn leaving_and_joining_in_the_same_breath_costs_no_traffic() {
    let (mut desk, mut handle, key) = Desk::in_channel("a", 0);
    for _ in 0..50 {
        desk.unsubscribe(handle);
        let (next, same) = desk.subscribe("a");
        assert_eq!(key, same);
        handle = next;
    }
    desk.pass(10_000);
    assert!(desk.commands.is_empty(), "{:?}", desk.commands);
    assert!(transitions(&desk, key).is_empty(), "and no event");
    desk.publication("a", 1);
    assert_eq!(desk.offsets(key), [1], "one delivery");
}

#[test]
fn joining_leaving_and_joining_before_the_answer_asks_the_server_once() {
    let mut desk = Desk::connected(config());
    let (first, _) = desk.subscribe("a");
    desk.unsubscribe(first);
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    desk.pass(10_000);
    assert!(desk.commands.is_empty());
    assert_eq!(transitions(&desk, key), ["subscribing 4", "subscribed"]);
}

#[test]
fn joining_again_after_the_moment_is_over_keeps_the_order_on_the_wire() {
    let (mut desk, handle, _) = Desk::in_channel("a", 0);
    desk.unsubscribe(handle);
    desk.pass(150);
    let (_, key) = desk.subscribe("a");
    let verbs: Vec<_> = desk.commands.iter().map(|command| command.get("unsubscribe").is_some()).collect();
    assert_eq!(verbs, [true, false], "left, then joined: {:?}", desk.commands);
    answer_leaves(&mut desk);
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn no_event_comes_after_the_last_leave() {
    let (mut desk, handle, key) = Desk::in_channel("a", 0);
    desk.unsubscribe(handle);
    desk.publication("a", 1);
    desk.say(json!({"push": {"channel": "a", "join": {"info": {"user": "u", "client": "c"}}}}));
    desk.say(json!({"push": {"channel": "a", "unsubscribe": {"code": 2500}}}));
    desk.closed_by_peer(1006);
    desk.pass(10_000);
    assert!(desk.channel_events(key).is_empty(), "{:?}", desk.channel_events(key));
}

#[test]
fn a_message_that_nobody_hears_is_not_repeated_to_who_joins_a_moment_later() {
    let (mut desk, handle, key) = Desk::in_channel("a", 0);
    desk.unsubscribe(handle);
    desk.publication("a", 1);
    desk.subscribe("a");
    desk.publication("a", 2);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![2], 0));
}

/// L4: the answer to an attempt that is over.
#[test]
fn a_late_reply_of_an_older_attempt_changes_nothing() {
    let mut desk = Desk::connected(config());
    let (old, _) = desk.subscribe("a");
    let late = desk.take("subscribe").0;
    desk.unsubscribe(old);
    desk.pass(150);
    let (_, key) = desk.subscribe("a");
    let left = desk.take("unsubscribe").0;
    desk.answer(late, "subscribe", json!({"recoverable": true, "epoch": "old", "offset": 7}));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing, "that was another attempt");
    desk.answer(left, "unsubscribe", json!({}));
    desk.confirm("a", "e1", 3);
    assert_eq!(desk.client.subscription(key).position, Some(support::desk::at("e1", 3)));
    desk.refuse(late, 103);
    desk.answer(left, "subscribe", json!({}));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    assert_eq!(desk.sockets.len(), 1);
}

#[test]
fn subscribed_means_that_the_server_confirmed_it_on_this_connection() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    desk.closed_by_peer(1006);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    desk.until_socket(5_000);
    desk.accept();
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing, "the answer to connect is not enough");
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn no_transition_is_told_twice_however_long_the_network_is_away() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    for _ in 0..5 {
        desk.closed_by_peer(1006);
        desk.until_socket(30_000);
    }
    desk.accept();
    desk.confirm("a", "e1", 0);
    assert_eq!(
        transitions(&desk, key),
        [format!("subscribing {}", ErrorCode::ConnectionLost.number()), "subscribed".into()]
    );
}

#[test]
fn a_channel_joined_while_offline_is_subscribed_with_the_connection() {
    let mut desk = Desk::new(config());
    let (_, key) = desk.subscribe("a");
    let (gone, _) = desk.subscribe("b");
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    desk.unsubscribe(gone);
    desk.pass(1_000);
    desk.connect();
    desk.accept();
    desk.confirm("a", "e1", 0);
    assert!(desk.commands.is_empty(), "what was left again is not joined: {:?}", desk.commands);
}

#[test]
fn a_subscribe_without_an_answer_renews_the_connection() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    desk.take("subscribe");
    for _ in 0..9 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    assert!(desk.is_connected());
    desk.pass(1_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::SubscribeTimedOut.number()));
    desk.until_socket(5_000);
    desk.accept();
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn an_unsubscribe_without_an_answer_renews_the_connection() {
    let (mut desk, handle, _) = Desk::in_channel("a", 0);
    desk.unsubscribe(handle);
    desk.pass(150);
    desk.take("unsubscribe");
    desk.pass(10_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::SubscribeTimedOut.number()));
    desk.until_socket(5_000);
    desk.accept();
    assert_eq!(desk.sent("subscribe"), 0, "and the channel stays left");
}

#[test]
fn an_unsubscribe_that_the_server_refuses_renews_the_connection() {
    let (mut desk, handle, _) = Desk::in_channel("a", 0);
    let (_, kept) = desk.subscribe("b");
    desk.confirm("b", "e1", 0);
    desk.unsubscribe(handle);
    desk.pass(150);
    let id = desk.take("unsubscribe").0;
    desk.refuse(id, 100);
    assert!(!desk.is_connected(), "what the server thinks of the channel is not known");
    desk.until_socket(5_000);
    desk.accept();
    desk.confirm("b", "e1", 0);
    assert_eq!((desk.subscription(kept), desk.sent("subscribe")), (SubscriptionState::Subscribed, 0));
}

#[test]
fn a_temporary_refusal_is_tried_again_on_the_same_connection_with_growing_waits() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let mut asked = Vec::new();
    for _ in 0..8 {
        while desk.sent("subscribe") == 0 {
            desk.pass(100);
            desk.frame("{}");
        }
        let id = desk.take("subscribe").0;
        asked.push(desk.now);
        desk.stumble(id);
        assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    }
    let early = asked[2] - asked[0];
    let late = asked[7] - asked[5];
    assert!(late > early, "waits grow: {asked:?}");
    let errors = desk.channel_events(key);
    let errors = errors.iter().filter(|event| matches!(event, ChannelEvent::Error(_))).count();
    assert_eq!((errors, desk.sockets.len()), (8, 1), "each is told, and no connection is lost for it");
}

#[test]
fn a_refusal_may_name_a_retry_after() {
    let mut desk = Desk::connected(config());
    desk.subscribe("a");
    let id = desk.take("subscribe").0;
    let error = json!({"code": 111, "message": "slow down", "temporary": true, "retry_after": 5_000});
    desk.say(json!({"id": id, "error": error}));
    desk.pass(5_000);
    assert_eq!(desk.sent("subscribe"), 0);
    desk.pass(600);
    assert_eq!(desk.sent("subscribe"), 1);
}

#[test]
fn a_refusal_for_good_ends_that_subscription_alone_with_its_code() {
    let (mut desk, _, other) = Desk::in_channel("b", 0);
    for code in [101, 102, 103, 106, 107, 108, 400, 1999] {
        let (handle, key) = desk.subscribe("a");
        let id = desk.take("subscribe").0;
        desk.refuse(id, code);
        assert_eq!(desk.subscription(key), SubscriptionState::Unsubscribed);
        assert_eq!(transitions(&desk, key), ["subscribing 4".into(), format!("unsubscribed {code}")]);
        desk.unsubscribe(handle);
        desk.pass(500);
        desk.frame("{}");
    }
    assert_eq!((desk.sent("subscribe"), desk.sent("unsubscribe")), (0, 0), "nothing is there to be left");
    assert_eq!(desk.subscription(other), SubscriptionState::Subscribed);
    assert_eq!(desk.sockets.len(), 1);
}

#[test]
fn an_ended_subscription_is_made_anew_by_a_new_handle_whatever_its_options() {
    let mut desk = Desk::connected(config());
    let (old, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    desk.refuse(id, 103);
    let options = SubscribeOptions { token: "better".into(), ..SubscribeOptions::default() };
    let (_, fresh) = desk.subscribe_with("a", &options);
    assert_ne!(key, fresh);
    assert_eq!(desk.confirm("a", "e1", 0)["token"], "better");
    desk.unsubscribe(old);
    desk.pass(1_000);
    assert_eq!(desk.subscription(fresh), SubscriptionState::Subscribed, "the old handle has no say");
}

#[test]
fn a_server_that_says_already_subscribed_is_met_afresh() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    desk.refuse(id, 105);
    desk.until_socket(5_000);
    desk.accept();
    desk.confirm("a", "e1", 0);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn a_second_handle_with_other_options_is_a_typed_error() {
    let (mut desk, handle, key) = Desk::in_channel("a", 0);
    let other = SubscribeOptions { join_leave: true, ..SubscribeOptions::default() };
    let refused = desk.run(|client, now| client.subscribe(now, "a", &other)).expect_err("a conflict");
    assert_eq!(refused.code, ErrorCode::OptionsConflict);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    desk.unsubscribe(handle);
    // Nobody holds it under the old options any more, not even for the moment that it lingers.
    let (_, fresh) = desk.subscribe_with("a", &other);
    answer_leaves(&mut desk);
    assert_eq!(desk.confirm("a", "e1", 0)["join_leave"], true);
    assert_eq!(desk.subscription(fresh), SubscriptionState::Subscribed);
}

#[test]
fn options_reach_the_server() {
    let mut desk = Desk::connected(config());
    let options = SubscribeOptions {
        token: "t".into(),
        data: r#"{"room":1}"#.into(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        since: Some(support::desk::at("e0", 9)),
        ..SubscribeOptions::default()
    };
    desk.subscribe_with("a", &options);
    let asked = desk.take("subscribe").1;
    let expected = json!({"channel": "a", "token": "t", "data": {"room": 1}, "positioned": true,
        "recoverable": true, "join_leave": true, "recover": true, "epoch": "e0", "offset": 9});
    assert_eq!(asked, expected);
}

#[test]
fn channel_names_and_data_are_checked_before_anything_is_asked() {
    let mut desk = Desk::connected(config());
    let long = "x".repeat(256);
    for name in ["", long.as_str(), "grüße", "line\nbreak"] {
        let refused = desk.run(|client, now| client.subscribe(now, name, &SubscribeOptions::default()));
        assert_eq!(refused.expect_err("refused").code, ErrorCode::InvalidChannel, "{name:?}");
    }
    let options = SubscribeOptions { data: "{no".into(), ..SubscribeOptions::default() };
    let refused = desk.run(|client, now| client.subscribe(now, "a", &options));
    assert_eq!(refused.expect_err("refused").code, ErrorCode::InvalidPayload);
    assert!(desk.commands.is_empty() && desk.events.is_empty());
    desk.subscribe(&long[..255]);
    assert_eq!(desk.sent("subscribe"), 1);
}

#[test]
fn an_unsubscribe_push_says_whether_to_come_back() {
    for (code, back) in [(2000, false), (2499, false), (2500, true), (2501, true), (2502, true), (2999, true)]
    {
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        desk.say(json!({"push": {"channel": "a", "unsubscribe": {"code": code, "reason": "so it is"}}}));
        assert_eq!(desk.sent("subscribe"), usize::from(back), "{code}");
        let word = if back { "subscribing" } else { "unsubscribed" };
        assert_eq!(transitions(&desk, key), [format!("{word} {code}")]);
        if back {
            let asked = desk.confirm("a", "e1", 5);
            assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)), "with the position");
        }
        let expected = if back { SubscriptionState::Subscribed } else { SubscriptionState::Unsubscribed };
        assert_eq!(desk.subscription(key), expected);
    }
}

#[test]
fn join_and_leave_events_tell_who() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    let info = json!({"user": "ada", "client": "c9", "conn_info": {"name": "Ada"}, "chan_info": [1]});
    desk.say(json!({"push": {"channel": "a", "join": {"info": info}}}));
    desk.say(json!({"push": {"channel": "a", "leave": {"info": {"user": "ada", "client": "c9"}}}}));
    let events = desk.channel_events(key);
    let ChannelEvent::Joined(who) = events[0] else { panic!("{events:?}") };
    assert_eq!((who.user.as_str(), who.client.as_str()), ("ada", "c9"));
    assert_eq!(who.conn_info.as_ref().map(Json::as_str), Some(r#"{"name":"Ada"}"#));
    assert_eq!(who.chan_info.as_ref().map(Json::as_str), Some("[1]"));
    assert!(matches!(events[1], ChannelEvent::Left(who) if who.client == "c9"));
    assert_eq!(events.len(), 2);
}

#[test]
fn a_push_for_a_channel_that_nobody_joined_is_passed_over() {
    let mut desk = Desk::connected(config());
    for event in [
        json!({"pub": {"data": 1, "offset": 1}}),
        json!({"join": {"info": {"client": "c"}}}),
        json!({"leave": {"info": {"client": "c"}}}),
        json!({"unsubscribe": {"code": 2000}}),
    ] {
        let mut push = event;
        push["channel"] = json!("elsewhere");
        desk.say(json!({ "push": push }));
    }
    assert!(desk.events.is_empty() && desk.commands.is_empty() && desk.is_connected());
}

#[test]
fn a_snapshot_tells_what_the_server_said_of_the_channel() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    let result = json!({"recoverable": true, "epoch": "e1", "offset": 4, "data": {"topic": "pigeons"},
        "homing": {"size": 300, "ttl": 60}});
    desk.answer(id, "subscribe", result);
    let snapshot = desk.client.subscription(key);
    assert_eq!(snapshot.position, Some(support::desk::at("e1", 4)));
    assert_eq!(snapshot.data.as_ref().map(Json::as_str), Some(r#"{"topic":"pigeons"}"#));
    let retention = snapshot.retention.expect("told");
    assert_eq!((retention.size, retention.ttl, retention.cache), (300, 60, false));
}

/// X1 and L4 as a whole: any sequence of joins and leaves over several channels, with answers that come in
/// order but late, ends with the server and the app in agreement.
#[test]
fn after_any_sequence_of_joins_and_leaves_server_and_app_agree() {
    for seed in 0..500 {
        let mut dice = Dice::new(seed);
        let mut desk = Desk::connected(config());
        let mut held: Vec<(String, HandleId)> = Vec::new();
        let mut joined: BTreeMap<String, bool> = BTreeMap::new();
        for _ in 0..80 {
            match dice.below(4) {
                0 | 1 => {
                    let name = ["a", "b", "c"][dice.below(3) as usize];
                    held.push((name.into(), desk.subscribe(name).0));
                }
                _ if !held.is_empty() => {
                    let (_, handle) = held.swap_remove(dice.below(held.len() as u64) as usize);
                    desk.unsubscribe(handle);
                }
                _ => {}
            }
            if dice.chance(40) {
                desk.pass(dice.below(250));
            }
            if dice.chance(30) {
                serve(&mut desk, &mut joined);
            }
        }
        desk.pass(500);
        serve(&mut desk, &mut joined);
        for name in ["a", "b", "c"] {
            let wanted = held.iter().any(|(held, _)| held == name);
            assert_eq!(joined.get(name).copied().unwrap_or(false), wanted, "seed {seed}, channel {name}");
        }
        assert_eq!(desk.sockets.len(), 1, "seed {seed}: no disagreement on the way");
    }
}

/// Works through the commands in order, as a server does: a second subscribe is an error.
fn serve(desk: &mut Desk, joined: &mut BTreeMap<String, bool>) {
    for command in std::mem::take(&mut desk.commands) {
        let id = command["id"].as_u64().expect("an id");
        let verb = if command.get("subscribe").is_some() { "subscribe" } else { "unsubscribe" };
        let name = command[verb]["channel"].as_str().expect("a channel").to_owned();
        let was = joined.insert(name.clone(), verb == "subscribe").unwrap_or(false);
        assert_ne!(was, verb == "subscribe", "{verb} of {name} twice");
        desk.answer(id, verb, json!({}));
    }
}
