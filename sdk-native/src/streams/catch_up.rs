//! Reading from the history what one stream lacks: what came before it, or what its buffer left out.
//!
//! Owns one such task until the stream's cursor has reached its end; pages that fail for the moment are asked
//! for again. Live messages wait in the stream's buffer meanwhile, and those that a page brought too are
//! recognised by their offset.

use super::messages::{Delivery, Messages};
use crate::{Call, HistoryPage};
use homing_core::{Error, ErrorCode, Gap, GapReason, HistoryQuery, Message, Position};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Messages in one page.
const PAGE: u32 = 200;
/// Wait before a page that failed for the moment is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) enum Step {
    Wait,
    More,
    Done,
}

pub(super) struct CatchUp {
    work: Work,
    page: Page,
}

enum Work {
    /// The newest messages, collected from newer to older.
    Backlog { wanted: u32, found: VecDeque<Message>, head: Option<Position> },
    /// Everything up to `until`; then `held`, which showed that something was missing. `doubted`: the server did
    /// not know the place that was asked from, and the subscription has had time to learn its present name.
    Until { until: Position, held: Option<Message>, doubted: bool },
}

enum Page {
    Asked(Call<HistoryPage>),
    Later(Pin<Box<Sleep>>),
}

impl CatchUp {
    pub(super) fn backlog(reader: &Messages, wanted: u32) -> Self {
        Self::begin(reader, Work::Backlog { wanted, found: VecDeque::new(), head: None })
    }

    pub(super) fn until(reader: &Messages, until: Position, held: Option<Message>) -> Self {
        Self::begin(reader, Work::Until { until, held, doubted: false })
    }

    fn begin(reader: &Messages, work: Work) -> Self {
        let page = Page::Asked(ask(reader, &work));
        Self { work, page }
    }

    pub(super) fn poll(&mut self, reader: &mut Messages, cx: &mut Context<'_>) -> Step {
        let page = match &mut self.page {
            Page::Later(wait) => {
                if wait.as_mut().poll(cx).is_pending() {
                    return Step::Wait;
                }
                self.page = Page::Asked(ask(reader, &self.work));
                return Step::More;
            }
            Page::Asked(call) => match Pin::new(call).poll(cx) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(page) => page,
            },
        };
        let done = match page {
            Err(error) if error.retryable || self.is_in_doubt(&error) => {
                let _runtime = reader.interest.shared.runtime.enter();
                self.page = Page::Later(Box::pin(sleep(AGAIN_AFTER)));
                return Step::More;
            }
            Err(error) => self.on_refused(reader, &error),
            Ok(page) => self.on_page(reader, page),
        };
        if done {
            return Step::Done;
        }
        self.page = Page::Asked(ask(reader, &self.work));
        Step::More
    }

    /// Whether the place that was asked from may go by another name, which the subscription is about to learn.
    fn is_in_doubt(&mut self, error: &Error) -> bool {
        match &mut self.work {
            Work::Until { doubted, .. } if error.code == ErrorCode::UnrecoverablePosition => {
                !std::mem::replace(doubted, true)
            }
            Work::Until { .. } | Work::Backlog { .. } => false,
        }
    }

    /// Whether the work is done.
    fn on_page(&mut self, reader: &mut Messages, page: HistoryPage) -> bool {
        match &mut self.work {
            Work::Backlog { wanted, found, head } => {
                if head.is_none() {
                    *head = page.position;
                }
                let exhausted = page.messages.is_empty();
                for message in page.messages {
                    found.push_front(message);
                }
                let oldest = found.front().map_or(0, |message| message.offset);
                let enough = u32::try_from(found.len()).is_ok_and(|found| found >= *wanted);
                if !(exhausted || enough || oldest <= 1) {
                    return false;
                }
                finish_backlog(reader, found, head.take());
                true
            }
            Work::Until { until, held, doubted } => {
                *doubted = false;
                let exhausted = page.messages.is_empty();
                for message in page.messages {
                    let Some(cursor) = &reader.cursor else { break };
                    if message.offset > cursor.offset + 1 {
                        let to = Position { epoch: cursor.epoch.clone(), offset: message.offset - 1 };
                        skip_to(reader, to);
                    }
                    reader.take_message(message);
                }
                let reached = reader.cursor.as_ref().is_none_or(|cursor| cursor.offset >= until.offset);
                if !reached && !exhausted {
                    return false;
                }
                if !reached {
                    skip_to(reader, until.clone());
                }
                if let Some(held) = held.take() {
                    reader.take_message(held);
                }
                true
            }
        }
    }

    /// Whether the work is done.
    fn on_refused(&mut self, reader: &mut Messages, error: &Error) -> bool {
        match &mut self.work {
            Work::Backlog { found, head, .. } => {
                if error.code == ErrorCode::UnrecoverablePosition {
                    // Made anew between two pages: the newest messages are others by now.
                    found.clear();
                    *head = None;
                    return false;
                }
                // A channel that keeps nothing has no backlog; one that keeps its history to itself has a gap.
                if error.code != ErrorCode::NotAvailable && error.code != ErrorCode::Closed {
                    let gap = unread(reader.cursor.as_ref(), found.front(), head.as_ref());
                    reader.ready.extend(gap.map(Delivery::Gap));
                }
                finish_backlog(reader, found, head.take());
            }
            Work::Until { until, held, .. } => {
                skip_to(reader, until.clone());
                if let Some(held) = held.take() {
                    reader.take_message(held);
                }
            }
        }
        true
    }
}

fn ask(reader: &Messages, work: &Work) -> Call<HistoryPage> {
    let query = match work {
        Work::Backlog { wanted, found, head } => {
            let oldest = found.front().map(|message| message.offset);
            let left = wanted.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            HistoryQuery {
                limit: i32::try_from(left).unwrap_or(i32::MAX),
                since: head.as_ref().zip(oldest).map(|(head, offset)| Position { offset, ..head.clone() }),
                reverse: true,
            }
        }
        Work::Until { .. } => {
            HistoryQuery { limit: PAGE.cast_signed(), since: reader.place(), reverse: false }
        }
    };
    reader.interest.shared.history(&reader.channel, query)
}

fn finish_backlog(reader: &mut Messages, found: &mut VecDeque<Message>, head: Option<Position>) {
    reader.ready.extend(found.drain(..).map(Delivery::Message));
    if head.is_some() {
        reader.cursor = head;
    }
}

/// What of a backlog could not be read.
fn unread(cursor: Option<&Position>, oldest: Option<&Message>, head: Option<&Position>) -> Option<Gap> {
    let reason = GapReason::HistoryUnavailable;
    let nowhere = || Position { epoch: Box::default(), offset: 0 };
    match (head.or(cursor), oldest) {
        (None, _) => Some(Gap { from: nowhere(), to: nowhere(), reason }),
        (Some(known), oldest) => {
            let last = oldest.map_or(known.offset, |message| message.offset.saturating_sub(1));
            let at = |offset| Position { epoch: known.epoch.clone(), offset };
            (last > 0).then(|| Gap { from: at(1), to: at(last), reason })
        }
    }
}

/// Declares what lies between the cursor and `to` as missed, and moves there.
fn skip_to(reader: &mut Messages, to: Position) {
    let from = match &reader.cursor {
        Some(cursor) => Position { epoch: cursor.epoch.clone(), offset: cursor.offset + 1 },
        None => to.clone(),
    };
    reader.cursor = Some(to.clone());
    reader.ready.push_back(Delivery::Gap(Gap { from, to, reason: GapReason::Lagged }));
}
