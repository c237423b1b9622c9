//! A channel that is a value and not a story: the newest publication, and no gap for what it replaced.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::{Desk, at, config, page};

fn gap(from: Position, to: Position, reason: GapReason) -> Gap {
    Gap { from, to, reason }
}

fn cached(name: &str) -> (Desk, ChannelKey) {
    let mut desk = Desk::connected(config());
    let options = SubscribeOptions { recovery: Recovery::Cache, ..SubscribeOptions::default() };
    let (_, key) = desk.subscribe_with(name, &options);
    (desk, key)
}

#[test]
fn a_cache_gives_its_newest_value_to_a_new_reader() {
    let (mut desk, key) = cached("a");
    let (id, asked) = desk.take("subscribe");
    assert_eq!(asked["recover"], true);
    let fields = json!({"epoch": "e1", "offset": 7, "recovered": true, "publications": page([7])});
    desk.answer_subscribe(id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![7], 0));
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 7)));
}

#[test]
fn a_cache_brings_the_newest_value_alone_and_no_gap() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 5);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([9])});
    desk.answer_subscribe(id, &fields);
    desk.publication("a", 12);
    desk.publication("a", 11);
    assert_eq!((desk.offsets(key), desk.gaps(key).len(), desk.sent("history")), (vec![9, 12], 0, 0));
}

#[test]
fn a_cache_that_has_nothing_newer_brings_nothing() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([9])});
    desk.answer_subscribe(id, &fields);
    assert!(desk.offsets(key).is_empty());
}

#[test]
fn a_cache_made_anew_brings_its_value_whatever_its_offset() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e2", "offset": 2, "recovered": true, "publications": page([2])});
    desk.answer_subscribe(id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![2], 0));
}

#[test]
fn a_cache_that_lost_its_tail_says_so_and_brings_what_it_has() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e1", "offset": 6, "recovered": true, "publications": page([6])});
    desk.answer_subscribe(id, &fields);
    assert_eq!(desk.gaps(key), [gap(at("e1", 7), at("e1", 9), GapReason::Rewound)]);
    assert_eq!(desk.offsets(key), [6]);
}

#[test]
fn a_server_may_make_a_channel_a_cache() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    let homing = json!({"size": 1, "cache": true});
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 5, "homing": homing}));
    desk.publication("a", 9);
    assert_eq!((desk.offsets(key), desk.gaps(key).len(), desk.sent("history")), (vec![9], 0, 0));
}
