//! What cannot come any more is one typed gap, told before anything newer.

mod support;

use homing_core::*;
use serde_json::json;
use support::desk::{Desk, at, page};

fn gap(from: Position, to: Position, reason: GapReason) -> Gap {
    Gap { from, to, reason }
}

#[test]
fn what_retention_dropped_is_one_gap_before_anything_newer() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 20}));
    desk.answer_page(15..=20, "e1", 20);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 14), GapReason::Retention)]);
    assert_eq!(desk.offsets(key), Vec::from_iter(15..=20));
    let events = desk.channel_events(key);
    assert!(matches!(events[1], ChannelEvent::Gap(_)), "before anything newer: {events:?}");
}

#[test]
fn a_channel_that_keeps_nothing_tells_one_gap_and_goes_on() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 20}));
    desk.answer_page([], "e1", 20);
    desk.publication("a", 21);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 20), GapReason::Retention)]);
    assert_eq!(desk.offsets(key), [21]);
}

#[test]
fn a_history_that_may_not_be_read_gives_one_gap() {
    for code in [103, 108] {
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        let (id, _) = desk.cut();
        desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 8}));
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
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 3}));
    let (id, asked) = desk.take("history");
    assert_eq!(asked["since"], json!({"epoch": "e1", "offset": 5}), "its place may have survived");
    desk.refuse(id, 112);
    assert_eq!(desk.answer_page(1..=3, "e2", 3), json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [1, 2, 3]);
    assert_eq!(desk.client.subscription(key).position, Some(at("e2", 3)));
}

#[test]
fn a_channel_made_anew_and_still_empty_gives_the_gap_at_once() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    desk.publication("a", 1);
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![1], 0));
}

#[test]
fn a_new_epoch_whose_start_is_gone_still_gives_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 30}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.answer_page(21..=30, "e2", 30);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 20), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), Vec::from_iter(21..=30));
}

/// More was missed than one recovery brings, and the store was restarted meanwhile.
#[test]
fn a_log_that_survived_into_a_later_epoch_is_read_on_page_by_page() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 12}));
    desk.publication("a", 13);
    assert_eq!(desk.answer_page(6..=9, "e2", 13), json!({"epoch": "e1", "offset": 5}));
    assert_eq!(desk.answer_page(10..=13, "e2", 13), json!({"epoch": "e2", "offset": 9}));
    assert_eq!((desk.offsets(key), desk.gaps(key)), (Vec::from_iter(6..=13), vec![]));
    assert_eq!(desk.client.subscription(key).position, Some(at("e2", 13)));
}

#[test]
fn a_log_that_survived_and_was_trimmed_gives_one_gap_from_the_place_that_the_reader_knows() {
    for first in [9, 13] {
        let kept = first..=12;
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        let (id, _) = desk.cut();
        desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 12}));
        desk.answer_page(kept.clone(), "e2", 12);
        desk.publication("a", 13);
        assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", first - 1), GapReason::Retention)]);
        assert_eq!(desk.offsets(key), Vec::from_iter(kept.chain(13..=13)));
    }
}

#[test]
fn a_place_that_did_not_survive_is_one_gap_whatever_the_refusal() {
    for code in [112, 103] {
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        let (id, _) = desk.cut();
        desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 8}));
        let id = desk.take("history").0;
        desk.refuse(id, code);
        assert_eq!(desk.answer_page(1..=8, "e2", 8), json!({"epoch": "e2"}));
        assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
        assert_eq!(desk.offsets(key), Vec::from_iter(1..=8));
    }
}

/// The store lost its tail: the log ended at 40, counts on in a later epoch, and the reader had seen 50.
#[test]
fn a_log_that_lost_its_tail_goes_on_behind_what_is_left_of_it() {
    for head in [40, 43, 60] {
        let (mut desk, _, key) = Desk::in_channel("a", 50);
        let (id, _) = desk.cut();
        desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": head}));
        let id = desk.take("history").0;
        let survived =
            json!({"code": 112, "message": "unrecoverable position", "expected": 41, "epoch": "e2"});
        desk.answer(id, "error", survived);
        if head > 40 {
            assert_eq!(desk.answer_page(41..=head, "e2", head), json!({"epoch": "e2", "offset": 40}));
        }
        desk.publication("a", head + 1);
        assert_eq!(desk.gaps(key), [gap(at("e1", 41), at("e2", 40), GapReason::EpochChanged)]);
        assert_eq!(desk.offsets(key), Vec::from_iter(41..=head + 1), "nothing comes twice");
    }
}

#[test]
fn a_place_to_go_on_from_that_makes_no_sense_is_not_believed() {
    for reply in [
        json!({"code": 112, "message": "", "expected": 7, "epoch": "e2"}),
        json!({"code": 112, "message": "", "expected": 3}),
        json!({"code": 103, "message": "", "expected": 3, "epoch": "e2"}),
    ] {
        let (mut desk, _, key) = Desk::in_channel("a", 5);
        let (id, _) = desk.cut();
        desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 8}));
        let id = desk.take("history").0;
        desk.answer(id, "error", reply);
        assert_eq!(desk.answer_page(1..=8, "e2", 8), json!({"epoch": "e2"}));
        assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    }
}

/// Redis failed over, and its first replica gave it another history, before the reader had asked.
#[test]
fn epochs_that_follow_one_another_closely_lose_no_place() {
    let (mut desk, _, key) = Desk::in_channel("a", 50);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 43}));
    let id = desk.take("history").0;
    desk.answer(id, "error", json!({"code": 112, "message": "", "expected": 41, "epoch": "e3"}));
    let id = desk.rejoins(&at("e3", 40));
    desk.answer_subscribe(id, &json!({"epoch": "e4", "offset": 44}));
    assert_eq!(desk.answer_page(41..=45, "e5", 45), json!({"epoch": "e3", "offset": 40}));
    // The second time in a row not at once.
    desk.pass(5_000);
    let id = desk.rejoins(&at("e3", 40));
    desk.answer_subscribe(id, &json!({"epoch": "e5", "offset": 45}));
    assert_eq!(desk.answer_page(41..=45, "e5", 45), json!({"epoch": "e3", "offset": 40}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 41), at("e5", 40), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), Vec::from_iter(41..=45), "nothing comes twice");
}

#[test]
fn an_epoch_that_a_log_survives_between_two_pages_is_no_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 30);
    desk.answer_page(6..=10, "e1", 30);
    assert_eq!(desk.answer_page(11..=14, "e2", 16), json!({"epoch": "e1", "offset": 10}));
    let id = desk.rejoins(&at("e1", 10));
    let recovered = json!({"epoch": "e2", "offset": 16, "recovered": true, "publications": page(11..=16)});
    desk.answer_subscribe(id, &recovered);
    // The message that was held back counted the old epoch.
    desk.publication("a", 17);
    assert_eq!((desk.gaps(key), desk.offsets(key)), (vec![], Vec::from_iter(6..=17)));
}

/// The reader was told that the channel stands at 17; then the store lost all behind 8, and others wrote 9 and 10.
#[test]
fn an_epoch_that_only_a_page_reveals_is_told_before_its_messages() {
    let (mut desk, _, key) = Desk::in_channel("a", 8);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 17}));
    desk.answer_page(9..=10, "e2", 10);
    assert!(desk.offsets(key).is_empty(), "nothing of an epoch that the app has not heard of");
    let id = desk.rejoins(&at("e1", 8));
    let recovered = json!({"epoch": "e2", "offset": 10, "recovered": true, "publications": page([9, 10])});
    desk.answer_subscribe(id, &recovered);
    let told = desk.channel_events(key).into_iter().filter_map(|event| match event {
        ChannelEvent::Subscribed(told) => told.position.clone(),
        ChannelEvent::Message(message) => Some(at("", message.offset)),
        _ => None,
    });
    assert_eq!(Vec::from_iter(told), [at("e1", 17), at("e2", 10), at("", 9), at("", 10)]);
    assert_eq!(desk.gaps(key), []);
}

#[test]
fn an_epoch_that_changes_between_two_pages_is_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 30);
    desk.answer_page(6..=10, "e1", 30);
    desk.answer_page(1..=2, "e2", 4);
    let id = desk.rejoins(&at("e1", 10));
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 4}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    assert_eq!(desk.answer_page(1..=4, "e2", 4), json!({"epoch": "e2"}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 11), at("e2", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [6, 7, 8, 9, 10, 1, 2, 3, 4]);
}

#[test]
fn a_gap_is_not_forgotten_when_the_connection_is_cut_before_it_was_told() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 3}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.take("history");
    let kept = desk.client.subscription(key).position;
    assert_eq!(kept, Some(at("e1", 5)), "an app that keeps its position does not skip the gap either");
    let (id, asked) = desk.cut();
    assert_eq!(asked["epoch"], "e2");
    let fields = json!({"epoch": "e2", "offset": 3, "recovered": true, "publications": page([1, 2, 3])});
    desk.answer_subscribe(id, &fields);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
    let events = desk.channel_events(key);
    let ChannelEvent::Subscribed(told) = &events[0] else { panic!("{events:?}") };
    assert!(!told.recovered, "a gap follows");
    assert!(matches!(events[1], ChannelEvent::Gap(_)), "before anything newer: {events:?}");
    assert_eq!(desk.offsets(key), [1, 2, 3]);
}

#[test]
fn two_new_epochs_in_a_row_are_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 3}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.take("history");
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e3", "offset": 1}));
    desk.answer_page([1], "e3", 1);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e3", 0), GapReason::EpochChanged)]);
    assert_eq!(desk.offsets(key), [1]);
}

#[test]
fn a_log_that_ends_before_what_was_seen_is_a_gap_and_counts_on_from_its_end() {
    let (mut desk, _, key) = Desk::in_channel("a", 9);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 6}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 7), at("e1", 9), GapReason::Rewound)]);
    desk.publication("a", 7);
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![7], 0));
}

#[test]
fn a_log_that_lost_its_tail_between_two_pages_is_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 9);
    desk.answer_page([], "e1", 3);
    assert_eq!(desk.gaps(key), [gap(at("e1", 4), at("e1", 8), GapReason::Rewound)]);
    desk.publication("a", 4);
    assert_eq!(desk.offsets(key), [4]);
}

#[test]
fn a_channel_that_stops_keeping_positions_says_so_once() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    desk.answer(id, "subscribe", json!({}));
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e1", 6), GapReason::HistoryUnavailable)]);
    let (id, asked) = desk.cut();
    assert!(asked["recover"].is_null());
    desk.answer(id, "subscribe", json!({}));
    assert!(desk.gaps(key).is_empty());
}
