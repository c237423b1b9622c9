//! Clients, servers, storages and the network between them on one clock that only the story moves. The same
//! plan gives the same story, to the byte.

use super::{
    client::Client,
    dice::Dice,
    disk::Disk,
    node::{Host, Link, Said, Time},
    plan::{CHANNELS, Cut, Plan, name},
    trace,
    truth::{Excuses, Saved, Truth, Witness},
};
use homing_core::{
    ConnId, ConnectionState, Event, Input, Instant, Output, RealtimeClient, StorageOrder, WriteId,
};
use homing_server::{
    clock::{Clock, Millis},
    config,
    engine::{
        Call, Log, PubSub, Read,
        memory::{Backup, Memory},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

const SETTINGS: &str = r#"
[client]
insecure = true
[engine]
call_timeout = "2s"
[[channel.namespaces]]
name = "chat"
history_size = 200
history_ttl = "1h"
force_recovery = true
[[channel.namespaces]]
name = "short"
history_size = 5
history_ttl = "1h"
force_recovery = true
[[channel.namespaces]]
name = "flash"
allow_publish_for_client = true
"#;

/// Largest message on a picky node.
pub(crate) const SMALL: usize = 40;

/// What is on its way.
enum Parcel {
    Opening(Link),
    ToServer(Link, String),
    ToClient(Link, String),
    Closed(Link, u32, String),
    Gone(Link),
    /// The storage of that life has been opened, or has written.
    Opened(usize, u32),
    Written(usize, u32, WriteId),
    Adopted(usize, u32),
    Begin(usize, u32),
    Connect(usize, u32),
    Wake(usize, u32),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    pub(crate) clients: Vec<Client>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) hosts: Vec<Option<Host>>,
    pub(crate) truth: Truth,
    pub(crate) store: Memory,
    backup: Option<(Backup, Saved)>,
    witness: Arc<Witness>,
    time: Arc<Time>,
    config: homing_server::Config,
    parcels: BTreeMap<(u64, u64), Parcel>,
    posted: u64,
    /// When the last parcel of a direction arrives: a socket keeps its order.
    order: BTreeMap<(Link, bool), u64>,
}

fn settings(plan: &Plan) -> homing_server::Config {
    static PARSED: OnceLock<homing_server::Config> = OnceLock::new();
    let mut config = PARSED.get_or_init(|| config::parse(SETTINGS).expect("they are fine")).clone();
    config.engine.dedupe_window = config::Span::seconds(plan.setup.window);
    if plan.setup.strict {
        config.client.command_rate_limit = 5;
    }
    if plan.setup.presence {
        let chat = &mut config.channel.namespaces[0].options;
        (chat.presence, chat.join_leave) = (true, true);
    }
    config
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let time = Arc::new(Time::default());
        let store = Memory::new(Arc::clone(&time) as Arc<dyn Clock>);
        let witness = Arc::new(Witness::default());
        store.attach(Arc::clone(&witness) as Arc<_>);
        for channel in CHANNELS {
            drop(store.subscribe(channel.into()));
        }
        let setup = &plan.setup;
        let excuses = Excuses {
            losses: 0,
            forgets: setup.window < 3600,
            knows_nobody: setup.window == 0,
            picky: setup.picky,
        };
        let people = 0..setup.people.len();
        let mut world = Self {
            now: 0,
            dice: Dice::new(plan.seed ^ 0x51),
            clients: people.clone().map(|number| Client::new(number, setup)).collect(),
            disks: people.clone().map(|number| Disk::new(setup.people[number].disk)).collect(),
            hosts: Vec::new(),
            truth: Truth::new(excuses),
            store,
            backup: None,
            witness,
            config: settings(plan),
            time,
            parcels: BTreeMap::new(),
            posted: 0,
            order: BTreeMap::new(),
            plan: plan.clone(),
        };
        world.hosts.resize_with(setup.nodes, || None);
        (0..setup.nodes).for_each(|node| world.start(node));
        people.for_each(|number| world.begin(number));
        world
    }

    /// Starts a node, where none runs in its place.
    pub(crate) fn start(&mut self, node: usize) {
        if self.hosts[node].is_some() {
            return;
        }
        let mut config = self.config.clone();
        if node == 0 && self.plan.setup.picky {
            config.client.message_size_limit = SMALL;
        }
        self.hosts[node] = Some(Host::new(config, &self.store, &self.time, &mut self.dice));
    }

    /// Ends a node's process without a word. Its clients' sockets are reset.
    pub(crate) fn kill(&mut self, node: usize) {
        let Some(host) = self.hosts[node].take() else { return };
        host.die();
        trace::trouble("a node is killed");
        for client in 0..self.clients.len() {
            if self.clients[client].node == node {
                self.cut(client, Cut::After);
            }
        }
    }

    pub(crate) fn begin(&mut self, client: usize) {
        let entropy = self.dice.entropy();
        self.clients[client].begin(self.now, entropy);
        trace::tell(self.now, || format!("{} starts", name(client)));
        self.drain(client);
    }

    /// Cuts a client's socket: both ends hear of it, and what is on its way fares as it is said.
    pub(crate) fn cut(&mut self, client: usize, how: Cut) {
        let Some(socket) = self.clients[client].open else { return };
        let link = (client, socket);
        let late = 500 + self.dice.below(6000);
        let is_lost = |parcel: &Parcel| match parcel {
            Parcel::ToServer(to, _) => *to == link && how == Cut::Hard,
            Parcel::ToClient(to, _) => *to == link && matches!(how, Cut::Hard | Cut::Answers | Cut::Late),
            _ => false,
        };
        self.parcels.retain(|_, parcel| !is_lost(parcel));
        if how == Cut::Late {
            let is_ours = |parcel: &Parcel| matches!(parcel, Parcel::ToServer(to, _) if *to == link);
            let moved: Vec<_> = self.parcels.extract_if(.., |_, parcel| is_ours(parcel)).collect();
            for ((at, order), parcel) in moved {
                self.parcels.insert((at + late, order), parcel);
            }
            *self.order.entry((link, true)).or_default() += late;
            // The client hears of it at once, and says the rest of what it has to say elsewhere.
            self.order.remove(&(link, false));
        }
        self.post(Parcel::Gone(link));
        self.post(Parcel::Closed(link, 1006, "reset".into()));
    }

    /// Gives the machine a command; whoever calls drains what it orders.
    pub(crate) fn act<T>(
        &mut self,
        client: usize,
        command: impl FnOnce(&mut RealtimeClient, Instant) -> T,
    ) -> Option<T> {
        let client = &mut self.clients[client];
        let now = client.instant(self.now);
        client.machine.as_mut().map(|machine| command(machine, now))
    }

    fn input(&mut self, client: usize, input: Input<'_>) {
        self.clients[client].input(self.now, input);
        self.drain(client);
    }

    /// Does what the machine orders, until it wants nothing more or crashes in the middle.
    pub(crate) fn drain(&mut self, client: usize) {
        loop {
            let us = &mut self.clients[client];
            let Some(machine) = &mut us.machine else { return };
            if let Some((outputs, millis)) = us.crash_soon {
                if outputs == 0 {
                    us.crash_soon = None;
                    return self.crash(client, millis);
                }
                us.crash_soon = Some((outputs - 1, millis));
            }
            let Some(output) = machine.poll_output() else { break };
            self.obey(client, output);
        }
        self.clients[client].check_deadline();
    }

    fn obey(&mut self, client: usize, output: Output) {
        let who = client as u64;
        match output {
            Output::OpenSocket { conn, .. } => {
                trace::note(self.now, who, b"open");
                let us = &mut self.clients[client];
                assert_eq!(us.open, None, "{} opens a second socket", name(client));
                let socket = us.base + conn.0;
                (us.open, us.last_socket) = (Some(socket), socket);
                (us.swallows_up, us.swallows_down, us.is_lossy) = (0, 0, false);
                us.node = self.dice.index(self.hosts.len());
                self.post(Parcel::Opening((client, socket)));
            }
            Output::SendFrame { conn, text } => {
                trace::note(self.now, who, text.as_bytes());
                let us = &self.clients[client];
                assert_eq!(us.open, Some(us.base + conn.0), "{} sends on another socket", name(client));
                self.post(Parcel::ToServer((client, us.base + conn.0), text));
            }
            Output::CloseSocket { conn, .. } => {
                trace::note(self.now, who, b"close");
                let socket = self.clients[client].base + conn.0;
                self.clients[client].open = None;
                self.post(Parcel::Gone((client, socket)));
            }
            Output::Storage(order) => self.obey_storage(client, order),
            Output::Accepted { request, durably } => {
                trace::note(self.now, who, b"kept");
                let us = &self.clients[client];
                let at =
                    us.calls.get(&request).unwrap_or_else(|| panic!("{request:?} is kept after its end"));
                let message = &mut self.truth.messages[*at];
                assert_eq!(message.kept.replace(durably), None, "{} is kept twice", message.name);
                assert!(!durably || !us.in_memory, "{} is said to be kept durably", message.name);
            }
            Output::Settled { request, result } => {
                trace::note(self.now, who, format!("{result:?}").as_bytes());
                self.clients[client].settled(self.now, request, result, &mut self.truth);
            }
            Output::Event(event) => {
                trace::note(self.now, who, format!("{event:?}").as_bytes());
                let handler = self.dice.below(self.clients[client].person.handler + 1);
                self.clients[client].told(self.now, &event, handler, &mut self.truth);
                if event == Event::Connection(ConnectionState::Closed) {
                    self.closed(client);
                }
            }
            other => panic!("an output that this host does not know: {other:?}"),
        }
    }

    fn obey_storage(&mut self, client: usize, order: StorageOrder) {
        let us = &self.clients[client];
        let (owner, disk) = (us.owner(), us.disk);
        let after = self.now + self.disks[disk].delay(&mut self.dice);
        match order {
            StorageOrder::Open { scope } => {
                assert_eq!(*scope.user, *us.user(), "{} opens what is another's", name(client));
                self.post_at(after, Parcel::Opened(client, owner.1));
            }
            StorageOrder::Write { write, ops } => {
                let at_once = self.dice.chance(30);
                if std::env::var_os("FRAMES").is_some() {
                    trace::tell(self.now, || format!("FRAME {} stores {write:?} {ops:?}", name(client)));
                }
                self.disks[disk].write(owner, write, ops, at_once);
                self.post_at(after, Parcel::Written(client, owner.1, write));
            }
            StorageOrder::Erase => self.disks[disk].erase(owner),
        }
    }

    /// The process dies between two steps, and is back after a while. What it has sent still arrives.
    pub(crate) fn crash(&mut self, client: usize, millis: u64) {
        trace::trouble("a client crashes");
        trace::tell(self.now, || format!("{} crashes", name(client)));
        let owner = self.clients[client].owner();
        let disk = self.clients[client].disk;
        self.disks[disk].crashed(owner, &mut self.dice);
        self.over(client, millis);
    }

    /// The last event of a life in order.
    fn closed(&mut self, client: usize) {
        let Some(millis) = self.clients[client].closing else { return };
        trace::tell(self.now, || format!("{} is closed", name(client)));
        let machine = self.clients[client].machine.as_mut().expect("it has just spoken");
        let after = machine.poll_output();
        assert_eq!(after, None, "{} says something after its end", name(client));
        let open: Vec<_> = self.clients[client].calls.values().copied().collect();
        assert!(open.is_empty(), "{} closes with open calls", name(client));
        let owner = self.clients[client].owner();
        let disk = self.clients[client].disk;
        self.disks[disk].closed(owner);
        self.over(client, millis);
    }

    fn over(&mut self, client: usize, millis: u64) {
        self.clients[client].end(&mut self.truth);
        let (disk, life) = (self.clients[client].disk, self.clients[client].life);
        if let Some(socket) = self.clients[client].open.take() {
            self.post(Parcel::Gone((client, socket)));
        }
        self.clients[client].asleep = 0;
        self.post_at(self.now + millis, Parcel::Begin(client, life));
        // Another instance on the same storage takes over what nobody owns any more.
        if let Some((heir, life)) = self.disks[disk].open.first().copied() {
            let at = self.now + 1 + self.dice.below(2000);
            self.post_at(at, Parcel::Adopted(heir, life));
        }
    }

    fn post_at(&mut self, at: u64, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }

    pub(crate) fn connect_at(&mut self, client: usize, at: u64) {
        self.post_at(at, Parcel::Connect(client, self.clients[client].life));
    }

    pub(crate) fn wake_at(&mut self, client: usize, at: u64) {
        self.post_at(at, Parcel::Wake(client, self.clients[client].life));
    }

    fn post(&mut self, parcel: Parcel) {
        let way = match &parcel {
            Parcel::Opening(link) | Parcel::ToServer(link, _) | Parcel::Gone(link) => (*link, true),
            Parcel::ToClient(link, _) | Parcel::Closed(link, ..) => (*link, false),
            _ => unreachable!("nothing else travels"),
        };
        let at = self.now + 2 + self.dice.below(self.plan.setup.spread);
        let last = self.order.entry(way).or_default();
        *last = at.max(*last);
        let at = *last;
        self.post_at(at, parcel);
    }

    /// The client that a parcel goes to, or the node, if it can take nothing at the moment.
    fn busy_until(&self, parcel: &Parcel) -> Option<u64> {
        let until = match parcel {
            Parcel::ToClient(link, _) | Parcel::Closed(link, ..) => self.clients[link.0].asleep,
            Parcel::Opened(client, _)
            | Parcel::Written(client, ..)
            | Parcel::Adopted(client, _)
            | Parcel::Connect(client, _) => self.clients[*client].asleep,
            Parcel::Opening(link) | Parcel::ToServer(link, _) | Parcel::Gone(link) => {
                let of_link = self.hosts.iter().flatten().find(|host| host.has(*link));
                let host = of_link.or_else(|| self.hosts[self.clients[link.0].node].as_ref());
                host.map_or(0, |host| host.frozen_until)
            }
            Parcel::Begin(..) | Parcel::Wake(..) => 0,
        };
        (until > self.now).then_some(until)
    }

    fn deliver(&mut self, order: u64, parcel: Parcel) {
        if let Some(until) = self.busy_until(&parcel) {
            // Behind what was sent before it, however often that has had to wait.
            self.parcels.insert((until, order), parcel);
            return;
        }
        let now = self.now;
        let lives = |world: &Self, client: usize, life| {
            world.clients[client].life == life && world.clients[client].machine.is_some()
        };
        match parcel {
            Parcel::Opened(client, life) if lives(self, client, life) => {
                let us = &mut self.clients[client];
                let disk = &mut self.disks[us.disk];
                let records = disk.opened((client, life));
                if records.is_ok() && !us.in_memory {
                    us.storage_opened(now, disk);
                }
                us.in_trouble |= records.is_err();
                self.input(client, Input::StorageOpened { records });
            }
            Parcel::Written(client, life, write) if lives(self, client, life) => {
                let result = self.disks[self.clients[client].disk].written((client, life), write);
                if std::env::var_os("FRAMES").is_some() {
                    trace::tell(now, || format!("FRAME {} has stored {write:?} {result:?}", name(client)));
                }
                self.clients[client].in_trouble |= result.is_err();
                self.input(client, Input::Stored { write, result });
            }
            Parcel::Adopted(client, life) if lives(self, client, life) => {
                let records = self.disks[self.clients[client].disk].adopted((client, life));
                if !records.is_empty() {
                    trace::trouble("a dead instance's messages are adopted");
                    self.input(client, Input::StorageAdopted { records });
                }
            }
            Parcel::Begin(client, life)
                if self.clients[client].machine.is_none() && self.clients[client].life == life =>
            {
                self.begin(client);
            }
            Parcel::Connect(client, life) if lives(self, client, life) => {
                self.clients[client].paused = false;
                let _closing = self.act(client, RealtimeClient::connect);
                self.drain(client);
            }
            // Most hosts notice that time has jumped.
            Parcel::Wake(client, life) if lives(self, client, life) && self.dice.chance(80) => {
                self.input(client, Input::Resumed);
            }
            Parcel::Opening(link)
            | Parcel::ToServer(link, _)
            | Parcel::ToClient(link, _)
            | Parcel::Closed(link, ..)
            | Parcel::Gone(link) => {
                self.deliver_on(link, parcel);
            }
            _ => {}
        }
    }

    /// Delivers what travels on a socket.
    fn deliver_on(&mut self, link: Link, parcel: Parcel) {
        let (client, socket) = link;
        let us = &mut self.clients[client];
        let current = us.open == Some(socket);
        let conn = ConnId(socket.saturating_sub(us.base));
        let is_ours = socket > us.base;
        let (up, down) = (current && us.swallows_up > self.now, current && us.swallows_down > self.now);
        let node = us.node;
        if current && let Some((parcels, how)) = us.cut_soon {
            us.cut_soon = parcels.checked_sub(1).map(|parcels| (parcels, how));
            if us.cut_soon.is_none() {
                trace::tell(self.now, || format!("{}'s socket is cut{how}", name(client)));
                self.cut(client, how);
            }
        }
        match parcel {
            Parcel::Opening(_) if current => {
                if self.clients[client].unreachable > self.now {
                    if self.dice.chance(50) {
                        self.post(Parcel::Closed(link, 1006, "unreachable".into()));
                    }
                    return;
                }
                if self.hosts[node].as_mut().map(|host| host.accept(link)).is_none() {
                    return self.post(Parcel::Closed(link, 1006, "refused".into()));
                }
                self.input(client, Input::SocketOpened { conn });
            }
            Parcel::ToServer(_, text) if !up => {
                if std::env::var_os("FRAMES").is_some() {
                    trace::tell(self.now, || format!("FRAME from {}: {text}", name(client)));
                }
                let host = self.hosts.iter_mut().flatten().find(|host| host.has(link));
                host.into_iter().for_each(|host| host.handle_frame(link, &text));
            }
            Parcel::ToClient(_, text) if !down => {
                if is_ours {
                    trace::note(self.now, client as u64, text.as_bytes());
                    self.input(client, Input::FrameReceived { conn, text: &text });
                }
            }
            Parcel::Closed(_, code, reason) if !down => {
                if current {
                    self.clients[client].open = None;
                    trace::tell(self.now, || format!("{} has lost its connection ({reason})", name(client)));
                }
                if is_ours {
                    self.input(client, Input::SocketClosed { conn, code, reason: &reason });
                }
            }
            Parcel::Gone(_) => self.hosts.iter_mut().flatten().for_each(|host| host.forget(link)),
            _ => self.clients[client].is_lossy |= current,
        }
    }

    fn turn_hosts(&mut self) {
        let mut said = Vec::new();
        for (node, host) in self.hosts.iter_mut().enumerate() {
            let Some(host) = host else { continue };
            if host.frozen_until > self.now {
                host.engine.set_store_now(self.now);
                continue;
            }
            host.turn(&mut |link, word| said.push((node, link, word)));
        }
        self.hear();
        for (node, link, word) in said {
            match word {
                Said::Frame(text) => {
                    if std::env::var_os("FRAMES").is_some() {
                        trace::tell(self.now, || format!("FRAME {node} {}: {text}", name(link.0)));
                    }
                    if text.contains("\"error\":") {
                        refusals(&text).for_each(trace::trouble);
                        trace::tell(self.now, || format!("node {node} answers {}: {text}", name(link.0)));
                    }
                    self.post(Parcel::ToClient(link, text));
                }
                Said::Close(code, reason) => {
                    trace::tell(self.now, || {
                        format!("node {node} ends {}'s connection: {reason}", name(link.0))
                    });
                    self.post(Parcel::Closed(link, code, reason));
                }
            }
        }
    }

    /// What the witness has seen in the store.
    pub(crate) fn hear(&mut self) {
        for (channel, epoch, publication) in self.witness.take() {
            trace::note(self.now, publication.offset, &publication.data);
            self.truth.appended(self.now, &channel, epoch, &publication);
        }
    }

    /// The logs' epochs, as whoever asks now is told.
    fn ask_epochs(&mut self) {
        for (channel, name) in CHANNELS.iter().enumerate() {
            let read = Read {
                channel: (*name).into(),
                since: None,
                limit: 0,
                reverse: false,
                heard: false,
                owner: None,
                meta_ttl: 3_600_000,
            };
            if !name.starts_with("flash:")
                && let Call::Ready(Ok(page)) = self.store.read(read)
            {
                self.truth.heard_of(channel, page.epoch().micros());
            }
        }
    }

    pub(crate) fn back_up(&mut self) {
        self.hear();
        self.backup = Some((self.store.backup(), self.truth.save()));
    }

    /// The store goes back to its last dump, or to nothing, and every node loses its link to it for a while.
    pub(crate) fn lose(&mut self, keeps_dump: bool) {
        self.hear();
        self.ask_epochs();
        let (backup, saved) = self.backup.take().filter(|_| keeps_dump).unwrap_or_default();
        self.store.restore(backup);
        self.truth.lose(&saved);
        let until = self.now + self.dice.below(3000);
        for host in self.hosts.iter().flatten() {
            host.engine.lose_store(until);
        }
        trace::trouble(if keeps_dump { "the store loses its tail" } else { "the store loses everything" });
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let until = self.now + millis;
        let mut steps = 0_u32;
        loop {
            self.turn_hosts();
            let parcel = self.parcels.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let clients = self.clients.iter().map(|client| self.client_due(client)).min().unwrap_or(u64::MAX);
            let hosts = self.hosts.iter().flatten().map(|host| host.next_deadline(self.now));
            let hosts = hosts.min().unwrap_or(Millis::MAX);
            let next = parcel.min(clients).min(hosts).max(self.now);
            if next > until {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "the world goes round in circles");
            self.now = next;
            self.time.set(next);
            while let Some(first) = self.parcels.first_entry().filter(|first| first.key().0 <= next) {
                let ((_, order), parcel) = first.remove_entry();
                self.deliver(order, parcel);
            }
            for client in 0..self.clients.len() {
                if self.client_due(&self.clients[client]) <= next {
                    self.clients[client].handle_processed(next);
                    self.act(client, RealtimeClient::handle_timeout);
                    self.drain(client);
                }
            }
        }
        self.now = until;
        self.time.set(until);
    }

    /// When a client is to be called again.
    fn client_due(&self, client: &Client) -> u64 {
        let Some(machine) = &client.machine else { return u64::MAX };
        let begun = self.now - client.instant(self.now).as_millis();
        let deadline = machine.poll_timeout().map_or(u64::MAX, |deadline| begun + deadline.at.as_millis());
        deadline.min(client.next_handled().unwrap_or(u64::MAX)).max(client.asleep)
    }
}

/// The kinds of refusals in a frame.
fn refusals(text: &str) -> impl Iterator<Item = &'static str> {
    const KINDS: [(&str, &str); 8] = [
        ("\"code\":300,", "fenced"),
        ("\"code\":301,", "number taken"),
        ("\"code\":302,", "out of order"),
        ("\"code\":303,", "unknown producer"),
        ("\"code\":111,", "too many requests"),
        ("\"code\":106,", "limit exceeded"),
        ("\"code\":100,", "internal"),
        ("\"code\":112,", "unrecoverable position"),
    ];
    KINDS.into_iter().filter(|(code, _)| text.contains(code)).map(|(_, kind)| kind)
}
