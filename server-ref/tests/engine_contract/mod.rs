//! What every engine must do, whatever it is built on. A test binary per engine implements [`Setup`] and
//! names itself in [`engine_contract!`].

mod log;
mod map;
mod producers;
mod pubsub;

use bytes::Bytes;
use homing_server::{
    clock::{Clock, Millis},
    engine::{Append, Appended, Channel, Doubt, Engine, Hint, Page, Position, Read, Retention, Sink},
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// An engine under test: nodes on one store, and a way to let the engine's time pass.
pub(crate) trait Setup {
    /// Another node on the store.
    fn node(&self) -> impl Future<Output = Arc<dyn Engine>>;
    /// Lets at least so many milliseconds of the engine's time pass.
    fn pass(&self, millis: Millis) -> impl Future<Output = ()>;
    /// A span long enough for a call to be answered in, and short enough to be waited for.
    fn brief(&self) -> Millis {
        60
    }
}

pub(crate) use self::{log::*, map::*, producers::*, pubsub::*};

/// Makes one test of every contract.
#[macro_export]
macro_rules! engine_contract {
    ($setup:expr) => {
        engine_contract! { $setup;
            offsets_are_contiguous_from_one,
            an_empty_channel_has_a_position,
            reading_on_gives_what_follows,
            reading_in_reverse_goes_back_page_by_page,
            what_retention_dropped_is_said,
            an_unknown_position_is_said,
            publications_expire_and_the_head_stays,
            an_expired_head_comes_back_with_a_greater_epoch,
            clearing_keeps_the_head,
            a_known_key_is_a_duplicate,
            an_expired_key_is_forgotten,
            without_retention_nothing_is_kept,
            bytes_come_back_as_they_were,
            a_known_id_is_a_duplicate_under_whatever_number,
            numbers_have_to_follow_one_another,
            an_older_session_is_fenced,
            a_refusal_asks_first_and_uses_no_number_up,
            a_refusal_of_a_key_asks_first,
            a_record_remembers_so_many_ids,
            a_record_lives_as_long_as_it_is_used,
            producers_are_known_where_nothing_is_kept,
            a_place_that_was_acked_stays_what_it_was,
            an_epoch_that_was_told_is_the_logs,
            what_a_user_brings_into_being_is_limited,
            what_has_expired_makes_room,
            random_histories_end_as_the_model_says,
            entries_come_and_go,
            a_second_birth_fences_the_first,
            a_lapsed_entry_is_absent_before_it_is_reaped,
            a_renewed_entry_stays,
            reaping_announces_one_leave_each,
            owners_are_counted_once,
            hints_follow_the_log_in_order,
            a_node_that_stopped_listening_hears_nothing,
            joins_and_leaves_are_hinted_once,
            announcements_reach_every_listener,
            control_reaches_every_node,
        }
    };
    ($setup:expr; $($name:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                engine_contract::$name(&$setup.await).await;
            }
        )+
    };
}

/// A channel of its own for every use, so that tests can share a store.
pub(crate) fn channel(name: &str) -> Channel {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}:{}-{next}", std::process::id()).into()
}

/// Keeps five for a minute, the head for an hour.
pub(crate) const FIVE: Retention = Retention { size: 5, ttl: 60_000, meta_ttl: 3_600_000 };

/// An append of a number.
pub(crate) fn number(channel: &Channel, value: u64) -> Append {
    Append {
        channel: Arc::clone(channel),
        data: Bytes::from(value.to_string()),
        meta: Bytes::new(),
        retention: FIVE,
        key: None,
        producer: None,
        refused: false,
        owner: None,
    }
}

/// Appends numbers one by one.
pub(crate) async fn append_all(
    engine: &dyn Engine,
    channel: &Channel,
    values: std::ops::RangeInclusive<u64>,
) -> Vec<Appended> {
    let mut all = Vec::new();
    for value in values {
        all.push(engine.append(number(channel, value)).finish().await.unwrap().unwrap());
    }
    all
}

/// Reads forwards.
pub(crate) async fn read(
    engine: &dyn Engine,
    channel: &Channel,
    since: Option<Position>,
    limit: u32,
) -> Page {
    engine.read(forwards(channel, since, limit)).finish().await.unwrap()
}

/// The request to read forwards.
pub(crate) fn forwards(channel: &Channel, since: Option<Position>, limit: u32) -> Read {
    let channel = Arc::clone(channel);
    Read { channel, since, limit, reverse: false, heard: false, owner: None, meta_ttl: FIVE.meta_ttl }
}

/// The offsets on a page.
pub(crate) fn offsets(page: &Page) -> Vec<u64> {
    page.publications.iter().map(|publication| publication.offset).collect()
}

/// A sink that writes down what it hears.
#[derive(Default)]
pub(crate) struct Recorder {
    hints: Mutex<Vec<(String, Hint)>>,
    controls: Mutex<Vec<Bytes>>,
}

impl Sink for Recorder {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        self.hints.lock().unwrap().push((channel.to_owned(), hint));
    }
    fn handle_doubt(&self, _: Doubt) {}
    fn handle_control(&self, message: Bytes) {
        self.controls.lock().unwrap().push(message);
    }
}

impl Recorder {
    /// A recorder that is attached to a node.
    pub(crate) fn on(engine: &dyn Engine) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        engine.attach(Arc::clone(&recorder) as Arc<dyn Sink>);
        recorder
    }

    /// What was heard of a channel, once it is as many as `count`.
    pub(crate) async fn hints(&self, channel: &Channel, count: usize) -> Vec<Hint> {
        let heard = || {
            let of_channel = self.all().into_iter().filter(|(name, _)| **name == **channel);
            of_channel.map(|(_, hint)| hint).collect::<Vec<_>>()
        };
        wait_for(|| heard().len() >= count).await;
        heard()
    }

    /// All that was heard so far.
    pub(crate) fn all(&self) -> Vec<(String, Hint)> {
        self.hints.lock().unwrap().clone()
    }

    /// The control messages, once they are as many as `count`.
    pub(crate) async fn controls(&self, count: usize) -> Vec<Bytes> {
        wait_for(|| self.controls.lock().unwrap().len() >= count).await;
        self.controls.lock().unwrap().clone()
    }
}

/// A clock that a test moves.
pub(crate) struct MovedClock(pub(crate) AtomicU64);

impl Clock for MovedClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
    fn unix(&self) -> i64 {
        1_700_000_000_000 + self.now() as i64
    }
}

/// Waits for a condition, twenty seconds at most.
pub(crate) async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..4000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition did not come true in time");
}
