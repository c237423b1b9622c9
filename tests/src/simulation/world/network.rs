//! What is on its way: frames and the ends of sockets, answers of storages, and who comes back when. A socket
//! keeps its order; what goes to somebody who sleeps or stands still waits for them.

use super::World;
use crate::simulation::{
    node::Link,
    plan::{Cut, name},
    trace,
};
use homing_core::{ConnId, Input, RealtimeClient, WriteId};

/// What is on its way.
pub(super) enum Parcel {
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

impl World {
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

    pub(super) fn post_at(&mut self, at: u64, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }

    pub(super) fn post(&mut self, parcel: Parcel) {
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
    pub(super) fn busy_until(&self, parcel: &Parcel) -> Option<u64> {
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

    pub(super) fn deliver(&mut self, order: u64, parcel: Parcel) {
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
                trace::frame(now, || format!("{} has stored {write:?} {result:?}", name(client)));
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
    pub(super) fn deliver_on(&mut self, link: Link, parcel: Parcel) {
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
                trace::frame(self.now, || format!("from {}: {text}", name(client)));
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
}
