//! A replica takes over that has not got everything.

use crate::{
    engine_contract::{channel, forwards, number, offsets, read, wait_for},
    faults::{MANY, append, place, quick, ready},
    relay::Relay,
    server::RedisServer,
};
use homing_server::engine::{
    Append, Appended, Channel, Engine, EngineError, Epoch, Log, NotAppended, Page, Position, Reach, Read,
    Stamp,
    redis::{Redis, RedisConfig},
};
use std::time::{Duration, Instant};

/// A primary, a replica that can be made to lag, and an engine that can be led from one to the other.
pub(crate) struct Pair {
    pub(crate) primary: RedisServer,
    pub(crate) replica: RedisServer,
    pub(crate) link: Relay,
    front: Relay,
    pub(crate) engine: Redis,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self::with(|config| config).await
    }

    pub(crate) async fn with(configure: impl FnOnce(RedisConfig) -> RedisConfig) -> Self {
        let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
        let link = Relay::before(primary.port()).await;
        replica.replicate(link.port()).await;
        let front = Relay::before(primary.port()).await;
        let engine = Redis::connect(configure(quick(front.url()))).await.unwrap();
        Self { primary, replica, link, front, engine }
    }

    /// What is written from now on does not reach the replica.
    pub(crate) async fn lag(&self) {
        self.replica.catch_up_with(&self.primary).await;
        self.link.blackhole();
    }

    pub(crate) async fn fail_over(&self) {
        self.replica.promote().await;
        self.front.switch_to(self.replica.port());
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < until, "the replica is not found");
            let probe = channel("probe");
            let read = self.engine.read(forwards(&probe, None, 0)).finish().await;
            let heads: Vec<String> = self.replica.command(&["KEYS", &format!("*:head:{probe}")]).await;
            if read.is_ok() && !heads.is_empty() {
                return ready(&self.engine).await;
            }
        }
    }
}

/// A message of a producer, whose id and text follow from its number.
pub(crate) fn numbered(channel: &Channel, at: u64) -> Append {
    let id = format!("id-{at}").into();
    let stamp = Stamp { producer: "p".into(), session: 1, number: at, id, window: 600_000 };
    Append { producer: Some(stamp), retention: MANY, ..number(channel, at) }
}

async fn stamped(engine: &Redis, channel: &Channel, at: u64) -> Result<Appended, NotAppended> {
    engine.append(numbered(channel, at)).finish().await.unwrap()
}

async fn heard(engine: &Redis, channel: &Channel, at: Position) -> Page {
    engine.read(Read { heard: true, ..forwards(channel, Some(at), 100) }).finish().await.unwrap()
}

#[tokio::test]
async fn a_replica_that_lagged_goes_on_in_a_later_epoch() {
    let pair = Pair::start().await;
    let (engine, channel) = (&pair.engine, channel("lagged"));
    for value in 1..=10 {
        assert_eq!(place(engine, &channel, value).await.offset, value);
    }
    pair.lag().await;
    let mut lost = Vec::new();
    for value in 11..=15 {
        lost.push(place(engine, &channel, value).await);
    }
    let epoch = lost[0].epoch;
    let at = |offset| Position { epoch, offset };
    pair.fail_over().await;
    let next = place(engine, &channel, 16).await;
    assert_eq!(next.offset, 11, "offsets go on above what has survived");
    assert!(next.epoch > epoch, "and no position names two messages");
    for offset in 11..=15 {
        let page = read(engine, &channel, Some(at(offset)), 100).await;
        assert_eq!((page.reach, page.survived, page.head), (Reach::Unknown, Some(10), next));
    }
    // Whatever a client claims, the log learns nothing from it.
    assert_eq!(read(engine, &channel, Some(at(99)), 100).await.survived, Some(10));
    let page = read(engine, &channel, Some(at(8)), 100).await;
    assert_eq!((page.reach, offsets(&page)), (Reach::Complete, vec![9, 10, 11]));
    // A node has heard of what is lost: a reader who would pass that place is told so.
    assert_eq!(heard(engine, &channel, at(15)).await.survived, Some(10));
    let page = read(engine, &channel, Some(at(8)), 100).await;
    assert_eq!((page.reach, page.survived), (Reach::Unknown, Some(8)));
    let page = read(engine, &channel, Some(Position { offset: 8, ..next }), 100).await;
    assert_eq!((page.reach, offsets(&page)), (Reach::Complete, vec![9, 10, 11]));
}

#[tokio::test]
async fn a_publisher_whose_acked_messages_are_lost_is_told_by_what_is_expected() {
    let pair = Pair::start().await;
    let (engine, channel) = (&pair.engine, channel("acked"));
    for number in 1..=10 {
        stamped(engine, &channel, number).await.unwrap();
    }
    pair.lag().await;
    for number in 11..=15 {
        stamped(engine, &channel, number).await.unwrap();
    }
    pair.fail_over().await;
    let epoch = read(engine, &channel, None, 0).await.head.epoch;
    let early = stamped(engine, &channel, 16).await;
    assert_eq!(early, Err(NotAppended::OutOfOrder { expected: 11, epoch: Some(epoch) }));
    let again = stamped(engine, &channel, 10).await.unwrap();
    assert!(again.duplicate && again.position.unwrap().epoch < epoch, "a place that was acked stays");
    let next = stamped(engine, &channel, 11).await.unwrap().position.unwrap();
    assert_eq!(next, Position { epoch, offset: 11 });
}

#[tokio::test]
async fn every_failover_leaves_its_mark_and_eight_are_remembered() {
    let mut pair = Pair::start().await;
    let channel = channel("chain");
    let mut tops = Vec::new();
    for round in 0..4_u64 {
        for _ in 0..5 {
            place(&pair.engine, &channel, round).await;
        }
        let top = read(&pair.engine, &channel, None, 0).await.head;
        pair.lag().await;
        let lost = place(&pair.engine, &channel, 99).await;
        pair.fail_over().await;
        tops.push((top, lost));
        // The next round has the other one as its primary, and a fresh replica.
        let fresh = RedisServer::start().await;
        pair.primary = std::mem::replace(&mut pair.replica, fresh);
        pair.link = Relay::before(pair.primary.port()).await;
        pair.replica.replicate(pair.link.port()).await;
    }
    let head = read(&pair.engine, &channel, None, 0).await.head;
    for (at, (top, lost)) in tops.iter().enumerate() {
        let page = read(&pair.engine, &channel, Some(*top), 100).await;
        let rest = 5 * (tops.len() - at - 1);
        assert_eq!((page.reach, page.publications.len(), page.head), (Reach::Complete, rest, head));
        let page = read(&pair.engine, &channel, Some(*lost), 100).await;
        assert_eq!((page.reach, page.survived), (Reach::Unknown, Some(top.offset)));
    }
}

#[tokio::test]
async fn data_that_was_replaced_behind_an_open_connection_is_noticed() {
    let (server, replica) = (RedisServer::start().await, RedisServer::start().await);
    // A first replica gives its primary another replication id, which is noticed like a failover.
    replica.replicate(server.port()).await;
    let config = RedisConfig { beat: Duration::from_secs(60), ..quick(server.url()) };
    let engine = Redis::connect(config).await.unwrap();
    let channel = channel("replaced");
    let kept = place(&engine, &channel, 1).await;
    replica.catch_up_with(&server).await;
    replica.promote().await;
    let lost = place(&engine, &channel, 2).await;
    // The process is the same, the socket is the same, nobody writes meanwhile.
    server.replicate(replica.port()).await;
    server.promote().await;
    let refused = append(&engine, &channel, 3).await;
    assert!(matches!(refused, Err(EngineError::Away { .. })), "{refused:?}");
    wait_for(|| engine.is_ready()).await;
    let next = place(&engine, &channel, 4).await;
    assert!((next.epoch, next.offset) > (kept.epoch, lost.offset) && next.epoch > lost.epoch);
    assert_eq!(read(&engine, &channel, Some(lost), 10).await.survived, Some(kept.offset));
}

#[tokio::test]
async fn a_clock_that_is_behind_cannot_take_a_node_back_to_a_smaller_epoch() {
    let server = RedisServer::start().await;
    let (engine, channel) = (Redis::connect(quick(server.url())).await.unwrap(), channel("behind"));
    let top = place(&engine, &channel, 1).await;
    // What a Redis whose clock was ahead has given, and what its replica knows nothing of.
    let ahead = Epoch::from_micros(top.epoch.micros() + 3_600_000_000);
    let lost = Position { epoch: ahead, offset: 5 };
    let page = read(&engine, &channel, Some(lost), 10).await;
    assert_eq!((page.reach, page.head), (Reach::Unknown, top), "a client's claim changes nothing");
    let page = heard(&engine, &channel, lost).await;
    assert_eq!((page.reach, page.survived, page.head.offset), (Reach::Unknown, None, 1));
    assert!(page.head.epoch > ahead);
    let next = place(&engine, &channel, 2).await;
    assert_eq!(next, Position { offset: 2, ..page.head });
    // Whoever has heard of that epoch reads on from the start of what it shared, and the other one goes on.
    assert_eq!(read(&engine, &channel, Some(lost), 10).await.survived, Some(0));
    assert_eq!(read(&engine, &channel, Some(top), 10).await.survived, Some(1));
}
