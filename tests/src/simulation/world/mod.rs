//! Clients, servers, storages and the network between them on one clock that only the story moves. The same
//! plan gives the same story, to the byte.
//!
//! Owns who and what there is, and the clock; [`lives`] does what clients order, [`network`] carries what is on its
//! way, [`servers`] has the nodes and their store.

mod lives;
mod network;
mod servers;

use super::{
    client::Client,
    dice::Dice,
    disk::Disk,
    node::{Host, Link, Time},
    plan::{CHANNELS, Plan},
    truth::{Excuses, Saved, Truth, Witness},
};
use homing_core::RealtimeClient;
use homing_server::{
    clock::{Clock, Millis},
    config,
    engine::{
        PubSub,
        memory::{Backup, Memory},
    },
};
use network::Parcel;
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
