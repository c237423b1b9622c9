//! The bounded buffer between the driver, which never waits, and one reader, which may be slow.
//!
//! Owns the bound and what happens at it: something is left out, counted, and told to the reader in its
//! place. Never blocks, never grows beyond its limits, never leaves anything out silently.

use homing_core::{Error, Position};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// How much may wait for the reader of one stream. At least one item always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Items at most. 1024.
    pub items: usize,
    /// Bytes of payload at most. 4 MiB.
    pub bytes: usize,
}

impl Default for BufferLimits {
    fn default() -> Self {
        Self { items: 1024, bytes: 4 * 1024 * 1024 }
    }
}

/// A stream was read too slowly: so many items, which stood in this place, were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the stream was read too slowly: {0} items were left out")]
pub struct Lagged(pub u64);

/// Which items a full buffer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The newest: what is left out cannot be had again, and newer matters more.
    #[default]
    Newest,
    /// The oldest: the reader goes on from the history behind them.
    Oldest,
}

/// What was left out since the reader was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) count: u64,
    /// How many of them have no position.
    pub(crate) unplaced: u64,
    /// Position of the last one that has one.
    pub(crate) until: Option<Position>,
}

/// What a reader gets.
#[derive(Debug, PartialEq)]
pub(crate) enum Next<T> {
    Item(T),
    Lagged(Lost),
    /// Nothing follows. With an error: what ended it.
    End(Option<Error>),
}

impl<T> Next<T> {
    /// For a stream of events, which says that it lagged and ends without a word.
    pub(crate) fn into_event(self) -> Option<Result<T, Lagged>> {
        match self {
            Self::Item(item) => Some(Ok(item)),
            Self::Lagged(lost) => Some(Err(Lagged(lost.count))),
            Self::End(_) => None,
        }
    }
}

/// Changes of epoch that a stream remembers: more than a reader can miss between two looks.
const RENEWALS: usize = 16;

struct Ring<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    limits: BufferLimits,
    keep: Keep,
    lost: Lost,
    /// Epochs that were continued under another name, in the order in which it happened.
    renewals: VecDeque<(Box<str>, Box<str>)>,
    end: Option<Option<Error>>,
    waker: Option<Waker>,
}

type Shared<T> = Arc<Mutex<Ring<T>>>;

/// The driver's end. Dropping it ends the stream.
pub(crate) struct FeedSender<T>(Shared<T>);

/// The reader's end.
pub(crate) struct FeedReceiver<T>(Shared<T>);

pub(crate) fn feed<T>(limits: BufferLimits) -> (FeedSender<T>, FeedReceiver<T>) {
    let ring = Arc::new(Mutex::new(Ring {
        items: VecDeque::new(),
        bytes: 0,
        limits,
        keep: Keep::default(),
        lost: Lost::default(),
        renewals: VecDeque::new(),
        end: None,
        waker: None,
    }));
    (FeedSender(ring.clone()), FeedReceiver(ring))
}

/// No code of the app runs under the lock, so a panic cannot leave the ring half-changed.
fn lock<T>(ring: &Shared<T>) -> MutexGuard<'_, Ring<T>> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Ring<T> {
    fn fits(&self, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < self.limits.items && self.bytes + bytes <= self.limits.bytes)
    }

    fn append(&mut self, item: T, bytes: usize) {
        self.bytes += bytes;
        self.items.push_back((item, bytes));
    }

    fn pop(&mut self) -> Option<T> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some(item)
    }
}

impl<T> FeedSender<T> {
    pub(crate) fn keep(&self, keep: Keep) {
        lock(&self.0).keep = keep;
    }

    /// The channel's offsets go on under another epoch.
    pub(crate) fn renew(&self, from: &str, to: &str) {
        let mut ring = lock(&self.0);
        if ring.renewals.len() == RENEWALS {
            ring.renewals.pop_front();
        }
        ring.renewals.push_back((from.into(), to.into()));
    }

    /// Adds an item of `bytes` payload; `position` is asked for only when it must be left out.
    pub(crate) fn push(&self, item: T, bytes: usize, position: impl FnOnce() -> Option<Position>) {
        let mut ring = lock(&self.0);
        if ring.end.is_some() {
            return;
        }
        match ring.keep {
            Keep::Oldest if ring.lost.count > 0 || !ring.fits(bytes) => {
                ring.lost.count += 1;
                match position() {
                    Some(position) => ring.lost.until = Some(position),
                    None => ring.lost.unplaced += 1,
                }
            }
            Keep::Oldest => ring.append(item, bytes),
            Keep::Newest => {
                while !ring.fits(bytes) {
                    ring.pop();
                    ring.lost.count += 1;
                    ring.lost.unplaced += 1;
                }
                ring.append(item, bytes);
            }
        }
        wake(ring);
    }

    /// Adds an item that is never left out.
    pub(crate) fn push_mark(&self, item: T) {
        let mut ring = lock(&self.0);
        if ring.end.is_none() {
            ring.append(item, 0);
        }
        wake(ring);
    }

    /// Has the reader look at what else it waits for.
    pub(crate) fn nudge(&self) {
        wake(lock(&self.0));
    }

    /// Nothing follows; the reader still gets what waits, then the error.
    pub(crate) fn end(&self, error: Option<Error>) {
        let mut ring = lock(&self.0);
        ring.end.get_or_insert(error);
        wake(ring);
    }

    /// Whether the reader is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) < 2
    }
}

fn wake<T>(mut ring: MutexGuard<'_, Ring<T>>) {
    let waker = ring.waker.take();
    drop(ring);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Drop for FeedSender<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<T> FeedReceiver<T> {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        let mut ring = lock(&self.0);
        if ring.keep == Keep::Newest && ring.lost.count > 0 {
            return Poll::Ready(Next::Lagged(std::mem::take(&mut ring.lost)));
        }
        if let Some(item) = ring.pop() {
            return Poll::Ready(Next::Item(item));
        }
        if ring.lost.count > 0 {
            return Poll::Ready(Next::Lagged(std::mem::take(&mut ring.lost)));
        }
        if let Some(end) = &mut ring.end {
            return Poll::Ready(Next::End(end.take()));
        }
        ring.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> FeedReceiver<T> {
    /// The position under the name that its epoch goes by at present.
    pub(crate) fn renewed(&self, mut position: Position) -> Position {
        for (from, to) in &lock(&self.0).renewals {
            if position.epoch == *from {
                position.epoch.clone_from(to);
            }
        }
        position
    }

    /// Has the reader woken by what comes next, without taking anything.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) {
        lock(&self.0).waker = Some(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use homing_core::ErrorCode;

    fn next(receiver: &mut FeedReceiver<u64>) -> Option<Next<u64>> {
        match receiver.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    fn at(offset: u64) -> Option<Position> {
        Some(Position { epoch: "e".into(), offset })
    }

    fn push(sender: &FeedSender<u64>, items: std::ops::RangeInclusive<u64>) {
        items.for_each(|item| sender.push(item, 10, || at(item)));
    }

    #[test]
    fn a_full_buffer_that_keeps_the_oldest_tells_how_far_it_lagged_behind_them() {
        let (sender, mut receiver) = feed(BufferLimits { items: 2, bytes: 1000 });
        sender.keep(Keep::Oldest);
        push(&sender, 1..=5);
        assert_eq!(next(&mut receiver), Some(Next::Item(1)));
        push(&sender, 6..=6);
        assert_eq!(next(&mut receiver), Some(Next::Item(2)));
        assert_eq!(next(&mut receiver), Some(Next::Lagged(Lost { count: 4, unplaced: 0, until: at(6) })));
        push(&sender, 7..=7);
        assert_eq!(next(&mut receiver), Some(Next::Item(7)));
        assert_eq!(next(&mut receiver), None);
    }

    #[test]
    fn a_full_buffer_that_keeps_the_newest_tells_the_loss_before_them() {
        let (sender, mut receiver) = feed(BufferLimits { items: 100, bytes: 25 });
        push(&sender, 1..=5);
        assert_eq!(next(&mut receiver), Some(Next::Lagged(Lost { count: 3, unplaced: 3, until: None })));
        assert_eq!(next(&mut receiver), Some(Next::Item(4)));
        assert_eq!(next(&mut receiver), Some(Next::Item(5)));
    }

    #[test]
    fn the_end_comes_behind_what_waits_and_its_error_once() {
        let (sender, mut receiver) = feed(BufferLimits::default());
        push(&sender, 1..=1);
        let error = Error::new(ErrorCode::PermissionDenied);
        sender.end(Some(error.clone()));
        drop(sender);
        assert_eq!(next(&mut receiver), Some(Next::Item(1)));
        assert_eq!(next(&mut receiver), Some(Next::End(Some(error))));
        assert_eq!(next(&mut receiver), Some(Next::End(None)));
    }
}
