//! The handle of a client: cheap to clone, talks to the driver over a queue, keeps no state of its own.

use crate::{
    BufferLimits, Call, ClientEvents, HistoryPage, Outbox,
    builder::Builder,
    call::{Admission, CallId},
    channel::Channel,
    decode::invalid_payload,
    driver::{Command, Hint, InterestId, Request},
    streams::feed,
};
use homing_core::{
    ConnectionState, Error, ErrorCode, Health, HistoryQuery, Reason, Response, Session, SubscribeOptions,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// A client of one server. Clones are the same client.
///
/// It does nothing until [`connect`](Self::connect), and ends with [`close`](Self::close) or when the last of
/// its handles, channels, streams of channels and pending calls is dropped.
#[derive(Clone)]
pub struct RealtimeClient {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles share: the way to the driver, and what it shows.
pub(crate) struct Shared {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) numbers: AtomicU64,
    pub(crate) admission: Arc<Admission>,
    /// Of the outbox.
    pub(crate) room: Arc<Admission>,
    pub(crate) max_message_bytes: usize,
    pub(crate) buffer: BufferLimits,
    /// Where the driver runs: its timers serve readers on other threads too.
    pub(crate) runtime: Handle,
    pub(crate) state: watch::Receiver<ConnectionState>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) retry_at: watch::Receiver<Option<Instant>>,
    pub(crate) protocol_errors: Arc<AtomicU64>,
}

impl Shared {
    /// Tells the driver something that has no answer; after the end nobody needs to know.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn interest(&self) -> InterestId {
        InterestId(self.number())
    }

    pub(crate) fn call<T>(
        self: &Arc<Self>,
        request: Result<Request, Error>,
        read: fn(Response) -> Result<T, Error>,
    ) -> Call<T> {
        let admitted = request.and_then(|request| {
            let permit = self.admission.admit(request.bytes())?;
            let (answer, receiver) = oneshot::channel();
            let id = CallId(self.number());
            let command = Command::Call { id, request, answer, permit };
            self.commands.send(command).map_err(|_| Error::new(ErrorCode::Closed))?;
            Ok((id, receiver))
        });
        match admitted {
            Ok((id, receiver)) => Call::waiting(self.clone(), id, receiver, read),
            Err(error) => Call::failed(error, read),
        }
    }

    /// The most bytes that a message may have, as far as it is known.
    pub(crate) fn max_message_bytes(&self) -> usize {
        match &*self.state.borrow() {
            ConnectionState::Connected(session) => session.max_message_bytes,
            ConnectionState::Disconnected { .. }
            | ConnectionState::Connecting { .. }
            | ConnectionState::Closed => self.max_message_bytes,
        }
    }

    pub(crate) fn history(self: &Arc<Self>, channel: &str, query: HistoryQuery) -> Call<HistoryPage> {
        self.call(Ok(Request::History { channel: channel.into(), query }), |response| match response {
            Response::History { messages, position } => Ok(HistoryPage { messages, position }),
            _ => Err(unexpected()),
        })
    }
}

/// The answer to a call was of another call's kind: a fault of the client's own, told instead of panicked.
pub(crate) fn unexpected() -> Error {
    Error::new(ErrorCode::Protocol).with_detail("the answer is of another kind")
}

pub(crate) fn encode(data: &(impl Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(data).map_err(|error| invalid_payload(&error))
}

impl RealtimeClient {
    /// Begins to build a client for `url`, an address such as `wss://example.org/connection/websocket`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(Some(url.into()))
    }

    /// Begins to build a client whose endpoints come from [`Builder::resolver`].
    pub fn resolving() -> Builder {
        Builder::new(None)
    }

    /// Wants to be connected from here on: the client connects, and reconnects for ever, until
    /// [`disconnect`](Self::disconnect) or a refusal that no retry can mend.
    ///
    /// # Errors
    /// [`ErrorCode::Closed`].
    pub fn connect(&self) -> Result<(), Error> {
        self.shared.commands.send(Command::Connect).map_err(|_| Error::new(ErrorCode::Closed))
    }

    /// Waits until the server has answered. Cancel-safe. It waits for ever while a connection is tried: put a
    /// timeout around it where that is too long.
    ///
    /// # Errors
    /// The reason where nothing is tried: [`connect`](Self::connect) was not called, the app disconnected, the
    /// server refused for good, or the client is closed.
    pub async fn connected(&self) -> Result<Session, Error> {
        self.settle_commands().await;
        let mut state = self.shared.state.clone();
        let settled = state.wait_for(|state| !matches!(state, ConnectionState::Connecting { .. })).await;
        match settled.as_deref() {
            Ok(ConnectionState::Connected(session)) => Ok(session.clone()),
            Ok(ConnectionState::Disconnected { reason }) => Err(refusal(reason)),
            Ok(ConnectionState::Connecting { .. } | ConnectionState::Closed) | Err(_) => {
                Err(Error::new(ErrorCode::Closed))
            }
        }
    }

    /// Waits until nothing is tried any more, and tells why: the app disconnected or closed the client, or the
    /// server or the token provider refused for good. Cancel-safe.
    pub async fn disconnected(&self) -> Error {
        self.settle_commands().await;
        let mut state = self.shared.state.clone();
        let ended = |state: &ConnectionState| {
            matches!(state, ConnectionState::Disconnected { .. } | ConnectionState::Closed)
        };
        match state.wait_for(ended).await.as_deref() {
            Ok(ConnectionState::Disconnected { reason }) => refusal(reason),
            _ => Error::new(ErrorCode::Closed),
        }
    }

    /// Returns when the driver has seen everything that was asked for before this call.
    async fn settle_commands(&self) {
        let (answer, seen) = oneshot::channel();
        self.shared.tell(Command::Snapshot { channel: Box::default(), answer });
        let _ = seen.await;
    }

    /// Wants to be disconnected. Calls that wait to be sent are rejected; channels stay wanted, and come back
    /// with the next [`connect`](Self::connect).
    pub fn disconnect(&self) {
        self.shared.tell(Command::Disconnect);
    }

    /// Ends the client. Calls under way may still settle for `deadline`; then those that are left are
    /// rejected, the socket is closed, and the client's task ends. Returns by the deadline, connected or not;
    /// a second call waits for the same end. Dropping the future does not stop the closing.
    ///
    /// With a durable storage, messages that have not settled by then are sent in the next life.
    pub async fn close(&self, deadline: Duration) {
        let _ = self.end(deadline, false).await;
    }

    /// The same, and erases what is stored of this user: messages that were not sent, positions, everything. A
    /// storage that was not opened yet is opened for it.
    ///
    /// # Errors
    /// [`ErrorCode::NotErased`]: the storage failed or did not answer in time, or nobody knows whose data it is
    /// (the server has not said it yet, and the builder was not given [`user`](crate::Builder::user)). The client
    /// is closed all the same.
    pub async fn close_and_forget(&self, deadline: Duration) -> Result<(), Error> {
        self.end(deadline, true).await
    }

    async fn end(&self, deadline: Duration, forget: bool) -> Result<(), Error> {
        let (done, ended) = oneshot::channel();
        self.shared.tell(Command::Close { deadline: Instant::now() + deadline, forget, done });
        let closed = |_| Err(Error::new(ErrorCode::NotErased).with_detail("the client was closed before"));
        ended.await.unwrap_or_else(closed)
    }

    /// The messages that were published and have not settled.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.shared.clone())
    }

    /// A handle of a channel. It subscribes nothing: reading from it and [`Channel::join`] do.
    #[must_use]
    pub fn channel(&self, name: impl Into<Box<str>>) -> Channel {
        self.channel_with(name, SubscribeOptions::default())
    }

    /// A handle of a channel with options. All handles of one channel must have the same, or reading from
    /// the later one is a typed error.
    #[must_use]
    pub fn channel_with(&self, name: impl Into<Box<str>>, options: SubscribeOptions) -> Channel {
        Channel::new(self.shared.clone(), name.into(), options)
    }

    /// What happens to the client from here on.
    #[must_use]
    pub fn events(&self) -> ClientEvents {
        let (sender, receiver) = feed(self.shared.buffer);
        self.shared.tell(Command::Watch(sender));
        ClientEvents(receiver)
    }

    /// State of the connection.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.shared.state.borrow().clone()
    }

    /// State of the connection, to wait for changes of it. Fast changes may be seen as one.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.clone()
    }

    /// How often the server has sent what the protocol does not allow; each time the connection was made anew.
    #[must_use]
    pub fn protocol_errors(&self) -> u64 {
        self.shared.protocol_errors.load(Ordering::Relaxed)
    }

    /// How the connection looks to a person: a short cut does not show.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.shared.health.borrow()
    }

    /// The health, to wait for changes of it.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared.health.clone()
    }

    /// When the next attempt to connect starts; `None`: none is waited for.
    #[must_use]
    pub fn retry_at(&self) -> Option<std::time::Instant> {
        self.shared.retry_at.borrow().map(Instant::into_std)
    }

    /// Tells the client what the app knows about the network. It shortens waits and starts probes.
    pub fn hint(&self, hint: Hint) {
        self.shared.tell(Command::Hint(hint));
    }

    /// Calls a procedure of the server.
    ///
    /// Settles with the result, with the server's error, with [`ErrorCode::NotSent`], or with
    /// [`ErrorCode::OutcomeUnknown`] where the connection broke in between.
    pub fn rpc<R: DeserializeOwned>(&self, method: &str, data: &(impl Serialize + ?Sized)) -> Call<R> {
        let request = encode(data).map(|data| Request::Rpc { method: method.into(), data });
        self.shared.call(request, |response| match response {
            Response::Rpc(json) => crate::Decode::decode(&json),
            _ => Err(unexpected()),
        })
    }

    /// Sends a message to the server that it does not answer. Settles when the message was handed to the
    /// socket: it may still be lost.
    pub fn send(&self, data: &(impl Serialize + ?Sized)) -> Call<()> {
        let request = encode(data).map(|data| Request::Send { data });
        self.shared.call(request, |response| match response {
            Response::Sent => Ok(()),
            _ => Err(unexpected()),
        })
    }
}

impl std::fmt::Debug for RealtimeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealtimeClient").field("state", &*self.shared.state.borrow()).finish_non_exhaustive()
    }
}

fn refusal(reason: &Reason) -> Error {
    let code = match reason.code {
        0..10 => ErrorCode::Disconnected,
        100..2000 => ErrorCode::from_number(reason.code).unwrap_or(ErrorCode::Application),
        number => ErrorCode::from_number(number).unwrap_or(ErrorCode::ClosedByServer),
    };
    Error { number: reason.code, ..Error::new(code).with_detail(&reason.text) }
}
