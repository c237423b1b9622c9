//! The lives of the clients: each starts on what its storage has, has its orders carried out, crashes or closes,
//! and is back after a while. Knows no server; what is to travel goes to [`network`](super::network).

use super::{World, network::Parcel};
use crate::simulation::{plan::name, trace};
use homing_core::{ConnectionState, Event, Input, Instant, Output, RealtimeClient, StorageOrder};

impl World {
    pub(crate) fn begin(&mut self, client: usize) {
        let entropy = self.dice.entropy();
        self.clients[client].begin(self.now, entropy);
        trace::tell(self.now, || format!("{} starts", name(client)));
        self.drain(client);
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

    pub(super) fn input(&mut self, client: usize, input: Input<'_>) {
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
        self.clients[client].check_deadline(self.now);
    }

    pub(super) fn obey(&mut self, client: usize, output: Output) {
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

    pub(super) fn obey_storage(&mut self, client: usize, order: StorageOrder) {
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
                trace::frame(self.now, || format!("{} stores {write:?} {ops:?}", name(client)));
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
    pub(super) fn closed(&mut self, client: usize) {
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

    pub(super) fn over(&mut self, client: usize, millis: u64) {
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

    pub(crate) fn connect_at(&mut self, client: usize, at: u64) {
        self.post_at(at, Parcel::Connect(client, self.clients[client].life));
    }

    pub(crate) fn wake_at(&mut self, client: usize, at: u64) {
        self.post_at(at, Parcel::Wake(client, self.clients[client].life));
    }
}
