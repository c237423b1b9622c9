//! Commands to one channel that wait for an earlier one to that channel, and for nothing else: those to other
//! channels overtake them.
//!
//! Publishes whose hook is asked stand in their lane from the start: the questions are put at once, one behind
//! the other, and whatever the order of the answers, they are carried out in the order in which they came.

use super::{Refusal, publish::Identity};
use crate::{
    engine::{Append, Channel},
    hub::Close,
};
use std::collections::VecDeque;

/// Commands that may stand in lanes; behind them the connection is read no further.
const MAX_ITEMS: usize = 64;
/// The same in bytes of commands that were not begun.
const MAX_BYTES: usize = 256 * 1024;

/// What a publish comes to.
pub(super) enum Fate {
    Append(Append),
    Refuse(Refusal),
    /// The connection ends.
    End(Close),
}

/// A publish that stands in a lane.
pub(super) struct Queued {
    pub(super) id: u32,
    pub(super) identity: Identity,
    /// What it comes to, once that is known.
    pub(super) fate: Option<Fate>,
    ticket: u32,
}

/// A command that was not begun.
struct Waiting {
    text: Box<str>,
    is_publish: bool,
}

enum Item {
    Publish(Box<Queued>),
    Command(Waiting),
}

struct Lane {
    channel: Channel,
    items: VecDeque<Item>,
}

/// What comes next in a lane.
pub(super) enum Step {
    /// Carry this publish out.
    Settle(Box<Queued>),
    /// Begin this command; what stands behind it is to be put back afterwards.
    Begin(Box<str>, Rest),
}

/// What stands behind a command that is being begun.
pub(super) struct Rest(VecDeque<Item>);

#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    tickets: u32,
}

impl Lanes {
    fn lane(&self, channel: &str) -> Option<&Lane> {
        self.lanes.iter().find(|lane| *lane.channel == *channel)
    }

    fn lane_mut(&mut self, channel: &str) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| *lane.channel == *channel).unwrap_or_else(|| {
            self.lanes.push(Lane { channel: channel.into(), items: VecDeque::new() });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    pub(super) fn has_room(&self) -> bool {
        let items = self.lanes.iter().map(|lane| lane.items.len()).sum::<usize>();
        let texts = self.lanes.iter().flat_map(|lane| &lane.items).map(|item| match item {
            Item::Publish(_) => 0,
            Item::Command(waiting) => waiting.text.len(),
        });
        items < MAX_ITEMS && texts.sum::<usize>() < MAX_BYTES
    }

    /// Whether a command to this channel has to wait for those that stand in its lane.
    pub(super) fn holds_back(&self, channel: &str, is_publish: bool) -> bool {
        self.lane(channel)
            .is_some_and(|lane| !is_publish || lane.items.iter().any(|item| matches!(item, Item::Command(_))))
    }

    /// Whether there are commands to this channel that are not carried out.
    pub(super) fn hold(&self, channel: &str) -> bool {
        self.lane(channel).is_some()
    }

    /// Has a command wait.
    pub(super) fn wait(&mut self, channel: &str, text: &str, is_publish: bool) {
        let waiting = Waiting { text: text.into(), is_publish };
        self.lane_mut(channel).items.push_back(Item::Command(waiting));
    }

    /// Puts a publish into its lane; the ticket names it.
    pub(super) fn publish(&mut self, channel: &str, id: u32, identity: Identity, fate: Option<Fate>) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = self.tickets;
        self.lane_mut(channel).items.push_back(Item::Publish(Box::new(Queued {
            id,
            identity,
            fate,
            ticket,
        })));
        ticket
    }

    /// It is known what a publish comes to.
    pub(super) fn decide(&mut self, channel: &str, ticket: u32, fate: Fate) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| *lane.channel == *channel) else { return };
        let queued = lane.items.iter_mut().find_map(|item| match item {
            Item::Publish(queued) if queued.ticket == ticket => Some(queued),
            Item::Publish(_) | Item::Command(_) => None,
        });
        if let Some(queued) = queued {
            queued.fate = Some(fate);
        }
    }

    /// The channels that have a lane.
    pub(super) fn channels(&self) -> Vec<Channel> {
        self.lanes.iter().map(|lane| Channel::clone(&lane.channel)).collect()
    }

    /// What can be done next for a channel. `blocked`: commands to it cannot be begun.
    pub(super) fn next(&mut self, channel: &str, blocked: bool) -> Option<Step> {
        let at = self.lanes.iter().position(|lane| *lane.channel == *channel)?;
        let items = &mut self.lanes[at].items;
        let step = match items.front() {
            Some(Item::Publish(queued)) if queued.fate.is_some() => match items.pop_front() {
                Some(Item::Publish(queued)) => Some(Step::Settle(queued)),
                _ => None,
            },
            Some(_) => begin(items, blocked),
            None => None,
        };
        if items.is_empty() && !matches!(step, Some(Step::Begin(..))) {
            self.lanes.swap_remove(at);
        }
        step
    }

    /// Puts back what stood behind a command.
    pub(super) fn put_back(&mut self, channel: &str, rest: Rest) {
        let lane = self.lane_mut(channel);
        lane.items.extend(rest.0);
        if lane.items.is_empty() {
            self.lanes.retain(|lane| *lane.channel != *channel);
        }
        if self.lanes.is_empty() {
            self.lanes = Vec::new();
        }
    }
}

/// Begins the first command that nothing but publishes stand before, if it is the first item or a publish.
fn begin(items: &mut VecDeque<Item>, blocked: bool) -> Option<Step> {
    let at = items.iter().position(|item| matches!(item, Item::Command(_)))?;
    let mut behind = items.split_off(at);
    match behind.pop_front() {
        Some(Item::Command(first)) if !blocked && (at == 0 || first.is_publish) => {
            Some(Step::Begin(first.text, Rest(behind)))
        }
        first => {
            items.extend(first);
            items.extend(behind);
            None
        }
    }
}
