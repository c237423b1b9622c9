//! The reference model: every message with its fate, and every log as a witness inside the store saw it grow.
//!
//! Knows nothing of producers, numbers or sessions: only what was promised. Panics where a promise is broken.

use super::{plan::CHANNELS, trace};
use homing_core::{Error, ErrorCode, Position};
use homing_server::engine::{Channel, Epoch, Hint, Publication, Sink};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

/// How it ended for the app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    Acked(Option<Position>),
    Failed(Error),
}

/// A message that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) client: usize,
    pub(crate) life: u32,
    /// Whose calls are in one order: those of all lives where there is a storage.
    pub(crate) line: (usize, u32),
    pub(crate) channel: usize,
    pub(crate) data: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) id: Box<str>,
    pub(crate) is_long: bool,
    pub(crate) fate: Option<Fate>,
    /// Whether the app was told that it is kept, and durably.
    pub(crate) kept: Option<bool>,
    pub(crate) is_durable: bool,
    /// The app of this client took it back, and no call was left to settle.
    pub(crate) taken_back: Option<usize>,
    /// The app has taken it out of the outbox, or given another one in its place.
    pub(crate) was_discarded: bool,
    /// The app of this client has put another payload into it; where it has crashed since, either may be the one.
    pub(crate) edited_by: Option<usize>,
    pub(crate) may_be_unedited: bool,
    /// Its storage has failed or gone back, or its app has given up waiting for it.
    pub(crate) is_doubtful: bool,
    /// How often it was appended, and whether it is in the log as it stands.
    pub(crate) appended: u32,
    pub(crate) is_there: bool,
    /// The store has lost it since.
    pub(crate) was_lost: bool,
    /// The number of losses with which it went, and those before it settled.
    pub(crate) lost_by: u32,
    pub(crate) settled_after: u32,
}

/// What is allowed to go wrong, because of what was done to the world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excuses {
    /// The store has lost data.
    pub(crate) losses: u32,
    /// The server knows nobody's messages again, or only for a short while.
    pub(crate) forgets: bool,
    pub(crate) knows_nobody: bool,
    pub(crate) picky: bool,
}

#[derive(Default)]
struct Log {
    epoch: u64,
    /// Messages by offset, the first one at 1.
    now: Vec<usize>,
    /// Logs of earlier epochs, as they stood when they ended.
    earlier: BTreeMap<u64, Vec<usize>>,
    /// The newest message of each line.
    lines: BTreeMap<(usize, u32), usize>,
}

/// What the logs held when a dump was written.
#[derive(Default)]
pub(crate) struct Saved(Vec<Vec<usize>>);

pub(crate) struct Truth {
    pub(crate) messages: Vec<Message>,
    by_data: HashMap<Box<str>, usize>,
    logs: Vec<Log>,
    pub(crate) excuses: Excuses,
}

/// Hears of every append, inside the store.
#[derive(Default)]
pub(crate) struct Witness(Mutex<Vec<(Channel, Option<Epoch>, Publication)>>);

impl Sink for Witness {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        if let Hint::Appended(epoch, publication) = hint {
            self.0.lock().expect("nobody panics with it").push((channel.into(), epoch, publication));
        }
    }
    fn handle_doubt(&self, _: homing_server::engine::Doubt) {}
    fn handle_control(&self, _: bytes::Bytes) {}
}

impl Witness {
    pub(crate) fn take(&self) -> Vec<(Channel, Option<Epoch>, Publication)> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

impl Truth {
    pub(crate) fn new(excuses: Excuses) -> Self {
        let logs = CHANNELS.iter().map(|_| Log::default()).collect();
        Self { messages: Vec::new(), by_data: HashMap::new(), logs, excuses }
    }

    pub(crate) fn accepted(&mut self, message: Message) -> usize {
        let at = self.messages.len();
        self.by_data.insert(message.data.clone(), at);
        self.messages.push(message);
        at
    }

    /// The app has put another payload into a message.
    pub(crate) fn edited(&mut self, message: usize, by: usize, data: Box<str>, is_long: bool) {
        self.by_data.insert(data.clone(), message);
        let message = &mut self.messages[message];
        (message.data, message.is_long, message.edited_by) = (data, is_long, Some(by));
    }

    pub(crate) fn with_data(&self, data: &str) -> Option<usize> {
        self.by_data.get(data).copied()
    }

    pub(crate) fn with_id(&self, id: &str) -> Option<usize> {
        self.messages.iter().rposition(|message| *message.id == *id)
    }

    fn name(&self, message: usize) -> &str {
        &self.messages[message].name
    }

    /// The witness has seen an append.
    pub(crate) fn appended(
        &mut self,
        now: u64,
        channel: &str,
        epoch: Option<Epoch>,
        publication: &Publication,
    ) {
        let channel = CHANNELS.iter().position(|name| *name == channel).expect("a channel of the story");
        let data = std::str::from_utf8(&publication.data).expect("JSON");
        let at = self.with_data(data).unwrap_or_else(|| panic!("nobody said {data}"));
        let message = &mut self.messages[at];
        trace::tell(now, || match publication.offset {
            0 => format!("{} reaches {}", message.name, CHANNELS[channel]),
            offset => format!("{} is in the log of {} at {offset}", message.name, CHANNELS[channel]),
        });
        assert_eq!(message.channel, channel, "{} is in another channel", message.name);
        let is_current = *message.data == *data || message.may_be_unedited || message.is_doubtful;
        assert!(is_current, "{} is there as it was before it was edited", message.name);
        let taken_back = message.taken_back.is_some() && !message.is_doubtful;
        assert!(!taken_back, "{} is appended although it was taken back", message.name);
        // What a storage that has failed holds is old news, and nobody may know the message any more.
        let is_forgotten = message.is_doubtful && (self.excuses.forgets || self.excuses.losses > 0);
        let again = self.excuses.knows_nobody || is_forgotten;
        assert!(!message.is_there || again, "{} is in the log twice", message.name);
        // A refusal stands on the session that was recorded with it: a store that loses the record since forgets
        // that the message's frame in an old socket, or in a node that stands still, is fenced off.
        let is_fenced = message.settled_after == self.excuses.losses;
        match &message.fate {
            Some(Fate::Failed(error)) if message.is_final(error) && is_fenced => {
                panic!("{} is appended although its app was told that it failed: {error}", message.name);
            }
            _ => {}
        }
        message.appended += 1;
        message.is_there = true;
        // What the store had and has lost, its producer's record with it, may come again out of a frame of that time,
        // behind the gap that took it back.
        let is_unordered = message.is_doubtful || message.was_lost;
        let line = message.line;
        let log = &mut self.logs[channel];
        if let Some(last) = log.lines.insert(line, at)
            && last > at
            && !is_unordered
            && !self.excuses.forgets
            && !self.excuses.knows_nobody
        {
            panic!("{} comes behind {}, which was published after it", self.name(at), self.name(last));
        }
        if let Some(epoch) = epoch {
            log.enter(epoch.micros());
            log.now.push(at);
            let offset = log.now.len() as u64;
            assert_eq!(publication.offset, offset, "{} gets another offset than the next one", self.name(at));
        }
    }

    /// What the log of an epoch held, as far as it has come.
    pub(crate) fn view(&mut self, channel: usize, epoch: u64) -> &[usize] {
        self.logs[channel].view(epoch)
    }

    pub(crate) fn head(&self, channel: usize) -> (u64, u64) {
        (self.logs[channel].epoch, self.logs[channel].now.len() as u64)
    }

    /// Somebody was told of an epoch.
    pub(crate) fn heard_of(&mut self, channel: usize, epoch: u64) {
        self.logs[channel].view(epoch);
    }

    pub(crate) fn save(&self) -> Saved {
        Saved(self.logs.iter().map(|log| log.now.clone()).collect())
    }

    /// The store has gone back to what it was when this was saved. Channels that keep nothing lose nothing.
    pub(crate) fn lose(&mut self, saved: &Saved) {
        self.excuses.losses += 1;
        for (channel, log) in self.logs.iter_mut().enumerate() {
            let survived = saved.0.get(channel).cloned().unwrap_or_default();
            for at in &log.now {
                let message = &mut self.messages[*at];
                (message.is_there, message.was_lost, message.lost_by) = (false, true, self.excuses.losses);
            }
            for at in &survived {
                (self.messages[*at].is_there, self.messages[*at].was_lost) = (true, false);
            }
            log.earlier.insert(log.epoch, std::mem::replace(&mut log.now, survived));
            log.lines = log.now.iter().map(|at| (self.messages[*at].line, *at)).collect();
        }
        // Where nothing is kept only the producers' records are lost: what was unanswered may come again.
        for message in
            self.messages.iter_mut().filter(|message| CHANNELS[message.channel].starts_with("flash:"))
        {
            (message.was_lost, message.is_there) = (message.was_lost || message.is_there, false);
        }
    }

    /// A call has settled.
    pub(crate) fn settled(&mut self, at: usize, result: Fate) {
        let excuses = self.excuses;
        let message = &mut self.messages[at];
        let name = message.name.clone();
        assert_eq!(message.fate, None, "{name} settles twice");
        message.fate = Some(result.clone());
        message.settled_after = excuses.losses;
        let channel = message.channel;
        match result {
            Fate::Acked(position) => {
                assert!(message.appended > 0, "{name} is acked and nowhere");
                let Some(position) = position else {
                    assert!(CHANNELS[channel].starts_with("flash:"), "{name} is acked without a place");
                    return;
                };
                let epoch = Epoch::from_text(&position.epoch).micros();
                let offset = usize::try_from(position.offset).expect("a story is short");
                let there = self.view(channel, epoch).get(offset.wrapping_sub(1)).copied();
                assert_eq!(there, Some(at), "{name} is acked with a place that is not its own: {position:?}");
            }
            Fate::Failed(error) => {
                let is_unknown = error.code == ErrorCode::OutcomeUnknown;
                if is_unknown {
                    let known = excuses.losses == 0 && !excuses.forgets && !excuses.knows_nobody;
                    assert!(
                        !known || message.is_doubtful,
                        "{name} has an unknown outcome, though it can be known"
                    );
                    return;
                }
                let there = message.is_there && message.is_final(&error);
                assert!(!there, "{name} is in the log, and its app is told that it failed: {error}");
                let allowed = match error.code {
                    ErrorCode::MessageTooLarge | ErrorCode::LimitExceeded => message.is_long && excuses.picky,
                    ErrorCode::TooManyRequests => excuses.knows_nobody,
                    ErrorCode::Cancelled | ErrorCode::OutboxExpired | ErrorCode::Closed => true,
                    _ => false,
                };
                assert!(allowed, "{name} failed without a reason: {error}");
            }
        }
    }
}

impl Message {
    /// Whether an app that is told so may rely on it that the message is not there, and never will be.
    fn is_final(&self, error: &Error) -> bool {
        let goes_on = match error.code {
            ErrorCode::OutcomeUnknown => true,
            // What is stored goes on in another life.
            ErrorCode::Closed => self.is_durable,
            _ => false,
        };
        !goes_on && !self.is_doubtful
    }
}

impl Log {
    /// An epoch that nobody has heard of goes on above what there is.
    fn enter(&mut self, epoch: u64) {
        if epoch == self.epoch && !self.earlier.contains_key(&epoch) {
            return;
        }
        let last = self.earlier.keys().next_back().copied().unwrap_or(0).max(self.epoch);
        assert!(epoch > last, "epoch {epoch} is used for other data than before");
        if self.epoch != 0 && !self.earlier.contains_key(&self.epoch) {
            panic!("epoch {epoch} begins although nothing was lost");
        }
        self.epoch = epoch;
    }

    fn view(&mut self, epoch: u64) -> &[usize] {
        match self.earlier.get(&epoch) {
            Some(_) => &self.earlier[&epoch],
            None => {
                self.enter(epoch);
                &self.now
            }
        }
    }
}
