//! Nothing that the server still has is missed: recovery after a cut, contiguity of what comes live, repair from
//! history page by page.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    Dice, World,
    desk::{Desk, at, config, page},
    reader::Reader,
};

fn subscribed(desk: &Desk, key: ChannelKey) -> Subscribed {
    let last = desk.channel_events(key).into_iter().rev().find_map(|event| match event {
        ChannelEvent::Subscribed(subscribed) => Some(subscribed.clone()),
        _ => None,
    });
    last.expect("subscribed")
}

fn gap(from: Position, to: Position, reason: GapReason) -> Gap {
    Gap { from, to, reason }
}

// Joining.

#[test]
fn a_first_subscribe_gives_a_position_also_for_an_empty_channel() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let (id, asked) = desk.take("subscribe");
    assert!(asked["recover"].is_null(), "there is nothing to recover from");
    desk.answer_subscribe(id, &json!({"epoch": "e1", "was_recovering": false}));
    let told = subscribed(&desk, key);
    assert_eq!((told.position, told.was_recovering, told.missed), (Some(at("e1", 0)), false, None));
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 0)));
}

#[test]
fn a_channel_that_was_empty_before_the_cut_recovers_from_its_start() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    let (id, asked) = desk.cut();
    assert_eq!((&asked["recover"], &asked["epoch"]), (&json!(true), &json!("e1")));
    let fields = json!({"epoch": "e1", "offset": 2, "recovered": true, "publications": page([1, 2])});
    desk.answer_subscribe(id, &fields);
    assert_eq!((desk.offsets(key), desk.gaps(key)), (vec![1, 2], vec![]));
}

#[test]
fn a_recovery_into_a_later_epoch_goes_on_without_a_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 3);
    let (id, asked) = desk.cut();
    assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(3)));
    let fields = json!({"epoch": "e2", "offset": 5, "recovered": true, "publications": page([4, 5])});
    desk.answer_subscribe(id, &fields);
    desk.publication("a", 6);
    assert_eq!((desk.offsets(key), desk.gaps(key)), (vec![4, 5, 6], vec![]));
    assert_eq!(desk.client.subscription(key).position, Some(at("e2", 6)));
    let (_, asked) = desk.cut();
    assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e2"), &json!(6)));
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
    let (id, asked) = desk.cut();
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
    desk.answer_subscribe(id, &fields);
    assert_eq!(desk.offsets(key), [41, 42]);
}

// Continuing after a cut.

#[test]
fn what_was_missed_comes_in_order_before_anything_newer() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, asked) = desk.cut();
    assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)));
    let fields = json!({"epoch": "e1", "offset": 8, "recovered": true, "publications": page([6, 7, 8])});
    desk.answer_subscribe(id, &fields);
    desk.publication("a", 9);
    let told = subscribed(&desk, key);
    assert_eq!((told.was_recovering, told.recovered, told.missed), (true, true, Some(3)));
    assert_eq!((desk.offsets(key), desk.gaps(key), desk.sent("history")), (vec![6, 7, 8, 9], vec![], 0));
    assert!(matches!(desk.channel_events(key)[0], ChannelEvent::Subscribed(_)), "told before the messages");
}

/// A plain server answers with the position that was asked from.
#[test]
fn a_recovery_is_confirmed_at_the_newest_message_that_it_brings() {
    let (mut desk, _, key) = Desk::in_channel("a", 1);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e1", "offset": 1, "recovered": true, "publications": page([2, 3])});
    desk.answer_subscribe(id, &fields);
    assert_eq!(subscribed(&desk, key).position, Some(at("e1", 3)));
    assert_eq!((desk.offsets(key), desk.sent("history")), (vec![2, 3], 0));
}

#[test]
fn the_position_lives_in_the_client_and_serves_twice_in_a_row() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    for _ in 0..3 {
        // Cut again before the answer came.
        let (_, asked) = desk.cut();
        assert_eq!((&asked["epoch"], &asked["offset"]), (&json!("e1"), &json!(5)));
    }
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 5, "recovered": true}));
    assert_eq!((desk.offsets(key).len(), desk.gaps(key).len()), (0, 0));
}

#[test]
fn a_longer_absence_is_read_from_history_page_by_page() {
    let mut desk = Desk::connected(Config { repair_page: 3, ..config() });
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 10);
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 17}));
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
    let (id, _) = desk.cut();
    desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 7}));
    desk.publication("a", 8);
    desk.publication("a", 9);
    assert!(desk.offsets(key).is_empty(), "catching up ends before live begins");
    // The page brings one of them, too.
    desk.answer_page([6, 7, 8], "e1", 8);
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
    let since = desk.answer_page([6, 7, 8, 9], "e1", 9);
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
    desk.answer_page([1, 2], "e1", 7);
    assert_eq!(desk.offsets(key), [1, 2, 3, 4]);
    assert_eq!(desk.answer_page([5, 6, 7], "e1", 7), json!({"epoch": "e1", "offset": 4}));
    assert_eq!(desk.offsets(key), Vec::from_iter(1..=7));
}

#[test]
fn a_hole_in_what_the_server_recovered_is_read_from_history() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    let (id, _) = desk.cut();
    let fields = json!({"epoch": "e1", "offset": 9, "recovered": true, "publications": page([6, 9])});
    desk.answer_subscribe(id, &fields);
    assert_eq!(desk.offsets(key), [6]);
    desk.answer_page([7, 8, 9], "e1", 9);
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
    desk.answer_page(1..=20, "e1", 40);
    desk.answer_page(21..=40, "e1", 40);
    assert_eq!((desk.offsets(key), desk.gaps(key).len()), (Vec::from_iter(1..=40), 0));
}

#[test]
fn what_was_held_back_and_dropped_is_read_also_when_it_came_out_of_order() {
    let mut desk = Desk::connected(Config { max_held: 2, ..config() });
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 0);
    for offset in [5, 6, 4] {
        desk.publication("a", offset);
    }
    desk.answer_page([1, 2, 3], "e1", 6);
    desk.answer_page([4], "e1", 6);
    desk.answer_page([5, 6], "e1", 6);
    assert_eq!((desk.offsets(key), desk.sent("history")), (Vec::from_iter(1..=6), 0));
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
    desk.answer_page([6, 7], "e1", 7);
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
fn a_late_page_of_a_repair_that_is_over_changes_nothing() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 9);
    let late = desk.take("history").0;
    desk.say(json!({"push": {"channel": "a", "unsubscribe": {"code": 2500}}}));
    let id = desk.take("subscribe").0;
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 3}));
    desk.answer(late, "history", json!({"publications": page(6..=9), "epoch": "e1", "offset": 9}));
    assert!(desk.offsets(key).is_empty());
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.answer_page(1..=3, "e2", 3);
    assert_eq!(desk.offsets(key), [1, 2, 3]);
    assert_eq!(desk.gaps(key), [gap(at("e1", 6), at("e2", 0), GapReason::EpochChanged)]);
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
    desk.answer_subscribe(id, &json!({"epoch": "e2", "offset": 1}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.answer_page([1], "e2", 1);
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
            desk.answer_subscribe(id, &json!({"epoch": "e1", "offset": 7}));
            joins += 1;
        }
        desk.pass(20);
        desk.frame("{}");
    }
    assert!((5..60).contains(&joins), "{joins} joins in two minutes");
}

/// However long the absence, whatever came meanwhile, on whichever node, all of it comes.
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

/// A client whose link is cut at random under load sees everything, or a gap for it.
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
