//! The fast lane and the ordinary one are two ways to the same state: a host that takes the one sees what a host
//! that takes the other sees.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use support::{
    Dice,
    desk::{Desk, config, page},
};

/// What a host tells its app: events, and messages from whichever lane.
#[derive(Debug, PartialEq)]
enum Told {
    Event(Event),
    Message(ChannelKey, u64),
    Settled(RequestId, bool),
    Frame(String),
    Other(String),
}

/// A client in a host that offers publications to the fast lane first, or does not.
struct Host {
    client: RealtimeClient,
    fast: bool,
    taken: u32,
    told: Vec<Told>,
    /// Commands that no server has answered.
    unserved: Vec<Value>,
}

impl Host {
    fn new(config: Config, fast: bool) -> Self {
        let client = RealtimeClient::new(config, [3; 32], Instant::from_millis(0));
        Self { client, fast, taken: 0, told: Vec::new(), unserved: Vec::new() }
    }

    fn run<T>(&mut self, command: impl FnOnce(&mut RealtimeClient) -> T) -> T {
        let result = command(&mut self.client);
        while let Some(output) = self.client.poll_output() {
            self.told.push(match output {
                Output::Event(Event::Channel { channel, event: ChannelEvent::Message(message) }) => {
                    Told::Message(channel, message.offset)
                }
                Output::Event(event) => Told::Event(event),
                Output::Settled { request, result } => Told::Settled(request, result.is_ok()),
                Output::SendFrame { text, .. } => {
                    self.unserved
                        .extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
                    Told::Frame(text)
                }
                other => Told::Other(format!("{other:?}")),
            });
        }
        result
    }

    fn publication(&mut self, now: Instant, conn: ConnId, channel: (&str, ChannelKey), offset: u64) {
        if self.fast && self.client.advance(now, conn, channel.1, offset) {
            self.taken += 1;
            assert_eq!(self.client.poll_output(), None, "the fast lane orders nothing");
            return self.told.push(Told::Message(channel.1, offset));
        }
        let text = json!({"push": {"channel": channel.0, "pub": {"data": 1, "offset": offset}}}).to_string();
        self.run(|client| client.handle_input(now, Input::FrameReceived { conn, text: &text }));
    }
}

/// Both hosts, side by side in the same story.
struct Pair {
    now: u64,
    hosts: [Host; 2],
    conn: ConnId,
}

impl Pair {
    fn each<T: PartialEq + std::fmt::Debug>(&mut self, act: impl Fn(&mut RealtimeClient, Instant) -> T) -> T {
        let now = Instant::from_millis(self.now);
        let [slow, fast] = self.hosts.each_mut().map(|host| host.run(|client| act(client, now)));
        assert_eq!(slow, fast);
        slow
    }

    fn frame(&mut self, text: &str) {
        let conn = self.conn;
        self.each(|client, now| client.handle_input(now, Input::FrameReceived { conn, text }));
    }

    /// Answers what waits for an answer, as a server whose channels stand at `top`.
    fn serve(&mut self, top: u64, cache: bool) {
        let [lines, _] = self.hosts.each_mut().map(|host| core::mem::take(&mut host.unserved));
        for line in lines {
            let id = &line["id"];
            if line.get("subscribe").is_some() {
                let homing = json!({"cache": cache});
                let result = json!({"recoverable": true, "epoch": "e", "offset": top, "homing": homing});
                self.frame(&json!({"id": id, "subscribe": result}).to_string());
            } else if let Some(history) = line.get("history") {
                let since = history["since"]["offset"].as_u64().unwrap_or(0);
                let publications = page(since + 1..=top);
                let result = json!({"publications": publications, "epoch": "e", "offset": top});
                self.frame(&json!({"id": id, "history": result}).to_string());
            } else if line.get("unsubscribe").is_some() {
                self.frame(&json!({"id": id, "unsubscribe": {}}).to_string());
            }
        }
    }

    fn check(&self) {
        let [slow, fast] = &self.hosts;
        assert_eq!(slow.told, fast.told);
        assert_eq!(slow.client.poll_timeout(), fast.client.poll_timeout());
        assert_eq!(slow.client.connection(), fast.client.connection());
    }
}

fn pair() -> Pair {
    let hosts = [false, true].map(|fast| Host::new(Config { max_held: 8, ..config() }, fast));
    let mut pair = Pair { now: 0, hosts, conn: ConnId(1) };
    pair.each(|client, now| client.connect(now)).expect("connect");
    pair.connect();
    pair
}

impl Pair {
    fn connect(&mut self) {
        let conn = self.conn;
        self.hosts.iter_mut().for_each(|host| host.unserved.clear());
        self.each(|client, now| client.handle_input(now, Input::SocketOpened { conn }));
        self.frame(r#"{"id":1,"connect":{"client":"c","ping":25,"pong":true,"homing":{"version":1}}}"#);
    }
}

#[test]
fn both_lanes_give_the_same_events_and_the_same_state() {
    let mut taken = 0;
    for seed in 0..500 {
        let mut dice = Dice::new(seed);
        let mut pair = pair();
        let cache = dice.chance(30);
        let mut top = 0;
        let mut handles = Vec::new();
        let mut key = None;
        for _ in 0..80 {
            match dice.below(12) {
                0 => {
                    let (handle, joined) = pair
                        .each(|client, now| client.subscribe(now, "a", &SubscribeOptions::default()))
                        .expect("subscribe");
                    handles.push(handle);
                    key = Some(joined);
                }
                1 => {
                    if let Some(handle) = handles.pop() {
                        pair.each(|client, now| client.unsubscribe(now, handle));
                    }
                }
                2 => {
                    let old = pair.conn;
                    pair.each(|client, now| {
                        client.handle_input(now, Input::SocketClosed { conn: old, code: 3001, reason: "" })
                    });
                    pair.now += 5_000;
                    pair.each(RealtimeClient::handle_timeout);
                    pair.conn = ConnId(old.0 + 1);
                    pair.connect();
                }
                3 => pair.frame("{}"),
                4 => {
                    pair.now += dice.below(40_000);
                    pair.frame("{}");
                    pair.each(RealtimeClient::handle_timeout);
                    // A request may have gone unanswered for too long, and the connection with it.
                    if !matches!(pair.hosts[0].client.connection(), ConnectionState::Connected(_)) {
                        break;
                    }
                }
                5 => pair.serve(top, cache),
                what => {
                    let offset = match what {
                        6 => dice.below(top + 3),
                        7 => 0,
                        8 => top + 2,
                        _ => top + 1,
                    };
                    top = top.max(offset);
                    let (conn, now) = (pair.conn, Instant::from_millis(pair.now));
                    if let Some(key) = key {
                        for host in &mut pair.hosts {
                            host.publication(now, conn, ("a", key), offset);
                        }
                    }
                }
            }
            pair.check();
            if let Some(key) = key {
                pair.each(|client, _| client.subscription(key));
            }
        }
        taken += pair.hosts[1].taken;
    }
    assert!(taken > 1_000, "the fast lane was used: {taken}");
}

#[test]
fn the_fast_lane_takes_the_next_message_of_a_live_channel_and_nothing_else() {
    let (mut desk, handle, key) = Desk::in_channel("a", 5);
    let conn = desk.conn.expect("a socket");
    let advance =
        |desk: &mut Desk, conn, key, offset| desk.run(|client, now| client.advance(now, conn, key, offset));
    assert!(!advance(&mut desk, conn, key, 5), "seen");
    assert!(!advance(&mut desk, conn, key, 7), "behind a hole");
    assert!(!advance(&mut desk, conn, ChannelKey(99), 6), "of no channel");
    assert!(!advance(&mut desk, ConnId(conn.0 - 1), key, 6), "of an old socket");
    assert_eq!(desk.client.subscription(key).position, Some(support::desk::at("e1", 5)));
    assert!(advance(&mut desk, conn, key, 6));
    assert!(!advance(&mut desk, conn, key, 6), "twice");
    desk.publication("a", 9);
    assert!(!advance(&mut desk, conn, key, 7), "history is being read: it is held back");
    let id = desk.take("history").0;
    desk.answer(id, "history", json!({"publications": page(7..=9), "epoch": "e1", "offset": 9}));
    assert!(advance(&mut desk, conn, key, 10));
    desk.unsubscribe(handle);
    assert!(!advance(&mut desk, conn, key, 11), "nobody holds it");
    desk.closed_by_peer(1006);
    assert!(!advance(&mut desk, conn, key, 11), "there is no connection");
}

#[test]
fn the_fast_lane_proves_the_peer_alive() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    let conn = desk.conn.expect("a socket");
    for offset in 1..=100 {
        desk.pass(3_000);
        assert!(desk.run(|client, now| client.advance(now, conn, key, offset)));
    }
    assert!(desk.is_connected() && desk.sockets.len() == 1);
}
