//! The connection that hears what other nodes tell, and its supervisor.
//!
//! Owns which topics this node listens to. Nothing is resubscribed behind its back: after any doubt (the socket
//! ended, a beat went unanswered, Redis changed) it connects anew, listens to all topics again, and only then
//! tells the node to read on in the logs. The node's sink runs on this connection's task and must not block.

use super::{
    Shared,
    frame::{self, Told},
    link,
    request::{Answer, promise, reply},
};
use crate::engine::{Call, Channel, Doubt, EngineError, Sink};
use bytes::Bytes;
use foldhash::fast::RandomState;
use redis::{Client, Cmd, Pipeline, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

/// Topics in one command: all of them lie in one slot.
const TOPICS: usize = 256;
/// Wishes granted in one round trip.
const WISHES: usize = 1024;

/// What the node wishes of its topics.
pub(super) enum Wish {
    Listen(Channel, Answer<()>),
    Ignore(Channel, Answer<()>),
}

impl Wish {
    fn fail(self, error: EngineError) {
        let (Self::Listen(_, answer) | Self::Ignore(_, answer)) = self;
        reply(answer, Err(error));
    }
}

/// Takes wishes to the supervisor, in order.
#[derive(Clone)]
pub(super) struct Wishes {
    sender: mpsc::UnboundedSender<Wish>,
    waiting: Arc<AtomicUsize>,
}

/// Where the wishes arrive.
pub(super) struct Wished {
    receiver: mpsc::UnboundedReceiver<Wish>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn wishes() -> (Wishes, Wished) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Wishes { sender, waiting: Arc::clone(&waiting) }, Wished { receiver, waiting })
}

impl Wishes {
    /// Too many at a time are refused.
    pub(super) fn listen(&self, shared: &Shared, channel: Channel) -> Call<()> {
        if self.waiting.load(Ordering::Relaxed) >= shared.config.queue {
            return Call::Ready(Err(shared.away()));
        }
        self.send(|answer| Wish::Listen(channel, answer))
    }

    /// Never refused: no more than what is listened to can wait here.
    pub(super) fn ignore(&self, channel: Channel) -> Call<()> {
        self.send(|answer| Wish::Ignore(channel, answer))
    }

    fn send(&self, wish: impl FnOnce(Answer<()>) -> Wish) -> Call<()> {
        let (answer, call) = promise();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        drop(self.sender.send(wish(answer)));
        call
    }
}

impl Wished {
    async fn next(&mut self) -> Option<Wish> {
        let wish = self.receiver.recv().await;
        self.waiting.fetch_sub(usize::from(wish.is_some()), Ordering::Relaxed);
        wish
    }

    /// Several at once; none: nobody wishes any more.
    async fn next_ones(&mut self, wishes: &mut Vec<Wish>) -> usize {
        let count = self.receiver.recv_many(wishes, WISHES).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        count
    }
}

/// The supervisor of the topics.
pub(super) struct Topics {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) wishes: Wished,
    pub(super) wanted: hashbrown::HashSet<Channel, RandomState>,
}

/// The engine has been dropped.
struct Over;

/// A connection that is heard.
struct Ear {
    connection: MultiplexedConnection,
    lost: Arc<Notify>,
}

impl Topics {
    /// Runs until the engine is dropped.
    pub(super) async fn run(mut self) {
        let mut is_first = true;
        let mut tries = 0;
        loop {
            let heard = self.connect().await;
            let pause = match heard {
                Err(Over) => return,
                Ok(Ok(ear)) => {
                    tries = 0;
                    self.shared.hearing.send_replace(true);
                    if !is_first {
                        tracing::info!(channels = self.wanted.len(), "listening to Redis again");
                        self.shared.sink(|sink| sink.handle_doubt(Doubt::All));
                    }
                    is_first = false;
                    let served = self.serve(&ear).await;
                    self.shared.hearing.send_replace(false);
                    match served {
                        Err(Over) => return,
                        Ok(reason) => tracing::warn!(reason, "no longer hearing Redis, connecting anew"),
                    }
                    Duration::ZERO
                }
                Ok(Err(reason)) => {
                    if tries == 0 {
                        tracing::warn!(reason, "cannot listen to Redis, trying on");
                    }
                    tries += 1;
                    super::pause(tries)
                }
            };
            if self.refuse_while(tokio::time::sleep(pause)).await.is_err() {
                return;
            }
        }
    }

    /// Awaits something, and answers wishes meanwhile: nobody can be listened to.
    async fn refuse_while<T>(&mut self, until: impl Future<Output = T>) -> Result<T, Over> {
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                done = &mut until => return Ok(done),
                wish = self.wishes.next() => match wish {
                    None => return Err(Over),
                    Some(Wish::Listen(_, answer)) => reply(answer, Err(self.shared.away())),
                    Some(Wish::Ignore(channel, answer)) => {
                        self.wanted.remove(&channel);
                        reply(answer, Ok(()));
                    }
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Result<Ear, String>, Over> {
        let lost = Arc::new(Notify::new());
        let heard = hear(Arc::downgrade(&self.shared));
        let deadline = self.shared.config.deadline;
        let (client, ended) = (self.client.clone(), Arc::clone(&lost));
        let opening = async move { timeout(deadline, link::open(&client, ended, heard)).await };
        let connection = match self.refuse_while(opening).await? {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Ok(Err(error.to_string())),
            Err(_) => return Ok(Err("no connection in time".to_owned())),
        };
        let mut ear = Ear { connection, lost };
        let mut plain = redis::cmd("SUBSCRIBE");
        plain.arg(self.shared.keys.control()).arg(&*self.shared.beat_topic);
        let mut listening = vec![(plain, 2)];
        let mut by_partition: Vec<Vec<String>> = vec![Vec::new(); self.shared.keys.partitions().len()];
        for channel in &self.wanted {
            let partition = self.shared.keys.partition(channel);
            by_partition[partition].push(self.shared.keys.log(partition, channel));
        }
        for topics in by_partition {
            listening.extend(topics.chunks(TOPICS).map(|topics| command("SSUBSCRIBE", topics)));
        }
        for commands in listening.chunks(16) {
            if let Err(reason) = ear.send(commands, deadline).await {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(ear))
    }

    /// Grants wishes until there is a doubt; answers with its reason.
    async fn serve(&mut self, ear: &Ear) -> Result<String, Over> {
        let mut ear = Ear { connection: ear.connection.clone(), lost: Arc::clone(&ear.lost) };
        let shared = Arc::clone(&self.shared);
        let mut wishes = Vec::new();
        let mut beat = tokio::time::interval(shared.config.beat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ear.lost.notified() => return Ok("the connection ended".to_owned()),
                () = shared.relisten.notified() => return Ok("Redis has changed".to_owned()),
                count = self.wishes.next_ones(&mut wishes) => {
                    if count == 0 {
                        return Err(Over);
                    }
                    if let Err(reason) = self.grant(&mut ear, std::mem::take(&mut wishes)).await {
                        return Ok(reason);
                    }
                }
                _ = beat.tick() => {
                    if let Err(reason) = self.beat(&mut ear).await {
                        return Ok(reason);
                    }
                }
            }
        }
    }

    async fn grant(&mut self, ear: &mut Ear, wishes: Vec<Wish>) -> Result<(), String> {
        let mut commands: Vec<(&'static str, usize, Vec<String>)> = Vec::new();
        for wish in &wishes {
            let (name, channel) = match wish {
                Wish::Listen(channel, _) if self.wanted.insert(Arc::clone(channel)) => {
                    ("SSUBSCRIBE", channel)
                }
                Wish::Ignore(channel, _) if self.wanted.remove(channel) => ("SUNSUBSCRIBE", channel),
                Wish::Listen(..) | Wish::Ignore(..) => continue,
            };
            let partition = self.shared.keys.partition(channel);
            let topic = self.shared.keys.log(partition, channel);
            match commands.last_mut() {
                Some((last, at, topics)) if (*last, *at) == (name, partition) && topics.len() < TOPICS => {
                    topics.push(topic);
                }
                _ => commands.push((name, partition, vec![topic])),
            }
        }
        let commands: Vec<_> = commands.iter().map(|(name, _, topics)| command(name, topics)).collect();
        let granted = ear.send(&commands, self.shared.config.deadline).await;
        for wish in wishes {
            match (&granted, wish) {
                (Ok(()), Wish::Listen(_, answer) | Wish::Ignore(_, answer)) => reply(answer, Ok(())),
                (Err(_), wish) => {
                    if let Wish::Listen(channel, _) = &wish {
                        self.wanted.remove(channel);
                    }
                    wish.fail(EngineError::Deadline);
                }
            }
        }
        granted
    }

    /// Asks the connection whether it lives, and the Redis that takes publications whether it knows of it.
    async fn beat(&self, ear: &mut Ear) -> Result<(), String> {
        let deadline = self.shared.config.deadline;
        ear.send(&[(redis::cmd("PING"), 1)], deadline).await?;
        let Some(live) = self.shared.link.current() else { return Ok(()) };
        let mut beat = redis::cmd("PUBLISH");
        beat.arg(&*self.shared.beat_topic).arg("");
        let mut connection = live.connection.clone();
        match timeout(deadline, connection.send_packed_command(&beat)).await {
            Ok(Ok(Value::Int(0))) => {
                Err("the Redis that takes publications does not know this link".to_owned())
            }
            // Whatever else befell that connection is its own supervisor's affair.
            _ => Ok(()),
        }
    }
}

fn command(name: &str, topics: &[String]) -> (Cmd, usize) {
    let mut cmd = redis::cmd(name);
    cmd.arg(topics);
    (cmd, topics.len())
}

impl Ear {
    /// Sends commands and awaits so many confirmations of each.
    async fn send(&mut self, commands: &[(Cmd, usize)], deadline: Duration) -> Result<(), String> {
        if commands.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for (cmd, _) in commands {
            pipeline.add_command(cmd.clone());
        }
        let confirmations = commands.iter().map(|(_, count)| count).sum();
        match timeout(deadline, self.connection.send_packed_commands(&pipeline, 0, confirmations)).await {
            Ok(Ok(values)) => match values.iter().find(|value| matches!(value, Value::ServerError(_))) {
                Some(error) => Err(format!("Redis refused: {error:?}")),
                None => Ok(()),
            },
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// What to do with what Redis says by itself.
fn hear(shared: Weak<Shared>) -> impl Fn(PushInfo) + Send + Sync + 'static {
    move |info| {
        let Some(shared) = shared.upgrade() else { return };
        let mut data = info.data.into_iter();
        match (info.kind, data.next(), data.next()) {
            (PushKind::SMessage, Some(Value::BulkString(topic)), Some(Value::BulkString(frame))) => {
                let topic = std::str::from_utf8(&topic).ok();
                if let Some(channel) = topic.and_then(|topic| shared.keys.channel_of(topic)) {
                    shared.sink(|sink| hint(&shared, sink, channel, Bytes::from(frame)));
                }
            }
            (PushKind::Message, Some(Value::BulkString(topic)), Some(Value::BulkString(message)))
                if topic == shared.keys.control().as_bytes() =>
            {
                shared.sink(|sink| sink.handle_control(Bytes::from(message)));
            }
            _ => {}
        }
    }
}

fn hint(shared: &Shared, sink: &dyn Sink, channel: &str, frame: Bytes) {
    let whole = frame::decode(frame, |told| match told {
        Told::Hint(hint) => sink.handle_hint(channel, hint),
        Told::Behind(head) => {
            shared.saw(head.epoch);
            sink.handle_doubt(Doubt::Channels(vec![Arc::from(channel)]));
        }
    });
    if whole.is_none() {
        tracing::warn!(channel, "a frame on a topic cannot be read");
        sink.handle_doubt(Doubt::Channels(vec![Arc::from(channel)]));
    }
}
