//! What one reader of one channel is told, checked as it comes: messages and gaps that together are the log,
//! ascending, nothing twice, nothing left out.

use super::{
    plan::{CHANNELS, name},
    trace,
    truth::Truth,
};
use homing_core::{ChannelEvent, ChannelKey, Gap, GapReason, Position, Subscribed};
use homing_server::engine::Epoch;
use std::collections::VecDeque;

/// Publications that the short channel keeps.
pub(crate) const SHORT: u64 = 5;

/// A reader in one life of a client.
pub(crate) struct Reader {
    pub(crate) client: usize,
    pub(crate) channel: usize,
    pub(crate) key: ChannelKey,
    pub(crate) is_durable: bool,
    pub(crate) at: Option<(u64, u64)>,
    /// The epoch in which the next message stands.
    next: u64,

    /// What the app's handler works on, with the time at which it will be done.
    pub(crate) handled: VecDeque<(u64, Position)>,
}

fn micros(position: &Position) -> u64 {
    Epoch::from_text(&position.epoch).micros()
}

impl Reader {
    pub(crate) fn new(client: usize, channel: usize, key: ChannelKey, since: Option<&Position>) -> Self {
        let at = since.map(|since| (micros(since), since.offset));
        let next = at.map_or(0, |(epoch, _)| epoch);
        Self { client, channel, key, is_durable: false, at, next, handled: VecDeque::new() }
    }

    fn who(&self) -> String {
        format!("{} in {}", name(self.client), CHANNELS[self.channel])
    }

    /// Takes an event; answers with the position that the app has reached with it.
    pub(crate) fn take(&mut self, now: u64, event: &ChannelEvent, truth: &mut Truth) -> Option<Position> {
        match event {
            ChannelEvent::Subscribed(subscribed) => self.subscribed(now, subscribed, truth),
            ChannelEvent::Message(message) => {
                let who = self.who();
                let said = truth.with_data(message.data.as_str());
                let said = said.unwrap_or_else(|| panic!("{who}: nobody said {}", message.data.as_str()));
                trace::tell(now, || {
                    format!("{} reads {} at {}", name(self.client), truth.messages[said].name, message.offset)
                });
                if message.offset == 0 {
                    return None;
                }
                let has_id = truth.excuses.knows_nobody || *truth.messages[said].id == *message.id;
                assert!(has_id, "{who}: {} has another id", truth.messages[said].name);
                let (epoch, offset) = self.at.expect("a position before the first message");
                assert_eq!(
                    message.offset,
                    offset + 1,
                    "{who} is told {} out of turn",
                    truth.messages[said].name
                );
                let place = usize::try_from(message.offset).expect("a story is short");
                if epoch != self.next {
                    self.survives(offset, self.next, truth);
                }
                let there = truth.view(self.channel, self.next).get(place - 1).copied();
                assert_eq!(there, Some(said), "{who}: {place} is another message");
                self.at = Some((self.next, message.offset));
                Some(Position::new(&Epoch::from_micros(self.next).to_string(), message.offset))
            }
            ChannelEvent::Gap(gap) => Some(self.gap(now, gap, truth)),
            ChannelEvent::Unsubscribed(reason) => panic!("{}: a subscription ended: {reason:?}", self.who()),
            _ => None,
        }
    }

    /// What this reader has seen must be what a later epoch goes on from.
    fn survives(&self, offset: u64, later: u64, truth: &mut Truth) {
        let place = usize::try_from(offset).expect("a story is short");
        let (epoch, _) = self.at.expect("it has begun");
        let seen = truth.view(self.channel, epoch).get(..place).map(<[usize]>::to_vec);
        let kept = truth.view(self.channel, later).get(..place).map(<[usize]>::to_vec);
        assert!(
            seen.is_some() && seen == kept,
            "{} goes on in an epoch that lacks what was seen",
            self.who()
        );
    }

    fn subscribed(&mut self, now: u64, subscribed: &Subscribed, truth: &mut Truth) -> Option<Position> {
        let position = subscribed.position.as_ref()?;
        self.next = micros(position);
        truth.heard_of(self.channel, self.next);
        trace::tell(now, || {
            let found = match (subscribed.was_recovering, subscribed.recovered) {
                (false, _) => "begins to read",
                (true, true) => "goes on reading",
                (true, false) => "goes on reading, behind a hole,",
            };
            format!(
                "{} {found} {}, which stands at {}",
                name(self.client),
                CHANNELS[self.channel],
                position.offset
            )
        });
        if subscribed.was_recovering {
            trace::trouble(if subscribed.recovered {
                "a reader recovers"
            } else {
                "a reader recovers by pages"
            });
        }
        assert_eq!(self.at.is_some(), subscribed.was_recovering, "{} begins anew", self.who());
        let is_new = self.at.is_none();
        self.at.get_or_insert((self.next, position.offset));
        is_new.then(|| position.clone())
    }

    fn gap(&mut self, now: u64, gap: &Gap, truth: &mut Truth) -> Position {
        let who = self.who();
        trace::tell(now, || {
            let reason = gap.reason.name();
            format!("{who} is told that {} to {} will not come ({reason})", gap.from.offset, gap.to.offset)
        });
        let (epoch, offset) = self.at.expect("a position before the first gap");
        // What was seen and lost since is told to be lost, too.
        let is_lost = gap.reason == GapReason::EpochChanged && (1..=offset).contains(&gap.from.offset);
        assert!(is_lost || gap.from.offset == offset + 1, "{who}: a gap begins elsewhere: {gap:?}");
        let from = micros(&gap.from);
        if from != epoch {
            self.survives(offset, from, truth);
        }
        let to = micros(&gap.to);
        truth.heard_of(self.channel, to);
        match gap.reason {
            GapReason::EpochChanged => {
                trace::trouble("a gap between epochs");
                assert!(to != from && truth.excuses.losses > 0, "{who}: nothing was lost: {gap:?}");
                if is_lost && gap.to.offset > 0 {
                    self.survives(gap.from.offset - 1, to, truth);
                }
            }
            GapReason::Retention => {
                trace::trouble("a gap of retention");
                assert!(gap.to.offset > offset, "{who}: an empty gap: {gap:?}");
                let keeps = if CHANNELS[self.channel].starts_with("short:") { SHORT } else { 200 };
                let newest = truth.view(self.channel, to).len() as u64;
                assert!(gap.to.offset + keeps <= newest, "{who}: {} is still there, {gap:?}", gap.to.offset);
            }
            other => panic!("{who}: nothing gives reason for {other:?}: {gap:?}"),
        }
        self.next = to;
        self.at = Some((to, gap.to.offset));
        gap.to.clone()
    }
}
