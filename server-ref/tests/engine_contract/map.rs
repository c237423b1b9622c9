//! Contracts of the map.

use super::*;
use homing_server::engine::{Join, Leave, Left, Part, Renewal, Renewed, Stats};

const LONG: Millis = 60_000;

pub(super) fn join(channel: &Channel, key: &str, lease: Millis) -> Join {
    Join {
        part: Part::Here,
        channel: Arc::clone(channel),
        key: key.into(),
        owner: "ada".into(),
        value: Bytes::from(format!(r#"{{"client":"{key}"}}"#)),
        lease,
        announce: true,
    }
}

pub(super) fn leave(channel: &Channel, key: &str, birth: Option<Position>) -> Leave {
    Leave { part: Part::Here, channel: Arc::clone(channel), key: key.into(), birth }
}

fn renewal(channel: &Channel, key: &str, birth: Position) -> Renewal {
    Renewal { part: Part::Here, channel: Arc::clone(channel), key: key.into(), birth, lease: LONG }
}

async fn keys(engine: &dyn Engine, channel: &Channel) -> Vec<String> {
    let snapshot = engine.snapshot(Part::Here, channel.clone(), 100).finish().await.unwrap();
    snapshot.entries.iter().map(|entry| entry.key.to_string()).collect()
}

async fn stats(engine: &dyn Engine, channel: &Channel) -> Stats {
    engine.stats(Part::Here, channel.clone()).finish().await.unwrap()
}

pub(crate) async fn entries_come_and_go(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("entries");
    let ada = engine.join(join(&channel, "a", LONG)).finish().await.unwrap();
    let bob = engine.join(join(&channel, "b", LONG)).finish().await.unwrap();
    assert!(!ada.replaced && !bob.replaced && bob.birth > ada.birth);
    let snapshot = engine.snapshot(Part::Here, channel.clone(), 1).finish().await.unwrap();
    assert_eq!((&*snapshot.entries[0].key, snapshot.entries[0].birth, snapshot.more), ("a", ada.birth, true));
    assert_eq!(&snapshot.entries[0].value[..], br#"{"client":"a"}"#);
    assert_eq!(keys(&*engine, &channel).await, ["a", "b"]);
    assert_eq!(engine.leave(leave(&channel, "a", Some(ada.birth))).finish().await, Ok(Left::Removed));
    assert_eq!(engine.leave(leave(&channel, "a", Some(ada.birth))).finish().await, Ok(Left::Absent));
    assert_eq!(engine.leave(leave(&channel, "b", None)).finish().await, Ok(Left::Removed));
    assert_eq!(stats(&*engine, &channel).await, Stats::default());
}

pub(crate) async fn a_second_birth_fences_the_first(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("fence");
    let first = engine.join(join(&channel, "a", LONG)).finish().await.unwrap();
    let second = engine.join(join(&channel, "a", LONG)).finish().await.unwrap();
    assert!(second.replaced && second.birth > first.birth);
    let renewals = vec![renewal(&channel, "a", first.birth), renewal(&channel, "a", second.birth)];
    assert_eq!(engine.renew(renewals).finish().await, Ok(vec![Renewed::Fenced, Renewed::Renewed]));
    assert_eq!(engine.leave(leave(&channel, "a", Some(first.birth))).finish().await, Ok(Left::Fenced));
    assert_eq!(keys(&*engine, &channel).await, ["a"]);
}

pub(crate) async fn a_lapsed_entry_is_absent_before_it_is_reaped(setup: &impl Setup) {
    let engine = setup.node().await;
    let brief = setup.brief();
    let channel = channel("lapsed");
    let joined = engine.join(join(&channel, "a", brief)).finish().await.unwrap();
    engine.join(join(&channel, "b", LONG)).finish().await.unwrap();
    setup.pass(brief + 20).await;
    assert_eq!(keys(&*engine, &channel).await, ["b"]);
    assert_eq!(stats(&*engine, &channel).await.entries, 1);
    let renewed = engine.renew(vec![renewal(&channel, "a", joined.birth)]).finish().await.unwrap();
    assert_eq!(renewed, [Renewed::Absent]);
    assert_eq!(engine.leave(leave(&channel, "a", Some(joined.birth))).finish().await, Ok(Left::Absent));
    let again = engine.join(join(&channel, "a", LONG)).finish().await.unwrap();
    assert!(!again.replaced && again.birth > joined.birth);
}

pub(crate) async fn a_renewed_entry_stays(setup: &impl Setup) {
    let engine = setup.node().await;
    let brief = setup.brief();
    let channel = channel("renewed");
    let joined = engine.join(join(&channel, "a", brief)).finish().await.unwrap();
    let renewals = vec![renewal(&channel, "a", joined.birth), renewal(&channel, "nobody", joined.birth)];
    assert_eq!(engine.renew(renewals).finish().await, Ok(vec![Renewed::Renewed, Renewed::Absent]));
    setup.pass(brief + 20).await;
    engine.reap(100).finish().await.unwrap();
    assert_eq!(keys(&*engine, &channel).await, ["a"]);
}

pub(crate) async fn reaping_announces_one_leave_each(setup: &impl Setup) {
    let brief = setup.brief();
    let (one, other) = (setup.node().await, setup.node().await);
    let recorder = Recorder::on(&*one);
    let channel = channel("reap");
    one.subscribe(channel.clone()).finish().await.unwrap();
    one.join(join(&channel, "a", brief)).finish().await.unwrap();
    one.join(join(&channel, "b", brief)).finish().await.unwrap();
    recorder.hints(&channel, 2).await;
    setup.pass(brief + 20).await;
    for _ in 0..3 {
        one.reap(100).finish().await.unwrap();
        other.reap(100).finish().await.unwrap();
    }
    one.announce(channel.clone(), Hint::Joined(Bytes::from_static(b"\"end\""))).finish().await.unwrap();
    let mut left = recorder.hints(&channel, 5).await.split_off(2);
    assert_eq!(left.pop(), Some(Hint::Joined(Bytes::from_static(b"\"end\""))));
    left.sort_by_key(|hint| format!("{hint:?}"));
    let value = |key: &str| Hint::Left(join(&channel, key, 0).value);
    assert_eq!(left, [value("a"), value("b")]);
    assert_eq!(stats(&*one, &channel).await, Stats::default());
}

pub(crate) async fn owners_are_counted_once(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("owners");
    for (key, owner) in [("a", "ada"), ("b", "ada"), ("c", "bob")] {
        let join = Join { owner: owner.into(), ..join(&channel, key, LONG) };
        engine.join(join).finish().await.unwrap();
    }
    assert_eq!(stats(&*engine, &channel).await, Stats { entries: 3, owners: 2 });
}
