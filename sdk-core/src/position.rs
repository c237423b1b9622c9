//! Where a reader stands in a channel, and what it missed.

use crate::wire;
use alloc::boxed::Box;

/// A place in a channel's log: one value, replaced whole. Offsets compare only within one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// One generation of the channel's data; opaque.
    pub epoch: Box<str>,
    /// The last publication that was seen; 0: none yet.
    pub offset: u64,
}

impl Position {
    /// The place behind the publication at `offset`.
    #[must_use]
    pub fn new(epoch: &str, offset: u64) -> Self {
        Self { epoch: epoch.into(), offset }
    }

    /// One further.
    pub(crate) fn next(&self) -> Self {
        Self::new(&self.epoch, self.offset + 1)
    }

    pub(crate) fn since(&self) -> wire::Since<'_> {
        wire::Since { offset: self.offset, epoch: (&*self.epoch).into() }
    }
}

impl wire::PublishResult<'_> {
    /// Where the message stands, if the server says so.
    pub(crate) fn position(&self) -> Option<Position> {
        (self.offset > 0 && !self.epoch.is_empty()).then(|| Position::new(&self.epoch, self.offset))
    }
}

/// A range of publications that will not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first one missed. Its epoch is the one that the reader knew.
    pub from: Position,
    /// The last one missed. In another epoch than `from` where the channel was made anew.
    pub to: Position,
    /// Why they will not come.
    pub reason: GapReason,
}

/// Why missed publications will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The channel no longer keeps them.
    Retention,
    /// The channel's data was lost or made anew: its offsets count another generation.
    EpochChanged,
    /// The server's log ends before what this client has already seen. Reading goes on at the gap's start, where
    /// the offsets count new messages.
    Rewound,
    /// The server does not let this client read the channel's history.
    HistoryUnavailable,
    /// The reader was too slow, and could not read on from the history.
    Lagged,
}

impl GapReason {
    /// The word for it in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::EpochChanged => "epoch_changed",
            Self::Rewound => "rewound",
            Self::HistoryUnavailable => "history_unavailable",
            Self::Lagged => "lagged",
        }
    }
}
