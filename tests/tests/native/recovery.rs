//! What survives a broken network and a server that goes away, and what is told where it does not.

use crate::support::{Scene, away, client_of, connected, expect, fresh, gap, next, proxied, publish};
use homing::{
    BufferLimits, Decode, Delivery, ErrorCode, GapReason, HistoryQuery, Kept, MemoryStorage, Recovery,
    SubscribeOptions,
};
use homing_tests::stage::soon;
use homing_tests::{
    peer::Peer,
    proxy::{Direction, FaultProxy},
};
use std::{collections::BTreeSet, time::Duration};

#[tokio::test]
async fn what_was_published_while_the_network_was_gone_arrives_in_order() {
    let scene = Scene::start(&[]).await;
    let (_room, mut messages, out) = scene.room(&fresh("chat")).await;
    publish(&out, 1..=3).await;
    expect(&mut messages, 1..=3).await;
    for (round, fault) in [FaultProxy::take_down, FaultProxy::cut, FaultProxy::reset].iter().enumerate() {
        let from = 4 + 40 * round as u64;
        fault(&scene.proxy);
        scene.proxy.take_down();
        away(&scene.reader).await;
        publish(&out, from..=from + 38).await;
        scene.proxy.clear();
        expect(&mut messages, from..=from + 38).await;
        publish(&out, from + 39..=from + 39).await;
        expect(&mut messages, from + 39..=from + 39).await;
    }
}

#[tokio::test]
async fn a_client_that_is_made_anew_sends_what_was_queued_and_reads_on_where_it_was() {
    let scene = Scene::start(&[]).await;
    let name = fresh("long");
    let storage = MemoryStorage::new();
    let client =
        || client_of(scene.peer.url(), "ada").user("ada").storage_name("peer").storage(storage.clone());
    let first = connected(client()).await;
    let mut messages = first.channel(&*name).durable().messages();
    soon(first.channel(&*name).durable().join()).await.unwrap();
    let out = scene.writer.channel(&*name);
    publish(&out, 1..=5).await;
    expect(&mut messages, 1..=4).await;
    first.close(Duration::from_secs(5)).await;
    let offline = client().build().unwrap();
    assert_eq!(soon(offline.channel(&*name).publish(&400_u64).stored()).await, Ok(Kept::Durably));
    offline.close(Duration::from_secs(5)).await;
    publish(&out, 6..=399).await;

    let second = connected(client()).await;
    let mut messages = second.channel(&*name).durable().messages();
    // The fourth was given, and nothing was asked for behind it.
    expect(&mut messages, 4..=400).await;
    soon(second.outbox().kept()).await.unwrap();
    soon(async {
        while !second.outbox().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn more_missed_than_one_recovery_brings_is_read_from_history() {
    let scene = Scene::start(&[]).await;
    let (_room, mut messages, out) = scene.room(&fresh("long")).await;
    publish(&out, 1..=1).await;
    expect(&mut messages, 1..=1).await;
    scene.proxy.take_down();
    away(&scene.reader).await;
    let calls: Vec<_> = (2..=900_u64).map(|number| out.publish(&number)).collect();
    for call in calls {
        soon(call).await.unwrap();
    }
    scene.proxy.clear();
    expect(&mut messages, 2..=900).await;
    publish(&out, 901..=901).await;
    expect(&mut messages, 901..=901).await;
}

#[tokio::test]
async fn a_flow_through_one_reconnect_after_another_loses_and_doubles_nothing() {
    let scene = Scene::start(&[]).await;
    let (_room, mut messages, out) = scene.room(&fresh("long")).await;
    let writing = async {
        for number in 1..=600_u64 {
            soon(out.publish(&number)).await.unwrap();
            match number % 60 {
                0 => scene.proxy.reset(),
                20 => scene.proxy.cut(),
                40 => scene.proxy.half_close(Direction::Down),
                _ => {}
            }
        }
    };
    tokio::join!(writing, expect(&mut messages, 1..=600));
}

#[tokio::test]
async fn a_connection_whose_bytes_vanish_is_given_up_and_made_anew() {
    for direction in [None, Some("up"), Some("down")] {
        let scene = Scene::start(&["--ping=1s", "--pong=500ms"]).await;
        let (_room, mut messages, out) = scene.room(&fresh("chat")).await;
        let fault = direction.map_or("blackhole".to_owned(), |direction| format!("drop {direction}"));
        scene.proxy.apply(fault.parse().unwrap());
        publish(&out, 1..=1).await;
        away(&scene.reader).await;
        publish(&out, 2..=2).await;
        scene.proxy.clear();
        expect(&mut messages, 1..=2).await;
    }
}

#[tokio::test]
async fn a_half_closed_connection_is_made_anew() {
    for direction in [Direction::Up, Direction::Down] {
        let scene = Scene::start(&["--ping=1s", "--pong=500ms"]).await;
        let (_room, mut messages, out) = scene.room(&fresh("chat")).await;
        scene.proxy.half_close(direction);
        publish(&out, 1..=3).await;
        expect(&mut messages, 1..=3).await;
        let echoed: u32 = soon(async {
            loop {
                // What was under way on the old connection may be lost.
                if let Ok(echoed) = scene.reader.rpc("echo", &5).await {
                    return echoed;
                }
            }
        })
        .await;
        assert_eq!(echoed, 5);
    }
}

#[tokio::test]
async fn what_history_has_dropped_is_one_gap_before_anything_newer() {
    let scene = Scene::start(&[]).await;
    let (_room, mut messages, out) = scene.room(&fresh("short")).await;
    publish(&out, 1..=1).await;
    expect(&mut messages, 1..=1).await;
    scene.proxy.take_down();
    away(&scene.reader).await;
    publish(&out, 2..=20).await;
    scene.proxy.clear();
    let missed = gap(&mut messages).await;
    assert_eq!((missed.from.offset, missed.to.offset, missed.reason), (2, 15, GapReason::Retention));
    expect(&mut messages, 16..=20).await;
    publish(&out, 21..=21).await;
    expect(&mut messages, 21..=21).await;
}

#[tokio::test]
async fn a_channel_in_cache_mode_recovers_its_newest_value() {
    let scene = Scene::start(&[]).await;
    let name = fresh("cache");
    let options = SubscribeOptions { recovery: Recovery::Cache, ..SubscribeOptions::default() };
    let room = scene.reader.channel_with(&*name, options);
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let out = scene.writer.channel(&*name);
    publish(&out, 1..=1).await;
    assert_eq!(next(&mut messages).await.0, 1);
    scene.proxy.take_down();
    away(&scene.reader).await;
    publish(&out, 2..=9).await;
    scene.proxy.clear();
    assert_eq!(next(&mut messages).await.0, 9);
    publish(&out, 10..=10).await;
    assert_eq!(next(&mut messages).await.0, 10);
}

#[tokio::test]
async fn a_server_that_starts_anew_is_found_again_and_its_lost_log_is_told() {
    let scene = Scene::start(&[]).await;
    let (room, mut messages, out) = scene.room(&fresh("chat")).await;
    publish(&out, 1..=5).await;
    expect(&mut messages, 1..=5).await;
    let address = scene.peer.address();
    drop(scene.peer);
    away(&scene.reader).await;
    away(&scene.writer).await;
    let waiting = out.publish(&1_u64);
    let _peer = Peer::start_on(&address.to_string(), &[]).unwrap();
    soon(waiting).await.unwrap();
    let missed = gap(&mut messages).await;
    assert_eq!(missed.reason, GapReason::EpochChanged);
    assert_ne!(missed.from.epoch, missed.to.epoch);
    // Its log begins anew.
    let mut seen = missed.to.offset;
    assert!(seen <= 1);
    publish(&out, 2..=3).await;
    while seen < 3 {
        let (number, offset) = next(&mut messages).await;
        assert_eq!((number, offset), (seen + 1, seen + 1));
        seen = offset;
    }
    drop(room);
}

#[tokio::test]
async fn what_is_acked_is_there_once_and_what_was_not_sent_is_not() {
    let scene = Scene::start(&[]).await;
    let name = fresh("long");
    let (out, mut acked, mut unsent) = (scene.reader.channel(&*name), BTreeSet::new(), BTreeSet::new());
    let mut waiting = Vec::new();
    for number in 0..800_u64 {
        waiting.push((number, out.publish(&number)));
        if number % 100 == 50 {
            scene.proxy.reset();
        }
        if waiting.len() == 40 {
            for (number, call) in waiting.drain(..) {
                match soon(call).await {
                    Ok(_) => drop(acked.insert(number)),
                    Err(error) if error.code == ErrorCode::OutcomeUnknown => {}
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::NotSent);
                        unsent.insert(number);
                    }
                }
            }
        }
    }
    assert!(acked.len() >= 400, "{} of 800 were acked", acked.len());
    let room = scene.writer.channel(&*name);
    soon(room.join()).await.unwrap();
    let head = soon(room.history(HistoryQuery::default())).await.unwrap().position.unwrap();
    let (mut found, mut since) = (Vec::new(), homing::Position { offset: 0, ..head });
    loop {
        let query = HistoryQuery { limit: 300, since: Some(since.clone()), reverse: false };
        let page = soon(room.history(query)).await.unwrap();
        let Some(last) = page.messages.last() else { break };
        since.offset = last.offset;
        found.extend(page.messages.iter().map(|message| message.decode::<u64>().unwrap()));
    }
    assert!(found.is_sorted_by(|one, other| one < other), "twice, or out of order: {found:?}");
    let found = BTreeSet::from_iter(found);
    assert!(acked.is_subset(&found) && found.is_disjoint(&unsent));
}

#[tokio::test]
async fn a_stream_in_a_select_loses_nothing_while_the_network_breaks() {
    let scene = Scene::start(&[]).await;
    let (_room, mut messages, out) = scene.room(&fresh("long")).await;
    let total = 500;
    let writing = async {
        for number in 1..=total {
            soon(out.publish(&number)).await.unwrap();
            if number % 100 == 0 {
                scene.proxy.reset();
            }
        }
    };
    let reading = async {
        let (mut last, mut dropped) = (0, 0_u32);
        let mut tick = tokio::time::interval(Duration::from_micros(300));
        while last < total {
            tokio::select! {
                biased;
                _ = tick.tick() => dropped += 1,
                () = tokio::task::yield_now() => dropped += 1,
                delivery = messages.next() => {
                    let Some(Ok(Delivery::Message(message))) = delivery else { panic!("{delivery:?}") };
                    assert_eq!(message.offset, last + 1);
                    last = message.offset;
                }
            }
        }
        assert!(dropped > 100);
    };
    soon(async { tokio::join!(writing, reading) }).await;
}

#[tokio::test]
async fn a_slow_reader_reads_on_from_history_across_a_cut() {
    let scene = Scene::start(&[]).await;
    let name = fresh("long");
    let room = scene.reader.channel(&*name);
    let mut slow = room.messages_buffered(BufferLimits { items: 8, bytes: 1000 });
    let mut fast = room.messages();
    soon(room.join()).await.unwrap();
    let out = scene.writer.channel(&*name);
    publish(&out, 1..=100).await;
    expect(&mut fast, 1..=100).await;
    expect(&mut slow, 1..=50).await;
    scene.proxy.reset();
    publish(&out, 101..=400).await;
    expect(&mut fast, 101..=400).await;
    expect(&mut slow, 51..=400).await;
}

#[tokio::test]
async fn a_position_that_the_app_kept_is_continued_from_by_another_client() {
    let scene = Scene::start(&[]).await;
    let name = fresh("chat");
    let (_room, mut messages, out) = scene.room(&name).await;
    publish(&out, 1..=10).await;
    expect(&mut messages, 1..=4).await;
    let since = messages.position();
    assert_eq!(since.as_ref().unwrap().offset, 4);
    let other = connected(client_of(proxied(&scene.proxy), "reader")).await;
    let mut rest = other.channel_with(&*name, SubscribeOptions { since, ..Default::default() }).messages();
    expect(&mut rest, 5..=10).await;
}
