//! Contracts of producers: what a channel makes of a publication that says which one it is.

use super::*;
use homing_server::engine::{
    EngineError, IdempotencyKey, NotAppended, Owner, Publication, REMEMBERED, Stamp,
};
use model::Verdict;

#[path = "../../../sdk-core/tests/support/producers.rs"]
#[expect(dead_code, unreachable_pub, reason = "the model of the clients' tests, of which this uses a part")]
mod model;

const WINDOW: Millis = 600_000;

fn stamp(session: u64, number: u64, id: &str) -> Stamp {
    Stamp { producer: "p".into(), session, number, id: id.into(), window: WINDOW }
}

fn stamped(channel: &Channel, stamp: Stamp) -> Append {
    Append { producer: Some(stamp), ..number(channel, 7) }
}

type Judged = Result<Appended, NotAppended>;

async fn publish(engine: &dyn Engine, channel: &Channel, session: u64, number: u64, id: &str) -> Judged {
    engine.append(stamped(channel, stamp(session, number, id))).finish().await.unwrap()
}

async fn refuse(engine: &dyn Engine, channel: &Channel, session: u64, number: u64, id: &str) -> Judged {
    let append = stamped(channel, stamp(session, number, id));
    engine.append(Append { refused: true, data: Bytes::new(), ..append }).finish().await.unwrap()
}

fn offset(judged: Judged) -> u64 {
    judged.unwrap().position.unwrap().offset
}

pub(crate) async fn a_known_id_is_a_duplicate_under_whatever_number(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    let first = publish(&*engine, &channel, 5, 1, "a").await.unwrap();
    assert_eq!((first.position.unwrap().offset, first.duplicate), (1, false));
    append_all(&*engine, &channel, 1..=1).await;
    assert_eq!(offset(publish(&*engine, &channel, 5, 2, "b").await), 3);
    for number in [1, 2, 3, 9] {
        let again = publish(&*engine, &channel, 5, number, "a").await;
        assert_eq!(again, Ok(Appended { duplicate: true, expected: 3, ..first }));
    }
    assert_eq!(offsets(&read(&*engine, &channel, None, 10).await), [1, 2, 3]);
}

pub(crate) async fn numbers_have_to_follow_one_another(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    assert_eq!(publish(&*engine, &channel, 5, 2, "b").await, Err(NotAppended::UnknownProducer));
    let epoch = publish(&*engine, &channel, 5, 1, "a").await.unwrap().position.unwrap().epoch;
    assert_eq!(publish(&*engine, &channel, 5, 1, "b").await, Err(NotAppended::Taken { expected: 2 }));
    let early = publish(&*engine, &channel, 5, 3, "c").await;
    assert_eq!(early, Err(NotAppended::OutOfOrder { expected: 2, epoch: Some(epoch) }));
    assert_eq!(offset(publish(&*engine, &channel, 5, 2, "b").await), 2);
    let other = Stamp { producer: "q".into(), ..stamp(1, 1, "a") };
    let other = engine.append(stamped(&channel, other)).finish().await.unwrap();
    assert_eq!(offset(other), 3, "every producer has numbers of its own");
}

pub(crate) async fn an_older_session_is_fenced(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    publish(&*engine, &channel, 5, 1, "a").await.unwrap();
    publish(&*engine, &channel, 6, 2, "b").await.unwrap();
    for (number, id) in [(3, "c"), (1, "a"), (2, "b")] {
        assert_eq!(publish(&*engine, &channel, 5, number, id).await, Err(NotAppended::Fenced));
        assert_eq!(refuse(&*engine, &channel, 5, number, id).await, Err(NotAppended::Fenced));
    }
    // A question fences too, whatever its answer is.
    assert!(publish(&*engine, &channel, 7, 1, "a").await.unwrap().duplicate);
    assert_eq!(publish(&*engine, &channel, 6, 3, "c").await, Err(NotAppended::Fenced));
    assert_eq!(
        publish(&*engine, &channel, 8, 9, "x").await.unwrap_err().to_string(),
        "a number is missing, 3 comes next"
    );
    assert_eq!(publish(&*engine, &channel, 7, 3, "c").await, Err(NotAppended::Fenced));
    assert_eq!(refuse(&*engine, &channel, 9, 3, "c").await, Err(NotAppended::Refused));
    assert_eq!(publish(&*engine, &channel, 8, 3, "c").await, Err(NotAppended::Fenced));
    assert_eq!(offset(publish(&*engine, &channel, 9, 3, "c").await), 3);
}

pub(crate) async fn a_refusal_asks_first_and_uses_no_number_up(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    assert_eq!(refuse(&*engine, &channel, 5, 2, "b").await, Err(NotAppended::UnknownProducer));
    assert_eq!(refuse(&*engine, &channel, 5, 1, "a").await, Err(NotAppended::Refused));
    assert_eq!(publish(&*engine, &channel, 4, 1, "a").await, Err(NotAppended::Fenced));
    let first = publish(&*engine, &channel, 5, 1, "b").await.unwrap();
    assert_eq!(first.position.unwrap().offset, 1);
    let there = refuse(&*engine, &channel, 5, 1, "b").await;
    assert_eq!(there, Ok(Appended { duplicate: true, expected: 2, ..first }));
    assert_eq!(refuse(&*engine, &channel, 5, 1, "c").await, Err(NotAppended::Taken { expected: 2 }));
    assert_eq!(refuse(&*engine, &channel, 5, 2, "c").await, Err(NotAppended::Refused));
    assert_eq!(offset(publish(&*engine, &channel, 5, 2, "d").await), 2);
    assert_eq!(offsets(&read(&*engine, &channel, None, 10).await), [1, 2]);
}

pub(crate) async fn a_refusal_of_a_key_asks_first(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    let key = || Some(IdempotencyKey { key: "k".into(), ttl: WINDOW });
    let refused = |key| Append { key, refused: true, data: Bytes::new(), ..number(&channel, 0) };
    for key in [None, key()] {
        assert_eq!(engine.append(refused(key)).finish().await.unwrap(), Err(NotAppended::Refused));
    }
    let first = engine.append(Append { key: key(), ..number(&channel, 1) }).finish().await.unwrap().unwrap();
    assert_eq!((first.position.unwrap().offset, first.duplicate), (1, false));
    let there = engine.append(refused(key())).finish().await.unwrap();
    assert_eq!(there, Ok(Appended { duplicate: true, ..first }));
    assert_eq!(engine.append(refused(None)).finish().await.unwrap(), Err(NotAppended::Refused));
}

pub(crate) async fn a_record_remembers_so_many_ids(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    let remembered = REMEMBERED as u64;
    for number in 1..=remembered + 3 {
        publish(&*engine, &channel, 5, number, &format!("id-{number}")).await.unwrap();
    }
    let expected = remembered + 4;
    for number in 1..=3 {
        let forgotten = publish(&*engine, &channel, 5, number, &format!("id-{number}")).await;
        assert_eq!(forgotten, Err(NotAppended::Taken { expected }));
    }
    for number in 4..expected {
        let known = publish(&*engine, &channel, 5, number, &format!("id-{number}")).await.unwrap();
        assert_eq!((known.duplicate, known.position.unwrap().offset), (true, number));
    }
}

pub(crate) async fn a_record_lives_as_long_as_it_is_used(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    let window = setup.brief() * 2;
    let publish = async |number, id: &str| {
        let brief = Stamp { window, ..stamp(5, number, id) };
        engine.append(stamped(&channel, brief)).finish().await.unwrap()
    };
    publish(1, "a").await.unwrap();
    for _ in 0..3 {
        setup.pass(setup.brief()).await;
        assert!(publish(1, "a").await.unwrap().duplicate);
    }
    setup.pass(window + 20).await;
    assert_eq!(publish(2, "b").await, Err(NotAppended::UnknownProducer));
    assert_eq!(offset(publish(1, "a").await), 2, "nobody knows it any more");
}

fn owner(user: &str, limit: u32) -> Option<Owner> {
    Some(Owner { user: user.into(), limit })
}

/// A user of the test's own.
fn user() -> String {
    channel("user").to_string()
}

pub(crate) async fn what_a_user_brings_into_being_is_limited(setup: &impl Setup) {
    let engine = setup.node().await;
    let (ada, bob, place) = (user(), user(), channel("owned"));
    let by = async |user: &str, producer: &str, number: u64, id: &str| {
        let stamp = Stamp { producer: producer.into(), ..stamp(1, number, id) };
        engine.append(Append { owner: owner(user, 3), ..stamped(&place, stamp) }).finish().await
    };
    let full = EngineError::TooMany { limit: 3 };
    // The channel's head, and a record of each producer.
    assert_eq!(offset(by(&ada, "p", 1, "a").await.unwrap()), 1);
    assert_eq!(offset(by(&ada, "q", 1, "b").await.unwrap()), 2);
    assert_eq!(by(&ada, "r", 1, "c").await, Err(full));
    let refused = Stamp { producer: "r".into(), ..stamp(1, 1, "c") };
    let refused = Append { owner: owner(&ada, 3), refused: true, ..stamped(&place, refused) };
    assert_eq!(engine.append(refused).finish().await, Err(full));
    // What is there goes on, and so do others.
    assert_eq!(offset(by(&ada, "p", 2, "d").await.unwrap()), 3);
    assert!(by(&ada, "q", 1, "b").await.unwrap().unwrap().duplicate);
    assert_eq!(by(&ada, "r", 2, "e").await, Ok(Err(NotAppended::UnknownProducer)));
    assert_eq!(offset(by(&bob, "r", 1, "f").await.unwrap()), 4);
    assert_eq!(offset(engine.append(number(&place, 1)).finish().await.unwrap()), 5);
    let read = |at: &Channel, user: &str, limit| Read { owner: owner(user, limit), ..forwards(at, None, 10) };
    assert_eq!(engine.read(read(&place, &ada, 1)).finish().await.unwrap().publications.len(), 5);

    // A head counts for whoever makes it, by reading or by publishing.
    let (eve, other) = (user(), channel("owned"));
    let kept_nowhere = Append { retention: Retention::default(), ..stamped(&other, stamp(1, 1, "a")) };
    let kept_nowhere = Append { owner: owner(&eve, 1), ..kept_nowhere };
    engine.append(kept_nowhere).finish().await.unwrap().unwrap();
    let full = EngineError::TooMany { limit: 1 };
    assert_eq!(engine.read(read(&other, &eve, 1)).finish().await, Err(full));
    let plain = || Append { owner: owner(&eve, 1), ..number(&other, 1) };
    assert_eq!(engine.append(plain()).finish().await, Err(full));
    assert_eq!(engine.read(read(&other, &bob, 9)).finish().await.unwrap().head.offset, 0);
    assert_eq!(offset(engine.append(plain()).finish().await.unwrap()), 1);
}

pub(crate) async fn what_has_expired_makes_room(setup: &impl Setup) {
    let engine = setup.node().await;
    let (ada, place) = (user(), channel("owned"));
    let window = setup.brief() * 2;
    let by = async |producer: &str, number: u64| {
        let id = format!("{producer}-{number}");
        let stamp = Stamp { producer: producer.into(), window, ..stamp(1, number, &id) };
        let append = Append { owner: owner(&ada, 2), ..stamped(&place, stamp) };
        engine.append(Append { retention: Retention::default(), ..append }).finish().await
    };
    by("p", 1).await.unwrap().unwrap();
    by("q", 1).await.unwrap().unwrap();
    for number in 2..=4 {
        setup.pass(setup.brief()).await;
        by("p", number).await.unwrap().unwrap();
    }
    by("r", 1).await.unwrap().unwrap();
    assert_eq!(by("s", 1).await, Err(EngineError::TooMany { limit: 2 }), "what is used stays");
    setup.pass(window + 20).await;
    by("s", 1).await.unwrap().unwrap();
}

pub(crate) async fn producers_are_known_where_nothing_is_kept(setup: &impl Setup) {
    let engine = setup.node().await;
    let recorder = Recorder::on(&*engine);
    let channel = channel("producer");
    engine.subscribe(channel.clone()).finish().await.unwrap();
    let none = |number, id| {
        let append = stamped(&channel, stamp(5, number, id));
        engine.append(Append { retention: Retention::default(), ..append })
    };
    let first = none(1, "a").finish().await.unwrap().unwrap();
    assert_eq!((first.position, first.duplicate), (None, false));
    let again = Appended { duplicate: true, expected: 2, ..first };
    assert_eq!(none(1, "a").finish().await.unwrap(), Ok(again));
    let early = none(3, "c").finish().await.unwrap();
    assert_eq!(early, Err(NotAppended::OutOfOrder { expected: 2, epoch: None }));
    none(2, "b").finish().await.unwrap().unwrap();
    let hints = recorder.hints(&channel, 2).await;
    let told = |hint: &Hint| matches!(hint, Hint::Appended(None, Publication { offset: 0, .. }));
    assert!(hints.len() == 2 && hints.iter().all(told), "{hints:?}");
}

pub(crate) async fn a_place_that_was_acked_stays_what_it_was(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    let brief = Retention { size: 5, ttl: setup.brief(), meta_ttl: setup.brief() };
    let publish = async |number, id: &str| {
        let append = Append { retention: brief, ..stamped(&channel, stamp(5, number, id)) };
        engine.append(append).finish().await.unwrap()
    };
    let first = publish(1, "a").await.unwrap();
    setup.pass(2 * setup.brief()).await;
    // The log was made anew meanwhile: its first offset is another message's.
    let second = publish(2, "b").await.unwrap();
    assert!(second.position.unwrap().epoch > first.position.unwrap().epoch);
    assert_eq!(publish(1, "a").await, Ok(Appended { duplicate: true, expected: 3, ..first }));
    assert_eq!(publish(2, "b").await, Ok(Appended { duplicate: true, expected: 3, ..second }));
}

pub(crate) async fn an_epoch_that_was_told_is_the_logs(setup: &impl Setup) {
    let engine = setup.node().await;
    let channel = channel("producer");
    refuse(&*engine, &channel, 5, 1, "a").await.unwrap_err();
    let early = publish(&*engine, &channel, 5, 3, "c").await;
    let epoch = read(&*engine, &channel, None, 1).await.head.epoch;
    assert_eq!(early, Err(NotAppended::OutOfOrder { expected: 1, epoch: Some(epoch) }));
}

/// Numbers from a seed, as good as needed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Random histories of two producers, many calls under way at the same time: the engine's answers are the
/// model's, and the log holds each publication once.
pub(crate) async fn random_histories_end_as_the_model_says(setup: &impl Setup) {
    let engine = setup.node().await;
    for seed in 1..=40 {
        let mut dice = Dice(seed);
        let (mut model, mut appended) = (model::Producers::default(), 0);
        let channel = channel("producer");
        let (mut sessions, mut next) = ([10, 10], [1_u64, 1_u64]);
        for _ in 0..20 {
            let mut asked = Vec::new();
            for _ in 0..=dice.below(12) {
                let who = usize::from(dice.below(3) == 0);
                if dice.below(8) == 0 {
                    sessions[who] += 1;
                }
                let session = sessions[who] - u64::from(dice.below(10) == 0);
                let number = match dice.below(8) {
                    0 => next[who] + 1 + dice.below(2),
                    1 | 2 => 1 + dice.below(next[who]),
                    _ => next[who],
                };
                let named_after = if dice.below(8) == 0 { 1 + dice.below(next[who]) } else { number };
                let id = format!("{who}-{named_after}{}", if dice.below(20) == 0 { "x" } else { "" });
                let refused = dice.below(6) == 0;
                let producer = format!("p{who}");
                let told = model::Stamp { producer: producer.clone(), session, number, id: id.clone() };
                let verdict = model.judge(0, WINDOW, &channel, &told, refused);
                if verdict == Verdict::Append {
                    appended += 1;
                    next[who] += 1;
                    model.appended(&channel, &told, appended);
                }
                let stamp =
                    Stamp { producer: producer.into(), session, number, id: id.into(), window: WINDOW };
                let call = engine.append(Append { refused, ..stamped(&channel, stamp) });
                asked.push((told, refused, verdict, appended, call));
            }
            for (told, refused, verdict, offset, call) in asked {
                let found = match call.finish().await.unwrap() {
                    Ok(Appended { position, duplicate: true, expected, .. }) => {
                        Verdict::Duplicate(position.unwrap().offset, expected)
                    }
                    Ok(Appended { position, .. }) => {
                        assert_eq!(position.unwrap().offset, offset);
                        Verdict::Append
                    }
                    Err(NotAppended::Fenced) => Verdict::Fenced,
                    Err(NotAppended::Taken { expected }) => Verdict::Taken(expected),
                    Err(NotAppended::OutOfOrder { expected, .. }) => Verdict::OutOfOrder(expected),
                    Err(NotAppended::UnknownProducer) => Verdict::Unknown,
                    Err(NotAppended::Refused) => Verdict::Refused,
                };
                assert_eq!(found, verdict, "seed {seed}: {told:?}, refused: {refused}");
            }
        }
        assert_eq!(read(&*engine, &channel, None, 0).await.head.offset, appended, "seed {seed}");
    }
}
