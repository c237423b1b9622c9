//! One's own messages in a stream before the server has them, and until they come back.
//!
//! Owns what a reader has still to be told of each, its newest state alone, so that a slow reader holds no more
//! than the outbox has. What has come as a message of the channel is not told as pending again.

use homing_core::{EntryState, OutboxChange, OutboxEntry, Position};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What becomes of one's own message, in a stream that [echoes](crate::Messages::echo).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Echo {
    /// It waits in the outbox or is being sent, or is parked with an error, as its state says. Comes again for
    /// the same id when it was edited or parked; the [`Message`](homing_core::Message) with this id replaces it.
    Pending(Box<OutboxEntry>),
    /// The server has the message with this id. Nothing else comes of it, except the message itself where it
    /// has not come before.
    Sent {
        /// Which.
        id: Box<str>,
        /// Where it stands, where the server tells it.
        position: Option<Position>,
    },
    /// The message with this id has left the outbox without having been taken by the server.
    Withdrawn(Box<str>),
}

/// What a reader has still to be told.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    by_id: HashMap<Box<str>, Note>,
    /// Ids of those with news, in the order in which it came.
    news: VecDeque<Box<str>>,
}

#[derive(Debug, Default)]
struct Note {
    news: Option<Echo>,
    /// Whether the reader knows of it.
    is_told: bool,
    /// Whether the reader has had the message itself.
    has_come: bool,
    is_parked: bool,
}

impl Board {
    /// No code of the app runs under the lock, so a panic cannot leave it half-changed.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message as it stands when the reader begins.
    pub(crate) fn tell_entry(&self, entry: OutboxEntry) {
        self.lock().on_entry(entry, false);
    }

    pub(crate) fn tell(&self, id: &str, change: &OutboxChange, entry: Option<&OutboxEntry>) {
        let mut notes = self.lock();
        match (entry, change) {
            (Some(entry), change) => notes.on_entry(entry.clone(), *change == OutboxChange::Edited),
            (None, OutboxChange::Discarded | OutboxChange::HandedOver) => {
                notes.on_left(id, Echo::Withdrawn(id.into()));
            }
            // It is still there when its event says so: what it has become meanwhile has an event of its own.
            (None, OutboxChange::Added | OutboxChange::Edited | OutboxChange::State(_)) => {}
            (None, OutboxChange::Acked { position, .. }) => {
                notes.on_left(id, Echo::Sent { id: id.into(), position: position.clone() });
            }
        }
    }

    /// The reader gets the message itself.
    pub(crate) fn on_message(&self, id: &str) {
        if let Some(note) = self.lock().by_id.get_mut(id) {
            note.has_come = true;
            note.news = None;
        }
    }

    pub(crate) fn take(&self) -> Option<Echo> {
        let mut notes = self.lock();
        while let Some(id) = notes.news.pop_front() {
            let Some(note) = notes.by_id.get_mut(&id) else { continue };
            let Some(echo) = note.news.take() else { continue };
            note.is_told = true;
            if !matches!(echo, Echo::Pending(_)) {
                notes.by_id.remove(&id);
            }
            return Some(echo);
        }
        None
    }
}

impl Notes {
    fn on_entry(&mut self, entry: OutboxEntry, is_edited: bool) {
        let id = entry.id.clone();
        let is_parked = matches!(entry.state, EntryState::Parked(_));
        let is_new = !self.by_id.contains_key(&id);
        let note = self.by_id.entry(id.clone()).or_default();
        let is_news = is_new || is_edited || note.is_parked != is_parked;
        note.is_parked = is_parked;
        if note.has_come || !is_news {
            return;
        }
        if note.news.replace(Echo::Pending(Box::new(entry))).is_none() {
            self.news.push_back(id);
        }
    }

    fn on_left(&mut self, id: &str, echo: Echo) {
        let Some(note) = self.by_id.get_mut(id) else { return };
        if note.has_come || !note.is_told {
            self.by_id.remove(id);
            self.news.retain(|other| **other != *id);
        } else if note.news.replace(echo).is_none() {
            self.news.push_back(id.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use homing_core::{EntryId, Error, ErrorCode, Json, wire::Raw};

    fn entry(state: EntryState) -> OutboxEntry {
        OutboxEntry {
            entry: EntryId(1),
            id: "a".into(),
            channel: "room".into(),
            data: Json::from(Raw::trusted("1")),
            queued_at: 0,
            was_sent: false,
            state,
        }
    }

    fn tell(board: &Board, change: OutboxChange, state: EntryState) {
        board.tell("a", &change, Some(&entry(state)));
    }

    fn is_pending(echo: Option<Echo>) -> bool {
        matches!(echo, Some(Echo::Pending(_)))
    }

    #[test]
    fn a_message_is_told_as_pending_once_and_again_when_it_is_parked() {
        let board = Board::default();
        tell(&board, OutboxChange::Added, EntryState::Queued);
        tell(&board, OutboxChange::State(EntryState::Sending), EntryState::Sending);
        assert!(is_pending(board.take()));
        assert_eq!(board.take(), None);
        tell(&board, OutboxChange::State(EntryState::Queued), EntryState::Queued);
        assert_eq!(board.take(), None);
        let parked = EntryState::Parked(Error::new(ErrorCode::PermissionDenied));
        tell(&board, OutboxChange::State(parked.clone()), parked);
        assert!(is_pending(board.take()));
        board.tell("a", &OutboxChange::Discarded, None);
        assert_eq!(board.take(), Some(Echo::Withdrawn("a".into())));
    }

    #[test]
    fn what_has_come_as_a_message_is_not_told_as_pending_again() {
        let board = Board::default();
        tell(&board, OutboxChange::Added, EntryState::Sending);
        assert!(is_pending(board.take()));
        board.on_message("a");
        let parked = EntryState::Parked(Error::new(ErrorCode::OutcomeUnknown));
        tell(&board, OutboxChange::State(parked.clone()), parked);
        board.tell("a", &OutboxChange::HandedOver, None);
        assert_eq!(board.take(), None);
        assert!(board.lock().by_id.is_empty());
    }

    #[test]
    fn a_reader_that_never_looks_holds_nothing_of_what_has_left() {
        let board = Board::default();
        for _ in 0..3 {
            tell(&board, OutboxChange::Added, EntryState::Queued);
            board.tell("a", &OutboxChange::Discarded, None);
        }
        assert!(board.lock().by_id.is_empty());
        assert_eq!(board.take(), None);
    }
}
