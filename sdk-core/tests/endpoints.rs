//! Where the client connects to: several addresses in order, or a resolver that is asked each time.

mod support;

use homing_core::*;
use support::desk::Desk;

fn three() -> Config {
    Config { endpoints: ["ws://one", "ws://two", "ws://three"].map(Into::into).into(), ..Config::default() }
}

fn urls(desk: &Desk) -> Vec<&str> {
    desk.sockets.iter().map(|(_, url)| url.as_str()).collect()
}

#[test]
fn addresses_are_tried_in_their_order_and_around_again() {
    let mut desk = Desk::new(three());
    desk.connect();
    for _ in 0..5 {
        desk.closed_by_peer(1006);
        desk.until_socket(30_000);
    }
    assert_eq!(urls(&desk), ["ws://one", "ws://two", "ws://three", "ws://one", "ws://two", "ws://three"]);
}

#[test]
fn an_address_that_hangs_is_passed_over_too() {
    let mut desk = Desk::new(three());
    desk.connect();
    desk.pass(10_000);
    desk.until_socket(5_000);
    assert_eq!(urls(&desk), ["ws://one", "ws://two"]);
}

#[test]
fn an_address_that_opens_but_does_not_answer_is_passed_over_too() {
    let mut desk = Desk::new(three());
    desk.connect();
    desk.open();
    desk.closed_by_peer(1006);
    desk.until_socket(5_000);
    assert_eq!(urls(&desk), ["ws://one", "ws://two"]);
}

#[test]
fn an_address_that_worked_is_the_first_to_be_tried_after_a_cut() {
    let mut desk = Desk::new(three());
    desk.connect();
    desk.closed_by_peer(1006);
    desk.until_socket(30_000);
    desk.accept();
    desk.pass(15_000);
    desk.closed_by_peer(1006);
    desk.until_socket(30_000);
    assert_eq!(urls(&desk), ["ws://one", "ws://two", "ws://two"]);
}

#[test]
fn an_address_whose_connections_never_last_is_passed_over_too() {
    let mut desk = Desk::new(three());
    desk.connect();
    for _ in 0..3 {
        desk.accept();
        desk.pass(1_000);
        desk.closed_by_peer(1006);
        desk.until_socket(60_000);
    }
    assert_eq!(urls(&desk), ["ws://one", "ws://one", "ws://one", "ws://two"]);
    desk.accept();
    desk.pass(15_000);
    desk.closed_by_peer(1006);
    desk.until_socket(60_000);
    assert_eq!(urls(&desk)[4], "ws://two", "that one lasted");
}

fn resolving() -> Config {
    Config { endpoints: vec!["ws://not-used".into()], resolves_endpoints: true, ..Config::default() }
}

#[test]
fn the_resolver_is_asked_before_every_attempt() {
    let mut desk = Desk::new(resolving());
    desk.connect();
    for url in ["ws://eu", "ws://us", "ws://eu2"] {
        assert_eq!((desk.resolves.len(), desk.conn), (1, None));
        desk.answer_endpoints(Ok(&[url]));
        assert_eq!(urls(&desk).last(), Some(&url));
        desk.accept();
        desk.pass(15_000);
        desk.closed_by_peer(1006);
        desk.pass(5_000);
    }
}

#[test]
fn what_the_resolver_gives_is_in_order_of_preference() {
    let mut desk = Desk::new(resolving());
    desk.connect();
    for _ in 0..3 {
        desk.answer_endpoints(Ok(&["ws://near", "ws://far"]));
        desk.closed_by_peer(1006);
        desk.pass(5_000);
    }
    assert_eq!(urls(&desk), ["ws://near", "ws://far", "ws://near"]);
}

#[test]
fn a_resolver_that_fails_hangs_or_knows_nothing_is_asked_again() {
    let mut desk = Desk::new(resolving());
    desk.connect();
    desk.answer_endpoints(Err("no route"));
    assert_eq!(desk.trouble(), Some(ErrorCode::EndpointFailed.number()));
    desk.pass(5_000);
    desk.answer_endpoints(Ok(&[]));
    assert_eq!(desk.trouble(), Some(ErrorCode::EndpointFailed.number()));
    desk.pass(5_000);
    let hung = desk.resolves.remove(0);
    desk.pass(30_000);
    assert_eq!(desk.resolves.len(), 1);
    desk.input(Input::EndpointsResolved { request: hung, endpoints: Ok(vec!["ws://late".into()]) });
    assert!(desk.sockets.is_empty(), "the old answer is dropped");
    desk.answer_endpoints(Ok(&["ws://fine"]));
    desk.accept();
}

#[test]
fn endpoints_that_come_after_disconnect_open_nothing() {
    let mut desk = Desk::new(resolving());
    desk.connect();
    desk.disconnect();
    desk.answer_endpoints(Ok(&["ws://late"]));
    desk.pass(60_000);
    assert!(desk.sockets.is_empty());
    assert_eq!(desk.client.poll_timeout(), None);
}

#[test]
fn connecting_again_while_the_resolver_thinks_asks_for_this_attempt() {
    let mut desk = Desk::new(resolving());
    desk.connect();
    desk.disconnect();
    desk.connect();
    desk.answer_endpoints(Ok(&["ws://stale"]));
    assert!(desk.sockets.is_empty());
    desk.answer_endpoints(Ok(&["ws://fresh"]));
    assert_eq!(urls(&desk), ["ws://fresh"]);
}

#[test]
fn endpoints_come_first_then_the_token_then_the_socket() {
    let mut desk = Desk::new(Config { provides_tokens: true, ..resolving() });
    desk.connect();
    assert_eq!((desk.resolves.len(), desk.tokens.len()), (1, 0));
    desk.answer_endpoints(Ok(&["ws://a"]));
    assert_eq!((desk.tokens.len(), desk.sockets.len()), (1, 0));
    desk.answer_token(Ok("t"));
    desk.accept();
}
