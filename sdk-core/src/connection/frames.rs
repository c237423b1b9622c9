//! What arrives on the socket that counts, taken apart and handed to whom it concerns.

use super::{Again, GREETING, Phase, Socket, backoff};
use crate::{
    ConnId, Event, RealtimeClient, Reason,
    calls::Waiter,
    wire::{self, Outcome, PushEvent, Reply, json},
};

impl RealtimeClient {
    pub(crate) fn on_frame(&mut self, conn: ConnId, text: &str) {
        for reply in json::replies(text) {
            // Each object may have ended the connection.
            if self.link.conn() != Some(conn) {
                return;
            }
            let now = self.now;
            if let Some(live) = self.link.live() {
                live.heartbeat.heard(now);
            }
            match reply {
                Ok(Reply::Ping) => self.on_ping(),
                Ok(Reply::Answer(answer)) => self.on_answer(answer.id, answer.outcome),
                Ok(Reply::Push(push)) => self.on_push(&push),
                Err(error) => self.on_protocol_error(error.what()),
            }
        }
    }

    fn on_ping(&mut self) {
        if let Phase::Online(live) = &self.link.phase
            && live.heartbeat.answers
        {
            self.out.command(live.conn, 0, wire::Request::Pong);
        }
    }

    fn on_answer(&mut self, id: u32, outcome: Outcome<'_>) {
        if matches!(self.link.phase, Phase::Greeting { .. }) {
            if id == GREETING {
                self.on_greeting(outcome);
            }
            return;
        }
        // An answer that nobody waits for is that of a call which has settled, or of a probe.
        match self.calls.answered(id) {
            None => {}
            Some(Waiter::Refresh) => self.on_refreshed(&outcome),
            Some(Waiter::Call(request)) => self.on_call_answered(request, outcome),
            Some(Waiter::Entry(entry)) => self.on_entry_answered(entry, &outcome),
            Some(Waiter::Join(channel)) => self.on_join_answered(channel, id, outcome),
            Some(Waiter::Leave) => self.on_left(id, &outcome),
            Some(Waiter::SubRefresh(channel)) => self.on_sub_refreshed(channel, &outcome),
            Some(Waiter::Page(channel)) => self.on_page(channel, id, &outcome),
        }
    }

    fn on_push(&mut self, push: &wire::Push<'_>) {
        if !matches!(self.link.phase, Phase::Online(_)) {
            return;
        }
        let channel = self.channels.by_name(&push.channel);
        match &push.event {
            PushEvent::Publication(publication) => {
                if let Some(channel) = channel {
                    self.on_publication(channel, publication);
                }
            }
            PushEvent::Join(info) => {
                if let Some(channel) = channel {
                    self.on_member(channel, info, crate::ChannelEvent::Joined);
                }
            }
            PushEvent::Leave(info) => {
                if let Some(channel) = channel {
                    self.on_member(channel, info, crate::ChannelEvent::Left);
                }
            }
            PushEvent::Unsubscribed(unsubscribed) => {
                if let Some(channel) = channel {
                    self.on_unsubscribed(channel, unsubscribed.code, &unsubscribed.reason);
                }
            }
            PushEvent::Subscribed(subscribed) => self.on_server_subscribed(&push.channel, subscribed),
            PushEvent::Message(message) => {
                if let Some(data) = message.data {
                    self.out.event(Event::ServerMessage(data.into()));
                }
            }
            PushEvent::Disconnect(disconnect) => self.on_disconnect(disconnect),
            PushEvent::Refresh(result) => self.on_prolonged(result),
            PushEvent::Unknown => {}
        }
    }

    fn on_disconnect(&mut self, disconnect: &wire::Disconnect<'_>) {
        let reason = Reason::new(disconnect.code, &disconnect.reason);
        if wire::closes_for_good(disconnect.code) {
            return self.refuse(reason, Socket::Open);
        }
        self.lose(reason, Socket::Open, Again::Later(backoff::wish(disconnect.retry_after)));
    }
}
