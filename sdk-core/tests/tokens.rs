//! The connection's token: asked for on every open, one question at a time, renewed in band, and never for ever
//! where the answer is no.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    Dice, World,
    desk::{Desk, config},
};

fn asking() -> Config {
    Config { provides_tokens: true, ..config() }
}

fn failed() -> TokenRefusal {
    TokenRefusal::Failed("the auth server is down".into())
}

fn forbidden() -> TokenRefusal {
    TokenRefusal::Forbidden("signed out".into())
}

#[test]
fn the_provider_is_asked_on_every_open() {
    let mut desk = Desk::new(asking());
    desk.connect();
    for n in 0..5 {
        desk.until_token(30_000);
        assert_eq!(desk.conn, None);
        desk.answer_token(Ok(&format!("t{n}")));
        desk.open();
        let id = desk.take("connect");
        assert_eq!(id.1["token"], format!("t{n}"));
        desk.closed_by_peer(1006);
    }
}

#[test]
fn a_token_whose_socket_never_opened_is_not_kept_for_later() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("t0"));
    desk.closed_by_peer(1006);
    desk.until_token(30_000);
    desk.answer_token(Ok("t1"));
    desk.open();
    assert_eq!(desk.take("connect").1["token"], "t1");
}

#[test]
fn an_empty_token_means_anonymous() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok(""));
    desk.open();
    assert!(desk.take("connect").1["token"].is_null());
}

#[test]
fn a_provider_that_throws_is_asked_again_with_backoff() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Err(failed()));
    assert_eq!(desk.trouble(), Some(ErrorCode::TokenFailed.number()));
    assert!(desk.tokens.is_empty(), "not in the same moment");
    for _ in 0..20 {
        desk.until_token(30_000);
        desk.answer_token(Err(failed()));
    }
    desk.until_token(30_000);
    desk.answer_token(Ok("good"));
    desk.accept();
}

#[test]
fn a_provider_that_never_answers_is_given_up_in_time() {
    let mut desk = Desk::new(asking());
    desk.connect();
    let first = desk.tokens[0].0;
    desk.pass(20_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::TokenFailed.number()));
    desk.pass(2_000);
    assert_eq!(desk.tokens.len(), 2, "asked again");
    desk.input(Input::TokenProvided { request: first, token: Ok("far too late".into()) });
    assert_eq!(desk.conn, None, "the old answer is dropped");
    desk.tokens.remove(0);
    desk.answer_token(Ok("fresh"));
    desk.open();
    assert_eq!(desk.take("connect").1["token"], "fresh");
}

#[test]
fn a_forbidden_token_is_terminal_until_connect_is_called_again() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Err(forbidden()));
    assert_eq!(desk.refusal(), Some(ErrorCode::TokenForbidden.number()));
    for hint in [Input::Online, Input::Visible, Input::Resumed] {
        desk.input(hint);
        desk.pass(600_000);
    }
    assert!(desk.sockets.is_empty() && desk.tokens.is_empty());
    assert_eq!(desk.client.health(), Health::Lost);
    desk.connect();
    desk.answer_token(Ok("better"));
    desk.accept();
}

#[test]
fn a_token_that_comes_after_disconnect_is_dropped() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.disconnect();
    desk.answer_token(Ok("late"));
    desk.pass(60_000);
    assert!(desk.sockets.is_empty());
    desk.connect();
    assert_eq!(desk.tokens.len(), 1, "and the next attempt asks for its own");
    desk.answer_token(Ok("own"));
    desk.open();
    assert_eq!(desk.take("connect").1["token"], "own");
}

#[test]
fn a_forbidden_answer_of_an_old_attempt_does_not_end_the_new_one() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.disconnect();
    desk.connect();
    desk.answer_token(Err(forbidden()));
    assert_eq!(desk.refusal(), None, "that was somebody else's token");
    desk.pass(1_000);
    desk.answer_token(Ok("mine"));
    desk.accept();
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut desk = Desk::new(asking());
    desk.connect();
    let request = desk.tokens[0].0;
    desk.answer_token(Ok("t"));
    desk.input(Input::TokenProvided { request, token: Ok("t".into()) });
    desk.input(Input::TokenProvided { request, token: Err(forbidden()) });
    desk.accept();
    desk.input(Input::TokenProvided { request, token: Err(forbidden()) });
    assert!(desk.is_connected());
    assert_eq!(desk.sockets.len(), 1);
}

#[test]
fn an_answer_to_a_question_that_was_never_asked_changes_nothing() {
    let mut desk = Desk::connected(config());
    for number in 0..100 {
        desk.input(Input::TokenProvided { request: TokenRequestId(number), token: Err(forbidden()) });
        desk.input(Input::EndpointsResolved {
            request: EndpointRequestId(number),
            endpoints: Err("x".into()),
        });
    }
    assert!(desk.is_connected() && desk.events.is_empty());
}

#[test]
fn an_expired_token_is_refreshed_once_without_a_wait_and_then_with_backoff() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("old"));
    desk.open();
    let id = desk.take("connect").0;
    desk.refuse(id, 109);
    assert_eq!(desk.tokens.len(), 1, "asked at once");
    desk.answer_token(Ok("still old"));
    desk.open();
    let id = desk.take("connect").0;
    desk.refuse(id, 109);
    assert!(desk.tokens.is_empty() && desk.conn.is_none(), "the second time it waits");
    assert!(matches!(desk.client.connection(), ConnectionState::Connecting { retry_at: Some(_), .. }));
    desk.pass(5_000);
    desk.answer_token(Ok("new"));
    desk.accept();
}

#[test]
fn an_expired_token_that_nobody_can_renew_is_terminal() {
    let mut desk = Desk::new(Config { token: "all there is".into(), ..config() });
    desk.connect();
    desk.open();
    let id = desk.take("connect").0;
    desk.refuse(id, 109);
    desk.pass(600_000);
    assert_eq!(desk.sockets.len(), 1, "the same token would be refused again");
    assert!(desk.refusal().is_some());
}

#[test]
fn a_token_of_the_apps_own_is_sent_again_after_a_cut() {
    let mut desk = Desk::new(Config { token: "mine".into(), ..config() });
    desk.connect();
    for _ in 0..3 {
        desk.open();
        assert_eq!(desk.take("connect").1["token"], "mine");
        desk.closed_by_peer(1006);
        desk.until_socket(30_000);
    }
}

#[test]
fn an_expired_connection_comes_back_with_a_fresh_token() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("t0"));
    desk.accept();
    desk.closed_by_peer(3005);
    desk.pass(1_000);
    desk.answer_token(Ok("t1"));
    desk.open();
    assert_eq!(desk.take("connect").1["token"], "t1");
}

#[test]
fn an_invalid_token_is_terminal() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("forged"));
    desk.open();
    desk.closed_by_peer(3500);
    desk.pass(600_000);
    assert_eq!((desk.refusal(), desk.sockets.len(), desk.tokens.len()), (Some(3500), 1, 0));
}

/// Connected with a token that lives for `ttl` seconds.
fn expiring(ttl: u64) -> Desk {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("t0"));
    desk.accept_with(
        json!({"ping": 0, "pong": false, "expires": true, "ttl": ttl, "homing": {"version": 1}}),
    );
    desk
}

/// Lets time pass until the provider is asked.
fn until_asked(desk: &mut Desk, seconds: u64) {
    for _ in 0..seconds {
        if desk.tokens.is_empty() {
            pass_probed(desk, 1_000);
        }
    }
    assert_eq!(desk.tokens.len(), 1, "asked within {seconds} s");
}

/// Lets time pass on a server without pings, whose probes are answered.
fn pass_probed(desk: &mut Desk, millis: u64) {
    let until = desk.now + millis;
    while desk.now < until {
        desk.pass(1_000.min(until - desk.now));
        while desk.sent("ping") > 0 {
            let id = desk.take("ping").0;
            desk.answer(id, "ping", json!({}));
        }
    }
}

#[test]
fn a_token_is_renewed_in_band_before_it_expires_and_no_channel_is_lost() {
    let mut desk = expiring(100);
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    desk.events.clear();
    until_asked(&mut desk, 99);
    desk.answer_token(Ok("t1"));
    let (id, refresh) = desk.take("refresh");
    assert_eq!(refresh["token"], "t1");
    desk.answer(id, "refresh", json!({"client": "c1", "version": "v", "expires": true, "ttl": 1000}));
    pass_probed(&mut desk, 800_000);
    assert!(desk.tokens.is_empty(), "the new token's own time counts");
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
    assert!(desk.events.is_empty() && desk.sockets.len() == 1);
}

#[test]
fn a_renewal_whose_provider_fails_is_asked_again_on_the_same_connection() {
    let mut desk = expiring(300);
    until_asked(&mut desk, 299);
    for _ in 0..3 {
        desk.answer_token(Err(failed()));
        assert!(desk.tokens.is_empty(), "not in the same moment");
        until_asked(&mut desk, 20);
    }
    assert!(desk.is_connected(), "the server decides when it is over");
    desk.answer_token(Ok("t1"));
    let id = desk.take("refresh").0;
    desk.answer(id, "refresh", json!({"expires": true, "ttl": 300}));
    assert!(desk.is_connected());
}

#[test]
fn a_renewal_that_is_forbidden_ends_the_connection_for_good() {
    let mut desk = expiring(300);
    until_asked(&mut desk, 299);
    desk.answer_token(Err(forbidden()));
    assert_eq!((desk.refusal(), desk.conn), (Some(ErrorCode::TokenForbidden.number()), None));
}

#[test]
fn a_renewal_that_the_server_stumbles_over_or_does_not_answer_is_tried_again() {
    let mut desk = expiring(300);
    until_asked(&mut desk, 299);
    desk.answer_token(Ok("t1"));
    let id = desk.take("refresh").0;
    desk.stumble(id);
    until_asked(&mut desk, 15);
    desk.answer_token(Ok("t2"));
    let unanswered = desk.take("refresh").0;
    until_asked(&mut desk, 30);
    desk.answer_token(Ok("t3"));
    let id = desk.take("refresh").0;
    desk.answer(unanswered, "refresh", json!({}));
    desk.answer(id, "refresh", json!({"expires": true, "ttl": 300}));
    assert!(desk.is_connected());
}

#[test]
fn a_renewal_with_a_token_that_has_expired_already_is_tried_again() {
    let mut desk = expiring(300);
    until_asked(&mut desk, 299);
    desk.answer_token(Ok("stale"));
    let id = desk.take("refresh").0;
    desk.refuse(id, 109);
    assert!(desk.is_connected() && desk.tokens.is_empty(), "not in the same moment");
    until_asked(&mut desk, 15);
}

#[test]
fn a_renewal_that_the_server_refuses_ends_the_connection_for_good() {
    for code in [101, 103, 107] {
        let mut desk = expiring(300);
        until_asked(&mut desk, 299);
        desk.answer_token(Ok("another user's"));
        let id = desk.take("refresh").0;
        desk.refuse(id, code);
        assert_eq!((desk.refusal(), desk.conn), (Some(code), None));
    }
}

#[test]
fn a_renewal_answered_after_a_cut_is_not_sent_on_the_next_socket() {
    let mut desk = expiring(300);
    until_asked(&mut desk, 299);
    desk.closed_by_peer(1006);
    desk.pass(10_000);
    // One question at a time: the one under way serves the attempt, or a new one follows it.
    desk.answer_token(Ok("t1"));
    if desk.conn.is_none() {
        desk.answer_token(Ok("t2"));
    }
    desk.accept();
    assert_eq!(desk.sent("refresh"), 0);
}

#[test]
fn a_token_for_sixty_days_costs_one_deadline_and_no_spin() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("t0"));
    let ttl = 60 * 86_400;
    desk.accept_with(
        json!({"ping": 0, "pong": false, "expires": true, "ttl": ttl, "homing": {"version": 1}}),
    );
    desk.pass(12_000);
    let deadline = desk.client.poll_timeout().expect("a deadline");
    assert!(deadline.at.as_millis() > desk.now, "nothing is due: {deadline:?}");
    assert!(desk.tokens.is_empty());
    // Far beyond what a 32-bit timer holds.
    let mut world = World::new(1, Config { provides_tokens: true, ..support::config() });
    world.server.behaviour.ttl = ttl as u32;
    world.connect();
    world.until_connected();
    let asked = world.token_questions.len();
    world.run_for(86_400_000);
    assert_eq!(world.token_questions.len(), asked);
    assert!(world.is_connected());
}

#[test]
fn a_token_with_no_time_left_does_not_spin() {
    for ttl in [0, 1] {
        let mut world = World::new(1, Config { provides_tokens: true, ..support::config() });
        world.connect();
        world.until_connected();
        world.server.push_all(&json!({"push": {"refresh": {"expires": true, "ttl": ttl}}}).to_string());
        world.forward();
        world.run_for(60_000);
        assert!(world.token_questions.len() < 130, "{} questions in a minute", world.token_questions.len());
        assert!(world.is_connected());
    }
}

#[test]
fn the_server_may_push_a_new_lifetime() {
    let mut desk = expiring(1000);
    desk.say(json!({"push": {"refresh": {"expires": true, "ttl": 60}}}));
    until_asked(&mut desk, 59);
}

/// L5 as a whole: whatever the provider does, a good token in the end connects, and nothing is asked twice at
/// once (the world asserts that).
#[test]
fn whatever_the_provider_did_a_good_token_in_the_end_connects() {
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, Config { provides_tokens: true, ..support::config() });
        let mut whims = dice.clone();
        world.server.behaviour.ttl = dice.below(60) as u32;
        world.tokens = Box::new(move |now, _| {
            if now > 300_000 {
                return Some((5, Ok("good".into())));
            }
            match whims.below(6) {
                0 => None,
                1 => Some((whims.below(60_000), Ok("slow".into()))),
                2 => Some((5, Err(TokenRefusal::Failed("threw".into())))),
                3 => Some((whims.below(40_000), Err(TokenRefusal::Failed("slow and threw".into())))),
                _ => Some((5, Ok("fine".into()))),
            }
        });
        world.connect();
        for _ in 0..30 {
            world.run_for(dice.below(20_000));
            match dice.below(5) {
                0 => world.cut(),
                1 => {
                    world.run(|client, now| client.disconnect(now));
                    world.run_for(dice.below(3_000));
                    world.connect();
                }
                2 => world.sleep(dice.below(100_000)),
                _ => {}
            }
        }
        world.run_until(world.now.max(300_000) + 60_000);
        assert!(world.is_connected(), "seed {seed}: {:?}", world.client.connection());
    }
}

#[test]
fn no_token_stands_in_an_event_or_an_error() {
    let mut desk = Desk::new(asking());
    desk.connect();
    desk.answer_token(Ok("sekret"));
    desk.accept();
    let private = SubscribeOptions { provides_tokens: true, ..SubscribeOptions::default() };
    desk.subscribe_with("$a", &private);
    desk.answer_token(Ok("sekret"));
    let id = desk.take("subscribe").0;
    desk.refuse(id, 103);
    desk.closed_by_peer(3500);
    assert!(!format!("{:?}{:?}", desk.events, desk.settled).contains("sekret"));
}
