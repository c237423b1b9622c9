//! A server small enough to be scripted: one log per channel, written with the wire types of the core.
//!
//! It stands in for a real server where a test must decide what the server does: when it falls silent, what
//! its history still has, and when a socket is cut.
#![allow(dead_code, reason = "every test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use homing::{
    BoxedIo, Builder, ClientEvent, ClientEvents, Connector, RealtimeClient, Target, TransportError,
};
use homing_core::wire::{
    Answer, Command, ConnectResult, ErrorCode, ErrorReply, HistoryResult, Outcome, Publication,
    PublishResult, Push, PushEvent, Raw, Reply, Request, SubscribeResult, Unsubscribed, json,
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{DuplexStream, duplex},
    net::TcpListener,
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

/// Long enough for any machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `work`, not for ever.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it should have happened by now")
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A client that is quick to try again.
pub(crate) fn quick(url: impl Into<String>) -> Builder {
    RealtimeClient::builder(url).configure(|config| {
        config.backoff_floor = Duration::from_millis(10);
        config.backoff_base = Duration::from_millis(10);
        config.backoff_cap = Duration::from_millis(50);
        config.linger = Duration::from_millis(10);
    })
}

/// A connector whose streams lead to the test itself, through pipes that hold `capacity` bytes each way.
pub(crate) fn pipes(capacity: usize) -> (impl Connector, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, streams) = mpsc::unbounded_channel();
    let connector = move |_target: Target| {
        let (near, far) = duplex(capacity);
        let handed = sender.send(far).map_err(|_| io::Error::other("the test is over"));
        async move { handed.map(|()| Box::new(near) as BoxedIo) }
    };
    (connector, streams)
}

/// Waits for the client to tell what broke in its transport.
pub(crate) async fn fault(events: &mut ClientEvents) -> TransportError {
    soon(async {
        loop {
            if let ClientEvent::Transport(error) = events.next().await.expect("an event").expect("no lag") {
                return error;
            }
        }
    })
    .await
}

/// One accepted socket, to be scripted by hand.
pub(crate) struct Conn {
    pub(crate) socket: WebSocketStream<BoxedIo>,
}

impl Conn {
    pub(crate) async fn accept(io: BoxedIo) -> Self {
        Self { socket: soon(accept_async(io)).await.expect("an upgrade") }
    }

    /// The next frame; `None`: the client is gone.
    pub(crate) async fn frame(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn say(&mut self, reply: Reply<'_>) {
        let mut frame = String::new();
        json::encode_reply(&reply, &mut frame);
        let _ = self.socket.send(Message::text(frame)).await;
    }

    /// Says something that nobody asked for.
    pub(crate) async fn tell(&mut self, channel: &str, event: PushEvent<'_>) {
        self.say(Reply::Push(Push { channel: channel.into(), event })).await;
    }

    /// Takes the next command and refuses it.
    pub(crate) async fn refuse(&mut self, code: ErrorCode) {
        let frame = soon(self.frame()).await.expect("a command");
        let id = json::commands(&frame).next().unwrap().unwrap().id;
        let outcome = Outcome::Error(ErrorReply { code: code.code(), ..ErrorReply::default() });
        self.say(Reply::Answer(Answer { id, outcome })).await;
    }

    /// Takes the connect command and answers it.
    pub(crate) async fn greet(&mut self, result: ConnectResult<'_>) {
        let frame = soon(self.frame()).await.expect("a connect command");
        let command = json::commands(&frame).next().unwrap().unwrap();
        assert!(matches!(command.request, Request::Connect(_)), "{frame}");
        self.say(Reply::Answer(Answer { id: command.id, outcome: Outcome::Connect(Box::new(result)) })).await;
    }
}

#[derive(Default)]
struct Log {
    /// Offset of the first one that is kept, from 1.
    first: u64,
    kept: Vec<String>,
    head: u64,
}

pub(crate) struct Behaviour {
    pub(crate) epoch: String,
    pub(crate) positioned: bool,
    /// The answer to every history command, where it is refused.
    pub(crate) history: Option<ErrorCode>,
    /// The answer to every subscribe command, where it is refused.
    pub(crate) subscribe: Option<ErrorCode>,
    /// Most publications in one page.
    pub(crate) page: usize,
    /// Publishes are taken, but not answered.
    pub(crate) mute: bool,
    logs: BTreeMap<String, Log>,
    /// Subscription tokens in the order in which they came.
    pub(crate) tokens: Vec<String>,
    /// Verbs in the order in which they came.
    pub(crate) seen: Vec<String>,
    pub(crate) connections: u32,
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    live: broadcast::Sender<String>,
    cuts: watch::Sender<u64>,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour {
                epoch: "e1".into(),
                positioned: true,
                history: None,
                subscribe: None,
                page: 100,
                mute: false,
                logs: BTreeMap::new(),
                tokens: Vec::new(),
                seen: Vec::new(),
                connections: 0,
            }),
            live: broadcast::channel(100_000).0,
            cuts: watch::channel(0).0,
        });
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Box::new(stream), serving.clone()));
            }
        });
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    /// Serves a stream that was accepted elsewhere.
    pub(crate) fn door(&self) -> impl Fn(BoxedIo) -> BoxFuture<'static, ()> + Clone + Send + 'static {
        let shared = self.shared.clone();
        move |io| serve(io, shared.clone()).boxed()
    }

    pub(crate) fn client(&self) -> RealtimeClient {
        quick(self.url()).build().unwrap()
    }

    pub(crate) fn behave(&self) -> MutexGuard<'_, Behaviour> {
        self.shared.behaviour.lock().unwrap()
    }

    pub(crate) fn seen(&self, verb: &str) -> usize {
        self.behave().seen.iter().filter(|seen| seen.as_str() == verb).count()
    }

    /// Appends a message and hands it to every connection.
    pub(crate) fn publish(&self, channel: &str, data: &str) -> u64 {
        self.shared.append(channel, data, true)
    }

    /// Appends a message that no live connection hears of.
    pub(crate) fn append(&self, channel: &str, data: &str) -> u64 {
        self.shared.append(channel, data, false)
    }

    /// Forgets everything but the newest `count` messages.
    pub(crate) fn trim(&self, channel: &str, count: usize) {
        let mut behaviour = self.behave();
        let log = behaviour.logs.get_mut(channel).expect("a channel with messages");
        let gone = log.kept.len().saturating_sub(count);
        log.kept.drain(..gone);
        log.first += gone as u64;
    }

    /// Cuts every connection without a goodbye.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// Takes the subscription of a channel away from everybody.
    pub(crate) fn unsubscribe(&self, channel: &str, code: u32) {
        let event = PushEvent::Unsubscribed(Unsubscribed { code, reason: "go away".into() });
        self.shared.tell(&Reply::Push(Push { channel: channel.into(), event }));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Shared {
    fn tell(&self, reply: &Reply<'_>) {
        let mut frame = String::new();
        json::encode_reply(reply, &mut frame);
        let _ = self.live.send(frame);
    }

    fn append(&self, channel: &str, data: &str, live: bool) -> u64 {
        let mut behaviour = self.behaviour.lock().unwrap();
        let positioned = behaviour.positioned;
        let log = behaviour.logs.entry(channel.into()).or_insert_with(|| Log { first: 1, ..Log::default() });
        log.head += 1;
        log.kept.push(data.into());
        let offset = log.head;
        if live {
            let publication = Publication {
                data: Some(Raw::trusted(data)),
                offset: if positioned { offset } else { 0 },
                ..Publication::default()
            };
            let event = PushEvent::Publication(publication);
            self.tell(&Reply::Push(Push { channel: channel.into(), event }));
        }
        offset
    }
}

async fn serve(io: BoxedIo, shared: Arc<Shared>) {
    let (mut live, mut cuts) = (shared.live.subscribe(), shared.cuts.subscribe());
    let Ok(mut socket) = accept_async(io).await else { return };
    shared.behaviour.lock().unwrap().connections += 1;
    cuts.mark_unchanged();
    loop {
        tokio::select! {
            biased;
            _ = cuts.changed() => return,
            frame = socket.next() => {
                let Some(Ok(Message::Text(frame))) = frame else { return };
                for command in json::commands(&frame) {
                    let answer = answer(&shared, &command.expect("a well-formed command"));
                    if let Some(answer) = answer && socket.send(Message::text(answer)).await.is_err() {
                        return;
                    }
                }
            }
            Ok(push) = live.recv() => {
                if socket.send(Message::text(push)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn answer(shared: &Shared, command: &Command<'_>) -> Option<String> {
    let mut behaviour = shared.behaviour.lock().unwrap();
    let verb = format!("{:?}", command.request);
    behaviour.seen.push(verb.split(['(', ' ']).next().unwrap_or_default().to_lowercase());
    let error = |code: ErrorCode| {
        Outcome::Error(ErrorReply { code: code.code(), message: "no".into(), ..ErrorReply::default() })
    };
    let outcome = match &command.request {
        Request::Connect(_) => {
            Outcome::Connect(Box::new(ConnectResult { client: "c".into(), ..Default::default() }))
        }
        Request::Subscribe(_) if behaviour.subscribe.is_some() => error(behaviour.subscribe?),
        Request::Subscribe(subscribe) => {
            behaviour.tokens.push(subscribe.token.to_string());
            let head = behaviour.logs.get(&*subscribe.channel).map_or(0, |log| log.head);
            let positioned = behaviour.positioned;
            Outcome::Subscribe(Box::new(SubscribeResult {
                positioned,
                recoverable: positioned,
                epoch: if positioned { behaviour.epoch.clone().into() } else { "".into() },
                offset: if positioned { head } else { 0 },
                was_recovering: subscribe.recover,
                ..SubscribeResult::default()
            }))
        }
        Request::Unsubscribe(_) => Outcome::Unsubscribe,
        Request::Publish(_) if behaviour.mute => return None,
        Request::Publish(publish) => {
            let (epoch, positioned) = (behaviour.epoch.clone(), behaviour.positioned);
            drop(behaviour);
            let offset = shared.append(&publish.channel, publish.data?.as_str(), true);
            let result = PublishResult {
                offset: if positioned { offset } else { 0 },
                epoch: epoch.into(),
                time: 7,
                ..PublishResult::default()
            };
            return Some(encode(command.id, Outcome::Publish(result)));
        }
        Request::History(_) if behaviour.history.is_some() => error(behaviour.history?),
        Request::History(history) => {
            let (limit, epoch) = (history.limit, behaviour.epoch.clone());
            if history.since.as_ref().is_some_and(|since| *since.epoch != *epoch) {
                return Some(encode(command.id, error(ErrorCode::UnrecoverablePosition)));
            }
            let most = behaviour.page.min(usize::try_from(limit).unwrap_or(usize::MAX));
            let nothing = Log::default();
            let log = behaviour.logs.get(&*history.channel).unwrap_or(&nothing);
            let since = history.since.as_ref().map(|since| since.offset);
            let all = log.kept.iter().zip(log.first..).map(|(data, offset)| Publication {
                data: Some(Raw::trusted(data)),
                offset,
                ..Publication::default()
            });
            let publications = if history.reverse {
                let before = since.unwrap_or(u64::MAX);
                let mut older: Vec<_> = all.filter(|publication| publication.offset < before).collect();
                older.reverse();
                older.truncate(most);
                older
            } else {
                all.filter(|publication| publication.offset > since.unwrap_or(0)).take(most).collect()
            };
            let result = HistoryResult { publications, epoch: epoch.into(), offset: log.head };
            return Some(encode(command.id, Outcome::History(result)));
        }
        Request::Ping => Outcome::Ping,
        Request::Rpc(rpc) => Outcome::Rpc(homing_core::wire::RpcResult { data: rpc.data }),
        _ => return None,
    };
    Some(encode(command.id, outcome))
}

fn encode(id: u32, outcome: Outcome<'_>) -> String {
    let mut frame = String::new();
    json::encode_reply(&Reply::Answer(Answer { id, outcome }), &mut frame);
    frame
}
