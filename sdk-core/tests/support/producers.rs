//! A model of how a server knows a producer's messages again: one record per channel and producer, one decision
//! per publish. As plain as it can be, to be compared with.

use std::collections::{BTreeMap, VecDeque};

/// Ids that a record remembers; also the most that may be under way.
pub const REMEMBERED: usize = 16;

#[derive(Clone, Debug, Default)]
struct Record {
    session: u64,
    last: u64,
    ids: VecDeque<(String, u64)>,
    used_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: append it, and call `appended`.
    Append,
    /// Its offset, and the number that comes next.
    Duplicate(u64, u64),
    Fenced,
    Taken(u64),
    OutOfOrder(u64),
    Unknown,
    /// It was to be refused, and is not there.
    Refused,
}

/// What a publish says of itself.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub producer: String,
    pub session: u64,
    pub number: u64,
    pub id: String,
}

#[derive(Clone, Debug, Default)]
pub struct Producers(BTreeMap<(String, String), Record>);

impl Producers {
    pub fn judge(&mut self, now: u64, window: u64, channel: &str, stamp: &Stamp, refused: bool) -> Verdict {
        let key = (channel.to_owned(), stamp.producer.clone());
        if self.0.get(&key).is_some_and(|record| record.used_at + window < now) {
            self.0.remove(&key);
        }
        let Some(record) = self.0.get_mut(&key) else {
            if stamp.number != 1 {
                return Verdict::Unknown;
            }
            let record = Record { session: stamp.session, used_at: now, ..Record::default() };
            self.0.insert(key, record);
            return if refused { Verdict::Refused } else { Verdict::Append };
        };
        if stamp.session < record.session {
            return Verdict::Fenced;
        }
        record.session = stamp.session;
        record.used_at = now;
        if let Some((_, offset)) = record.ids.iter().find(|(id, _)| *id == stamp.id) {
            return Verdict::Duplicate(*offset, record.last + 1);
        }
        match stamp.number {
            number if number <= record.last => Verdict::Taken(record.last + 1),
            number if number > record.last + 1 => Verdict::OutOfOrder(record.last + 1),
            _ if refused => Verdict::Refused,
            _ => Verdict::Append,
        }
    }

    pub fn appended(&mut self, channel: &str, stamp: &Stamp, offset: u64) {
        let record = self.0.get_mut(&(channel.to_owned(), stamp.producer.clone())).expect("judged");
        record.last = stamp.number;
        record.ids.push_back((stamp.id.clone(), offset));
        while record.ids.len() > REMEMBERED {
            record.ids.pop_front();
        }
    }

    /// Forgets everything from `offset` on, as a replica that lagged.
    pub fn forget_all(&mut self) {
        self.0.clear();
    }
}
