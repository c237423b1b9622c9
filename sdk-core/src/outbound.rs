//! The queue of outputs, and the batch of commands that will leave in one frame.

use crate::{
    ChannelEvent, ChannelKey, ConnId, Event, Output,
    wire::{Command, Request, json},
};
use alloc::{collections::VecDeque, string::String};

/// No frame of several commands is longer: a plain server ends the connection for good behind this size.
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    queue: VecDeque<Output>,
    batch: String,
    conn: Option<ConnId>,
}

impl Outbound {
    /// Queues something that is not a frame. A socket is closed behind the frames that were begun before.
    pub(crate) fn push(&mut self, output: Output) {
        if matches!(output, Output::CloseSocket { .. }) {
            self.flush();
        }
        self.queue.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn channel(&mut self, channel: ChannelKey, event: ChannelEvent) {
        self.event(Event::Channel { channel, event });
    }

    /// Adds a command to the frame that leaves next.
    pub(crate) fn command(&mut self, conn: ConnId, id: u32, request: Request<'_>) {
        if self.conn != Some(conn) {
            self.flush();
            self.conn = Some(conn);
        }
        let before = self.batch.len();
        if before > 0 {
            self.batch.push('\n');
        }
        json::encode_command(&Command { id, request }, &mut self.batch);
        if before > 0 && self.batch.len() > BATCH_BYTES {
            let command = self.batch.get(before + 1..).unwrap_or_default().into();
            self.batch.truncate(before);
            self.flush();
            self.batch = command;
        }
    }

    fn flush(&mut self) {
        if let (Some(conn), false) = (self.conn, self.batch.is_empty()) {
            let text = core::mem::take(&mut self.batch);
            self.queue.push_back(Output::SendFrame { conn, text });
        }
    }

    /// Forgets what was meant for a socket that is gone.
    pub(crate) fn drop_frames(&mut self) {
        self.batch.clear();
        self.drop_where(|output| matches!(output, Output::SendFrame { .. }));
    }

    /// Forgets what the app shall not hear any more.
    pub(crate) fn drop_events(&mut self) {
        self.drop_where(|output| matches!(output, Output::Event(_)));
    }

    fn drop_where(&mut self, which: fn(&Output) -> bool) {
        self.queue.retain(|output| !which(output));
    }

    /// Whether all that is left is the frame that has been begun.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        if self.queue.is_empty() {
            self.flush();
        }
        self.queue.pop_front()
    }
}
