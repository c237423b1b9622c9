//! Hints of the engine on their way to rooms, and the reads of the log that rooms need where hints are not
//! enough.

use super::Node;
use crate::{
    engine::{Channel, Doubt, EngineError, Hint, Page, Position, Read, Sink},
    hub::{Need, Room, Ticket},
};
use bytes::Bytes;
use std::sync::{Arc, Weak};

/// The node as its engine sees it.
pub(super) struct NodeSink(pub(super) Weak<Node>);

impl Sink for NodeSink {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        let Some(node) = self.0.upgrade() else { return };
        let Some(room) = node.hub.room(channel) else { return };
        match room.handle_hint(hint, node.now()) {
            Need::Nothing => {}
            // The engine must not be called from within its own call: later.
            need @ Need::Read(_) => {
                let weak = Weak::clone(&self.0);
                node.work.push(Box::pin(async move {
                    if let Some(node) = weak.upgrade() {
                        node.serve_room(&room, need);
                    }
                }));
            }
        }
    }

    fn handle_doubt(&self, doubt: Doubt) {
        let Some(node) = self.0.upgrade() else { return };
        let weak = Weak::clone(&self.0);
        node.work.push(Box::pin(async move {
            if let Some(node) = weak.upgrade() {
                node.doubt(&doubt);
            }
        }));
    }

    fn handle_control(&self, message: Bytes) {
        if let Some(node) = self.0.upgrade() {
            node.handle_control(&message);
        }
    }
}

impl Node {
    /// Gives a room what it needs.
    pub(crate) fn serve_room(self: &Arc<Self>, room: &Arc<Room>, need: Need) {
        let Need::Read(since) = need else { return };
        self.metrics.room_reads.increment(1);
        let call = self.engine.read(Read {
            channel: Arc::clone(room.channel()),
            since: Some(since),
            limit: self.config.client.recovery_max_publication_limit,
            reverse: false,
            heard: true,
            owner: None,
            meta_ttl: self
                .rules
                .namespace(room.channel())
                .map_or(0, |namespace| namespace.retention.meta_ttl),
        });
        self.after(call, (Arc::clone(room), since), Self::handle_read);
    }

    fn handle_read(self: &Arc<Self>, context: (Arc<Room>, Position), result: Result<Page, EngineError>) {
        let (room, since) = context;
        match result {
            Ok(page) => {
                let need = room.handle_page(since, &page, self.now());
                self.serve_room(&room, need);
            }
            Err(error) => {
                self.note_failure("read", error);
                room.handle_failure();
                self.upkeep.lock().retry(Arc::clone(room.channel()));
            }
        }
    }

    pub(super) fn doubt(self: &Arc<Self>, doubt: &Doubt) {
        let rooms = match doubt {
            Doubt::All => {
                self.metrics.engine_doubts.increment(1);
                self.hub.all()
            }
            Doubt::Channels(channels) => {
                channels.iter().filter_map(|channel| self.hub.room(channel)).collect()
            }
        };
        self.doubt_rooms(rooms);
    }

    pub(super) fn doubt_rooms(self: &Arc<Self>, rooms: Vec<Arc<Room>>) {
        let patience = self.config.engine.call_timeout.millis();
        for room in rooms {
            let need = room.doubt(self.now(), patience);
            self.serve_room(&room, need);
        }
    }

    /// Ends the rooms that nobody is in.
    pub(super) fn end_idle_rooms(self: &Arc<Self>, channels: Vec<Channel>) {
        for room in channels.iter().filter_map(|channel| self.hub.room(channel)) {
            if room.stop_listening_if_empty() {
                let call = self.engine.unsubscribe(Arc::clone(room.channel()));
                self.after(call, room, Self::handle_unsubscribed);
            }
        }
    }

    fn handle_unsubscribed(self: &Arc<Self>, room: Arc<Room>, result: Result<(), EngineError>) {
        if let Err(error) = result {
            self.note_failure("unsubscribe", error);
        }
        // Somebody may have come in the meantime, and its subscribe may have been overtaken.
        if !self.hub.remove_idle(&room) {
            room.stop_listening();
            self.listen(room);
        }
    }

    fn listen(self: &Arc<Self>, room: Arc<Room>) {
        let ticket = room.ticket();
        let call = self.engine.subscribe(Arc::clone(room.channel()));
        self.after(call, (room, ticket), Self::handle_subscribed);
    }

    fn handle_subscribed(self: &Arc<Self>, context: (Arc<Room>, Ticket), result: Result<(), EngineError>) {
        let (room, ticket) = context;
        match result {
            Ok(()) => {
                room.set_listening(ticket);
                self.doubt_rooms(vec![room]);
            }
            Err(error) => {
                self.note_failure("subscribe", error);
                self.upkeep.lock().retry(Arc::clone(room.channel()));
            }
        }
    }

    /// Listens again where that failed, reads again where that failed.
    pub(super) fn retry_rooms(self: &Arc<Self>, channels: Vec<Channel>) {
        for room in channels.iter().filter_map(|channel| self.hub.room(channel)) {
            if room.is_listening() {
                self.doubt_rooms(vec![room]);
            } else if room.members() > 0 {
                self.listen(room);
            }
        }
    }

    /// The last member has left a room: it ends a little later, unless somebody comes back.
    pub(crate) fn room_is_empty(&self, room: &Arc<Room>) {
        self.upkeep.lock().idle(Arc::clone(room.channel()));
    }
}
