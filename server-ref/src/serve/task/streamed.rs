//! One connection over a streamed response, as one task: writes the queue into the response, hands the session what
//! came in other requests, keeps the deadlines.
//!
//! It ends when the response is dropped, which is how a client that has gone shows itself.

use super::Deadlines;
use crate::{
    frames,
    hub::{Connection, Outgoing},
    node::{Node, Reachable},
    session::Session,
};
use bytes::Bytes;
use homing_core::wire::DisconnectCode;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Bytes that go out in one piece, unless a single message is larger.
const PIECE: usize = 64 * 1024;

/// How a message is marked off from the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Framing {
    /// One on each line.
    Lines,
    /// Each as an event of `text/event-stream`.
    Events,
}

impl Framing {
    /// Name of the transport, as hooks are told.
    pub(in crate::serve) const fn transport(self) -> &'static str {
        match self {
            Self::Lines => "http_stream",
            Self::Events => "sse",
        }
    }

    fn write(self, message: &[u8], out: &mut Vec<u8>) {
        let (before, behind): (&[u8], &[u8]) = match self {
            Self::Lines => (b"", b"\n"),
            Self::Events => (b"data: ", b"\n\n"),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(message);
        out.extend_from_slice(behind);
    }
}

/// A connection's task.
pub(in crate::serve) struct StreamTask {
    /// Gone once the connection ends.
    session: Option<Session>,
    connection: Arc<Connection>,
    node: Arc<Node>,
    _reachable: Reachable,
    framing: Framing,
    body: PollSender<Bytes>,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    outgoing: Outgoing,
    /// What the session does not want to read yet.
    inputs: VecDeque<Box<str>>,
    /// Bytes that have left `outgoing` since the queue was told.
    settled: usize,
    deadlines: Deadlines,
}

impl StreamTask {
    /// The task of a connection whose response is `body`. `first` is what its client sent with the request.
    pub(in crate::serve) fn new(
        mut session: Session,
        framing: Framing,
        body: mpsc::Sender<Bytes>,
        first: &str,
    ) -> Self {
        let node = Arc::clone(session.node());
        let connection = Arc::clone(session.connection());
        let reachable = node.make_reachable(&connection);
        session.set_secret(Arc::clone(reachable.secret()));
        session.handle_frame(first);
        let watched = body.clone();
        Self {
            session: Some(session),
            connection,
            node,
            _reachable: reachable,
            framing,
            body: PollSender::new(body),
            gone: Box::pin(async move { watched.closed().await }),
            outgoing: Outgoing::default(),
            inputs: VecDeque::new(),
            settled: 0,
            deadlines: Deadlines::default(),
        }
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some(session) = &mut self.session else { return self.poll_end(cx) };
            session.poll_calls(cx);
            let settled = std::mem::take(&mut self.settled);
            let mut moved = settled > 0;
            if self.connection.poll_outgoing(&mut self.outgoing, settled, Some(cx.waker())).is_ready() {
                moved = true;
                self.inputs.extend(self.outgoing.inputs.drain(..));
                for control in self.outgoing.controls.drain(..) {
                    session.handle_control(control);
                }
            }
            if settled > 0 {
                session.handle_waiting(self.outgoing.waiting);
            }
            while session.wants_input()
                && let Some(commands) = self.inputs.pop_front()
            {
                moved = true;
                self.connection.input_read(commands.len());
                session.handle_frame(&commands);
            }
            if self.outgoing.close.is_some() {
                self.begin_end();
                continue;
            }
            match self.poll_write(cx) {
                Poll::Ready(Err(())) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => self.deadlines.handle_taken(),
                Poll::Pending => self.deadlines.handle_stalled(self.session.as_ref()),
            }
            moved |= self.settled > 0;
            if !moved && self.deadlines.poll(self.session.as_mut(), cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Hands over all there is; an error: nobody takes it any more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        while !self.outgoing.frames.is_empty() {
            if ready!(self.body.poll_reserve(cx)).is_err() {
                return Poll::Ready(Err(()));
            }
            let mut piece = Vec::new();
            let mut taken = 0;
            for frame in &self.outgoing.frames {
                if taken > 0 && piece.len() + frame.len() > PIECE {
                    break;
                }
                self.framing.write(frame, &mut piece);
                self.settled += frame.len();
                taken += 1;
            }
            self.outgoing.frames.drain(..taken);
            self.node.metrics.frames.increment(taken as u64);
            if self.body.send_item(piece.into()).is_err() {
                return Poll::Ready(Err(()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The session is over: it leaves its channels now, not when the client has been told.
    fn begin_end(&mut self) {
        self.session = None;
        let Some(close) = self.outgoing.close.take() else { return };
        if close.code == DisconnectCode::Slow as u16 {
            self.node.metrics.slow.increment(1);
            self.outgoing.frames.clear();
        }
        // There is no close frame: a push says it.
        self.outgoing.frames.push(frames::disconnect_push(&close));
        tracing::debug!(client = &**self.connection.client(), ?close, "closed");
        self.deadlines.begin_farewell(self.node.now());
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadlines.poll_farewell(cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_write(cx).map(|_| ())
    }
}

impl Future for StreamTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_live(cx)
    }
}

impl Drop for StreamTask {
    fn drop(&mut self) {
        self.connection.abandon();
    }
}
