//! The members of one channel on this node, and the node's own position in it.
//!
//! A room turns hints into frames, each encoded once and shared by all members. It checks that hints are
//! contiguous; where they are not it says what it needs ([`Need`]) and goes on when it got that. A member
//! hears nothing before it is activated, and nothing twice.

use super::{Connection, Control};
use crate::{
    clock::Millis,
    engine::{Channel, Epoch, Hint, Page, Position, Publication, Reach},
    frames,
};
use bytes::Bytes;
use homing_core::wire::UnsubscribeCode;
use parking_lot::Mutex;
use slab::Slab;
use std::sync::Arc;

/// Frames held back for one member while its subscribe reply is made.
const MAX_HELD: usize = 1024;

/// What a room wants its node to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Read the log from this position on, and hand the page to [`Room::handle_page`].
    Read(Position),
}

/// What became of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Activation {
    /// The member hears everything behind its reply.
    Active,
    /// Something between the reply and what was held back is missing; the member was removed.
    Behind,
    /// The member was removed before.
    Gone,
}

/// Somebody who wants to listen.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Where frames go.
    pub connection: Arc<Connection>,
    /// Whether a gap ends the subscription, instead of being passed over.
    pub positioned: bool,
    /// Whether it wants to hear who comes and goes.
    pub join_leave: bool,
}

struct Member {
    connection: Arc<Connection>,
    /// Publications up to this offset were in the subscribe reply.
    from: u64,
    held: Option<Box<Held>>,
    positioned: bool,
    join_leave: bool,
}

#[derive(Default)]
struct Held {
    frames: Vec<(Option<Position>, Bytes)>,
    overflowed: bool,
}

#[derive(Default)]
struct State {
    members: Slab<Member>,
    /// The newest publication that the members were given; `None` until somebody has read the log.
    head: Option<Position>,
    listening: bool,
    /// How often it stopped listening: a subscribe that was called before the last stop says nothing.
    stops: Ticket,
    reading: Option<Reading>,
    dead: bool,
}

/// Names the time between two stops of listening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket(u32);

/// A read of the log that is under way.
struct Reading {
    since: Millis,
    /// Whether there was reason for another one since it began.
    again: bool,
}

/// The members of one channel.
pub struct Room {
    channel: Channel,
    prefix: Box<str>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Room {
    pub(super) fn new(channel: &Channel) -> Self {
        Self { channel: Arc::clone(channel), prefix: frames::push_prefix(channel), state: Mutex::default() }
    }

    /// Its channel.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn enter(&self, member: &NewMember) -> Option<usize> {
        let mut state = self.state.lock();
        let NewMember { connection, positioned, join_leave } = member.clone();
        let held = Some(Box::default());
        let member = Member { connection, from: 0, held, positioned, join_leave };
        (!state.dead).then(|| state.members.insert(member))
    }

    /// Removes a member; says whether it was the last one.
    pub fn leave(&self, slot: usize, connection: &Arc<Connection>) -> bool {
        let mut state = self.state.lock();
        let ours = state.members.get(slot).is_some_and(|member| Arc::ptr_eq(&member.connection, connection));
        if ours {
            state.members.remove(slot);
        }
        ours && state.members.is_empty()
    }

    pub(super) fn end_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        state.dead = state.members.is_empty() && !state.listening;
        state.dead
    }

    /// How many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Whether the node listens to the channel's topic.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state.lock().listening
    }

    /// To be taken before the engine is asked to listen, and given to [`Room::set_listening`].
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.state.lock().stops
    }

    /// Notes that the node listens to the channel's topic, unless it has stopped since the ticket was taken:
    /// an answer that comes late is about a time that is over.
    pub fn set_listening(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        if state.stops == ticket {
            state.listening = true;
        }
    }

    /// Notes that the node listens no more, whoever is here.
    pub fn stop_listening(&self) {
        self.state.lock().stop_listening();
    }

    /// Notes that the node stops listening, unless somebody is here.
    pub fn stop_listening_if_empty(&self) -> bool {
        let mut state = self.state.lock();
        let empty = state.members.is_empty();
        if empty {
            state.stop_listening();
            state.head = None;
            state.reading = None;
        }
        empty
    }

    /// Whether somebody has read the log for this room: the node knows its position.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        self.state.lock().head
    }

    /// Puts the reply into the member's queue and what was held back behind it; from here on the member
    /// hears everything. `read` is what the log said when the reply was made, and `from` the newest offset
    /// that the reply accounts for: `None` where the member asked for no position.
    pub fn activate(
        &self,
        slot: usize,
        reply: Option<Bytes>,
        read: Option<Position>,
        from: Option<u64>,
    ) -> Activation {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(member) = state.members.get_mut(slot) else { return Activation::Gone };
        let Some(held) = member.held.take() else { return Activation::Gone };
        if let Some(reply) = reply {
            member.connection.reply(reply);
        }
        let first = state.head.is_none();
        if first {
            state.head = read;
        }
        let Some(head) = &mut state.head else {
            // A channel that keeps nothing: no offsets to check.
            for (_, frame) in held.frames {
                member.connection.push(frame);
            }
            return Activation::Active;
        };
        let mut last = Position { epoch: read.unwrap_or(*head).epoch, offset: from.unwrap_or(head.offset) };
        let mut behind = held.overflowed;
        for (position, frame) in held.frames {
            match position {
                None => member.connection.push(frame),
                Some(position) if position.epoch == last.epoch && position.offset <= last.offset => {}
                Some(position) if position == (Position { offset: last.offset + 1, ..last }) => {
                    last = position;
                    member.connection.push(frame);
                }
                Some(_) => behind = true,
            }
        }
        if first && last.epoch == head.epoch {
            head.offset = head.offset.max(last.offset);
        }
        behind |= last.epoch < head.epoch || last.epoch == head.epoch && last.offset < head.offset;
        member.from = last.offset;
        if behind && member.positioned {
            state.members.remove(slot);
            return Activation::Behind;
        }
        if last.epoch > head.epoch {
            // The log has a later epoch than this room has heard of: the others have to begin again.
            state.invalidate(&self.channel, last, Some(slot));
        }
        Activation::Active
    }

    /// Takes a hint of the engine. `now` is for the deadline of a read that it may need.
    pub fn handle_hint(&self, hint: Hint, now: Millis) -> Need {
        let mut state = self.state.lock();
        match hint {
            Hint::Joined(value) => {
                let frame = frames::join_push(&self.prefix, &value);
                state.tell(&frame);
                Need::Nothing
            }
            Hint::Left(value) => {
                let frame = frames::leave_push(&self.prefix, &value);
                state.tell(&frame);
                Need::Nothing
            }
            Hint::Appended(epoch, publication) => self.handle_appended(&mut state, epoch, &publication, now),
        }
    }

    fn handle_appended(
        &self,
        state: &mut State,
        epoch: Option<Epoch>,
        publication: &Publication,
        now: Millis,
    ) -> Need {
        let Some(epoch) = epoch else {
            state.deliver(None, &frames::publication_push(&self.prefix, publication));
            return Need::Nothing;
        };
        let position = Position { epoch, offset: publication.offset };
        match state.head {
            // Nobody has read the log yet: those who do now get this from what is held back for them.
            None => {}
            Some(head) if position == (Position { offset: head.offset + 1, ..head }) => {
                state.head = Some(position);
            }
            Some(head) if position.epoch == head.epoch && position <= head => return Need::Nothing,
            // A smaller epoch may be a late hint, or a store whose clock is behind: the log knows.
            Some(_) => return state.read_on(now),
        }
        state.deliver(Some(position), &frames::publication_push(&self.prefix, publication));
        Need::Nothing
    }

    /// Hints may be missing: asks for a read of the log, unless one is under way that is younger than
    /// `patience`.
    pub fn doubt(&self, now: Millis, patience: Millis) -> Need {
        let mut state = self.state.lock();
        if state.reading.as_ref().is_some_and(|reading| now.saturating_sub(reading.since) > patience) {
            state.reading = None;
        }
        state.read_on(now)
    }

    /// Takes the page that was asked for with `asked`.
    pub fn handle_page(&self, asked: Position, page: &Page, now: Millis) -> Need {
        let mut state = self.state.lock();
        let Some(reading) = state.reading.take() else { return Need::Nothing };
        let Some(head) = state.head else { return Need::Nothing };
        if head.epoch != asked.epoch || page.reach == Reach::Unknown && page.head.epoch < head.epoch {
            return if reading.again { state.read_on(now) } else { Need::Nothing };
        }
        if page.reach != Reach::Complete {
            state.invalidate(&self.channel, page.head, None);
            return Need::Nothing;
        }
        if page.head.epoch != head.epoch {
            // Nothing is lost, but whoever relies on a position has to learn the epoch in which it counts on:
            // an offset above the surviving ones is refused in the old one.
            state.drop_positioned(&self.channel, None);
        }
        for publication in &page.publications {
            let position = Position { epoch: page.head.epoch, offset: publication.offset };
            let next = state.head.map_or(0, |head| head.offset + 1);
            if position.offset == next {
                state.head = Some(position);
                state.deliver(Some(position), &frames::publication_push(&self.prefix, publication));
            }
        }
        let reached = state.head.map_or(0, |head| head.offset);
        state.head = Some(Position { epoch: page.head.epoch, offset: reached });
        if reached < page.head.offset && !page.publications.is_empty() || reading.again {
            return state.read_on(now);
        }
        Need::Nothing
    }

    /// A read that was asked for has failed; whoever is responsible asks again later.
    pub fn handle_failure(&self) {
        self.state.lock().reading = None;
    }
}

impl State {
    fn stop_listening(&mut self) {
        self.listening = false;
        self.stops.0 = self.stops.0.wrapping_add(1);
    }

    fn read_on(&mut self, now: Millis) -> Need {
        let Some(head) = self.head else { return Need::Nothing };
        if let Some(reading) = &mut self.reading {
            reading.again = true;
            return Need::Nothing;
        }
        self.reading = Some(Reading { since: now, again: false });
        Need::Read(head)
    }

    fn deliver(&mut self, position: Option<Position>, frame: &Bytes) {
        let offset = position.map_or(u64::MAX, |position| position.offset);
        for (_, member) in &mut self.members {
            match &mut member.held {
                None if offset > member.from => member.connection.push(frame.clone()),
                None => {}
                Some(held) => held.push(position, frame),
            }
        }
    }

    fn tell(&mut self, frame: &Bytes) {
        for (_, member) in self.members.iter_mut().filter(|(_, member)| member.join_leave) {
            match &mut member.held {
                None => member.connection.push(frame.clone()),
                Some(held) => held.push(None, frame),
            }
        }
    }

    /// What lies between the head and `head` is lost: whoever relies on a position has to start again, the
    /// others go on from there. `current` is there already.
    fn invalidate(&mut self, channel: &Channel, head: Position, current: Option<usize>) {
        self.head = Some(head);
        for (slot, member) in &mut self.members {
            if member.held.is_none() && current != Some(slot) {
                member.from = 0;
            }
        }
        self.drop_positioned(channel, current);
    }

    /// Ends the subscriptions that rely on a position; their clients subscribe again from there.
    fn drop_positioned(&mut self, channel: &Channel, current: Option<usize>) {
        self.members.retain(|slot, member| {
            let stays = member.held.is_some() || !member.positioned || current == Some(slot);
            if !stays {
                let code = UnsubscribeCode::InsufficientState.code();
                member.connection.control(Control::Dropped { channel: Arc::clone(channel), slot, code });
            }
            stays
        });
    }
}

impl Held {
    fn push(&mut self, position: Option<Position>, frame: &Bytes) {
        if self.frames.len() < MAX_HELD {
            self.frames.push((position, frame.clone()));
        } else {
            self.overflowed = true;
        }
    }
}
