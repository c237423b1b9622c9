//! No silent gap: what was missed comes in order, or as one typed gap before anything newer.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use support::{
    Dice, World,
    desk::{Desk, at, config, page},
    reader::Reader,
};

/// Cut and connected again, with the subscribe of `a` waiting for its answer.
fn cut(desk: &mut Desk) -> (u64, Value) {
    desk.closed_by_peer(1006);
    desk.until_socket(30_000);
    desk.accept();
    desk.events.clear();
    desk.take("subscribe")
}

fn answer_subscribe(desk: &mut Desk, id: u64, fields: &Value) {
    let mut result = json!({"recoverable": true, "positioned": true, "was_recovering": true});
    for (name, value) in fields.as_object().expect("fields") {
        result[name] = value.clone();
    }
    desk.answer(id, "subscribe", result);
}

/// Answers the page that was asked for; gives back where it was to begin.
fn answer_page(desk: &mut Desk, offsets: impl IntoIterator<Item = u64>, epoch: &str, top: u64) -> Value {
    let (id, asked) = desk.take("history");
    desk.answer(id, "history", json!({"publications": page(offsets), "epoch": epoch, "offset": top}));
    asked["since"].clone()
}

fn gap(from: Position, to: Position, reason: GapReason) -> Gap {
    Gap { from, to, reason }
}

fn subscribed(desk: &Desk, key: ChannelKey) -> Subscribed {
    let last = desk.channel_events(key).into_iter().rev().find_map(|event| match event {
        ChannelEvent::Subscribed(subscribed) => Some(subscribed.clone()),
        _ => None,
    });
    last.expect("subscribed")
}

// Joining.

#[test]
fn a_first_subscribe_gives_a_position_also_for_an_empty_channel() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let (id, asked) = desk.take("subscribe");
    assert!(asked["recover"].is_null(), "there is nothing to recover from");
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "was_recovering": false}));
    let told = subscribed(&desk, key);
    assert_eq!((told.position, told.was_recovering), (Some(at("e1", 0)), false));
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 0)));
}

#[test]
fn a_channel_that_was_empty_before_the_cut_recovers_from_its_start() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    let (id, asked) = cut(&mut desk);
    assert_eq!((&asked["recover"], &asked["epoch"]), (&json!(true), &json!("e1")));
    let fields = json!({"epoch": "e1", "offset": 2, "recovered": true, "publications": page([1, 2])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key)), (vec![1, 2], vec![]));
}

#[test]
fn a_channel_without_positions_delivers_what_comes_and_promises_nothing() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    desk.answer(id, "subscribe", json!({}));
    assert_eq!(subscribed(&desk, key).position, None);
    desk.publication("a", 0);
    desk.publication("a", 0);
    assert_eq!(desk.offsets(key), [0, 0]);
    let (id, asked) = cut(&mut desk);
    assert!(asked["recover"].is_null());
    desk.answer(id, "subscribe", json!({}));
    assert_eq!((desk.sent("history"), desk.gaps(key).len()), (0, 0));
}

#[test]
fn a_positioned_subscription_without_an_epoch_is_a_protocol_error() {
    let mut desk = Desk::connected(config());
    desk.subscribe("a");
    let id = desk.take("subscribe").0;
    desk.answer(id, "subscribe", json!({"positioned": true, "offset": 3}));
    assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()));
}

#[test]
fn an_app_continues_from_a_position_that_it_kept() {
    let mut desk = Desk::connected(config());
    let options = SubscribeOptions { since: Some(at("e1", 40)), ..SubscribeOptions::default() };
    let (_, key) = desk.subscribe_with("a", &options);
    let (id, asked) = desk.take("subscribe");
    assert_eq!((&asked["recover"], &asked["offset"]), (&json!(true), &json!(40)));
    let fields = json!({"epoch": "e1", "offset": 42, "recovered": true, "publications": page([41, 42])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!(desk.offsets(key), [41, 42]);
}

// Continuing after a cut.

#[test]
fn what_was_missed_comes_in_order_before_anything_newer() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, asked) = cut(&mut desk);
    assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)));
    let fields = json!({"epoch": "e1", "offset": 8, "recovered": true, "publications": page([6, 7, 8])});
    answer_subscribe(&mut desk, id, &fields);
    desk.publication("a", 9);
    let told = subscribed(&desk, key);
    assert!(told.was_recovering && told.recovered);
    assert_eq!((desk.offsets(key), desk.gaps(key), desk.sent("history")), (vec![6, 7, 8, 9], vec![], 0));
    assert!(matches!(desk.channel_events(key)[0], ChannelEvent::Subscribed(_)), "told before the messages");
}

/// A plain server answers with the position that was asked from.
#[test]
fn a_recovery_is_confirmed_at_the_newest_message_that_it_brings() {
    let (mut desk, _, key) = Desk::in_channel("a", 1);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e1", "offset": 1, "recovered": true, "publications": page([2, 3])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!(subscribed(&desk, key).position, Some(at("e1", 3)));
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![2, 3], 0));
}

#[test]
fn the_position_lives_in_the_client_and_serves_twice_in_a_row() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    for _ in 0..3 {
        // Cut again before the answer came.
        let (_, asked) = cut(&mut desk);
        assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)));
    }
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 5, "recovered": true}));
    assert_eq!((desk.offsets(key).len(), desk.gaps(key).len()), (0, 0));
}

#[test]
fn a_longer_absence_is_read_from_history_page_by_page() {
    let mut desk = Desk::connected(Config { repair_page: 3, ..config() });
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 10);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 17}));
    for (since, offsets) in [(10, 11..=13), (13, 14..=16), (16, 17..=17)] {
        let (id, asked) = desk.take("history");
        assert_eq!(asked["channel"], "a");
        assert_eq!(asked["limit"], 3);
        assert_eq!(asked["since"], json!({"epoch": "e1", "offset": since}));
        let page = page(offsets);
        desk.answer(id, "history", json!({"publications": page, "epoch": "e1", "offset": 17}));
    }
    assert_eq!(desk.offsets(key), Vec::from_iter(11..=17));
    assert_eq!((desk.gaps(key).len(), desk.sent("history")), (0, 0));
    desk.publication("a", 18);
    assert_eq!(desk.offsets(key).last(), Some(&18));
}

#[test]
fn a_page_is_no_larger_than_the_server_gives() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"homing": {"version": 1, "limits": {"history_page": 50}}}));
    desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    desk.publication("a", 9);
    assert_eq!(desk.take("history").1["limit"], 50);
}

#[test]
fn live_messages_wait_while_history_is_read() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 7}));
    desk.publication("a", 8);
    desk.publication("a", 9);
    assert!(desk.offsets(key).is_empty(), "catching up ends before live begins");
    // The page brings one of them, too.
    answer_page(&mut desk, [6, 7, 8], "e1", 8);
    assert_eq!(desk.offsets(key), [6, 7, 8, 9]);
}

// Contiguity of what comes live.

#[test]
fn a_message_that_comes_twice_is_delivered_once() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    for offset in [6, 6, 5, 1, 7, 6, 7] {
        desk.publication("a", offset);
    }
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![6, 7], 0));
}

#[test]
fn a_hole_between_live_messages_is_read_from_history() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 8);
    desk.publication("a", 9);
    assert!(desk.offsets(key).is_empty(), "nothing overtakes what is missing");
    let since = answer_page(&mut desk, [6, 7, 8, 9], "e1", 9);
    assert_eq!(since, json!({"epoch": "e1", "offset": 5}));
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![6, 7, 8, 9], 0));
    assert_eq!(desk.sent("history"), 0, "one question was enough");
}

#[test]
fn a_hole_among_the_held_back_is_closed_in_its_turn() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    for offset in [3, 4, 7] {
        desk.publication("a", offset);
    }
    answer_page(&mut desk, [1, 2], "e1", 7);
    assert_eq!(desk.offsets(key), [1, 2, 3, 4]);
    assert_eq!(answer_page(&mut desk, [5, 6, 7], "e1", 7), json!({"epoch": "e1", "offset": 4}));
    assert_eq!(desk.offsets(key), Vec::from_iter(1..=7));
}

#[test]
fn a_hole_in_what_the_server_recovered_is_read_from_history() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([6, 9])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!(desk.offsets(key), [6]);
    answer_page(&mut desk, [7, 8, 9], "e1", 9);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![6, 7, 8, 9], 0));
}

#[test]
fn what_is_held_back_is_bounded_and_read_again() {
    let mut desk = Desk::connected(Config { max_held: 4, ..config() });
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    for offset in 2..=40 {
        desk.publication("a", offset);
    }
    answer_page(&mut desk, 1..=20, "e1", 40);
    answer_page(&mut desk, 21..=40, "e1", 40);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (Vec::from_iter(1..=40), 0));
}

// What cannot come any more.

#[test]
fn what_retention_dropped_is_one_gap_before_anything_newer() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 20}));
    answer_page(&mut desk, 15..=20, "e1", 20);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 14), GapReason::Retention)]);
    assert_eq!(desk.offsets(key), Vec::from_iter(15..=20));
    let events = desk.channel_events(key);
    assert!(matches!(events[1], ChannelEvent::Gap(_)), "before anything newer: {events:?}");
}

#[test]
fn a_channel_that_keeps_nothing_tells_one_gap_and_goes_on() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 20}));
    answer_page(&mut desk, [], "e1", 20);
    desk.publication("a", 21);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 20), GapReason::Retention)]);
    assert_eq!(desk.offsets(key), [21]);
}

#[test]
fn a_history_that_may_not_be_read_gives_one_gap() {
    for code in [103, 108] {
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        let (id, _) = cut(&mut desk);
        answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 8}));
        desk.publication("a", 9);
        let id = desk.take("history").0;
        desk.refuse(id, code);
        assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 8), GapReason::HistoryUnavailable)]);
        assert_eq!(desk.offsets(key), [9]);
    }
}

#[test]
fn a_channel_made_anew_gives_one_gap_and_is_read_from_its_start() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2", "offset": 3}));
    assert_eq!(answer_page(&mut desk, 1..=3, "e2", 3), json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [1, 2, 3]);
    assert_eq!(desk.client.subscription(key).position, Some(at("e2", 3)));
}

#[test]
fn a_channel_made_anew_and_still_empty_gives_the_gap_at_once() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    desk.publication("a", 1);
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![1], 0));
}

#[test]
fn a_new_epoch_whose_start_is_gone_still_gives_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2", "offset": 30}));
    answer_page(&mut desk, 21..=30, "e2", 30);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 20), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), Vec::from_iter(21..=30));
}

#[test]
fn an_epoch_that_changes_between_two_pages_is_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 30);
    answer_page(&mut desk, 6..=10, "e1", 30);
    answer_page(&mut desk, 1..=2, "e2", 4);
    // The page that revealed it was asked for by a position of the old epoch, so it is asked for again.
    assert_eq!(answer_page(&mut desk, 1..=4, "e2", 4), json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 11), at("e2", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [6, 7, 8, 9, 10, 1, 2, 3, 4]);
}

#[test]
fn a_gap_is_not_forgotten_when_the_connection_is_cut_before_it_was_told() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2", "offset": 3}));
    desk.take("history");
    let kept = desk.client.subscription(key).position;
    assert_eq!(kept, Some(at("e1", 5)), "an app that keeps its position does not skip the gap either");
    let (id, asked) = cut(&mut desk);
    assert_eq!(asked["epoch"], "e2");
    let fields = json!({"epoch": "e2", "offset": 3, "recovered": true, "publications": page([1, 2, 3])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    let events = desk.channel_events(key);
    assert!(matches!(events[1], ChannelEvent::Gap(_)), "before anything newer: {events:?}");
    assert_eq!(desk.offsets(key), [1, 2, 3]);
}

#[test]
fn two_new_epochs_in_a_row_are_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2", "offset": 3}));
    desk.take("history");
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e3", "offset": 1}));
    answer_page(&mut desk, [1], "e3", 1);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e3", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [1]);
}

#[test]
fn a_log_that_ends_before_what_was_seen_is_a_gap_and_counts_on_from_its_end() {
    let (mut desk, _, key) = Desk::in_channel("a", 9);
    let (id, _) = cut(&mut desk);
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 6}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 7), at("e1", 9), GapReason::Rewound)]);
    desk.publication("a", 7);
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![7], 0));
}

#[test]
fn a_log_that_lost_its_tail_between_two_pages_is_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 9);
    answer_page(&mut desk, [], "e1", 3);
    assert_eq!(desk.gaps(key), [gap(at("e1", 4), at("e1", 8), GapReason::Rewound)]);
    desk.publication("a", 4);
    assert_eq!(desk.offsets(key), [4]);
}

#[test]
fn a_channel_that_stops_keeping_positions_says_so_once() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = cut(&mut desk);
    desk.answer(id, "subscribe", json!({}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 6), GapReason::HistoryUnavailable)]);
    let (id, asked) = cut(&mut desk);
    assert!(asked["recover"].is_null());
    desk.answer(id, "subscribe", json!({}));
    assert!(desk.gaps(key).is_empty());
}

// Trouble while history is read.

#[test]
fn a_page_that_the_server_stumbles_over_is_asked_for_again() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 7);
    for _ in 0..3 {
        let id = desk.take("history").0;
        desk.stumble(id);
        assert_eq!(desk.sent("history"), 0, "not in the same moment");
        desk.pass(5_000);
    }
    answer_page(&mut desk, [6, 7], "e1", 7);
    assert_eq!((desk.offsets(key), desk.gaps(key).len(), desk.sockets.len()), (vec![6, 7], 0, 1));
}

#[test]
fn one_page_without_an_answer_is_asked_for_again_and_a_second_one_renews_the_connection() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 7);
    let late = desk.take("history").0;
    for _ in 0..11 {
        desk.pass(1_000);
        desk.frame("{}");
    }
    assert_eq!((desk.sockets.len(), desk.sent("history")), (1, 1));
    desk.answer(late, "history", json!({"publications": page([6]), "epoch": "e1", "offset": 7}));
    assert!(desk.offsets(key).is_empty(), "the answer to the older question changes nothing");
    desk.take("history");
    for _ in 0..10 {
        desk.pass(1_000);
        if desk.conn.is_some() && desk.is_connected() {
            desk.frame("{}");
        }
    }
    desk.until_socket(5_000);
    assert_eq!(desk.sockets.len(), 2);
}

#[test]
fn a_position_that_the_history_refuses_is_settled_by_joining_again() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 7);
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.take("unsubscribe");
    let (id, asked) = desk.take("subscribe");
    assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)));
    answer_subscribe(&mut desk, id, &json!({"epoch": "e2", "offset": 1}));
    answer_page(&mut desk, [1], "e2", 1);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    assert_eq!((desk.offsets(key), desk.sockets.len()), (vec![1], 1));
}

#[test]
fn a_server_that_refuses_every_position_is_not_hammered() {
    let (mut desk, _, _) = Desk::in_channel("a", 5);
    desk.publication("a", 7);
    let mut joins = 0;
    while desk.now < 120_000 {
        while desk.sent("history") > 0 {
            let id = desk.take("history").0;
            desk.refuse(id, 112);
        }
        while desk.sent("unsubscribe") > 0 {
            let id = desk.take("unsubscribe").0;
            desk.answer(id, "unsubscribe", json!({}));
        }
        while desk.sent("subscribe") > 0 {
            let id = desk.take("subscribe").0;
            answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 7}));
            joins += 1;
        }
        desk.pass(20);
        desk.frame("{}");
    }
    assert!((5..60).contains(&joins), "{joins} joins in two minutes");
}

// Cache.

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
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![7], 0));
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 7)));
}

#[test]
fn a_cache_brings_the_newest_value_alone_and_no_gap() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 5);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([9])});
    answer_subscribe(&mut desk, id, &fields);
    desk.publication("a", 12);
    desk.publication("a", 11);
    assert_eq!((desk.offsets(key), desk.gaps(key).len(), desk.sent("history")), (vec![9, 12], 0, 0));
}

#[test]
fn a_cache_that_has_nothing_newer_brings_nothing() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([9])});
    answer_subscribe(&mut desk, id, &fields);
    assert!(desk.offsets(key).is_empty());
}

#[test]
fn a_cache_made_anew_brings_its_value_whatever_its_offset() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e2", "offset": 2, "recovered": true, "publications": page([2])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (vec![2], 0));
}

#[test]
fn a_cache_that_lost_its_tail_says_so_and_brings_what_it_has() {
    let (mut desk, key) = cached("a");
    desk.confirm("a", "e1", 9);
    let (id, _) = cut(&mut desk);
    let fields = json!({"epoch": "e1", "offset": 6, "recovered": true, "publications": page([6])});
    answer_subscribe(&mut desk, id, &fields);
    assert_eq!(desk.gaps(key), [gap(at("e1", 7), at("e1", 9), GapReason::Rewound)]);
    assert_eq!(desk.offsets(key), [6]);
}

#[test]
fn a_server_may_make_a_channel_a_cache() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    let homing = json!({"size": 1, "cache": true});
    answer_subscribe(&mut desk, id, &json!({"epoch": "e1", "offset": 5, "homing": homing}));
    desk.publication("a", 9);
    assert_eq!((desk.offsets(key), desk.gaps(key).len(), desk.sent("history")), (vec![9], 0, 0));
}

/// D2 as a matrix: however long the absence, whatever came meanwhile, on whichever node, all of it comes.
#[test]
fn recovery_is_whole_for_every_absence_within_retention() {
    for published in [0, 1, 7, 450] {
        for away in [1, 30_000, 600_000] {
            for times in [1, 2] {
                let mut world = World::new(published + away + times, support::config());
                world.connect();
                let mut reader = Reader::new(world.subscribe("a").1, "a");
                world.run_for(5_000);
                for _ in 0..times {
                    world.reachable = false;
                    world.cut();
                    for n in 0..published {
                        world.server_publishes("a", &n.to_string());
                    }
                    world.run_for(away);
                    world.reachable = true;
                    world.until_connected();
                    world.run_for(2_000);
                }
                reader.check_arrived(&mut world);
                assert_eq!((reader.messages, reader.gaps), (published * times, 0));
            }
        }
    }
}

/// D1: a client whose link is cut at random under load sees everything, or a gap for it.
#[test]
fn ten_minutes_of_random_cuts_under_load_lose_nothing() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, support::config());
        world.connect();
        let mut reader = Reader::new(world.subscribe("a").1, "a");
        world.run_for(1_000);
        let mut published = 0;
        while world.now < 600_000 {
            world.server_publishes("a", "1");
            published += 1;
            if dice.chance(2) {
                world.cut();
            }
            world.run_for(dice.below(400));
        }
        world.run_for(60_000);
        reader.check_arrived(&mut world);
        assert_eq!((reader.messages, reader.gaps), (published, 0), "seed {seed}");
    }
}
