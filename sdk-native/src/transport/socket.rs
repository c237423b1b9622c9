//! One open WebSocket: frames out of a bounded queue, frames in, and the end of it.
//!
//! Reading, writing and flushing are polled together, by one task: a peer that does not read cannot stop this
//! side from reading, and nothing waits for a flush that nobody makes.

use super::BoxedIo;
use crate::{Stage, TransportError};
use futures::{Sink, SinkExt, StreamExt};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as WsError, Message, Utf8Bytes, protocol::CloseFrame},
};

/// What a socket says.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// A text frame.
    Frame(Utf8Bytes),
    /// The peer closed it.
    Closed {
        /// The close code; 1006 where there was no close frame.
        code: u32,
        /// The peer's words.
        reason: String,
    },
    /// It broke.
    Failed(TransportError),
}

pub(crate) struct Socket {
    stream: WebSocketStream<BoxedIo>,
    /// Bytes that the network took, counted below everything that buffers.
    written: Arc<AtomicU64>,
    outgoing: VecDeque<String>,
    outgoing_bytes: usize,
    max_outgoing_bytes: usize,
    write_timeout: Duration,
    unflushed: bool,
    stall: Option<Stall>,
}

/// A write that waits for the network, and what the network had taken when the wait began.
struct Stall {
    written: u64,
    until: Pin<Box<Sleep>>,
}

impl Socket {
    pub(crate) fn new(
        stream: WebSocketStream<BoxedIo>,
        written: Arc<AtomicU64>,
        write_timeout: Duration,
        max_outgoing_bytes: usize,
    ) -> Self {
        Self {
            stream,
            written,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            max_outgoing_bytes,
            write_timeout,
            unflushed: false,
            stall: None,
        }
    }

    /// Queues one text frame; the next poll writes it.
    pub(crate) fn send(&mut self, text: String) -> Result<(), TransportError> {
        let queued = self.outgoing_bytes + text.len();
        if queued > self.max_outgoing_bytes && !self.outgoing.is_empty() {
            return Err(TransportError::WriteBacklog { queued, maximum: self.max_outgoing_bytes });
        }
        self.outgoing_bytes = queued;
        self.outgoing.push_back(text);
        Ok(())
    }

    /// The next thing that happens. Cancel-safe: all state stays in the socket.
    pub(crate) async fn next(&mut self) -> SocketEvent {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        // What the peer said before it closed explains a failed write, so reading goes first to the end.
        let write = self.poll_write(cx);
        if let Poll::Ready(event) = self.poll_read(cx) {
            return Poll::Ready(event);
        }
        write.map(SocketEvent::Failed)
    }

    /// Pending: all is written, or the network takes no more for now. Ready: why nothing can be written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        let mut stream = Pin::new(&mut self.stream);
        let mut blocked = false;
        while !self.outgoing.is_empty() {
            match stream.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(write_failed(&error)),
                Poll::Pending => {
                    blocked = true;
                    break;
                }
            }
            let Some(text) = self.outgoing.pop_front() else { break };
            self.outgoing_bytes -= text.len();
            self.unflushed = true;
            if let Err(error) = stream.as_mut().start_send(Message::text(text)) {
                return Poll::Ready(write_failed(&error));
            }
        }
        if self.unflushed && !blocked {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(write_failed(&error)),
                Poll::Pending => blocked = true,
            }
        }
        if blocked { self.poll_stall(cx) } else { self.forget_stall() }
    }

    fn forget_stall(&mut self) -> Poll<TransportError> {
        self.stall = None;
        Poll::Pending
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        let (written, after) = (self.written.load(Relaxed), self.write_timeout);
        let stall = self.stall.get_or_insert_with(|| Stall { written, until: Box::pin(sleep(after)) });
        if stall.written != written {
            stall.written = written;
            stall.until.as_mut().reset(Instant::now() + after);
        }
        stall.until.as_mut().poll(cx).map(|()| TransportError::TimedOut { stage: Stage::Write, after })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        loop {
            let Poll::Ready(next) = self.stream.poll_next_unpin(cx) else { return Poll::Pending };
            return Poll::Ready(match next {
                Some(Ok(Message::Text(text))) => SocketEvent::Frame(text),
                Some(Ok(Message::Close(frame))) => {
                    // The answer that the protocol asks for; the peer's close counts with or without it.
                    let _ = Pin::new(&mut self.stream).poll_flush(cx);
                    let (code, reason) = frame.map_or((1005_u16, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    });
                    SocketEvent::Closed { code: u32::from(code), reason }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => SocketEvent::Failed(TransportError::failed(
                    Stage::Read,
                    "a binary frame came where only text is spoken",
                )),
                Some(Err(error)) => SocketEvent::Failed(TransportError::failed(Stage::Read, error)),
                None => SocketEvent::Closed { code: 1006, reason: String::new() },
            });
        }
    }

    /// Writes what is queued, says goodbye, and waits for the peer's goodbye; until `deadline` at most.
    ///
    /// A stream that is dropped while something unread lies in it is reset, and the reset would overtake the
    /// last frames: so it is read to its end.
    pub(crate) async fn close(mut self, code: u16, reason: &'static str, deadline: Instant) {
        let goodbye = async {
            while let Some(text) = self.outgoing.pop_front() {
                self.stream.feed(Message::text(text)).await?;
            }
            let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
            self.stream.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), WsError>(())
        };
        let _ = timeout_at(deadline, goodbye).await;
    }
}

fn write_failed(error: &WsError) -> TransportError {
    TransportError::failed(Stage::Write, error)
}
