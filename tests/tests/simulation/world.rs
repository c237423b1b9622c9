//! Clients, servers and the network between them on one clock that only the story moves. The same seed tells
//! the same story, to the byte.

use crate::{
    dice::Dice,
    node::{Host, Link, Said, Time},
};
use homing_core::{
    ChannelEvent, ChannelKey, ConnId, ConnectionState, Event, HandleId, Input, Instant, Output,
    PublishOptions, RealtimeClient, RequestId, Response, SubscribeOptions,
};
use homing_server::{clock::Clock, config, engine::memory::Memory};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const SETTINGS: &str = r#"
[client]
insecure = true
command_rate_limit = 5
[engine]
call_timeout = "2s"
[[channel.namespaces]]
name = "chat"
presence = true
join_leave = true
history_size = 200
history_ttl = "1h"
force_recovery = true
[[channel.namespaces]]
name = "short"
history_size = 5
history_ttl = "1h"
force_recovery = true
"#;

/// Largest message on the first node.
pub(crate) const SMALL: usize = 40;

/// What is on its way.
enum Parcel {
    Opening(Link),
    ToServer(Link, String),
    ToClient(Link, String),
    Closed(Link, u32, String),
    Gone(Link),
}

/// What a reader of a channel was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Message(u64, String),
    Gap(homing_core::Gap),
}

/// A publish and what became of it.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) channel: String,
    pub(crate) data: String,
    pub(crate) result: Option<Result<Response, homing_core::Error>>,
}

pub(crate) struct Client {
    pub(crate) machine: RealtimeClient,
    /// What each channel told, in order.
    pub(crate) told: BTreeMap<ChannelKey, Vec<Told>>,
    pub(crate) channels: BTreeMap<String, (HandleId, ChannelKey)>,
    pub(crate) published: BTreeMap<RequestId, Published>,
    open: Option<ConnId>,
    /// The node that the socket leads to.
    node: usize,
    /// Nothing gets through any more, and nobody says so.
    swallowed: bool,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) clients: Vec<Client>,
    pub(crate) hosts: Vec<Option<Host>>,
    pub(crate) transcript: String,
    store: Memory,
    time: Arc<Time>,
    config: homing_server::Config,
    parcels: BTreeMap<(u64, u64), Parcel>,
    posted: u64,
    /// When the last parcel of a direction arrives: a socket keeps its order.
    order: BTreeMap<(Link, bool), u64>,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, clients: usize) -> Self {
        let time = Arc::new(Time::default());
        let mut world = Self {
            now: 0,
            dice: Dice::new(seed),
            clients: Vec::new(),
            hosts: Vec::new(),
            transcript: String::new(),
            store: Memory::new(Arc::clone(&time) as Arc<dyn Clock>),
            time,
            config: config::parse(SETTINGS).expect("they are fine"),
            parcels: BTreeMap::new(),
            posted: 0,
            order: BTreeMap::new(),
        };
        world.hosts.resize_with(nodes, || None);
        (0..nodes).for_each(|node| world.start(node));
        for number in 0..clients {
            let config = homing_core::Config {
                endpoints: vec!["ws://server".into()],
                data: format!(r#"{{"user":"user-{number}"}}"#).into(),
                ..homing_core::Config::default()
            };
            let machine = RealtimeClient::new(config, world.dice.entropy(), Instant::from_millis(0));
            world.clients.push(Client {
                machine,
                told: BTreeMap::new(),
                channels: BTreeMap::new(),
                published: BTreeMap::new(),
                open: None,
                node: 0,
                swallowed: false,
            });
            world.run(number, |machine, now| machine.connect(now)).expect("it is not closed");
        }
        world
    }

    /// Starts a node, in the place of one that was there before.
    pub(crate) fn start(&mut self, node: usize) {
        let mut config = self.config.clone();
        // One node takes less than the others: what they accepted is refused where it comes again.
        if node == 0 {
            config.client.message_size_limit = SMALL;
        }
        self.hosts[node] = Some(Host::new(config, &self.store, &self.time, &mut self.dice));
    }

    /// Ends a node's process without a word. Its clients' sockets are reset.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(host) = self.hosts[node].take() {
            host.die();
        }
        for client in 0..self.clients.len() {
            if self.clients[client].node == node {
                self.reset(client);
            }
        }
    }

    /// Cuts a client's socket: both ends hear of it.
    pub(crate) fn reset(&mut self, client: usize) {
        if let Some(conn) = self.clients[client].open {
            let link = (client, conn.0);
            self.post(Parcel::Gone(link));
            self.post(Parcel::Closed(link, 1006, "reset".into()));
        }
    }

    /// Cuts a client's socket, and what it has sent arrives late, when its next connection is there.
    pub(crate) fn cut_late(&mut self, client: usize) {
        let Some(conn) = self.clients[client].open else { return };
        let link = (client, conn.0);
        let late = 500 + self.dice.below(6000);
        let moved: Vec<_> = self
            .parcels
            .extract_if(.., |_, parcel| matches!(parcel, Parcel::ToServer(to, _) if *to == link))
            .collect();
        for ((at, order), parcel) in moved {
            self.parcels.insert((at + late, order), parcel);
        }
        *self.order.entry((link, true)).or_default() += late;
        self.reset(client);
    }

    /// Swallows everything on a client's socket from here on.
    pub(crate) fn swallow(&mut self, client: usize) {
        self.clients[client].swallowed = true;
    }

    pub(crate) fn subscribe(&mut self, client: usize, channel: &str) {
        let options = SubscribeOptions::default();
        let (handle, key) =
            self.run(client, |machine, now| machine.subscribe(now, channel, &options)).expect("a good name");
        self.clients[client].channels.insert(channel.to_owned(), (handle, key));
    }

    pub(crate) fn publish(&mut self, client: usize, channel: &str, value: String) {
        let data = format!("\"{value}\"");
        // A client that holds too much already says so; then it is not published.
        let options = PublishOptions::default();
        if let Ok(accepted) = self.run(client, |machine, now| machine.publish(now, channel, &data, &options))
        {
            let entry = self.clients[client].published.entry(accepted.request).or_default();
            (entry.channel, entry.data) = (channel.to_owned(), data);
        }
    }

    /// Runs a command of a client and everything that it orders.
    fn run<T>(&mut self, client: usize, command: impl FnOnce(&mut RealtimeClient, Instant) -> T) -> T {
        let now = Instant::from_millis(self.now);
        let result = command(&mut self.clients[client].machine, now);
        while let Some(output) = self.clients[client].machine.poll_output() {
            self.transcript.push_str(&format!("{} {client} {output:?}\n", self.now));
            self.obey(client, output);
        }
        result
    }

    fn obey(&mut self, client: usize, output: Output) {
        let nodes = self.hosts.len();
        match output {
            Output::OpenSocket { conn, .. } => {
                self.clients[client].open = Some(conn);
                self.clients[client].swallowed = false;
                self.clients[client].node = self.dice.index(nodes);
                self.post(Parcel::Opening((client, conn.0)));
            }
            Output::SendFrame { conn, text } => self.post(Parcel::ToServer((client, conn.0), text)),
            Output::CloseSocket { conn, .. } => {
                self.clients[client].open = None;
                self.post(Parcel::Gone((client, conn.0)));
            }
            Output::Settled { request, result } => {
                let entry = self.clients[client].published.entry(request).or_default();
                assert!(entry.result.replace(result).is_none(), "a call settles once");
            }
            Output::Event(Event::Channel { channel, event }) => {
                let told = match event {
                    ChannelEvent::Message(message) => {
                        Told::Message(message.offset, message.data.as_str().to_owned())
                    }
                    ChannelEvent::Gap(gap) => Told::Gap(gap),
                    ChannelEvent::Unsubscribed(reason) => panic!("a subscription ended: {reason:?}"),
                    _ => return,
                };
                self.clients[client].told.entry(channel).or_default().push(told);
            }
            Output::Event(Event::Connection(ConnectionState::Disconnected { reason })) => {
                panic!("client {client} gave up: {reason:?}");
            }
            _ => {}
        }
    }

    fn post(&mut self, parcel: Parcel) {
        let way = match &parcel {
            Parcel::Opening(link) | Parcel::ToServer(link, _) | Parcel::Gone(link) => (*link, true),
            Parcel::ToClient(link, _) | Parcel::Closed(link, ..) => (*link, false),
        };
        let last = self.order.entry(way).or_default();
        let at = (self.now + 2 + self.dice.below(60)).max(*last);
        *last = at;
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }

    fn deliver(&mut self, parcel: Parcel) {
        let link = match &parcel {
            Parcel::Opening(link) | Parcel::ToServer(link, _) | Parcel::Gone(link) => *link,
            Parcel::ToClient(link, _) | Parcel::Closed(link, ..) => *link,
        };
        let (client, conn) = (link.0, ConnId(link.1));
        let current = self.clients[client].open == Some(conn);
        let swallowed = current && self.clients[client].swallowed;
        let node = self.clients[client].node;
        match parcel {
            Parcel::Opening(_) if current => {
                if self.hosts[node].as_mut().map(|host| host.accept(link)).is_none() {
                    return self.post(Parcel::Closed(link, 1006, "refused".into()));
                }
                self.run(client, |machine, now| machine.handle_input(now, Input::SocketOpened { conn }));
            }
            Parcel::Opening(_) => {}
            Parcel::ToServer(_, text) if !swallowed => {
                let host = self.hosts.iter_mut().flatten().find(|host| host.has(link));
                host.into_iter().for_each(|host| host.handle_frame(link, &text));
            }
            Parcel::ToClient(_, text) if !swallowed => {
                let input = Input::FrameReceived { conn, text: &text };
                self.run(client, |machine, now| machine.handle_input(now, input));
            }
            Parcel::Closed(_, code, reason) if !swallowed => {
                if current {
                    self.clients[client].open = None;
                }
                let input = Input::SocketClosed { conn, code, reason: &reason };
                self.run(client, |machine, now| machine.handle_input(now, input));
            }
            Parcel::Gone(_) => self.hosts.iter_mut().flatten().for_each(|host| host.forget(link)),
            Parcel::ToServer(..) | Parcel::ToClient(..) | Parcel::Closed(..) => {}
        }
    }

    fn turn_hosts(&mut self) {
        let mut said = Vec::new();
        for host in self.hosts.iter_mut().flatten() {
            host.turn(&mut |link, word| said.push((link, word)));
        }
        for (link, word) in said {
            if let Said::Frame(text) = &word
                && (text.contains("\"error\":") || text.contains("\"duplicate\":"))
            {
                self.transcript.push_str(&format!("{} to {link:?} {text}\n", self.now));
            }
            self.post(match word {
                Said::Frame(text) => Parcel::ToClient(link, text),
                Said::Close(code, reason) => Parcel::Closed(link, code, reason),
            });
        }
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let until = self.now + millis;
        let mut steps = 0_u32;
        loop {
            self.turn_hosts();
            let parcel = self.parcels.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let deadline =
                |client: &Client| client.machine.poll_timeout().map(|deadline| deadline.at.as_millis());
            let clients = self.clients.iter().filter_map(deadline).min().unwrap_or(u64::MAX);
            let hosts = self.hosts.iter().flatten().map(Host::next_deadline).min().unwrap_or(u64::MAX);
            let next = parcel.min(clients).min(hosts).max(self.now);
            if next > until {
                break;
            }
            steps += 1;
            assert!(steps < 500_000, "the world goes round in circles");
            self.now = next;
            self.time.set(next);
            while let Some(first) = self.parcels.first_entry().filter(|first| first.key().0 <= next) {
                let parcel = first.remove();
                self.deliver(parcel);
            }
            for client in 0..self.clients.len() {
                if deadline(&self.clients[client]).is_some_and(|at| at <= next) {
                    self.run(client, |machine, now| machine.handle_timeout(now));
                }
            }
        }
        self.now = until;
        self.time.set(until);
    }

    pub(crate) fn told(&self, client: usize, channel: &str) -> &[Told] {
        let client = &self.clients[client];
        let key = client.channels.get(channel).map(|(_, key)| key);
        key.and_then(|key| client.told.get(key)).map_or(&[], Vec::as_slice)
    }
}
