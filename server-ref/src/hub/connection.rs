//! The part of a connection that others reach: its outgoing queue, bounded in bytes, and what the node wants
//! of its session.

use crate::{
    engine::Channel,
    session::{Admission, Refreshed},
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    task::{Poll, Waker},
};

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// For a developer to read; at most 123 bytes go on the wire.
    pub reason: Cow<'static, str>,
    /// Milliseconds after which the client may come back; told in a push before the close. 0: not told.
    pub retry_after: u32,
}

impl From<homing_core::wire::DisconnectCode> for Close {
    fn from(code: homing_core::wire::DisconnectCode) -> Self {
        Self { code: code as u16, reason: Cow::Borrowed(code.text()), retry_after: 0 }
    }
}

/// What the node, or its application, wants of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The room has dropped this member already; the session follows.
    Dropped {
        /// Which channel.
        channel: Channel,
        /// Which membership: another one by now is left alone.
        slot: usize,
        /// Unsubscribe code.
        code: u32,
    },
    /// End this subscription.
    Unsubscribe {
        /// Which channel; empty: all of them.
        channel: Channel,
        /// Unsubscribe code.
        code: u32,
        /// For a developer to read.
        reason: Cow<'static, str>,
    },
    /// Subscribe to this channel on the server's behalf.
    Subscribe {
        /// Which channel.
        channel: Channel,
        /// What the application says of it.
        admission: Arc<Admission>,
    },
    /// The connection's expiry has moved, or what is told of its client is another.
    Refresh(Arc<Refreshed>),
}

/// Why a connection does not take its client's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRefused {
    /// Too much of them waits.
    Full,
    /// It is about to end.
    Closing,
}

#[derive(Default)]
struct Queue {
    frames: Vec<Bytes>,
    /// Bytes in `frames`, and those taken out of it but not yet written.
    bytes: usize,
    /// How many of them may be replies.
    replies: usize,
    controls: Vec<Control>,
    /// Commands that came on other ways than the connection's own, and their bytes, those taken but not yet read
    /// by the session included.
    inputs: Vec<Box<str>>,
    input_bytes: usize,
    close: Option<Box<Close>>,
    waker: Option<Waker>,
    /// Whether the host sleeps and wants `waker` to be woken.
    asleep: bool,
}

/// The reachable part of a connection.
pub struct Connection {
    client: Arc<str>,
    session: OnceLock<Arc<str>>,
    limit: usize,
    queue: Mutex<Queue>,
}

/// What a host takes out of a connection.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Frames, oldest first.
    pub frames: Vec<Bytes>,
    /// For the session.
    pub controls: Vec<Control>,
    /// Commands for the session, oldest first.
    pub inputs: Vec<Box<str>>,
    /// Write the frames, then close.
    pub close: Option<Box<Close>>,
    /// Bytes that are queued or taken out of the queue and not yet written.
    pub waiting: usize,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection whose queue holds at most `limit` bytes.
    #[must_use]
    pub fn new(client: Arc<str>, limit: usize) -> Self {
        Self { client, session: OnceLock::new(), limit, queue: Mutex::default() }
    }

    /// The connection's id.
    #[must_use]
    pub const fn client(&self) -> &Arc<str> {
        &self.client
    }

    /// The secret under which the client's own requests reach this connection, where its transport has one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.get().map(|session| &**session)
    }

    /// Names that secret. Called once, by the transport.
    pub fn set_session(&self, session: Arc<str>) {
        let first = self.session.set(session).is_ok();
        debug_assert!(first, "a connection has one session");
    }

    /// Queues what the client has not asked for. One that reads too slowly is closed instead: 3008, with
    /// numbers.
    pub fn push(&self, frame: Bytes) {
        let mut queue = self.queue.lock();
        if queue.close.is_some() {
            return;
        }
        queue.bytes += frame.len();
        if queue.bytes - queue.replies > self.limit {
            let code = homing_core::wire::DisconnectCode::Slow;
            let reason = format!("{}: {} bytes wait, {} may", code.text(), queue.bytes, self.limit);
            queue.frames = Vec::new();
            queue.close = Some(Box::new(Close { reason: reason.into(), ..code.into() }));
        } else {
            queue.frames.push(frame);
        }
        Self::wake(queue);
    }

    /// Queues the answer to a command, and says how many bytes wait. Answers are not judged by the limit, or
    /// catching up would cut the client off again: its session stops listening to it instead.
    pub fn reply(&self, frame: Bytes) -> usize {
        let mut queue = self.queue.lock();
        if queue.close.is_some() {
            return 0;
        }
        queue.bytes += frame.len();
        queue.replies += frame.len();
        queue.frames.push(frame);
        let waiting = queue.bytes;
        Self::wake(queue);
        waiting
    }

    /// Ends the connection after what is queued was written. The first reason stands.
    pub fn close(&self, close: Close) {
        let mut queue = self.queue.lock();
        if queue.close.is_none() {
            queue.close = Some(Box::new(close));
            Self::wake(queue);
        }
    }

    /// Hands something to the session.
    pub fn control(&self, control: Control) {
        let mut queue = self.queue.lock();
        if queue.close.is_none() {
            queue.controls.push(control);
            Self::wake(queue);
        }
    }

    /// Hands over commands of the client that came on another way than the connection's own.
    ///
    /// # Errors
    /// It is about to end, or more than its queue may hold waits to be read.
    pub fn input(&self, commands: Box<str>) -> Result<(), InputRefused> {
        let mut queue = self.queue.lock();
        if queue.close.is_some() {
            return Err(InputRefused::Closing);
        }
        if queue.input_bytes > 0 && queue.input_bytes + commands.len() > self.limit {
            return Err(InputRefused::Full);
        }
        queue.input_bytes += commands.len();
        queue.inputs.push(commands);
        Self::wake(queue);
        Ok(())
    }

    /// The session has read so many bytes of what was taken as input.
    pub fn input_read(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.input_bytes = queue.input_bytes.saturating_sub(bytes);
    }

    /// The waker is kept from one sleep to the next: cloning it for each would cost more than the wake.
    fn wake(mut queue: MutexGuard<'_, Queue>) {
        if std::mem::take(&mut queue.asleep)
            && let Some(waker) = &queue.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection is to be closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.queue.lock().close.is_some()
    }

    /// Takes what is queued into `outgoing`, and notes that `written` bytes taken before have been written
    /// and count no more. Frames stay queued while `outgoing` holds some. Where there is nothing new, `waker`
    /// is woken once there is.
    pub fn poll_outgoing(&self, outgoing: &mut Outgoing, written: usize, waker: Option<&Waker>) -> Poll<()> {
        let mut queue = self.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(written);
        queue.replies = queue.replies.min(queue.bytes);
        outgoing.waiting = queue.bytes;
        let mut new = !queue.controls.is_empty();
        std::mem::swap(&mut queue.controls, &mut outgoing.controls);
        if !queue.inputs.is_empty() {
            outgoing.inputs.append(&mut queue.inputs);
            new = true;
        }
        if outgoing.frames.is_empty() && !queue.frames.is_empty() {
            std::mem::swap(&mut queue.frames, &mut outgoing.frames);
            new = true;
        }
        if outgoing.close.is_none() && queue.close.is_some() {
            outgoing.close.clone_from(&queue.close);
            new = true;
        }
        if new {
            queue.asleep = false;
            return Poll::Ready(());
        }
        if let Some(waker) = waker {
            if !queue.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                queue.waker = Some(waker.clone());
            }
            queue.asleep = true;
        }
        Poll::Pending
    }

    /// Lets go of the host: nobody is woken any more, and nothing more is queued.
    pub fn abandon(&self) {
        let mut queue = self.queue.lock();
        queue.waker = None;
        queue.frames = Vec::new();
        queue.inputs = Vec::new();
        if queue.close.is_none() {
            queue.close = Some(Box::new(homing_core::wire::DisconnectCode::ConnectionClosed.into()));
        }
    }
}
