//! One client over all its lives: the real core, the app above it, and what the world does to both.

use super::{
    disk::Disk,
    plan::{CHANNELS, Cut, Person, Setup, name},
    reader::Reader,
    trace,
    truth::{Fate, Truth},
};
use homing_core::{
    ChannelEvent, ChannelKey, Config, ConnectionState, Duration, EntryState, ErrorCode, Event, Input,
    Instant, OutboxEntry, OutboxLimits, Position, RealtimeClient, RequestId, Response, SubscribeOptions,
};
use std::collections::{BTreeMap, BTreeSet};

/// The servers' wall clock at the beginning of a story, Unix milliseconds.
pub(crate) const START: i64 = 1_700_000_000_000;

/// Most publishes of a client that may be unanswered in a channel.
const IN_FLIGHT: usize = 16;

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) person: Person,
    pub(crate) machine: Option<RealtimeClient>,
    pub(crate) life: u32,
    born: u64,
    /// Whose storage it uses.
    pub(crate) disk: usize,
    is_shared: bool,
    reads_durably: bool,
    pub(crate) said: u32,
    /// Messages whose calls are open, by request.
    pub(crate) calls: BTreeMap<RequestId, usize>,
    pub(crate) readers: BTreeMap<ChannelKey, Reader>,
    handler_free_at: u64,
    /// Positions that the app has processed, in all lives.
    processed: BTreeMap<usize, Vec<Position>>,
    /// How far it has come in this life.
    reached: BTreeMap<usize, Position>,
    /// Sockets of earlier lives have lower numbers.
    pub(crate) base: u32,
    pub(crate) last_socket: u32,
    pub(crate) open: Option<u32>,
    pub(crate) node: usize,
    pub(crate) swallows_up: u64,
    pub(crate) swallows_down: u64,
    pub(crate) is_lossy: bool,
    pub(crate) cut_soon: Option<(u64, Cut)>,
    pub(crate) unreachable: u64,
    pub(crate) asleep: u64,
    pub(crate) crash_soon: Option<(u64, u64)>,
    /// The app disconnected; `connect` comes then.
    pub(crate) paused: bool,
    pub(crate) closing: Option<u64>,
    /// The storage is not used any more in this life.
    pub(crate) in_memory: bool,
    /// The storage, or the machine, is not what the timeouts are made for.
    pub(crate) in_trouble: bool,
    /// Channels of which the app was told that acked messages are lost, in this life.
    pub(crate) lost: BTreeSet<(u32, usize)>,
}

/// A position as the storage has it.
fn position(text: &str) -> Position {
    let value: serde_json::Value = serde_json::from_str(text).expect("the core writes JSON");
    Position::new(value["epoch"].as_str().unwrap_or(""), value["offset"].as_u64().unwrap_or(0))
}

impl Client {
    pub(crate) fn new(number: usize, setup: &Setup) -> Self {
        let person = setup.people[number].clone();
        let disk = if person.shares { number - 1 } else { number };
        let is_shared = person.shares || setup.people.get(number + 1).is_some_and(|next| next.shares);
        Self {
            number,
            machine: None,
            life: 0,
            born: 0,
            disk,
            is_shared,
            reads_durably: person.durable && !is_shared,
            person,
            said: 0,
            calls: BTreeMap::new(),
            readers: BTreeMap::new(),
            handler_free_at: 0,
            processed: BTreeMap::new(),
            reached: BTreeMap::new(),
            base: 0,
            last_socket: 0,
            open: None,
            node: 0,
            swallows_up: 0,
            swallows_down: 0,
            is_lossy: false,
            cut_soon: None,
            unreachable: 0,
            asleep: 0,
            crash_soon: None,
            paused: false,
            closing: None,
            in_memory: false,
            in_trouble: false,
            lost: BTreeSet::new(),
        }
    }

    pub(crate) fn user(&self) -> String {
        format!("user-{}", self.disk)
    }

    pub(crate) fn owner(&self) -> (usize, u32) {
        (self.number, self.life)
    }

    pub(crate) fn line(&self) -> (usize, u32) {
        // Where instances share a storage, one may still send what another has left while that one goes on.
        let is_one_line = self.person.durable && !self.is_shared;
        (self.number, if is_one_line { 0 } else { self.life })
    }

    pub(crate) fn instant(&self, now: u64) -> Instant {
        Instant::from_millis(now - self.born)
    }

    /// A new process, on what the storage has.
    pub(crate) fn begin(&mut self, now: u64, entropy: [u8; 32]) {
        let person = &self.person;
        let config = Config {
            endpoints: vec!["ws://server".into()],
            data: format!(r#"{{"user":"{}"}}"#, self.user()).into(),
            durable: person.durable,
            user: person.named.then(|| self.user().into()),
            started_at: START + person.skew + i64::try_from(now).expect("a story is short"),
            outbox: OutboxLimits {
                entries: person.entries,
                bytes: person.bytes,
                age: Duration::from_secs(person.age),
                channels: person.channels,
            },
            observes_outbox: true,
            ..Config::default()
        };
        self.life += 1;
        self.born = now;
        self.in_memory = !person.durable;
        self.closing = None;
        self.paused = false;
        self.crash_soon = None;
        self.handler_free_at = now;
        self.reached.clear();
        self.readers.clear();
        self.calls.clear();
        self.base = self.last_socket;
        let mut machine = RealtimeClient::new(config, entropy, Instant::from_millis(0));
        machine.connect(Instant::from_millis(0)).expect("there is an endpoint");
        for (channel, text) in CHANNELS.iter().enumerate().filter(|(_, text)| !text.starts_with("flash:")) {
            let options = SubscribeOptions { durable: self.reads_durably, ..SubscribeOptions::default() };
            let (_, key) = machine.subscribe(Instant::from_millis(0), text, &options).expect("a good name");
            let mut reader = Reader::new(self.number, channel, key, None);
            reader.is_durable = self.reads_durably;
            self.readers.insert(key, reader);
        }
        self.machine = Some(machine);
    }

    /// The process is gone. Says which calls will never settle.
    pub(crate) fn end(&mut self, truth: &mut Truth) {
        self.machine = None;
        self.readers.clear();
        self.calls.clear();
        for message in &mut truth.messages {
            // What it has edited and taken back may be another instance's, which it has adopted.
            message.may_be_unedited |= message.edited_by == Some(self.number);
            message.taken_back = message.taken_back.filter(|by| *by != self.number);
        }
    }

    /// The storage was opened, and the machine will take what it holds.
    pub(crate) fn storage_opened(&mut self, now: u64, disk: &Disk) {
        let mut stored: Vec<_> = Vec::new();
        for reader in self.readers.values_mut().filter(|reader| reader.is_durable) {
            let Some(text) = disk.position(CHANNELS[reader.channel]) else { continue };
            let position = position(text);
            *reader = Reader::new(self.number, reader.channel, reader.key, Some(&position));
            reader.is_durable = true;
            stored.push((reader.channel, position));
        }
        for (channel, position) in stored {
            self.reached.insert(channel, position.clone());
            trace::tell(now, || {
                format!(
                    "{} will read on in {} behind {}",
                    name(self.number),
                    CHANNELS[channel],
                    position.offset
                )
            });
            trace::trouble("a reader continues after a restart");
            let processed = self.processed.get(&channel).is_some_and(|all| all.contains(&position));
            assert!(
                processed,
                "{} goes on in {} behind {}, which the app has not processed",
                name(self.number),
                CHANNELS[channel],
                position.offset
            );
        }
    }

    /// When the app's handler has finished with something.
    pub(crate) fn next_handled(&self) -> Option<u64> {
        let first = |reader: &Reader| reader.handled.front().map(|(at, _)| *at);
        self.readers.values().filter_map(first).min().map(|at| at.max(self.asleep))
    }

    /// The handler has finished with what was due.
    pub(crate) fn handle_processed(&mut self, now: u64) {
        let instant = self.instant(now);
        for reader in self.readers.values_mut() {
            while let Some((_, position)) = reader.handled.pop_front_if(|(at, _)| *at <= now) {
                let Some(machine) = &mut self.machine else { return };
                self.reached.insert(reader.channel, position.clone());
                self.processed.entry(reader.channel).or_default().push(position.clone());
                machine.processed(instant, reader.key, &position);
            }
        }
    }

    /// Something that the machine tells the app.
    pub(crate) fn told(&mut self, now: u64, event: &Event, handler: u64, truth: &mut Truth) {
        match event {
            Event::Channel { channel, event } => {
                let Some(reader) = self.readers.get_mut(channel) else { return };
                let Some(position) = reader.take(now, event, truth).filter(|_| reader.is_durable) else {
                    return;
                };
                if matches!(event, ChannelEvent::Subscribed(_)) {
                    // Where it begins there is nothing to process.
                    self.reached.insert(reader.channel, position.clone());
                    return self.processed.entry(reader.channel).or_default().push(position);
                }
                self.handler_free_at = self.handler_free_at.max(now) + handler;
                reader.handled.push_back((self.handler_free_at, position));
            }
            Event::Connection(ConnectionState::Disconnected { reason }) => {
                assert!(self.paused, "{} gives up: {reason:?}", name(self.number));
            }
            Event::Connection(ConnectionState::Connected(_)) => {
                trace::tell(now, || format!("{} is connected to node {}", name(self.number), self.node));
            }
            Event::Error(error) => {
                trace::tell(now, || format!("{} is told: {error}", name(self.number)));
                match error.code {
                    ErrorCode::StorageFailed => {
                        assert!(self.in_trouble, "{}: nothing is wrong with the storage", name(self.number));
                        trace::trouble("a storage fails");
                        self.storage_lost(truth);
                    }
                    ErrorCode::StorageDamaged | ErrorCode::WrongUser | ErrorCode::StorageFromFuture => {
                        panic!("{}: {error}", name(self.number));
                    }
                    _ => {}
                }
            }
            Event::AckedLost { channel, count, .. } => {
                trace::tell(now, || {
                    format!("{} is told that {count} acked in {channel} are lost", name(self.number))
                });
                trace::trouble("acked messages are lost, and said to be");
                assert!(truth.excuses.losses > 0, "{}: nothing was lost", name(self.number));
                let channel = CHANNELS.iter().position(|name| **name == **channel).expect("of the story");
                self.lost.insert((self.life, channel));
            }
            _ => {}
        }
    }

    /// What is in the storage, and what the machine holds, go different ways from here on.
    fn storage_lost(&mut self, truth: &mut Truth) {
        self.in_memory = true;
        // Whoever shares it sends what the other one has, and the other way round.
        let shares =
            |client: usize| client == self.number || self.is_shared && client.abs_diff(self.number) <= 3;
        for message in truth.messages.iter_mut().filter(|message| shares(message.client)) {
            message.is_doubtful = true;
        }
    }

    pub(crate) fn settled(
        &mut self,
        now: u64,
        request: RequestId,
        result: Result<Response, homing_core::Error>,
        truth: &mut Truth,
    ) {
        let at = self.calls.remove(&request).unwrap_or_else(|| panic!("{request:?} settles twice"));
        trace::tell(now, || {
            let message = &truth.messages[at].name;
            match &result {
                Ok(Response::Published { position, duplicate, .. }) => {
                    let place = position
                        .as_ref()
                        .map_or(String::new(), |position| format!(" at {}", position.offset));
                    let again = if *duplicate { ", from an earlier sending" } else { "" };
                    format!("{} is told that {message} is there{place}{again}", name(self.number))
                }
                Ok(other) => format!("{message}: {other:?}"),
                Err(error) => format!("{} is told that {message} failed: {error}", name(self.number)),
            }
        });
        let fate = match result {
            Ok(Response::Published { position, duplicate, .. }) => {
                if duplicate {
                    trace::trouble("a message is acked as one that was there");
                }
                Fate::Acked(position)
            }
            Ok(other) => panic!("a publish settles with {other:?}"),
            Err(error) => {
                trace::trouble(error.code.name());
                Fate::Failed(error)
            }
        };
        truth.settled(at, fate);
    }

    /// Whoever waits for something has a deadline, and the limits hold.
    pub(crate) fn check_deadline(&self, now: u64) {
        let Some(machine) = &self.machine else { return };
        let rests =
            matches!(machine.connection(), ConnectionState::Disconnected { .. } | ConnectionState::Closed);
        let waits =
            !rests || self.closing.is_some() && !matches!(machine.connection(), ConnectionState::Closed);
        let due = machine.poll_timeout().map(|deadline| deadline.at);
        assert!(!waits || due.is_some(), "{} waits without a deadline", name(self.number));
        // What is too old to be sent is given up as soon as its time has come.
        let wall_clock = START + self.person.skew + i64::try_from(now).expect("a story is short");
        let oldest = wall_clock - i64::try_from(self.person.age * 1000).expect("not for ever");
        let is_too_old = |entry: &OutboxEntry| {
            entry.state == EntryState::Queued && !entry.was_sent && entry.queued_at <= oldest
        };
        let waits = !matches!(machine.connection(), ConnectionState::Closed);
        assert!(
            !waits
                || due.is_some_and(|due| due <= self.instant(now))
                || !machine.outbox().any(|entry| is_too_old(&entry)),
            "{} keeps what is too old",
            name(self.number)
        );
    }

    /// Whether the outbox has room for that much, as its limits say.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let Some(machine) = &self.machine else { return false };
        machine.outbox().count() < self.person.entries && machine.outbox_bytes() + bytes <= self.person.bytes
    }

    pub(crate) fn check_limits(&self) {
        let Some(machine) = &self.machine else { return };
        let (mut count, mut sending) = (0, BTreeMap::<Box<str>, usize>::new());
        for entry in machine.outbox() {
            count += 1;
            if entry.state == EntryState::Sending {
                *sending.entry(entry.channel).or_default() += 1;
            }
        }
        // What an earlier life or another instance left behind comes on top.
        let adopts = self.person.durable;
        assert!(adopts || count <= self.person.entries, "{}'s outbox holds {count}", name(self.number));
        let bytes = machine.outbox_bytes();
        let sum: usize = machine.outbox().map(|entry| entry.data.as_str().len()).sum();
        assert_eq!(bytes, sum, "{}'s outbox counts its bytes wrong", name(self.number));
        assert!(adopts || bytes <= self.person.bytes, "{}'s outbox holds {bytes} bytes", name(self.number));
        for (channel, count) in sending {
            let most = if adopts { 2 * IN_FLIGHT } else { IN_FLIGHT };
            assert!(count <= most, "{} has {count} under way to {channel}", name(self.number));
        }
    }

    /// Nothing is left to do.
    pub(crate) fn is_quiet(&self, truth: &mut Truth, disk: &Disk) -> bool {
        let Some(machine) = &self.machine else { return false };
        matches!(machine.connection(), ConnectionState::Connected(_))
            && self.calls.is_empty()
            && !disk.has_work(self.owner())
            && machine.outbox().all(|entry| matches!(entry.state, EntryState::Parked(_)))
            && self.readers.values().all(|reader| {
                reader.handled.is_empty()
                    && reader.at.is_some_and(|(_, offset)| offset == truth.head(reader.channel).1)
            })
    }

    /// What keeps it from being quiet, in words.
    pub(crate) fn unrest(&self, truth: &Truth) -> String {
        let Some(machine) = &self.machine else { return format!("{} is not there", name(self.number)) };
        let mut text = format!("{}: {:?}", name(self.number), machine.connection());
        for entry in machine.outbox().filter(|entry| !matches!(entry.state, EntryState::Parked(_))) {
            text += &format!("; {} is {:?}", entry.data.as_str(), entry.state);
        }
        for at in self.calls.values() {
            text += &format!("; {} has not settled", truth.messages[*at].name);
        }
        for reader in self.readers.values() {
            let head = truth.head(reader.channel);
            if reader.at.is_none_or(|at| at.1 != head.1) {
                text += &format!(
                    "; stands at {:?} of {}, which is at {}",
                    reader.at.map(|at| at.1),
                    CHANNELS[reader.channel],
                    head.1
                );
            }
        }
        text
    }

    /// In a quiet world the storage has the position that the app has come to.
    pub(crate) fn check_positions(&self, disk: &Disk) {
        if self.in_memory || disk.fails || disk.went_back {
            return;
        }
        for reader in self.readers.values().filter(|reader| reader.is_durable) {
            let stored = disk.position(CHANNELS[reader.channel]).map(position);
            let last = self.reached.get(&reader.channel);
            let who = name(self.number);
            assert_eq!(stored.as_ref(), last, "{who} has processed something else than the storage says");
        }
    }

    /// An input for the machine, if it lives.
    pub(crate) fn input(&mut self, now: u64, input: Input<'_>) {
        let instant = self.instant(now);
        if let Some(machine) = &mut self.machine {
            machine.handle_input(instant, input);
        }
    }
}
