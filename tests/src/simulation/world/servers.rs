//! The nodes and the store behind them: started, killed, asked what they say; a store that goes back to its last
//! dump. Every append is heard here, by the witness inside the store.

use super::{SMALL, World, network::Parcel};
use crate::simulation::{
    node::{Host, Said},
    plan::{CHANNELS, Cut, name},
    trace,
};
use homing_server::engine::{Call, Log, Read};

impl World {
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

    pub(super) fn turn_hosts(&mut self) {
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
                    trace::frame(self.now, || format!("{node} {}: {text}", name(link.0)));
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
    pub(super) fn ask_epochs(&mut self) {
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
