//! Whether what writers and readers were told agrees with the log.

use crate::load::{APART, Log};
use homing::Position;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Place = (Box<str>, u64);

pub(crate) fn place(position: &Position) -> Place {
    (position.epoch.clone(), position.offset)
}

/// An ack: what a client knows of the message by now, and where it is said to be.
pub(crate) struct Acked {
    pub(crate) room: usize,
    pub(crate) place: Place,
    pub(crate) value: Option<u64>,
    pub(crate) id: Option<Box<str>>,
}

/// What writers were told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) publishes: u64,
    pub(crate) acked: Vec<Acked>,
    /// What the bot said that it has stored.
    pub(crate) stored: Vec<u64>,
    pub(crate) duplicates: u64,
    pub(crate) unknown: u64,
    pub(crate) told_lost: u64,
    pub(crate) deaths: u64,
}

impl Told {
    pub(crate) fn add(&mut self, mut other: Self) {
        self.publishes += other.publishes;
        self.acked.append(&mut other.acked);
        self.stored.append(&mut other.stored);
        self.duplicates += other.duplicates;
        self.unknown += other.unknown;
        self.told_lost += other.told_lost;
        self.deaths += other.deaths;
    }
}

/// What a reader was told.
pub(crate) enum Item {
    Message(Place, u64),
    Gap(Place, Place),
}

#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) publishes: u64,
    pub(crate) acks: usize,
    pub(crate) duplicates: u64,
    pub(crate) unknown: u64,
    /// Acked and not in the log.
    pub(crate) lost: u64,
    /// Of those, not told to their writers.
    pub(crate) untold: u64,
    pub(crate) delivered: usize,
    pub(crate) gaps: usize,
    /// Acked, and neither delivered to a reader nor in a gap of its.
    pub(crate) undeclared: usize,
    pub(crate) bot_deaths: u64,
}

impl Sum {
    pub(crate) fn of(told: &Told, logs: &[Log], may_lose: bool) -> Self {
        let mut sum = Self {
            publishes: told.publishes,
            acks: told.acked.len(),
            duplicates: told.duplicates,
            unknown: told.unknown,
            bot_deaths: told.deaths,
            ..Self::default()
        };
        let mut values = Vec::new();
        for log in logs {
            let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
            for ((_, offset), (value, _)) in log {
                let before = newest.insert(value / APART, *value);
                assert!(before.is_none_or(|before| before < *value), "{value} at {offset} behind {before:?}");
            }
            let offsets = log.keys().map(|place| place.1);
            assert!(may_lose || offsets.eq(1..=log.len() as u64), "no hole, and all of one epoch");
            values.push(log.values().map(|(value, _)| *value).collect::<BTreeSet<u64>>());
        }
        let mut places = BTreeSet::new();
        for Acked { room, place, value, id } in &told.acked {
            assert!(id.is_some() || places.insert((room, place)), "two acks with one place: {place:?}");
            // A Redis that comes again with its data has a new epoch over the offsets that it had.
            let newest = logs[*room].last_key_value().map(|(place, _)| place.0.clone());
            let here = if may_lose { place.clone() } else { (newest.unwrap_or_default(), place.1) };
            match logs[*room].get(&here) {
                Some((there, named)) => assert!(
                    value.is_none_or(|value| value == *there) && id.as_ref().is_none_or(|id| id == named),
                    "{place:?} was acked for {value:?} {id:?} and holds {there} {named}"
                ),
                None => {
                    assert!(
                        may_lose,
                        "acked and not there: {value:?} {id:?} at {place:?}, the log is {:?} to {:?}",
                        logs[*room].first_key_value(),
                        logs[*room].last_key_value()
                    );
                    sum.lost += u64::from(value.is_some_and(|value| !values[*room].contains(&value)));
                }
            }
        }
        sum.untold = sum.lost.saturating_sub(told.told_lost);
        let missing: Vec<_> = told.stored.iter().filter(|value| !values[2].contains(value)).collect();
        assert!(missing.is_empty(), "stored by the bot and not in the log: {missing:?}");
        sum
    }

    pub(crate) fn read(
        &mut self,
        room: usize,
        begin: &Place,
        items: &[Item],
        told: &Told,
        log: &Log,
        may_lose: bool,
    ) {
        let mut got: BTreeMap<u64, &Place> = BTreeMap::new();
        let mut gaps: Vec<(&Place, &Place)> = Vec::new();
        let is_missed = |gaps: &[(&Place, &Place)], place: &Place| {
            gaps.iter().any(|(from, to)| *from <= place && place <= *to)
        };
        let mut before = begin.clone();
        for item in items {
            match item {
                Item::Gap(from, to) => {
                    gaps.push((from, to));
                    before = to.clone();
                }
                Item::Message(place, value) => {
                    assert!(*place > before && place.1 == before.1 + 1, "{place:?} came behind {before:?}");
                    before = place.clone();
                    // What a gap took back may come again, for its writer has sent it again.
                    let earlier = got.insert(*value, place);
                    assert!(earlier.is_none_or(|earlier| is_missed(&gaps, earlier)), "{value} came twice");
                }
            }
        }
        if !may_lose {
            let all: BTreeMap<u64, u64> = log.iter().map(|(place, (value, _))| (*value, place.1)).collect();
            let read: BTreeMap<u64, u64> = got.iter().map(|(value, place)| (*value, place.1)).collect();
            assert!(read == all, "the log was read");
        }
        let own = told.acked.iter().filter(|acked| acked.room == room && acked.place > *begin);
        self.undeclared += own
            .filter(|acked| acked.value.is_some_and(|value| !got.contains_key(&value)))
            .filter(|acked| !is_missed(&gaps, &acked.place))
            .count();
        self.delivered += got.len();
        self.gaps += gaps.len();
    }
}
