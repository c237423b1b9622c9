//! No hole in a channel: contiguity of live messages, repair from history, one gap for what is gone.
//!
//! The rule is short: a message is delivered if it is the next one; an older one is a duplicate; a newer one
//! is held back while the history is read page by page up to it. What the history no longer has is one gap,
//! told before anything newer. The position moves before the app hears of the message.

use crate::{
    ChannelEvent, ChannelKey, Error, ErrorCode, Gap, GapReason, Instant, Message, Position, RealtimeClient,
    calls::Waiter,
    channel::{Channel, State},
    connection::{Phase, backoff},
    outbound::Outbound,
    wire::{self, Outcome, Request},
};
use alloc::{boxed::Box, collections::VecDeque};

/// History that is being read to close a hole.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// The page that is on its way, and until when.
    page: Option<(u32, Instant)>,
    /// When to ask again after a failure.
    pub(crate) retry_at: Option<Instant>,
    /// The offset up to which messages are known to exist.
    head: u64,
    /// The epoch of that offset, where it is another one than the reader's: whether the reader's place has
    /// survived into it the first page tells.
    later: Option<Box<str>>,
    /// Live messages that came meanwhile.
    held: VecDeque<Message>,
}

impl Repair {
    pub(crate) fn page_deadline(&self) -> Option<Instant> {
        self.page.map(|(_, deadline)| deadline)
    }
}

fn gap(from: Position, to: Position, reason: GapReason) -> ChannelEvent {
    ChannelEvent::Gap(Gap { from, to, reason })
}

impl Channel {
    /// Moves the position, then tells the app.
    fn deliver(&mut self, message: Message, out: &mut Outbound) {
        if let Some(position) = &mut self.position
            && message.offset > 0
        {
            position.offset = message.offset;
        }
        self.tell(ChannelEvent::Message(message), out);
    }

    /// Takes what came with the answer to a subscribe, as far as it is the next one each time.
    fn take_recovered(&mut self, publications: &[wire::Publication<'_>], out: &mut Outbound) {
        for publication in publications {
            if self.is_next(publication.offset) {
                // Tells what was lost in an earlier session, and skips nothing.
                self.skip_to(publication.offset.saturating_sub(1), GapReason::Retention, out);
                self.deliver(Message::from_wire(publication), out);
            }
        }
    }

    /// Moves the position to `offset`, never back.
    fn reach(&mut self, offset: u64) {
        if let Some(position) = &mut self.position {
            position.offset = position.offset.max(offset);
        }
    }

    /// How far the app has been told: not beyond a gap that is still to be told.
    pub(crate) fn told(&self) -> Option<Position> {
        match &self.lost {
            Some((from, _)) => Some(Position::new(&from.epoch, from.offset.saturating_sub(1))),
            None => self.position.clone(),
        }
    }

    /// How far the reader has come; `None`: positions are not kept, or this message has none.
    fn reached(&self, offset: u64) -> Option<u64> {
        self.position.as_ref().filter(|_| offset > 0).map(|position| position.offset)
    }

    /// Whether the message at `offset` is the next one.
    pub(crate) fn is_next(&self, offset: u64) -> bool {
        match self.reached(offset) {
            None => true,
            Some(reached) if self.is_cache() => offset > reached,
            Some(reached) => offset == reached + 1,
        }
    }

    /// Declares lost what lies between the position and `offset`, with what was known to be lost before, if
    /// there is anything, and moves there.
    fn skip_to(&mut self, offset: u64, reason: GapReason, out: &mut Outbound) {
        let Some(reached) = &mut self.position else { return };
        let lost = self.lost.take();
        if lost.is_none() && reached.offset >= offset {
            return;
        }
        let (from, reason) = lost.unwrap_or_else(|| (reached.next(), reason));
        reached.offset = reached.offset.max(offset);
        let to = reached.clone();
        self.tell(gap(from, to, reason), out);
    }

    /// The log ends at `top` although messages up to `seen` existed: it lost its tail and counts on from there,
    /// so what follows must not look like known.
    fn rewind(&mut self, seen: u64, top: u64, out: &mut Outbound) {
        self.skip_to(top, GapReason::Retention, out);
        let Some(reached) = &mut self.position else { return };
        let to = Position::new(&reached.epoch, seen);
        reached.offset = top;
        let from = reached.next();
        self.tell(gap(from, to, GapReason::Rewound), out);
    }

    /// The channel was made anew: all from the position on is lost, and the reader begins again at the start.
    fn begin_epoch(&mut self, before: &Position, epoch: &str) {
        self.lost.get_or_insert_with(|| (before.next(), GapReason::EpochChanged));
        self.position = Some(Position::new(epoch, 0));
    }

    /// The log has lost its tail, and what is left up to `top` goes on in a later epoch: so does the reader, who is
    /// told first that whatever stood behind it is lost, seen or not.
    fn go_on(&mut self, before: &Position, top: u64, epoch: &str) {
        let lost = Position::new(&before.epoch, top + 1);
        self.lost.get_or_insert((lost, GapReason::EpochChanged));
        self.position = Some(Position::new(epoch, top));
    }

    /// Takes messages in ascending order, as history or a recovery brings them.
    fn take_page(&mut self, publications: &[wire::Publication<'_>], out: &mut Outbound) {
        for publication in publications {
            let offset = publication.offset;
            if self.reached(offset).is_some_and(|reached| offset <= reached) {
                continue;
            }
            if offset > 0 {
                self.skip_to(offset - 1, GapReason::Retention, out);
            }
            self.deliver(Message::from_wire(publication), out);
        }
    }
}

impl RealtimeClient {
    pub(crate) fn on_publication(&mut self, key: ChannelKey, publication: &wire::Publication<'_>) {
        let max_held = self.config.max_held;
        let Some(channel) = self.channels.get_mut(key) else { return };
        let offset = publication.offset;
        // Where it is open in which epoch the reader stands, its place says nothing about a live message.
        let is_open = matches!(&channel.state, State::Repairing(repair) if repair.later.is_some());
        if !is_open && channel.reached(offset).is_some_and(|reached| offset <= reached) {
            return;
        }
        if let State::Repairing(repair) = &mut channel.state {
            // What does not fit is read from the history again.
            if repair.held.len() >= max_held {
                repair.head = repair.held.iter().map(|held| held.offset).fold(repair.head, u64::max);
                repair.held.clear();
            }
            return repair.held.push_back(Message::from_wire(publication));
        }
        if !matches!(channel.state, State::Live) {
            return;
        }
        if channel.is_next(offset) {
            return channel.deliver(Message::from_wire(publication), &mut self.out);
        }
        let held = VecDeque::from([Message::from_wire(publication)]);
        self.repair(key, Repair { head: offset - 1, held, ..Repair::default() });
    }

    /// Continues from where the reader stood to where the channel stands.
    pub(crate) fn recover(
        &mut self,
        key: ChannelKey,
        mut before: Option<Position>,
        head: Option<Position>,
        result: &wire::SubscribeResult<'_>,
    ) {
        let publications = &*result.publications;
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Some(head) = head else {
            // The channel keeps no positions any more, so nothing can be said of what was missed.
            if let Some(before) = before {
                let from = channel.lost.take().map_or_else(|| before.next(), |(from, _)| from);
                channel.tell(gap(from.clone(), from, GapReason::HistoryUnavailable), &mut self.out);
            }
            return;
        };
        // A server that recovers a stream across epochs says that the data up to there has survived into the
        // later one; a cache is recovered whatever its epoch.
        let survives =
            |before: &Position| result.recovered && !channel.is_cache() && head.offset >= before.offset;
        let continues = before.as_ref().is_some_and(|before| before.epoch == head.epoch || survives(before));
        if let Some(known) = before.as_mut().filter(|known| continues && head.offset < known.offset) {
            channel.tell(gap(head.next(), known.clone(), GapReason::Rewound), &mut self.out);
            known.offset = if channel.is_cache() { 0 } else { head.offset };
        }
        // A reader of a cache wants the newest value alone, be it the first one or after an absence.
        if channel.is_cache() {
            let known = before.filter(|_| continues).map_or(0, |known| known.offset);
            channel.position = Some(Position::new(&head.epoch, known));
            if let Some(newest) = publications.last().filter(|newest| newest.offset > known) {
                channel.deliver(Message::from_wire(newest), &mut self.out);
            }
            return channel.reach(head.offset);
        }
        let Some(before) = before else { return channel.position = Some(head) };
        let mut repair = Repair { head: head.offset, ..Repair::default() };
        if continues {
            channel.position = Some(Position::new(&head.epoch, before.offset));
            channel.take_recovered(publications, &mut self.out);
        } else if head.offset > 0 && (before.offset > 0 || channel.lost.is_none()) {
            channel.position = Some(before);
            repair.later = Some(head.epoch);
        } else {
            channel.begin_epoch(&before, &head.epoch);
        }
        self.repair(key, repair);
    }

    fn repair(&mut self, key: ChannelKey, repair: Repair) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.state = State::Repairing(repair);
            self.repair_on(key);
        }
    }

    /// Asks for the next page, or goes live where nothing is missing any more.
    fn repair_on(&mut self, key: ChannelKey) {
        let Self { channels, out, .. } = self;
        let Some(channel) = channels.get_mut(key) else { return };
        loop {
            let State::Repairing(repair) = &mut channel.state else { return };
            let reached = channel.position.as_ref().map_or(0, |position| position.offset);
            if reached < repair.head || repair.later.is_some() {
                break;
            }
            if channel.lost.is_some() {
                // The new generation has nothing yet: what was lost ends where it begins.
                channel.skip_to(0, GapReason::EpochChanged, out);
                continue;
            }
            match repair.held.pop_front() {
                None => {
                    channel.state = State::Live;
                    return;
                }
                Some(message) if message.offset > 0 && message.offset <= reached => {}
                Some(message) if message.offset == 0 || message.offset == reached + 1 => {
                    channel.deliver(message, out);
                }
                Some(message) => {
                    repair.head = message.offset - 1;
                    repair.held.push_front(message);
                }
            }
        }
        self.request_page(key);
    }

    fn request_page(&mut self, key: ChannelKey) {
        let deadline = self.now + self.config.request_timeout;
        let Phase::Online(live) = &mut self.link.phase else { return };
        let Some(channel) = self.channels.get_mut(key) else { return };
        let State::Repairing(repair) = &mut channel.state else { return };
        let command = live.next_command();
        repair.page = Some((command, deadline));
        repair.retry_at = None;
        self.calls.await_answer(command, Waiter::Page(key));
        let history = wire::History {
            channel: (&*channel.name).into(),
            limit: i32::try_from(live.history_page).unwrap_or(i32::MAX),
            since: channel.position.as_ref().map(Position::since),
            reverse: false,
        };
        self.out.command(live.conn, command, Request::History(history));
    }

    pub(crate) fn on_page(&mut self, key: ChannelKey, answered: u32, outcome: &Outcome<'_>) {
        let Self { channels, out, .. } = self;
        let Some(channel) = channels.get_mut(key) else { return };
        let State::Repairing(repair) = &mut channel.state else { return };
        if repair.page.is_none_or(|(command, _)| command != answered) {
            return;
        }
        repair.page = None;
        match outcome {
            Outcome::History(result) => {
                if result.epoch.is_empty() {
                    return self.on_protocol_error("a page of history without an epoch");
                }
                let Some(reached) = &mut channel.position else { return };
                let later = repair.later.take();
                if *result.epoch != *reached.epoch {
                    if later.as_deref() != Some(&*result.epoch) {
                        // The app was told of another epoch: it hears of this one before what stands in it.
                        return self.rejoin(key, &Error::new(ErrorCode::UnrecoverablePosition));
                    }
                    let before = reached.clone();
                    if result.offset < before.offset {
                        channel.begin_epoch(&before, &result.epoch);
                        return self.repair_on(key);
                    }
                    // A page that was answered vouches that the place asked from stands in its epoch.
                    reached.epoch = result.epoch.as_ref().into();
                    let next = before.next();
                    let first = result.publications.first();
                    if first.map_or(result.offset + 1, |first| first.offset) > next.offset {
                        channel.lost.get_or_insert((next, GapReason::Retention));
                    }
                }
                channel.failures = 0;
                let head = repair.head;
                if result.publications.iter().any(|publication| publication.offset > reached.offset) {
                    channel.take_page(&result.publications, out);
                } else if result.offset >= head {
                    // Nothing newer is kept, although something newer is known to exist.
                    channel.skip_to(head, GapReason::Retention, out);
                } else {
                    *repair = Repair::default();
                    channel.rewind(head, result.offset, out);
                }
                self.repair_on(key);
            }
            Outcome::Error(reply) => self.on_page_refused(key, reply),
            _ => self.on_protocol_error("the answer to history is of another kind"),
        }
    }

    fn on_page_refused(&mut self, key: ChannelKey, reply: &wire::ErrorReply<'_>) {
        let error = Error::from_wire(reply);
        if reply.is_temporary() {
            return self.repair_later(key);
        }
        let Self { channels, out, .. } = self;
        let Some(channel) = channels.get_mut(key) else { return };
        let State::Repairing(repair) = &mut channel.state else { return };
        if let (Some(later), Some(before)) = (repair.later.take(), channel.position.clone()) {
            let stands = error.code == ErrorCode::UnrecoverablePosition
                && !reply.epoch.is_empty()
                && (1..=before.offset + 1).contains(&reply.expected);
            if !stands {
                channel.begin_epoch(&before, &later);
            } else {
                channel.go_on(&before, reply.expected - 1, &reply.epoch);
                if *later != *reply.epoch {
                    return self.rejoin(key, &error);
                }
            }
            return self.repair_on(key);
        }
        if error.code == ErrorCode::UnrecoverablePosition {
            return self.rejoin(key, &error);
        }
        let head = repair.head;
        channel.skip_to(head, GapReason::HistoryUnavailable, out);
        self.repair_on(key);
    }

    fn repair_later(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let wait = backoff::delay(&self.config, channel.failures, None, &mut self.rng);
        channel.failures = channel.failures.saturating_add(1);
        if let State::Repairing(repair) = &mut channel.state {
            repair.page = None;
            repair.retry_at = Some(self.now + wait);
        }
    }

    /// Pages that were not answered in time, and pages whose wait after a failure is over.
    pub(crate) fn on_repair_due(&mut self) {
        let now = self.now;
        for key in
            self.channels.keys_where(&mut |channel| channel.repair_deadline().is_some_and(|at| at <= now))
        {
            let Some(channel) = self.channels.get_mut(key) else { continue };
            let State::Repairing(repair) = &mut channel.state else { continue };
            match repair.page {
                // One lost answer may be the server's fault; two in a row are the connection's.
                Some(_) if channel.failures > 0 => return self.fail(ErrorCode::SubscribeTimedOut),
                Some((command, _)) => {
                    self.calls.answered(command);
                    self.repair_later(key);
                }
                None => self.request_page(key),
            }
        }
    }
}

impl Channel {
    pub(crate) fn repair_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Repairing(repair) => repair.page_deadline().or(repair.retry_at),
            _ => None,
        }
    }
}
