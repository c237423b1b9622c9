//! A model of a server: logs, subscriptions, recovery and history as the protocol has them, in one place.

use super::{
    Dice,
    producers::{Producers, REMEMBERED, Stamp, Verdict},
};
use homing_core::ConnId;
use homing_core::wire::{self, *};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub enum Said {
    Frame(String),
    Close(u32, String),
}

#[derive(Default)]
struct Session {
    connected: bool,
    channels: BTreeSet<String>,
    next_ping: u64,
    /// When a ping has gone unanswered for too long.
    pong_by: Option<u64>,
}

#[derive(Clone, Default)]
pub struct Log {
    pub epoch: String,
    pub offset: u64,
    pub kept: VecDeque<(u64, String)>,
}

/// The model's wall clock at the beginning, Unix milliseconds.
pub const START: i64 = 1_700_000_000_000;

/// What the model does, to be set by a test.
#[derive(Clone)]
pub struct Behaviour {
    /// Seconds between pings; 0: none.
    pub ping: u32,
    /// Publications kept per channel.
    pub keep: usize,
    /// Most publications in one recovery and in one page.
    pub page: usize,
    pub positioned: bool,
    pub history_allowed: bool,
    pub cache: bool,
    /// In percent: a push is lost between the log and the client.
    pub lose_push: u64,
    /// In percent: a command is answered with a temporary error.
    pub stumble: u64,
    /// In percent: a command is never answered.
    pub swallow: u64,
    /// Error for every connect.
    pub refuse_connect: Option<ErrorReply<'static>>,
    /// Error for every subscribe.
    pub refuse_subscribe: Option<ErrorReply<'static>>,
    /// Lifetime of a connection's token in seconds; 0: for ever.
    pub ttl: u32,
    pub extras: bool,
    /// How long producers are known, in seconds; 0: not at all.
    pub window: u32,
    /// In percent: a publish is refused for good, after the record was asked.
    pub refuse_publish: u64,
}

pub struct Server {
    sessions: BTreeMap<ConnId, Session>,
    pub logs: BTreeMap<String, Log>,
    pub epochs: u64,
    pub said: Vec<(ConnId, Said)>,
    pub behaviour: Behaviour,
    /// Everything ever appended, by (epoch, offset): the truth to compare with.
    pub archive: BTreeMap<(String, String, u64), String>,
    pub connects: Vec<(u64, String)>,
    pub commands: Vec<(u64, String)>,
    pub server_side: Vec<String>,
    pub producers: Producers,
    /// Who every connection is.
    pub user: String,
    /// Ids in the order of each channel's log, over all its epochs.
    pub ids: BTreeMap<String, Vec<String>>,
}

impl Server {
    pub fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            logs: BTreeMap::new(),
            epochs: 0,
            said: Vec::new(),
            behaviour: Behaviour {
                ping: 25,
                keep: 10_000,
                page: 100,
                positioned: true,
                history_allowed: true,
                cache: false,
                lose_push: 0,
                stumble: 0,
                swallow: 0,
                refuse_connect: None,
                refuse_subscribe: None,
                ttl: 0,
                extras: true,
                window: 0,
                refuse_publish: 0,
            },
            archive: BTreeMap::new(),
            connects: Vec::new(),
            commands: Vec::new(),
            server_side: Vec::new(),
            producers: Producers::default(),
            user: String::new(),
            ids: BTreeMap::new(),
        }
    }

    pub fn log(&mut self, channel: &str) -> &mut Log {
        if !self.logs.contains_key(channel) {
            self.epochs += 1;
            let log = Log { epoch: format!("e{}", self.epochs), ..Log::default() };
            self.logs.insert(channel.into(), log);
        }
        self.logs.get_mut(channel).expect("just made")
    }

    /// Loses all data: channels begin anew.
    pub fn lose_data(&mut self) {
        self.logs.clear();
        self.producers.forget_all();
    }

    pub fn forget(&mut self, conn: ConnId) {
        self.sessions.remove(&conn);
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Ends every connection as a restart does.
    pub fn close_all(&mut self, code: u32) {
        for conn in core::mem::take(&mut self.sessions).into_keys() {
            self.said.push((conn, Said::Close(code, "restart".into())));
        }
    }

    pub fn push_all(&mut self, frame: &str) {
        for conn in self.sessions.keys() {
            self.said.push((*conn, Said::Frame(frame.into())));
        }
    }

    pub fn next_ping(&self) -> Option<u64> {
        let pinged = self.sessions.values().filter(|session| session.connected && self.behaviour.ping > 0);
        pinged.map(|session| session.pong_by.unwrap_or(u64::MAX).min(session.next_ping)).min()
    }

    pub fn ping_due(&mut self, now: u64) {
        for (conn, session) in &mut self.sessions {
            if session.connected && session.next_ping <= now {
                session.next_ping = now + u64::from(self.behaviour.ping) * 1000;
                session.pong_by.get_or_insert(now + 8_000);
                self.said.push((*conn, Said::Frame("{}".into())));
            }
        }
        let overdue = |session: &Session| session.pong_by.is_some_and(|at| at <= now);
        let silent: Vec<_> =
            self.sessions.iter().filter(|(_, session)| overdue(session)).map(|(conn, _)| *conn).collect();
        for conn in silent {
            self.sessions.remove(&conn);
            self.said.push((conn, Said::Close(3012, "no pong".into())));
        }
    }

    pub fn publish(
        &mut self,
        channel: &str,
        data: &str,
        skip: Option<ConnId>,
        dice: &mut Dice,
    ) -> (String, u64) {
        let keep = self.behaviour.keep;
        let log = self.log(channel);
        log.offset += 1;
        log.kept.push_back((log.offset, data.into()));
        while log.kept.len() > keep {
            log.kept.pop_front();
        }
        let (epoch, offset) = (log.epoch.clone(), log.offset);
        let before = self.archive.insert((channel.into(), epoch.clone(), offset), data.into());
        assert!(before.is_none(), "the model never names two payloads alike");
        let offset_told = if self.behaviour.positioned { offset } else { 0 };
        let publication =
            Publication { data: Some(Raw::trusted(data)), offset: offset_told, ..Publication::default() };
        let push = Reply::Push(Push { channel: channel.into(), event: PushEvent::Publication(publication) });
        let mut frame = String::new();
        json::encode_reply(&push, &mut frame);
        for (conn, session) in &self.sessions {
            if session.channels.contains(channel)
                && Some(*conn) != skip
                && !dice.chance(self.behaviour.lose_push)
            {
                self.said.push((*conn, Said::Frame(frame.clone())));
            }
        }
        (epoch, offset)
    }

    fn say(&mut self, conn: ConnId, id: u32, outcome: Outcome<'_>) {
        let mut frame = String::new();
        json::encode_reply(&Reply::Answer(Answer { id, outcome }), &mut frame);
        self.said.push((conn, Said::Frame(frame)));
    }

    pub fn handle_frame(&mut self, now: u64, conn: ConnId, frame: &str, dice: &mut Dice) {
        for command in json::commands(frame) {
            let command = command.expect("the client speaks the protocol");
            self.commands.push((now, format!("{:?}", command.request)));
            if let (Request::Pong, Some(session)) = (&command.request, self.sessions.get_mut(&conn)) {
                session.pong_by = None;
            }
            if dice.chance(self.behaviour.swallow) {
                continue;
            }
            self.handle(now, conn, command, dice);
        }
    }

    fn handle(&mut self, now: u64, conn: ConnId, command: Command<'_>, dice: &mut Dice) {
        let connected = self.sessions.get(&conn).is_some_and(|session| session.connected);
        let id = command.id;
        if let Request::Connect(connect) = &command.request {
            assert!(!connected, "one connect per socket");
            self.connects.push((now, connect.token.clone().into_owned()));
            return self.connect(now, conn, id, connect);
        }
        if !connected {
            return;
        }
        if dice.chance(self.behaviour.stumble)
            && !matches!(command.request, Request::Unsubscribe(_) | Request::Pong)
        {
            let reply = ErrorReply {
                code: 100,
                message: "stumbled".into(),
                temporary: true,
                ..ErrorReply::default()
            };
            return self.say(conn, id, Outcome::Error(reply));
        }
        match command.request {
            Request::Connect(_) | Request::Pong | Request::Send(_) => {}
            Request::Ping if self.behaviour.extras => self.say(conn, id, Outcome::Ping),
            Request::Ping => {
                // What a plain server does with a verb of the protocol's that it does not serve.
                self.sessions.remove(&conn);
                self.said.push((conn, Said::Close(3501, "bad request".into())));
            }
            Request::Subscribe(subscribe) => self.subscribe(conn, id, &subscribe),
            Request::Unsubscribe(unsubscribe) => {
                self.sessions.get_mut(&conn).expect("connected").channels.remove(&*unsubscribe.channel);
                self.say(conn, id, Outcome::Unsubscribe);
            }
            Request::Publish(publish) => self.on_publish(now, conn, id, &publish, dice),
            Request::History(history) => self.history(conn, id, &history),
            Request::Presence(_) => self.say(conn, id, Outcome::Presence(PresenceResult::default())),
            Request::PresenceStats(_) => {
                self.say(conn, id, Outcome::PresenceStats(PresenceStatsResult::default()))
            }
            Request::Rpc(rpc) => self.say(conn, id, Outcome::Rpc(RpcResult { data: rpc.data })),
            Request::Refresh(_) => {
                let (expires, ttl) = (self.behaviour.ttl > 0, self.behaviour.ttl);
                self.say(
                    conn,
                    id,
                    Outcome::Refresh(RefreshResult { expires, ttl, ..RefreshResult::default() }),
                );
            }
            Request::SubRefresh(_) => self.say(conn, id, Outcome::SubRefresh(SubRefreshResult::default())),
        }
    }

    fn on_publish(&mut self, now: u64, conn: ConnId, id: u32, publish: &Publish<'_>, dice: &mut Dice) {
        let channel = &*publish.channel;
        let data = publish.data.expect("data").as_str();
        let stamp = publish.homing.as_ref().map(|stamp| Stamp {
            producer: stamp.producer.to_string(),
            session: stamp.session,
            number: stamp.number,
            id: stamp.id.to_string(),
        });
        let stamp = stamp.filter(|_| self.behaviour.window > 0);
        let refused = dice.chance(self.behaviour.refuse_publish);
        let window = u64::from(self.behaviour.window) * 1000;
        let verdict = match &stamp {
            Some(stamp) => self.producers.judge(now, window, channel, stamp, refused),
            None if refused => Verdict::Refused,
            None => Verdict::Append,
        };
        let refusal =
            |code: u32, expected: u64| Outcome::Error(ErrorReply { code, expected, ..ErrorReply::default() });
        let epoch = self.log(channel).epoch.clone();
        let acked = |offset, duplicate, expected| {
            Outcome::Publish(PublishResult { epoch: epoch.into(), offset, time: 0, duplicate, expected })
        };
        let outcome = match verdict {
            Verdict::Append => {
                let (_, offset) = self.publish(channel, data, None, dice);
                let id = stamp.as_ref().map(|stamp| stamp.id.clone()).unwrap_or_default();
                self.ids.entry(channel.into()).or_default().push(id);
                if let Some(stamp) = &stamp {
                    self.producers.appended(channel, stamp, offset);
                }
                acked(offset, false, 0)
            }
            Verdict::Duplicate(offset, expected) => acked(offset, true, expected),
            Verdict::Fenced => refusal(300, 0),
            Verdict::Taken(expected) => refusal(301, expected),
            Verdict::OutOfOrder(expected) => refusal(302, expected),
            Verdict::Unknown => refusal(303, 0),
            Verdict::Refused => refusal(103, 0),
        };
        self.say(conn, id, outcome);
    }

    fn connect(&mut self, now: u64, conn: ConnId, id: u32, connect: &Connect<'_>) {
        if let Some(error) = self.behaviour.refuse_connect.clone() {
            return self.say(conn, id, Outcome::Error(error));
        }
        let ping = self.behaviour.ping;
        let mut session =
            Session { connected: true, next_ping: now + u64::from(ping) * 1000, ..Session::default() };
        session.channels.extend(self.server_side.iter().cloned());
        self.sessions.insert(conn, session);
        let names = self.server_side.clone();
        let subs = names.iter().map(|name| {
            let wanted = connect.subs.iter().find(|(other, _)| other == name).map(|(_, subscribe)| subscribe);
            (wire::Text::from(name.clone()), self.joined(name, wanted.unwrap_or(&Subscribe::default())))
        });
        let subs = subs.collect();
        let result = ConnectResult {
            client: format!("c{}", conn.0).into(),
            version: "model".into(),
            ping,
            pong: ping > 0,
            expires: self.behaviour.ttl > 0,
            ttl: self.behaviour.ttl,
            time: START + now as i64,
            homing: self.behaviour.extras.then(|| Extras {
                version: 1,
                capabilities: if self.behaviour.window > 0 { vec!["producers".into()] } else { Vec::new() },
                limits: Limits {
                    dedupe_window: self.behaviour.window,
                    in_flight: REMEMBERED as u32,
                    ..Limits::default()
                },
                user: self.user.clone().into(),
            }),
            subs,
            ..ConnectResult::default()
        };
        self.say(conn, id, Outcome::Connect(Box::new(result)));
    }

    fn subscribe(&mut self, conn: ConnId, id: u32, subscribe: &Subscribe<'_>) {
        if let Some(error) = self.behaviour.refuse_subscribe.clone() {
            return self.say(conn, id, Outcome::Error(error));
        }
        let session = self.sessions.get_mut(&conn).expect("connected");
        if !session.channels.insert(subscribe.channel.clone().into_owned()) {
            let error =
                ErrorReply { code: 105, message: "already subscribed".into(), ..ErrorReply::default() };
            return self.say(conn, id, Outcome::Error(error));
        }
        let result = self.joined(&subscribe.channel, subscribe);
        self.say(conn, id, Outcome::Subscribe(Box::new(result)));
    }

    fn joined(&mut self, channel: &str, subscribe: &Subscribe<'_>) -> SubscribeResult<'static> {
        let behaviour = self.behaviour.clone();
        let log = self.log(channel).clone();
        let mut result = SubscribeResult::default();
        if !behaviour.positioned {
            return result;
        }
        result.positioned = true;
        result.recoverable = true;
        result.epoch = log.epoch.clone().into();
        result.offset = log.offset;
        result.was_recovering = subscribe.recover;
        result.homing = behaviour.extras.then_some(Retention { size: 0, ttl: 0, cache: behaviour.cache });
        let missed: Vec<_> = if behaviour.cache {
            log.kept
                .iter()
                .rev()
                .take(1)
                .filter(|(offset, _)| subscribe.epoch != log.epoch || *offset > subscribe.offset)
                .collect()
        } else {
            log.kept.iter().filter(|(offset, _)| *offset > subscribe.offset).collect()
        };
        let whole = subscribe.epoch == log.epoch
            && missed.len() as u64 == log.offset.saturating_sub(subscribe.offset)
            && missed.len() <= behaviour.page;
        if subscribe.recover && (whole || behaviour.cache) {
            result.recovered = true;
            result.publications = missed.into_iter().map(owned).collect();
        }
        result
    }

    fn history(&mut self, conn: ConnId, id: u32, history: &History<'_>) {
        if !self.behaviour.history_allowed {
            let error =
                ErrorReply { code: 103, message: "permission denied".into(), ..ErrorReply::default() };
            return self.say(conn, id, Outcome::Error(error));
        }
        let page = self.behaviour.page;
        let log = self.log(&history.channel).clone();
        let since = history.since.clone();
        if since.as_ref().is_some_and(|since| since.epoch != log.epoch) {
            let error =
                ErrorReply { code: 112, message: "unrecoverable position".into(), ..ErrorReply::default() };
            return self.say(conn, id, Outcome::Error(error));
        }
        let limit = usize::try_from(history.limit).unwrap_or(page).min(page);
        let after = since.map_or(0, |since| since.offset);
        let publications =
            log.kept.iter().filter(|(offset, _)| *offset > after).take(limit).map(owned).collect();
        let result = HistoryResult { publications, epoch: log.epoch.into(), offset: log.offset };
        self.say(conn, id, Outcome::History(result));
    }
}

/// The model hands out copies; a payload lives as long as the process.
fn owned((offset, data): &(u64, String)) -> Publication<'static> {
    let data: &'static str = Box::leak(data.clone().into_boxed_str());
    Publication { data: Some(Raw::trusted(data)), offset: *offset, ..Publication::default() }
}
