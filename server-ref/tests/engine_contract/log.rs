//! Contracts of the log.

use super::*;
use homing_server::engine::{Epoch, IdempotencyKey, Reach};

pub(crate) async fn offsets_are_contiguous_from_one(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("contiguous");
    let all = append_all(&*engine, &channel, 1..=4).await;
    let positions: Vec<_> = all.iter().map(|appended| appended.position.unwrap()).collect();
    assert_eq!(positions.iter().map(|position| position.offset).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(positions.iter().all(|position| position.epoch == positions[0].epoch));
    assert!(positions[0].epoch > Epoch::NONE);
    assert!(all.iter().all(|appended| !appended.duplicate && appended.time > 0));
}

pub(crate) async fn an_empty_channel_has_a_position(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("empty");
    let first = read(&*engine, &channel, None, 10).await;
    assert_eq!((first.head.offset, first.publications.len(), first.reach), (0, 0, Reach::Complete));
    assert_eq!(read(&*engine, &channel, Some(first.head), 10).await.reach, Reach::Complete);
    let appended = append_all(&*engine, &channel, 1..=1).await;
    assert_eq!(appended[0].position, Some(Position { epoch: first.head.epoch, offset: 1 }));
}

pub(crate) async fn reading_on_gives_what_follows(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("follows");
    append_all(&*engine, &channel, 1..=4).await;
    let all = read(&*engine, &channel, None, 10).await;
    assert_eq!((offsets(&all), all.head.offset), (vec![1, 2, 3, 4], 4));
    let since = |offset| Some(Position { epoch: all.head.epoch, offset });
    assert_eq!(offsets(&read(&*engine, &channel, since(2), 10).await), [3, 4]);
    assert_eq!(offsets(&read(&*engine, &channel, since(0), 2).await), [1, 2]);
    let none = read(&*engine, &channel, since(4), 10).await;
    assert_eq!((offsets(&none), none.reach), (vec![], Reach::Complete));
    let head = read(&*engine, &channel, None, 0).await;
    assert_eq!((offsets(&head), head.head), (vec![], all.head));
}

pub(crate) async fn reading_in_reverse_goes_back_page_by_page(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("reverse");
    append_all(&*engine, &channel, 1..=5).await;
    let mut since = None;
    let mut seen = Vec::new();
    loop {
        let back = Read { reverse: true, ..forwards(&channel, since, 2) };
        let page = engine.read(back).finish().await.unwrap();
        let Some(last) = page.publications.last() else { break };
        since = Some(Position { epoch: page.head.epoch, offset: last.offset });
        seen.push(offsets(&page));
    }
    assert_eq!(seen, [vec![5, 4], vec![3, 2], vec![1]]);
}

pub(crate) async fn what_retention_dropped_is_said(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("trimmed");
    let epoch = append_all(&*engine, &channel, 1..=8).await[0].position.unwrap().epoch;
    let at = |offset| Some(Position { epoch, offset });
    let trimmed = read(&*engine, &channel, at(1), 10).await;
    assert_eq!((offsets(&trimmed), trimmed.reach), (vec![4, 5, 6, 7, 8], Reach::Trimmed));
    let edge = read(&*engine, &channel, at(3), 10).await;
    assert_eq!((offsets(&edge), edge.reach), (vec![4, 5, 6, 7, 8], Reach::Complete));
    assert_eq!(read(&*engine, &channel, None, 10).await.reach, Reach::Complete);
}

pub(crate) async fn an_unknown_position_is_said(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("unknown");
    let head = append_all(&*engine, &channel, 1..=3).await[2].position.unwrap();
    let above = Position { offset: 4, ..head };
    let later = Position { epoch: Epoch::from_micros(head.epoch.micros() + 1), offset: 1 };
    for since in [above, later, Position { epoch: Epoch::NONE, offset: 0 }] {
        let page = read(&*engine, &channel, Some(since), 10).await;
        assert_eq!((offsets(&page), page.reach, page.head), (vec![], Reach::Unknown, head), "{since:?}");
    }
}

pub(crate) async fn publications_expire_and_the_head_stays(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("expire");
    let brief = Retention { size: 5, ttl: setup.brief(), meta_ttl: 600_000 };
    let mut last = None;
    for value in 1..=2 {
        let append = Append { retention: brief, ..number(&channel, value) };
        last = engine.append(append).finish().await.unwrap().unwrap().position;
    }
    let head = last.unwrap();
    setup.pass(setup.brief() + 20).await;
    let page = read(&*engine, &channel, Some(Position { offset: 1, ..head }), 10).await;
    assert_eq!((offsets(&page), page.head, page.reach), (vec![], head, Reach::Trimmed));
    assert_eq!(read(&*engine, &channel, Some(head), 10).await.reach, Reach::Complete);
    assert_eq!(append_all(&*engine, &channel, 3..=3).await[0].position.unwrap().offset, 3);
}

pub(crate) async fn an_expired_head_comes_back_with_a_greater_epoch(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("head");
    let brief = Retention { size: 5, ttl: setup.brief(), meta_ttl: setup.brief() };
    let append = || Append { retention: brief, ..number(&channel, 1) };
    let before = engine.append(append()).finish().await.unwrap().unwrap().position.unwrap();
    setup.pass(2 * setup.brief()).await;
    let after = engine.append(append()).finish().await.unwrap().unwrap().position.unwrap();
    assert_eq!(after.offset, 1);
    assert!(after.epoch > before.epoch);
    assert_eq!(read(&*engine, &channel, Some(before), 10).await.reach, Reach::Unknown);
}

pub(crate) async fn clearing_keeps_the_head(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("clear");
    let head = append_all(&*engine, &channel, 1..=3).await[2].position.unwrap();
    engine.clear(channel.clone()).finish().await.unwrap();
    let page = read(&*engine, &channel, None, 10).await;
    assert_eq!((offsets(&page), page.head), (vec![], head));
    let late = read(&*engine, &channel, Some(Position { offset: 1, ..head }), 10).await;
    assert_eq!(late.reach, Reach::Trimmed);
    append_all(&*engine, &channel, 4..=4).await;
    assert_eq!(offsets(&read(&*engine, &channel, Some(head), 10).await), [4]);
}

fn keyed(channel: &Channel, value: u64, ttl: Millis) -> Append {
    Append { key: Some(IdempotencyKey { key: "k".into(), ttl }), ..number(channel, value) }
}

pub(crate) async fn a_known_key_is_a_duplicate(setup: &impl Setup) {
    let engine = setup.node().await;
    let (first_channel, other) = (channel("key"), channel("key"));
    let first = engine.append(keyed(&first_channel, 1, 60_000)).finish().await.unwrap().unwrap();
    append_all(&*engine, &first_channel, 2..=2).await;
    let again = engine.append(keyed(&first_channel, 3, 60_000)).finish().await.unwrap().unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!(offsets(&read(&*engine, &first_channel, None, 10).await), [1, 2]);
    assert!(!engine.append(keyed(&other, 1, 60_000)).finish().await.unwrap().unwrap().duplicate);
}

pub(crate) async fn an_expired_key_is_forgotten(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("key");
    engine.append(keyed(&channel, 1, setup.brief())).finish().await.unwrap().unwrap();
    setup.pass(setup.brief() + 20).await;
    let second = engine.append(keyed(&channel, 2, setup.brief())).finish().await.unwrap().unwrap();
    assert!(!second.duplicate);
    assert_eq!(second.position.unwrap().offset, 2);
}

pub(crate) async fn without_retention_nothing_is_kept(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("none");
    let append = Append { retention: Retention::default(), ..number(&channel, 1) };
    let appended = engine.append(append).finish().await.unwrap().unwrap();
    assert_eq!((appended.position, appended.duplicate), (None, false));
    assert_eq!(read(&*engine, &channel, None, 10).await.head.offset, 0);
}

pub(crate) async fn bytes_come_back_as_they_were(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("bytes");
    let (data, meta) = (r#"{"text":"h\u00e9llo \"é\" 🕊"}"#, r#"{"info":{"client":"c"}}"#);
    let append = Append { data: data.into(), meta: meta.into(), ..number(&channel, 1) };
    let appended = engine.append(append).finish().await.unwrap().unwrap();
    let page = read(&*engine, &channel, None, 10).await;
    let publication = &page.publications[0];
    assert_eq!((&publication.data[..], &publication.meta[..]), (data.as_bytes(), meta.as_bytes()));
    assert_eq!(publication.time, appended.time);
}
