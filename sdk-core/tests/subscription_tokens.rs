//! Tokens of subscriptions: asked for before every subscribe, one question at a time, renewed in band.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::{Desk, config};

fn failed() -> TokenRefusal {
    TokenRefusal::Failed("the auth server is down".into())
}

fn forbidden() -> TokenRefusal {
    TokenRefusal::Forbidden("signed out".into())
}

fn private() -> SubscribeOptions {
    SubscribeOptions { provides_tokens: true, ..SubscribeOptions::default() }
}

#[test]
fn a_channel_that_needs_a_token_asks_for_it_before_it_subscribes() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    assert_eq!(desk.tokens.len(), 1);
    assert_eq!(desk.tokens[0].1.as_deref(), Some("$a"));
    assert_eq!(desk.sent("subscribe"), 0);
    desk.answer_token(Ok("s1"));
    let (id, request) = desk.take("subscribe");
    assert_eq!(request["token"], "s1");
    desk.answer(id, "subscribe", json!({}));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn an_empty_channel_token_means_none() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("a", &private());
    desk.answer_token(Ok(""));
    assert!(desk.tokens.is_empty(), "it is not asked again in the same moment");
    assert!(desk.confirm("a", "e1", 0)["token"].is_null());
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn a_forbidden_channel_token_ends_that_subscription_alone() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    desk.answer_token(Err(forbidden()));
    assert_eq!(desk.subscription(key), SubscriptionState::Unsubscribed);
    let told = desk.channel_events(key).iter().any(|event| {
        matches!(event, ChannelEvent::Unsubscribed(reason) if reason.code == ErrorCode::TokenForbidden.number())
    });
    assert!(told && desk.is_connected());
    desk.pass(3_000);
    desk.closed_by_peer(1006);
    desk.until_socket(5_000);
    desk.accept();
    desk.pass(15_000);
    assert!(
        desk.tokens.is_empty() && desk.sent("subscribe") == 0,
        "nothing follows until a new handle joins"
    );
    let (_, again) = desk.subscribe_with("$a", &private());
    desk.answer_token(Ok("s2"));
    desk.confirm("$a", "e1", 0);
    assert_eq!(desk.subscription(again), SubscriptionState::Subscribed);
}

#[test]
fn a_channel_token_that_fails_or_hangs_is_asked_for_again() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    desk.answer_token(Err(failed()));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    assert!(desk.tokens.is_empty(), "not in the same moment");
    while desk.tokens.is_empty() && desk.now < 30_000 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    // This one hangs.
    let hung = desk.tokens.remove(0).0;
    while desk.tokens.is_empty() && desk.now < 90_000 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    desk.input(Input::TokenProvided { request: hung, token: Ok("late".into()) });
    assert_eq!(desk.sent("subscribe"), 0, "the old answer is dropped");
    desk.answer_token(Ok("s1"));
    assert_eq!(desk.confirm("$a", "e1", 0)["token"], "s1");
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn an_expired_channel_token_is_refreshed_once_without_a_wait() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    desk.answer_token(Ok("old"));
    let id = desk.take("subscribe").0;
    desk.refuse(id, 109);
    assert_eq!(desk.tokens.len(), 1, "asked at once");
    desk.answer_token(Ok("still old"));
    let id = desk.take("subscribe").0;
    desk.refuse(id, 109);
    assert!(desk.tokens.is_empty() && desk.sent("subscribe") == 0, "the second time it waits");
    desk.until_token(30_000);
    desk.answer_token(Ok("new"));
    desk.confirm("$a", "e1", 0);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn an_expired_channel_token_that_nobody_can_renew_ends_the_subscription() {
    let mut desk = Desk::connected(config());
    let options = SubscribeOptions { token: "all there is".into(), ..SubscribeOptions::default() };
    let (_, key) = desk.subscribe_with("$a", &options);
    let id = desk.take("subscribe").0;
    desk.refuse(id, 109);
    assert_eq!(desk.subscription(key), SubscriptionState::Unsubscribed);
}

#[test]
fn a_subscription_is_renewed_in_band_before_it_expires() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    desk.answer_token(Ok("s1"));
    let id = desk.take("subscribe").0;
    desk.answer(id, "subscribe", json!({"expires": true, "ttl": 60}));
    desk.events.clear();
    for _ in 0..59 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    desk.answer_token(Ok("s2"));
    let (id, request) = desk.take("sub_refresh");
    assert_eq!((&request["channel"], &request["token"]), (&json!("$a"), &json!("s2")));
    desk.answer(id, "sub_refresh", json!({"expires": true, "ttl": 60}));
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    assert!(desk.events.is_empty());
    for _ in 0..59 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    assert_eq!(desk.tokens.len(), 1, "and again");
}

#[test]
fn a_channel_token_that_comes_after_leaving_or_after_a_cut_is_not_sent() {
    let mut desk = Desk::connected(config());
    let (handle, _) = desk.subscribe_with("$a", &private());
    desk.unsubscribe(handle);
    desk.pass(200);
    desk.answer_token(Ok("late"));
    assert_eq!(desk.sent("subscribe"), 0);
    desk.subscribe_with("$b", &private());
    desk.closed_by_peer(1006);
    let old = desk.tokens.remove(0).0;
    desk.until_socket(5_000);
    desk.input(Input::TokenProvided { request: old, token: Ok("of the old session".into()) });
    assert_eq!(desk.sent("subscribe"), 0);
    desk.accept();
    desk.answer_token(Ok("fresh"));
    assert_eq!(desk.confirm("$b", "e1", 0)["token"], "fresh");
}

#[test]
fn a_subscription_that_is_not_there_renews_no_token() {
    let mut desk = Desk::connected(config());
    desk.subscribe_with("$a", &private());
    desk.answer_token(Ok("s1"));
    let id = desk.take("subscribe").0;
    desk.answer(id, "subscribe", json!({"expires": true, "ttl": 60}));
    desk.closed_by_peer(1006);
    while desk.now < 300_000 {
        desk.until_socket(30_000);
        desk.closed_by_peer(1006);
    }
    assert!(desk.tokens.is_empty(), "it is asked for when there is a connection");
}

/// Subscribed with a token that is to be renewed now; the provider has been asked.
fn renewing() -> (Desk, ChannelKey) {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe_with("$a", &private());
    desk.answer_token(Ok("s1"));
    let id = desk.take("subscribe").0;
    desk.answer(id, "subscribe", json!({"expires": true, "ttl": 60}));
    until_asked(&mut desk, 60);
    (desk, key)
}

/// Lets time pass, on a server that pings, until the provider is asked.
fn until_asked(desk: &mut Desk, seconds: u64) {
    for _ in 0..seconds {
        if desk.tokens.is_empty() {
            desk.pass(1_000);
            desk.frame("{}");
        }
    }
    assert_eq!(desk.tokens.len(), 1, "asked within {seconds} s");
    desk.events.clear();
}

#[test]
fn a_renewal_that_fails_is_tried_again_and_the_subscription_stays() {
    let (mut desk, key) = renewing();
    desk.answer_token(Err(failed()));
    assert!(desk.tokens.is_empty(), "not in the same moment");
    until_asked(&mut desk, 21);
    for code in [100, 109] {
        desk.answer_token(Ok("s2"));
        let id = desk.take("sub_refresh").0;
        if code == 100 {
            desk.stumble(id)
        } else {
            desk.refuse(id, code)
        }
        assert!(desk.tokens.is_empty());
        until_asked(&mut desk, 21);
    }
    desk.answer_token(Ok("s3"));
    desk.take("sub_refresh");
    until_asked(&mut desk, 31);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed, "the server decides when it is over");
    assert_eq!(desk.sockets.len(), 1);
}

#[test]
fn a_renewal_that_is_forbidden_or_refused_ends_that_subscription_alone() {
    for refused in [false, true] {
        let (mut desk, key) = renewing();
        if refused {
            desk.answer_token(Ok("another channel's"));
            let id = desk.take("sub_refresh").0;
            desk.refuse(id, 103);
        } else {
            desk.answer_token(Err(forbidden()));
        }
        assert_eq!(desk.subscription(key), SubscriptionState::Unsubscribed);
        assert_eq!(desk.take("unsubscribe").1["channel"], "$a", "the server hears of it");
        let events = desk.channel_events(key);
        assert!(matches!(events.last(), Some(ChannelEvent::Unsubscribed(_))), "{events:?}");
        assert!(desk.is_connected());
    }
}
