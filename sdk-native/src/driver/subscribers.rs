//! Who gets which channel's events.
//!
//! Owns the interests of streams and handles, and the names behind the core's channel keys. Never calls the
//! core: it says which handles to give back.

use super::command::{InterestId, OwnerId, Sink};
use crate::{
    ClientEvent,
    outbox::OutboxEvent,
    streams::{Board, Fed, FeedSender, Keep},
};
use homing_core::{
    ChannelEvent, ChannelKey, Error, ErrorCode, HandleId, Message, Position, Reason, Recovery,
    SubscribeOptions, Subscribed, SubscriptionSnapshot, SubscriptionState,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::oneshot;

#[derive(Default)]
pub(crate) struct Subscribers {
    interests: HashMap<InterestId, Interest>,
    channels: BTreeMap<ChannelKey, Channel>,
    watchers: Vec<FeedSender<ClientEvent>>,
}

struct Interest {
    owner: OwnerId,
    channel: ChannelKey,
    handle: HandleId,
}

struct Channel {
    name: Box<str>,
    /// The app asked for the newest value only.
    cache: bool,
    /// The server made this subscription, and its events go to those who watch the client.
    server_side: bool,
    /// Epoch of the messages that are being delivered; empty: none.
    epoch: Box<str>,
    /// The epoch before it, as long as it is not known whether the readers' places have survived.
    renamed: Option<Box<str>>,
    /// Whether messages count without a hole.
    contiguous: bool,
    /// A position to continue from that the app gave, until it was used.
    since: Option<Position>,
    messages: Vec<Reader>,
    events: Vec<(InterestId, FeedSender<ChannelEvent>)>,
    joined: Vec<InterestId>,
    joining: Vec<oneshot::Sender<Result<Subscribed, Error>>>,
}

/// One stream of messages.
struct Reader {
    id: InterestId,
    feed: FeedSender<Fed>,
    /// What it was told about how the channel counts; `None`: nothing so far.
    contiguous: Option<bool>,
    /// How far its app has processed a durable channel; `None`: it has not said so yet.
    processed: Option<Position>,
    /// Where it sees what waits to be published.
    board: Option<Arc<Board>>,
}

impl Reader {
    fn start(&mut self, position: Option<Position>, contiguous: bool, resumed: Option<Option<Position>>) {
        let known = self.contiguous.replace(contiguous);
        let start = Fed::Start { position, contiguous, resumed };
        match (known, contiguous) {
            // Its own cursor is more precise than anything that could be told.
            (Some(true), true) => {}
            (_, true) => {
                self.feed.keep(Keep::Oldest);
                self.feed.push_mark(start);
            }
            (_, false) => {
                self.feed.keep(Keep::Newest);
                self.feed.push(start, 0, || None);
            }
        }
    }
}

impl Channel {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            cache: false,
            server_side: false,
            epoch: Box::default(),
            renamed: None,
            contiguous: false,
            since: None,
            messages: Vec::new(),
            events: Vec::new(),
            joined: Vec::new(),
            joining: Vec::new(),
        }
    }

    fn count_from(&mut self, position: Option<&Position>, cache: bool) {
        self.contiguous = position.is_some() && !cache;
        self.epoch = position.map(|position| position.epoch.clone()).unwrap_or_default();
    }

    fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.events.is_empty() && self.joined.is_empty() && !self.server_side
    }

    fn on_subscribed(&mut self, subscribed: &Subscribed, processed: Option<&Position>) {
        let cache = self.cache || subscribed.retention.as_ref().is_some_and(|retention| retention.cache);
        let before = std::mem::take(&mut self.epoch);
        self.count_from(subscribed.position.as_ref(), cache);
        self.renamed = Some(before).filter(|before| {
            self.contiguous && subscribed.was_recovering && !before.is_empty() && *before != self.epoch
        });
        if subscribed.recovered {
            self.renew();
        }
        let since = self.since.take().filter(|_| subscribed.was_recovering);
        // A durable channel goes on from what was processed; what lies between follows by itself.
        let resumed = processed.filter(|_| subscribed.was_recovering && since.is_none()).cloned();
        let is_resumed = resumed.is_some();
        let begin = since.or(resumed).or_else(|| subscribed.position.clone());
        for reader in &mut self.messages {
            reader.start(begin.clone(), self.contiguous, is_resumed.then_some(None));
        }
        for joining in self.joining.drain(..) {
            let _ = joining.send(Ok(subscribed.clone()));
        }
    }

    /// The log goes on under another epoch, and its readers keep their places.
    fn renew(&mut self) {
        if let Some(before) = self.renamed.take() {
            for reader in &self.messages {
                reader.feed.renew(&before, &self.epoch);
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        // A message without a gap before it says that nothing was lost on the way into the epoch.
        self.renew();
        let (epoch, offset) = (&self.epoch, message.offset);
        let position = || (offset > 0).then(|| Position { epoch: epoch.clone(), offset });
        let bytes = message.data.as_str().len();
        if let Some((last, others)) = self.messages.split_last() {
            for reader in others {
                reader.feed.push(Fed::Message(message.clone()), bytes, position);
            }
            last.feed.push(Fed::Message(message), bytes, position);
        }
    }

    /// Nothing follows for anybody.
    fn on_ended(&mut self, reason: &Reason) -> Vec<InterestId> {
        let error = ending(reason);
        for reader in &self.messages {
            reader.feed.end(error.clone());
        }
        for joining in self.joining.drain(..) {
            let error = error.clone().unwrap_or_else(|| Error::new(ErrorCode::Unsubscribed));
            let _ = joining.send(Err(error));
        }
        let messages = self.messages.drain(..).map(|reader| reader.id);
        let events = self.events.drain(..).map(|(id, _)| id);
        messages.chain(events).chain(self.joined.drain(..)).collect()
    }
}

/// What a subscription's end means for those who read it; `None`: the app wanted it.
fn ending(reason: &Reason) -> Option<Error> {
    if reason.code < 10 {
        return None;
    }
    let code = ErrorCode::from_number(reason.code).unwrap_or(match reason.code {
        100..2000 => ErrorCode::Application,
        _ => ErrorCode::Unsubscribed,
    });
    Some(Error { number: reason.code, ..Error::new(code).with_detail(&reason.text) })
}

impl Subscribers {
    /// Adds an interest that the core has taken, and brings it up to what the core knows about the channel.
    pub(crate) fn add(
        &mut self,
        (id, owner, handle): (InterestId, OwnerId, HandleId),
        (key, name): (ChannelKey, &str),
        options: &SubscribeOptions,
        (snapshot, processed): (SubscriptionSnapshot, Option<Position>),
        sink: Sink,
    ) {
        let channel = self.channels.entry(key).or_insert_with(|| Channel::new(name));
        if channel.is_idle() {
            channel.since.clone_from(&options.since);
        }
        channel.cache = options.recovery == Recovery::Cache;
        let subscribed = snapshot.state == SubscriptionState::Subscribed;
        if subscribed || snapshot.position.is_some() {
            let cache = channel.cache || snapshot.retention.as_ref().is_some_and(|retention| retention.cache);
            channel.count_from(snapshot.position.as_ref(), cache);
        }
        match sink {
            Sink::Messages(feed) => {
                let mut reader = Reader { id, feed, contiguous: None, processed: None, board: None };
                if subscribed || snapshot.position.is_some() {
                    let resumed = processed.filter(|_| channel.contiguous && channel.messages.is_empty());
                    let live = resumed.is_some().then(|| snapshot.position.clone());
                    reader.start(resumed.or(snapshot.position), channel.contiguous, live);
                }
                channel.messages.push(reader);
            }
            Sink::Events(feed) => channel.events.push((id, feed)),
            Sink::Join(answer) => {
                if subscribed {
                    let SubscriptionSnapshot { position, retention, data, .. } = snapshot;
                    let _ =
                        answer.send(Ok(Subscribed { position, retention, data, ..Subscribed::default() }));
                } else {
                    channel.joining.push(answer);
                }
                channel.joined.push(id);
            }
        }
        self.interests.insert(id, Interest { owner, channel: key, handle });
    }

    /// The channel that an interest is in already.
    pub(crate) fn channel_of(&self, id: InterestId) -> Option<ChannelKey> {
        self.interests.get(&id).map(|interest| interest.channel)
    }

    /// A second join of a handle that has joined and is waiting.
    pub(crate) fn wait_too(&mut self, key: ChannelKey, answer: oneshot::Sender<Result<Subscribed, Error>>) {
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.joining.push(answer);
        }
    }

    /// A reader has processed its durable channel up to here; how far all of its readers have, where that can
    /// be told.
    pub(crate) fn processed(&mut self, id: InterestId, position: Position) -> Option<(ChannelKey, Position)> {
        let key = self.channel_of(id)?;
        let channel = self.channels.get_mut(&key)?;
        channel.messages.iter_mut().find(|reader| reader.id == id)?.processed = Some(position);
        self.lowest(key)
    }

    /// How far the slowest reader of a durable channel has come; `None`: nobody can tell, because one has not
    /// begun, or still stands in another epoch.
    pub(crate) fn lowest(&self, key: ChannelKey) -> Option<(ChannelKey, Position)> {
        let mut lowest: Option<&Position> = None;
        for reader in &self.channels.get(&key)?.messages {
            let position = reader.processed.as_ref()?;
            lowest = match lowest {
                Some(lowest) if lowest.epoch != position.epoch => return None,
                Some(lowest) if lowest.offset <= position.offset => Some(lowest),
                _ => Some(position),
            };
        }
        Some((key, lowest?.clone()))
    }

    /// A reader wants to see what waits to be published to its channel, whose name comes back.
    pub(crate) fn show_pending(&mut self, id: InterestId, board: &Arc<Board>) -> Option<Box<str>> {
        let key = self.channel_of(id)?;
        let channel = self.channels.get_mut(&key)?;
        channel.messages.iter_mut().find(|reader| reader.id == id)?.board = Some(board.clone());
        Some(channel.name.clone())
    }

    /// Has a reader look at what else it waits for.
    pub(crate) fn nudge(&self, id: InterestId) {
        let channel = self.channel_of(id).and_then(|key| self.channels.get(&key));
        let reader = channel.and_then(|channel| channel.messages.iter().find(|reader| reader.id == id));
        if let Some(reader) = reader {
            reader.feed.nudge();
        }
    }

    /// Whether any reader wants to see what waits to be published.
    pub(crate) fn shows_pending(&self) -> bool {
        self.channels.values().any(|channel| channel.messages.iter().any(|reader| reader.board.is_some()))
    }

    /// Something happened to a message that waits to be published.
    pub(crate) fn on_outbox(&self, channel: &str, event: &OutboxEvent) {
        let channel = self.key_of(channel).and_then(|key| self.channels.get(&key));
        for reader in channel.into_iter().flat_map(|channel| &channel.messages) {
            if let Some(board) = &reader.board {
                board.tell(&event.id, &event.change, event.entry.as_ref());
                reader.feed.nudge();
            }
        }
    }

    pub(crate) fn key_of(&self, name: &str) -> Option<ChannelKey> {
        self.channels.iter().find(|(_, channel)| &*channel.name == name).map(|(key, _)| *key)
    }

    /// Removes an interest; the handle to give back.
    pub(crate) fn remove(&mut self, id: InterestId) -> Option<HandleId> {
        let interest = self.interests.remove(&id)?;
        if let Some(channel) = self.channels.get_mut(&interest.channel) {
            channel.messages.retain(|reader| reader.id != id);
            channel.events.retain(|(member, _)| *member != id);
            channel.joined.retain(|member| *member != id);
            if channel.joined.is_empty() {
                for joining in channel.joining.drain(..) {
                    let _ = joining.send(Err(Error::new(ErrorCode::Unsubscribed)));
                }
            }
            if channel.is_idle() {
                self.channels.remove(&interest.channel);
            }
        }
        Some(interest.handle)
    }

    /// Removes all interests of a handle; the core's handles to give back.
    pub(crate) fn remove_owner(&mut self, owner: OwnerId) -> Vec<HandleId> {
        let ids: Vec<_> = self
            .interests
            .iter()
            .filter(|(_, interest)| interest.owner == owner)
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    pub(crate) fn watch(&mut self, feed: FeedSender<ClientEvent>) {
        self.watchers.retain(|watcher| !watcher.is_abandoned());
        self.watchers.push(feed);
    }

    pub(crate) fn tell_watchers(&mut self, event: &ClientEvent) {
        self.watchers.retain(|watcher| !watcher.is_abandoned());
        for watcher in &self.watchers {
            watcher.push(event.clone(), 0, || None);
        }
    }

    pub(crate) fn on_server_subscribed(&mut self, key: ChannelKey, name: Box<str>) {
        self.channels.entry(key).or_insert_with(|| Channel::new(&name)).server_side = true;
        self.tell_watchers(&ClientEvent::ServerSubscribed { channel: name });
    }

    pub(crate) fn on_server_unsubscribed(&mut self, key: ChannelKey, name: Box<str>) {
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.server_side = false;
            if channel.is_idle() {
                self.channels.remove(&key);
            }
        }
        self.tell_watchers(&ClientEvent::ServerUnsubscribed { channel: name });
    }

    /// Hands an event to those it concerns; the handles to give back where it ended a subscription.
    pub(crate) fn on_channel_event(
        &mut self,
        key: ChannelKey,
        event: ChannelEvent,
        processed: Option<&Position>,
    ) -> Vec<HandleId> {
        let Some(channel) = self.channels.get_mut(&key) else { return Vec::new() };
        if channel.server_side && !self.watchers.is_empty() {
            let (channel, event) = (channel.name.clone(), event.clone());
            self.tell_watchers(&ClientEvent::ServerChannel { channel, event });
        }
        let Some(channel) = self.channels.get_mut(&key) else { return Vec::new() };
        match event {
            ChannelEvent::Message(message) => {
                channel.on_message(message);
                return Vec::new();
            }
            ChannelEvent::Gap(gap) => {
                channel.epoch.clone_from(&gap.to.epoch);
                channel.renamed = None;
                for reader in &channel.messages {
                    reader.feed.push(Fed::Gap(gap.clone()), 0, || Some(gap.to.clone()));
                }
                return Vec::new();
            }
            _ => {}
        }
        if let ChannelEvent::Subscribed(subscribed) = &event {
            channel.on_subscribed(subscribed, processed);
        }
        for (_, feed) in &channel.events {
            feed.push(event.clone(), 0, || None);
        }
        let ChannelEvent::Unsubscribed(reason) = &event else { return Vec::new() };
        let ended = channel.on_ended(reason);
        if channel.is_idle() {
            self.channels.remove(&key);
        }
        ended
            .into_iter()
            .filter_map(|id| self.interests.remove(&id))
            .map(|interest| interest.handle)
            .collect()
    }
}

impl Sink {
    /// The core did not take the interest.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Messages(feed) => feed.end(Some(error)),
            Self::Events(feed) => feed.push(ChannelEvent::Error(error), 0, || None),
            Self::Join(answer) => drop(answer.send(Err(error))),
        }
    }
}
