//! The memory engine's log: a ring of publications, a head, and what is known again: keys and producers.

use super::{
    Append, Appended, EARLIER, EngineError, Epoch, Hint, NotAppended, Page, Position, Read,
    channel::State,
    owners::{Claim, Owners},
    producers::Producers,
};
use crate::engine::{Publication, Reach};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone)]
pub(super) struct Records {
    /// `None` where nothing was ever kept: only keys are remembered.
    head: Option<Position>,
    /// The store's generation that wrote the head.
    generation: u64,
    /// Earlier epochs, newest first, each with the offset up to which its data has survived.
    earlier: Vec<Position>,
    head_until: i64,
    head_claim: Option<Claim>,
    publications: VecDeque<Publication>,
    publications_until: i64,
    keys: BTreeMap<Box<str>, (Appended, i64)>,
    producers: Producers,
    /// When the first key may have expired; keys are cleared away then, not at every append.
    keys_checked_at: i64,
}

impl Records {
    const fn new() -> Self {
        Self {
            head: None,
            generation: 0,
            earlier: Vec::new(),
            head_until: 0,
            head_claim: None,
            publications: VecDeque::new(),
            publications_until: 0,
            keys: BTreeMap::new(),
            producers: Producers::new(),
            keys_checked_at: 0,
        }
    }

    pub(super) fn expire(&mut self, now: i64) {
        if now >= self.publications_until {
            self.publications = VecDeque::new();
        }
        if now >= self.head_until {
            self.head = None;
            self.publications = VecDeque::new();
        }
        if now >= self.keys_checked_at {
            self.keys.retain(|_, (_, until)| *until > now);
            self.keys_checked_at = self.keys.values().map(|(_, until)| *until).min().unwrap_or(i64::MAX);
        }
        self.producers.expire(now);
    }

    pub(super) fn is_over(&self, now: i64) -> bool {
        self.head.is_none() && now >= self.head_until && self.keys.is_empty() && self.producers.is_empty()
    }

    /// A head of another generation may have lost what came after it: a new epoch begins above it.
    fn open(&mut self, generation: u64, epoch: impl FnOnce() -> Epoch) {
        if std::mem::replace(&mut self.generation, generation) == generation {
            return;
        }
        let Some(head) = &mut self.head else { return };
        for earlier in &mut self.earlier {
            earlier.offset = earlier.offset.min(head.offset);
        }
        self.earlier.insert(0, *head);
        self.earlier.truncate(EARLIER);
        head.epoch = epoch();
    }

    /// How far an epoch's data stands in this log; `None`: nothing is known of it.
    fn top(&self, head: Position, epoch: Epoch) -> Option<u64> {
        let known = [head];
        let mut known = known.iter().chain(&self.earlier);
        known.find(|known| known.epoch == epoch).map(|known| known.offset)
    }

    /// The head, made where there is none, and kept from now on for the larger of `meta_ttl` and what it had.
    fn touch(&mut self, now: i64, meta_ttl: u64, epoch: impl FnOnce() -> Epoch) -> Position {
        let head = *self.head.get_or_insert_with(|| Position { epoch: epoch(), offset: 0 });
        self.head_until = self.head_until.max(now.saturating_add_unsigned(meta_ttl));
        if let Some(claim) = &self.head_claim {
            claim.lives_until(self.head_until);
        }
        head
    }
}

impl State {
    /// Notes which generation of the store goes on with the log.
    pub(super) fn open(&mut self, generation: u64, epoch: impl FnOnce() -> Epoch) {
        if generation > 0 {
            self.log.get_or_insert_with(|| Box::new(Records::new())).open(generation, epoch);
        }
    }

    /// Judges, appends, and says what the listeners are to be told.
    pub(super) fn append(
        &mut self,
        append: Append,
        now: i64,
        owners: &Owners,
        epoch: impl FnOnce() -> Epoch,
    ) -> (Result<Result<Appended, NotAppended>, EngineError>, Option<Hint>) {
        let Append { data, meta, retention, key, producer, refused, owner, .. } = append;
        let is_plain = producer.is_none() && key.is_none();
        if is_plain && refused {
            return (Ok(Err(NotAppended::Refused)), None);
        }
        if is_plain && !retention.keeps() {
            let hint = Hint::Appended(None, Publication { offset: 0, time: now, data, meta });
            return (
                Ok(Ok(Appended { position: None, time: now, duplicate: false, expected: 0 })),
                Some(hint),
            );
        }
        let log = self.log.get_or_insert_with(|| Box::new(Records::new()));
        log.expire(now);
        let meta_ttl = retention.meta_ttl.max(retention.ttl);
        let mut is_new = false;
        let known = match (&producer, &key) {
            (Some(stamp), _) => match log.producers.judge(stamp, now, |until| {
                is_new = true;
                owners.claim(owner.as_ref(), now, until)
            }) {
                Err(error) => return (Err(error), None),
                Ok(Ok(known)) => known,
                Ok(Err(NotAppended::OutOfOrder { expected, .. })) => {
                    let epoch = retention.keeps().then(|| log.touch(now, meta_ttl, epoch).epoch);
                    return (Ok(Err(NotAppended::OutOfOrder { expected, epoch })), None);
                }
                Ok(Err(other)) => return (Ok(Err(other)), None),
            },
            (None, Some(key)) => log.keys.get(&key.key).map(|(first, _)| *first),
            (None, None) => None,
        };
        match known {
            Some(first) => return (Ok(Ok(Appended { duplicate: true, ..first })), None),
            None if refused => return (Ok(Err(NotAppended::Refused)), None),
            None => {}
        }
        if retention.keeps() && log.head.is_none() {
            match owners.claim(owner.as_ref(), now, now.saturating_add_unsigned(meta_ttl)) {
                Ok(claim) => log.head_claim = claim,
                Err(error) => {
                    if let Some(stamp) = producer.filter(|_| is_new) {
                        log.producers.forget_new(&stamp.producer);
                    }
                    return (Err(error), None);
                }
            }
        }
        let mut publication = Publication { offset: 0, time: now, data, meta };
        let position = retention.keeps().then(|| {
            let mut head = log.touch(now, meta_ttl, epoch);
            head.offset += 1;
            log.head = Some(head);
            publication.offset = head.offset;
            while log.publications.len() >= retention.size as usize {
                log.publications.pop_front();
            }
            log.publications.push_back(publication.clone());
            log.publications_until = now.saturating_add_unsigned(retention.ttl);
            head
        });
        let appended = Appended { position, time: now, duplicate: false, expected: 0 };
        match (producer, key) {
            (Some(stamp), _) => log.producers.appended(stamp, appended),
            (None, Some(key)) => {
                let until = now.saturating_add_unsigned(key.ttl);
                log.keys_checked_at = log.keys_checked_at.min(until);
                log.keys.insert(key.key, (appended, until));
            }
            (None, None) => {}
        }
        (Ok(Ok(appended)), Some(Hint::Appended(position.map(|position| position.epoch), publication)))
    }

    pub(super) fn read(
        &mut self,
        read: &Read,
        now: i64,
        owners: &Owners,
        epoch: impl FnOnce() -> Epoch,
    ) -> Result<Page, EngineError> {
        let log = self.log.get_or_insert_with(|| Box::new(Records::new()));
        log.expire(now);
        if log.head.is_none() {
            let until = now.saturating_add_unsigned(read.meta_ttl);
            log.head_claim = owners.claim(read.owner.as_ref(), now, until)?;
        }
        let head = log.touch(now, read.meta_ttl, epoch);
        let limit = read.limit as usize;
        if let Some(since) = read.since
            && let known = log.top(head, since.epoch)
            && known.is_none_or(|top| since.offset > top)
        {
            // Above what is left of an earlier epoch: it is read on from there.
            let survived = known.filter(|_| since.epoch != head.epoch);
            return Ok(Page { head, publications: Vec::new(), reach: Reach::Unknown, survived });
        }
        let first = log.publications.front().map_or(head.offset + 1, |publication| publication.offset);
        let index = |offset: u64| usize::try_from(offset.saturating_sub(first)).unwrap_or(usize::MAX);
        let (publications, reach) = if read.reverse {
            let before = read.since.map_or(head.offset + 1, |since| since.offset);
            let older = log.publications.iter().take(index(before)).rev().take(limit).cloned().collect();
            (older, Reach::Complete)
        } else {
            let next = read.since.map_or(first, |since| since.offset + 1);
            let newer = log.publications.iter().skip(index(next)).take(limit).cloned().collect();
            (newer, if next < first { Reach::Trimmed } else { Reach::Complete })
        };
        Ok(Page { head, publications, reach, survived: None })
    }

    pub(super) fn clear(&mut self) {
        if let Some(log) = &mut self.log {
            log.publications = VecDeque::new();
        }
    }
}
