//! The stream of a channel's messages.
//!
//! Owns one reader's place in the channel. The core keeps the shared subscription whole; what this reader
//! alone missed because it was slow, or wants from before it came, it reads from the history here.

use super::{
    Interest,
    catch_up::{CatchUp, Step},
    echo::{Board, Echo},
    feed::{FeedReceiver, Lagged, Lost, Next},
    progress::Progress,
};
use crate::driver::Command;
use futures::{Stream, future::BoxFuture};
use homing_core::{Error, Gap, GapReason, Message, Position};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
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
    /// One's own message on its way; only in a stream that [echoes](Messages::echo).
    Echo(Echo),
}

/// From the driver to the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fed {
    /// Where the reader begins, and how the channel counts; comes before everything else.
    Start {
        position: Option<Position>,
        contiguous: bool,
        /// Continues from an earlier reader or life: up to here it reads from the history at once.
        resumed: Option<Option<Position>>,
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
/// In a [durable](crate::Channel::durable) channel, asking for the next item says that the one before was
/// processed; what was given and not followed by another call is given again after a restart. So an app that
/// handles an item before it asks for the next one, by [`process`](Self::process) or a loop of its own, loses
/// none, and sees at most the last one twice. With [`acked`](Self::acked) the app says so itself. Where several
/// streams read one durable channel, the slowest one counts.
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
    /// How far the app has processed a durable channel; `None`: another kind of channel.
    progress: Option<Arc<Progress>>,
    /// Whether the app acks by itself.
    acks: bool,
    /// The place behind what the app has, until it is known to be processed.
    given: Option<Position>,
    board: Option<Arc<Board>>,
    reload: Option<Reload>,
    reloading: Option<(Gap, BoxFuture<'static, bool>)>,
}

type Reload = Box<dyn FnMut(&Gap) -> BoxFuture<'static, bool> + Send>;

impl Messages {
    pub(crate) fn new(
        feed: FeedReceiver<Fed>,
        interest: Interest,
        channel: Box<str>,
        backlog: Option<u32>,
        durable: bool,
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
            progress: durable.then(Arc::default),
            acks: false,
            given: None,
            board: None,
            reload: None,
            reloading: None,
        }
    }

    /// The same stream with one's own messages in it that wait to be sent, as [`Delivery::Echo`]: those that
    /// are in the outbox already, and what is published from here on.
    #[must_use]
    pub fn echo(mut self) -> Self {
        let board = Arc::new(Board::default());
        self.interest.shared.tell(Command::Echo(self.interest.id, board.clone()));
        self.board = Some(board);
        self
    }

    /// The same stream, in a durable channel, where only [`ack`](Self::ack) says what was processed.
    #[must_use]
    pub const fn acked(mut self) -> Self {
        self.acks = true;
        self
    }

    /// In a durable channel: everything up to here was processed, to be called with what
    /// [`position`](Self::position) was behind an item. A later place counts for all before it.
    pub fn ack(&self, position: Position) {
        if let Some(progress) = &self.progress
            && progress.put(position)
        {
            self.interest.shared.tell(Command::Processed(self.interest.id, progress.clone()));
        }
    }

    /// The same stream, where `reload` closes a gap: it fetches the app's own data, which stands at the gap's
    /// end or later, while everything newer waits. Where it fails the gap is given after all.
    #[must_use]
    pub fn reload<F, Fut, E>(mut self, mut reload: F) -> Self
    where
        F: FnMut(&Gap) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.reload = Some(Box::new(move |gap| {
            let reloading = reload(gap);
            Box::pin(async move { reloading.await.is_ok() })
        }));
        self
    }

    /// Handles one item after the other, until the stream ends, or `handle` fails, or this future is dropped.
    /// In a durable channel an item counts as processed when its handler has ended with `Ok`.
    ///
    /// # Errors
    /// What the handler failed with, or why the subscription has ended for good.
    pub async fn process<E: From<Error>>(
        mut self,
        mut handle: impl AsyncFnMut(Delivery) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(delivery) = self.next().await {
            handle(delivery?).await?;
        }
        Ok(())
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
                Delivery::Message(_) | Delivery::Lagged(_) | Delivery::Echo(_) => {}
            }
        }
        self.place()
    }

    /// The app asks for more, so it has processed what it got.
    fn settle_given(&mut self) {
        if let Some(position) = self.given.take() {
            self.ack(position);
        }
    }

    /// The place behind what the app gets now counts as processed when it asks for more.
    fn give(&mut self, delivery: Delivery) -> Delivery {
        if self.progress.is_some() && !self.acks {
            self.given = self.position();
        }
        if let (Delivery::Message(message), Some(board)) = (&delivery, &self.board)
            && !message.id.is_empty()
        {
            board.on_message(&message.id);
        }
        delivery
    }

    /// Lets the app close a gap by its own means; `None`: it is to be given.
    fn close_gap(&mut self, delivery: Delivery) -> Option<Delivery> {
        if let (Delivery::Gap(gap), Some(reload)) = (&delivery, &mut self.reload) {
            self.reloading = Some((gap.clone(), reload(gap)));
            return None;
        }
        Some(self.give(delivery))
    }

    /// Whether nothing is being reloaded any more.
    fn poll_reload(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let Some((_, reloading)) = &mut self.reloading else { return Poll::Ready(None) };
        let Poll::Ready(closed) = reloading.as_mut().poll(cx) else { return Poll::Pending };
        let gap = self.reloading.take().map(|(gap, _)| gap);
        if closed && self.progress.is_some() && !self.acks {
            self.given = self.position();
            self.settle_given();
        }
        Poll::Ready(gap.filter(|_| !closed).map(|gap| self.give(Delivery::Gap(gap))))
    }

    /// The last message that was taken in, as the server calls its place at present.
    pub(super) fn place(&self) -> Option<Position> {
        self.cursor.clone().map(|cursor| self.feed.renewed(cursor))
    }

    fn take_in(&mut self, fed: Fed) {
        match fed {
            Fed::Start { position, contiguous, resumed } => {
                self.contiguous = contiguous;
                if !contiguous || self.cursor.is_none() {
                    self.cursor = position.filter(|_| contiguous);
                }
                if let Some(until) = resumed {
                    self.backlog = None;
                    let ahead = until.filter(|until| self.cursor.as_ref().is_some_and(|at| at != until));
                    self.catch_up = ahead.map(|until| CatchUp::until(self, until, None));
                }
                if self.backlog.is_none()
                    && let Some(begin) = self.cursor.clone()
                {
                    self.ack(begin);
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
        this.settle_given();
        loop {
            if this.ended || this.interest.has_left() {
                this.ended = true;
                return Poll::Ready(None);
            }
            match this.poll_reload(cx) {
                Poll::Pending => {
                    this.feed.watch(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Some(gap)) => return Poll::Ready(Some(Ok(gap))),
                Poll::Ready(None) => {}
            }
            if let Some(echo) = this.board.as_ref().and_then(|board| board.take()) {
                return Poll::Ready(Some(Ok(Delivery::Echo(echo))));
            }
            if let Some(delivery) = this.ready.pop_front() {
                match this.close_gap(delivery) {
                    Some(delivery) => return Poll::Ready(Some(Ok(delivery))),
                    None => continue,
                }
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
