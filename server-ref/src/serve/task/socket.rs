//! One connection as one task: reads the socket into the session, writes the queue to the socket, keeps the
//! deadlines.
//!
//! An idle connection holds no buffer: bytes are read onto the stack and written from scratch space that all
//! connections of a thread share; only what a socket does not take is kept. All that is queued goes out with
//! one write, several messages in one WebSocket frame, divided by line feeds.

use super::Deadlines;
use crate::{
    frames,
    hub::{Close, Connection, Outgoing},
    node::Node,
    session::Session,
    ws::{self, Decoder, Message, Violation},
};
use bytes::Bytes;
use homing_core::wire::DisconnectCode;
use std::{
    cell::RefCell,
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once, onto the stack.
const READ: usize = 8 * 1024;

/// Payload bytes that one WebSocket frame carries, unless a single message is larger.
const FRAME: usize = 16 * 1024;

/// Bytes that one write takes, unless a single message is larger.
const WRITE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection's task.
pub(in crate::serve) struct SocketTask<S> {
    stream: S,
    /// Gone once the connection ends.
    session: Option<Session>,
    connection: Arc<Connection>,
    node: Arc<Node>,
    decoder: Decoder,
    outgoing: Outgoing,
    /// Bytes that the socket did not take, from `written` on; whole frames but for the first.
    unwritten: Vec<u8>,
    written: usize,
    /// Queued bytes in `unwritten`, and those that have left it since the queue was told.
    counted: usize,
    settled: usize,
    deadlines: Deadlines,
    ending: Option<Ending>,
}

/// How far a connection that ends has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// What was queued is being written.
    Queue,
    /// The close frame is being written.
    Farewell,
    /// Waits until the client has closed too, so that nothing unread makes the kernel drop what was written.
    Hush,
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SocketTask<S> {
    /// The task of a connection whose handshake is done. `early` is what the client has sent behind it.
    pub(in crate::serve) fn new(node: Arc<Node>, session: Session, stream: S, early: &[u8]) -> Self {
        let mut task = Self {
            stream,
            connection: Arc::clone(session.connection()),
            session: Some(session),
            decoder: Decoder::new(node.config.websocket.message_size_limit),
            node,
            outgoing: Outgoing::default(),
            unwritten: Vec::new(),
            written: 0,
            counted: 0,
            settled: 0,
            deadlines: Deadlines::default(),
            ending: None,
        };
        if !early.is_empty() {
            task.take(&mut early.to_vec());
        }
        task
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        // A socket that had nothing to read is not asked again before it wakes the task.
        let mut drained = false;
        loop {
            let Some(session) = &mut self.session else { return self.poll_end(cx) };
            session.poll_calls(cx);
            let mut moved = false;
            if !drained && session.wants_input() {
                match self.poll_read(cx) {
                    Poll::Ready(Err(over)) => return Poll::Ready(over),
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Pending => drained = true,
                }
            }
            let settled = std::mem::take(&mut self.settled);
            if self.connection.poll_outgoing(&mut self.outgoing, settled, Some(cx.waker())).is_ready() {
                moved = true;
                self.handle_controls();
            }
            if settled > 0
                && let Some(session) = &mut self.session
            {
                let wanted = session.wants_input();
                session.handle_waiting(self.outgoing.waiting);
                moved |= wanted != session.wants_input();
            }
            if self.outgoing.close.is_some() {
                self.begin_end();
                continue;
            }
            match self.poll_write(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Over),
                Poll::Ready(Ok(())) => self.deadlines.handle_taken(),
                Poll::Pending => self.deadlines.handle_stalled(self.session.as_ref()),
            }
            // The queue is told at once what it need not count any more.
            moved |= self.settled > 0;
            if !moved && self.deadlines.poll(self.session.as_mut(), cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn handle_controls(&mut self) {
        if let Some(session) = &mut self.session {
            for control in self.outgoing.controls.drain(..) {
                session.handle_control(control);
            }
        }
        self.outgoing.controls = Vec::new();
    }

    /// Hands the session what was read.
    fn take(&mut self, input: &mut [u8]) {
        let Some(session) = &mut self.session else { return };
        let (mut pongs, mut close) = (Vec::new(), None);
        let room = WRITE.saturating_sub(self.unwritten.len());
        let outcome = self.decoder.decode(input, &mut |message| match message {
            Message::Text(text) => session.handle_frame(text),
            Message::Pong => session.handle_pong(),
            Message::Ping(payload) => {
                session.handle_pong();
                if pongs.len() < room {
                    ws::pong(payload, &mut pongs);
                }
            }
            Message::Binary => {
                let code = DisconnectCode::InappropriateProtocol;
                let reason = "inappropriate protocol: this endpoint speaks JSON in text frames".into();
                close = Some(Close { reason, ..code.into() });
            }
            Message::Close => {
                close = Some(Close { code: 1000, reason: "".into(), retry_after: 0 });
            }
        });
        if let Err(violation) = outcome {
            close = Some(violated(violation));
        }
        if let Some(close) = close {
            self.connection.close(close);
        }
        // What is unwritten ends with a whole frame, so a control frame may follow.
        self.unwritten.extend_from_slice(&pongs);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let mut space = [MaybeUninit::<u8>::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled_mut();
        if read.is_empty() {
            return Poll::Ready(Err(Over));
        }
        self.take(read);
        Poll::Ready(Ok(()))
    }

    /// Writes all there is; ready when nothing is left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.unwritten.len() {
                let rest = &self.unwritten[self.written..];
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
                self.deadlines.handle_taken();
                // It takes bytes, so it is there, even where its pong is not read yet.
                if let Some(session) = &mut self.session {
                    session.handle_pong();
                }
            }
            self.unwritten = Vec::new();
            self.written = 0;
            self.settled += std::mem::take(&mut self.counted);
            if self.outgoing.frames.is_empty() {
                return Poll::Ready(Ok(()));
            }
            SCRATCH.with_borrow_mut(|scratch| self.write_batch(cx, scratch))?;
        }
    }

    fn write_batch(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> io::Result<()> {
        scratch.clear();
        let (count, bytes) = batch(&self.outgoing.frames, scratch);
        if count == self.outgoing.frames.len() {
            self.outgoing.frames.clear();
            if self.outgoing.frames.capacity() > 16 {
                self.outgoing.frames = Vec::new();
            }
        } else {
            self.outgoing.frames.drain(..count);
        }
        self.node.metrics.frames.increment(count as u64);
        self.counted = bytes;
        let written = match Pin::new(&mut self.stream).poll_write(cx, scratch) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        if written < scratch.len() {
            self.unwritten = scratch[written..].to_vec();
        }
        // One large message must not keep the scratch space large for ever.
        if scratch.capacity() > 4 * WRITE {
            *scratch = Vec::new();
        }
        Ok(())
    }

    /// The session is over: it leaves its channels now, not when the client has been told.
    fn begin_end(&mut self) {
        self.session = None;
        if let Some(close) = &self.outgoing.close
            && close.code == DisconnectCode::Slow as u16
        {
            self.node.metrics.slow.increment(1);
            self.outgoing.frames = Vec::new();
        }
        self.ending = Some(Ending::Queue);
        self.deadlines.begin_farewell(self.node.now());
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        if self.deadlines.poll_farewell(cx).is_ready() {
            return Poll::Ready(Over);
        }
        loop {
            match self.ending {
                None => return Poll::Ready(Over),
                Some(Ending::Queue) => {
                    if ready!(self.poll_write(cx)).is_err() {
                        return Poll::Ready(Over);
                    }
                    let _ = self.connection.poll_outgoing(&mut self.outgoing, 0, None);
                    if !self.outgoing.frames.is_empty() {
                        continue;
                    }
                    if let Some(close) = self.outgoing.close.take() {
                        farewell(&close, &mut self.unwritten);
                        tracing::debug!(client = &**self.connection.client(), ?close, "closed");
                    }
                    self.ending = Some(Ending::Farewell);
                }
                Some(Ending::Farewell) => {
                    if ready!(self.poll_write(cx)).is_err() {
                        return Poll::Ready(Over);
                    }
                    if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                        return Poll::Ready(Over);
                    }
                    self.ending = Some(Ending::Hush);
                }
                Some(Ending::Hush) => {
                    let over = ready!(self.poll_read(cx));
                    if over.is_err() {
                        return Poll::Ready(Over);
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for SocketTask<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_live(cx).map(|_| ())
    }
}

impl<S> Drop for SocketTask<S> {
    fn drop(&mut self) {
        self.connection.abandon();
    }
}

/// Puts messages into WebSocket frames; says how many, and how many bytes they have themselves.
fn batch(messages: &[Bytes], out: &mut Vec<u8>) -> (usize, usize) {
    let (mut at, mut bytes) = (0, 0);
    while let Some((first, rest)) = messages.get(at..).and_then(<[Bytes]>::split_first) {
        if out.len() >= WRITE {
            break;
        }
        let mut length = first.len();
        let mut more = 0;
        for message in rest {
            let next = length + 1 + message.len();
            if next > FRAME {
                break;
            }
            length = next;
            more += 1;
        }
        ws::text_header(length, out);
        out.extend_from_slice(first);
        for message in &rest[..more] {
            out.push(b'\n');
            out.extend_from_slice(message);
        }
        at += 1 + more;
        bytes += length - more;
    }
    (at, bytes)
}

fn violated(violation: Violation) -> Close {
    Close { code: violation.code(), reason: violation.to_string().into(), retry_after: 0 }
}

/// The last that a client hears: where it may come back only later, that too.
fn farewell(close: &Close, out: &mut Vec<u8>) {
    if close.retry_after > 0 {
        let push = frames::disconnect_push(close);
        ws::text_header(push.len(), out);
        out.extend_from_slice(&push);
    }
    ws::close(close.code, &close.reason, out);
}
