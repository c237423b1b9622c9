//! What a channel in memory knows of its producers: one record each. Judges a stamp before the append and
//! notes it after; never appends itself.

use super::{Appended, EngineError, NotAppended, REMEMBERED, Stamp, owners::Claim};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone)]
pub(super) struct Producers {
    records: BTreeMap<Box<str>, Record>,
    /// When the first record may have expired.
    checked_at: i64,
}

#[derive(Clone)]
struct Record {
    session: u64,
    last: u64,
    ids: VecDeque<(Box<str>, Appended)>,
    until: i64,
    claim: Option<Claim>,
}

impl Producers {
    pub(super) const fn new() -> Self {
        Self { records: BTreeMap::new(), checked_at: i64::MAX }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn expire(&mut self, now: i64) {
        if now >= self.checked_at {
            self.records.retain(|_, record| record.until > now);
            self.checked_at = self.records.values().map(|record| record.until).min().unwrap_or(i64::MAX);
        }
    }

    /// Whether the publication is known already, or the next one. The session is on record from here on.
    /// `claim` counts a new record that lives until then.
    pub(super) fn judge(
        &mut self,
        stamp: &Stamp,
        now: i64,
        claim: impl FnOnce(i64) -> Result<Option<Claim>, EngineError>,
    ) -> Result<Result<Option<Appended>, NotAppended>, EngineError> {
        self.expire(now);
        let until = now.saturating_add_unsigned(stamp.window);
        let Some(record) = self.records.get_mut(&stamp.producer) else {
            if stamp.number != 1 {
                return Ok(Err(NotAppended::UnknownProducer));
            }
            let claim = claim(until)?;
            let record = Record { session: stamp.session, last: 0, ids: VecDeque::new(), until, claim };
            self.records.insert(stamp.producer.clone(), record);
            self.checked_at = self.checked_at.min(until);
            return Ok(Ok(None));
        };
        if stamp.session < record.session {
            return Ok(Err(NotAppended::Fenced));
        }
        record.session = stamp.session;
        record.until = until;
        if let Some(claim) = &record.claim {
            claim.lives_until(until);
        }
        self.checked_at = self.checked_at.min(until);
        let expected = record.last + 1;
        if let Some((_, first)) = record.ids.iter().find(|(id, _)| *id == stamp.id) {
            return Ok(Ok(Some(Appended { expected, ..*first })));
        }
        Ok(match stamp.number {
            number if number < expected => Err(NotAppended::Taken { expected }),
            number if number > expected => Err(NotAppended::OutOfOrder { expected, epoch: None }),
            _ => Ok(None),
        })
    }

    /// Takes back a record that was made for a publication which is not to be.
    pub(super) fn forget_new(&mut self, producer: &str) {
        if let Some(record) = self.records.get(producer).filter(|record| record.last == 0) {
            if let Some(claim) = &record.claim {
                claim.lives_until(0);
            }
            self.records.remove(producer);
        }
    }

    /// Notes what was judged to be the next one.
    pub(super) fn appended(&mut self, stamp: Stamp, appended: Appended) {
        let record = self.records.get_mut(&stamp.producer).expect("it was judged");
        record.last = stamp.number;
        if record.ids.len() == REMEMBERED {
            record.ids.pop_front();
        }
        record.ids.push_back((stamp.id, appended));
    }
}
