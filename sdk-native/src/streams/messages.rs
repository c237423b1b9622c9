//! The stream of a channel's messages.
//!
//! Owns one reader's place in the channel. The core keeps the shared subscription whole; what this reader
//! alone missed because it was slow, or wants from before it came, it reads from the history here.

use super::{
    Interest,
    catch_up::{CatchUp, Step},
    feed::{FeedReceiver, Lagged, Lost, Next},
};
use futures::Stream;
use homing_core::{Error, Gap, GapReason, Message, Position};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

/// What a stream of messages gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// A message. Offsets ascend without a hole, except where a gap says so.
    Message(Message),
    /// Messages that will not come; it stands before anything newer. Where nobody can tell the range, both
    /// ends of it have an empty epoch.
    Gap(Gap),
    /// Messages without a position were left out, because this stream was read too slowly.
    Lagged(Lagged),
}

/// From the driver to the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fed {
    /// Where the reader begins, and how the channel counts; comes before everything else.
    Start {
        position: Option<Position>,
        contiguous: bool,
    },
    Message(Message),
    Gap(Gap),
}

/// The messages of a channel, from the call of [`messages`](crate::Channel::messages) on.
///
/// The channel is subscribed as long as the stream lives. A reader that falls behind the buffer reads on
/// from the channel's history; what the history no longer has is a [`Gap`] with the reason
/// [`Lagged`](GapReason::Lagged). In a channel without positions the number of messages left out is told in
/// their place.
///
/// An `Err` is the last item: the subscription has ended for good, and why. After
/// [`leave`](crate::Channel::leave) and after the client was closed, the stream ends without one.
pub struct Messages {
    pub(super) feed: FeedReceiver<Fed>,
    pub(super) interest: Interest,
    pub(super) channel: Box<str>,
    /// Messages from the history that the reader wants first; taken when the place is known.
    backlog: Option<u32>,
    /// The last message that was taken in, from wherever; `None`: unknown, or the channel has no positions.
    pub(super) cursor: Option<Position>,
    contiguous: bool,
    /// A log that lost its tail counts on from a place that only its next message tells.
    rewound: bool,
    /// Taken in, and not handed out.
    pub(super) ready: VecDeque<Delivery>,
    catch_up: Option<CatchUp>,
    ended: bool,
}

impl Messages {
    pub(crate) fn new(
        feed: FeedReceiver<Fed>,
        interest: Interest,
        channel: Box<str>,
        backlog: Option<u32>,
    ) -> Self {
        Self {
            feed,
            interest,
            channel,
            backlog,
            cursor: None,
            contiguous: false,
            rewound: false,
            ready: VecDeque::new(),
            catch_up: None,
            ended: false,
        }
    }

    /// The next message or gap; `None`: nothing follows. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        futures::StreamExt::next(self).await
    }

    /// The place behind the last item that this stream gave, to continue from with
    /// [`SubscribeOptions::since`](homing_core::SubscribeOptions); `None`: the channel has no positions, or is
    /// not subscribed yet.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let before = |epoch: &str, offset: u64| {
            let position = Position { epoch: epoch.into(), offset: offset.saturating_sub(1) };
            Some(self.feed.renewed(position))
        };
        for waiting in &self.ready {
            match waiting {
                Delivery::Message(message) if message.offset > 0 => {
                    return before(&self.cursor.as_ref()?.epoch, message.offset);
                }
                Delivery::Gap(gap) => return before(&gap.from.epoch, gap.from.offset),
                Delivery::Message(_) | Delivery::Lagged(_) => {}
            }
        }
        self.place()
    }

    /// The last message that was taken in, as the server calls its place at present.
    pub(super) fn place(&self) -> Option<Position> {
        self.cursor.clone().map(|cursor| self.feed.renewed(cursor))
    }

    fn take_in(&mut self, fed: Fed) {
        match fed {
            Fed::Start { position, contiguous } => {
                self.contiguous = contiguous;
                if !contiguous || self.cursor.is_none() {
                    self.cursor = position.filter(|_| contiguous);
                }
                if let Some(count) = self.backlog.take() {
                    self.catch_up = Some(CatchUp::backlog(self, count));
                }
            }
            Fed::Message(message) => self.take_message(message),
            Fed::Gap(gap) => self.take_gap(gap),
        }
    }

    pub(super) fn take_message(&mut self, message: Message) {
        let offset = message.offset;
        let Some(cursor) = self.cursor.as_mut().filter(|_| offset > 0) else {
            return self.ready.push_back(Delivery::Message(message));
        };
        if std::mem::take(&mut self.rewound) || !self.contiguous && offset > cursor.offset {
            cursor.offset = offset - 1;
        }
        if offset <= cursor.offset {
            return;
        }
        if offset > cursor.offset + 1 {
            let until = Position { epoch: cursor.epoch.clone(), offset: offset - 1 };
            self.catch_up = Some(CatchUp::until(self, until, Some(message)));
            return;
        }
        cursor.offset = offset;
        self.ready.push_back(Delivery::Message(message));
        if !self.contiguous {
            // The cursor only told live messages from those that the backlog brought.
            self.cursor = None;
        }
    }

    fn take_gap(&mut self, gap: Gap) {
        let mut gap = Gap { from: self.feed.renewed(gap.from), to: self.feed.renewed(gap.to), ..gap };
        self.cursor = self.place();
        if let Some(cursor) = &self.cursor
            && cursor.epoch == gap.to.epoch
            && gap.reason != GapReason::Rewound
        {
            if gap.to.offset <= cursor.offset {
                return;
            }
            if gap.from.epoch == cursor.epoch {
                gap.from.offset = gap.from.offset.max(cursor.offset + 1);
            }
        }
        self.rewound = gap.reason == GapReason::Rewound;
        self.cursor = Some(gap.to.clone()).filter(|_| self.contiguous);
        self.ready.push_back(Delivery::Gap(gap));
    }

    fn take_loss(&mut self, lost: Lost) {
        if lost.unplaced > 0 {
            self.ready.push_back(Delivery::Lagged(Lagged(lost.unplaced)));
        }
        if let Some(count) = self.backlog.take() {
            // The start was among what was left out.
            self.catch_up = Some(CatchUp::backlog(self, count));
        } else if let Some(until) = lost.until {
            self.rewound = false;
            self.catch_up = Some(CatchUp::until(self, until, None));
        }
    }
}

impl Stream for Messages {
    type Item = Result<Delivery, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.ended || this.interest.has_left() {
                this.ended = true;
                return Poll::Ready(None);
            }
            if let Some(delivery) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(delivery)));
            }
            if let Some(mut catch_up) = this.catch_up.take() {
                match catch_up.poll(this, cx) {
                    Step::Wait => {
                        this.catch_up = Some(catch_up);
                        this.feed.watch(cx);
                        // The handle may have left between the look above and the watch.
                        if this.interest.has_left() {
                            continue;
                        }
                        return Poll::Pending;
                    }
                    Step::More => this.catch_up = Some(catch_up),
                    Step::Done => {}
                }
                continue;
            }
            match this.feed.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::Item(fed)) => this.take_in(fed),
                Poll::Ready(Next::Lagged(lost)) => this.take_loss(lost),
                Poll::Ready(Next::End(error)) => {
                    this.ended = true;
                    return Poll::Ready(error.map(Err));
                }
            }
        }
    }
}
