//! A server that means harm, or is broken: the client neither panics, nor spins, nor grows, nor tells the app what
//! cannot be; and when the server is well again, so is the client.

mod support;

use homing_core::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{
    Dice,
    desk::{Desk, at, config, page},
};

const HUGE: u64 = (1 << 53) - 1;

#[test]
fn a_frame_that_is_not_the_protocol_renews_the_connection_with_a_wait() {
    let deep = format!("{{\"push\":{{\"pub\":{{\"data\":{}{}}}}}}}", "[".repeat(200), "]".repeat(200));
    for frame in [
        "",
        " ",
        "\n\n",
        "null",
        "[]",
        "{",
        "}",
        "{}}",
        "\u{0}",
        "hello",
        r#"{"id":-1,"publish":{}}"#,
        r#"{"id":4294967296,"publish":{}}"#,
        r#"{"id":1.5}"#,
        r#"{"push":{"channel":"a","pub":{"data":1,"offset":9007199254740992}}}"#,
        r#"{"push":{"channel":"a","pub":{"data":1,"offset":-1}}}"#,
        r#"{"push":{"channel":7,"pub":{"data":1}}}"#,
        r#"{"push":{"channel":"a","pub":{"data":undefined}}}"#,
        r#"{"push":[]}"#,
        deep.as_str(),
    ] {
        let (mut desk, _, key) = Desk::in_channel("a", 0);
        desk.frame(frame);
        if desk.is_connected() {
            assert!(frame.trim().is_empty(), "{frame:?} is no frame");
            continue;
        }
        assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()), "{frame:?}");
        assert!(
            matches!(desk.events.first(), Some(Event::Error(error)) if error.code == ErrorCode::Protocol)
        );
        assert!(desk.conn.is_none(), "not at once");
        desk.until_socket(2_000);
        desk.accept();
        desk.confirm("a", "e1", 0);
        assert_eq!((desk.offsets(key).len(), desk.gaps(key).len()), (0, 0));
    }
}

#[test]
fn what_stood_before_the_garbage_in_a_frame_counts_and_what_follows_does_not() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    let publication =
        |offset: u64| format!(r#"{{"push":{{"channel":"a","pub":{{"data":1,"offset":{offset}}}}}}}"#);
    desk.frame(&format!("{}\n{{garbage\n{}", publication(1), publication(2)));
    assert_eq!(desk.offsets(key), [1]);
    assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()));
}

#[test]
fn what_stood_before_a_disconnect_in_a_frame_counts_and_what_follows_does_not() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    desk.frame(concat!(
        r#"{"push":{"channel":"a","pub":{"data":1,"offset":1}}}"#,
        r#"{"push":{"disconnect":{"code":3001}}}"#,
        r#"{"push":{"channel":"a","pub":{"data":2,"offset":2}}}"#
    ));
    assert_eq!((desk.offsets(key), desk.trouble()), (vec![1], Some(3001)));
}

#[test]
fn answers_to_what_was_never_asked_change_nothing() {
    let (mut desk, _, key) = Desk::in_channel("a", 0);
    for id in [0, 1, 99, u64::from(u32::MAX)] {
        for verb in
            ["connect", "subscribe", "unsubscribe", "publish", "history", "refresh", "sub_refresh", "ping"]
        {
            desk.answer(id, verb, json!({"expires": true, "ttl": 1, "epoch": "x", "offset": 99}));
        }
        desk.refuse(id, 103);
    }
    desk.pass(3_000);
    assert!(desk.events.is_empty() && desk.is_connected(), "{:?}", desk.events);
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 0)));
}

#[test]
fn pushes_before_the_answer_to_connect_are_not_believed() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.open();
    desk.say(json!({"push": {"channel": "news", "subscribe": {"recoverable": true, "epoch": "e"}}}));
    desk.say(json!({"push": {"message": {"data": 1}}}));
    desk.say(json!({"push": {"refresh": {"expires": true, "ttl": 1}}}));
    desk.frame("{}");
    assert!(desk.events.iter().all(|event| matches!(event, Event::Connection(_))), "{:?}", desk.events);
    assert_eq!(desk.pongs(), 0);
}

#[test]
fn answers_of_another_kind_renew_the_connection() {
    let verbs =
        ["connect", "subscribe", "unsubscribe", "publish", "presence", "history", "ping", "rpc", "refresh"];
    for verb in verbs.into_iter().filter(|verb| *verb != "connect") {
        let mut desk = Desk::new(config());
        desk.connect();
        desk.open();
        let id = desk.take("connect").0;
        desk.answer(id, verb, json!({}));
        assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()), "{verb} for connect");
    }
    for verb in verbs.into_iter().filter(|verb| *verb != "subscribe") {
        let mut desk = Desk::connected(config());
        let (_, key) = desk.subscribe("a");
        let id = desk.take("subscribe").0;
        desk.answer(id, verb, json!({}));
        assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()), "{verb} for subscribe");
        assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
    }
    for verb in verbs.into_iter().filter(|verb| *verb != "history") {
        let (mut desk, _, key) = Desk::in_channel("a", 0);
        desk.publication("a", 3);
        let id = desk.take("history").0;
        desk.answer(id, verb, json!({}));
        assert_eq!(desk.trouble(), Some(ErrorCode::Protocol.number()), "{verb} for history");
        assert!(desk.offsets(key).is_empty());
    }
}

#[test]
fn the_largest_numbers_are_borne() {
    let mut desk = Desk::new(config());
    desk.connect();
    let most = u32::MAX;
    let limits = json!({"message_bytes": most, "frame_bytes": most, "channels": most, "history_page": most});
    desk.accept_with(json!({"ping": most, "expires": true, "ttl": most, "time": HUGE,
        "homing": {"version": most, "limits": limits}}));
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    desk.answer(
        id,
        "subscribe",
        json!({"recoverable": true, "epoch": "e1", "offset": HUGE, "expires": true, "ttl": most}),
    );
    desk.publication("a", HUGE);
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", HUGE)));
    let (_, other) = desk.subscribe("b");
    desk.confirm("b", "e1", 0);
    desk.publication("b", HUGE);
    let id = desk.take("history").0;
    desk.answer(id, "history", json!({"publications": page([HUGE]), "epoch": "e1", "offset": HUGE}));
    assert_eq!(desk.offsets(other), [HUGE]);
    assert_eq!(desk.gaps(other).first().map(|gap| gap.to.offset), Some(HUGE - 1));
    desk.say(json!({"push": {"disconnect": {"code": 3001, "retry_after": most}}}));
    desk.pass(86_400_000);
    assert!(desk.conn.is_none(), "a pause of 49 days is what the server wished");
    desk.disconnect();
    desk.connect();
    desk.accept();
}

#[test]
fn offsets_out_of_order_in_a_recovery_or_a_page_are_never_told_twice_or_backwards() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.closed_by_peer(1006);
    desk.until_socket(5_000);
    desk.accept();
    let id = desk.take("subscribe").0;
    let publications = page([7, 6, 6, 3, 7, 9]);
    let result = json!({"recoverable": true, "epoch": "e1", "offset": 9, "recovered": true, "publications": publications});
    desk.answer(id, "subscribe", result);
    let id = desk.take("history").0;
    desk.answer(id, "history", json!({"publications": page([9, 8, 1, 9]), "epoch": "e1", "offset": 9}));
    assert_eq!(desk.offsets(key), [6, 7, 9]);
    assert_eq!(desk.gaps(key).len(), 1, "what the page passed over is a gap");
}

#[test]
fn publications_for_a_first_subscribe_only_say_where_it_begins() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    let id = desk.take("subscribe").0;
    let result = json!({"recoverable": true, "epoch": "e1", "offset": 3, "publications": page([5, 5, 2])});
    desk.answer(id, "subscribe", result);
    assert_eq!(desk.client.subscription(key).position, Some(at("e1", 5)));
    desk.publication("a", 6);
    assert_eq!(desk.offsets(key), [6]);
}

#[test]
fn a_flood_of_pings_is_answered_and_starts_nothing() {
    let mut desk = Desk::connected(config());
    desk.frame(&"{}\n".repeat(10_000));
    assert_eq!(desk.pongs(), 10_000);
    assert!(desk.events.is_empty() && desk.is_connected());
}

#[test]
fn an_endless_list_of_server_side_subscriptions_goes_with_its_connection() {
    let mut desk = Desk::new(config());
    desk.connect();
    let subs: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("news{n}"), json!({}))).collect();
    desk.accept_with(json!({ "subs": subs }));
    desk.closed_by_peer(1006);
    desk.until_socket(5_000);
    desk.events.clear();
    desk.accept();
    let gone = desk.events.iter().filter(|event| matches!(event, Event::ServerUnsubscribed { .. })).count();
    assert_eq!(gone, 5_000);
}

#[test]
fn a_server_that_makes_a_channel_anew_at_every_page_keeps_the_app_at_one_gap() {
    let (mut desk, _, key) = Desk::in_channel("a", 5);
    desk.publication("a", 9);
    let mut subscribe = 0;
    for n in 0..3 {
        desk.answer_page([1, 2], &format!("x{n}"), 9);
        assert_eq!(desk.sent("subscribe"), usize::from(n == 0), "only once without a pause");
        let left = desk.take("unsubscribe").0;
        desk.answer(left, "unsubscribe", json!({}));
        for _ in 0..200 {
            if desk.sent("subscribe") == 0 {
                desk.pass(100);
            }
        }
        subscribe = desk.take("subscribe").0;
        if n < 2 {
            desk.answer_subscribe(subscribe, &json!({"epoch": "e1", "offset": 9}));
        }
    }
    assert_eq!((desk.gaps(key), desk.offsets(key)), (vec![], vec![]), "nothing is certain yet");
    desk.answer_subscribe(subscribe, &json!({"epoch": "x2", "offset": 9}));
    let id = desk.take("history").0;
    desk.refuse(id, 112);
    desk.answer_page(1..=9, "x2", 9);
    assert_eq!((desk.gaps(key).len(), desk.offsets(key)), (1, Vec::from_iter(1..=9)));
}

/// What a subscriber may conclude from its events, whatever the server says: a message is the next one, and
/// what is not the next one is behind a gap that says so.
#[derive(Default)]
struct Witness {
    at: Option<Position>,
}

impl Witness {
    fn hear(&mut self, event: &ChannelEvent, seed: u64) {
        // A place may have survived into a later epoch, which an answer or a page says and no event.
        if let (ChannelEvent::Gap(gap), Some(at)) = (event, &mut self.at) {
            at.epoch = gap.from.epoch.clone();
        }
        match (event, &mut self.at) {
            (ChannelEvent::Subscribed(told), at) => match (&told.position, &at) {
                (None, _) => *at = None,
                // Where a reader that continues stood, it must know itself.
                (Some(position), None) if !told.was_recovering => *at = Some(position.clone()),
                _ => {}
            },
            (ChannelEvent::Message(message), Some(at)) if message.offset > 0 => {
                assert_eq!(message.offset, at.offset + 1, "seed {seed}: the next one");
                at.offset = message.offset;
            }
            (ChannelEvent::Gap(gap), Some(at)) if gap.reason == GapReason::Rewound => {
                assert_eq!(gap.from.epoch, at.epoch, "seed {seed}");
                assert!(
                    gap.from.offset <= at.offset + 1 && gap.to.offset >= at.offset,
                    "seed {seed}: {gap:?} at {at:?}"
                );
                at.offset = gap.from.offset - 1;
            }
            (ChannelEvent::Gap(gap), Some(at)) => {
                assert_eq!(
                    (&gap.from.epoch, gap.from.offset),
                    (&at.epoch, at.offset + 1),
                    "seed {seed}: {gap:?}"
                );
                let renewed = gap.from.epoch != gap.to.epoch;
                assert!(renewed || gap.to.offset >= gap.from.offset, "seed {seed}: {gap:?}");
                *at = gap.to.clone();
            }
            _ => {}
        }
    }
}

/// A server that answers and says what it likes.
struct Fiend {
    dice: Dice,
    epochs: u64,
}

impl Fiend {
    fn number(&mut self) -> u64 {
        match self.dice.below(8) {
            0 => 0,
            1 => HUGE,
            2 => u64::from(u32::MAX),
            _ => self.dice.below(15),
        }
    }

    fn epoch(&mut self) -> String {
        if self.dice.chance(10) {
            self.epochs += 1;
        }
        if self.dice.chance(3) { String::new() } else { format!("e{}", self.epochs) }
    }

    fn publications(&mut self) -> Value {
        let offsets: Vec<_> = match self.dice.below(3) {
            0 => (0..self.dice.below(5)).map(|_| self.number()).collect(),
            1 => (1..=self.dice.below(15)).collect(),
            _ => Vec::new(),
        };
        page(offsets)
    }

    fn result(&mut self, verb: &str) -> Value {
        match verb {
            "subscribe" => {
                json!({"recoverable": self.dice.chance(90), "epoch": self.epoch(), "offset": self.number(),
                "recovered": self.dice.chance(50), "publications": self.publications(), "expires": self.dice.chance(10), "ttl": self.number() as u32})
            }
            "history" => {
                json!({"publications": self.publications(), "epoch": self.epoch(), "offset": self.number()})
            }
            "connect" => {
                json!({"client": "c", "ping": self.dice.below(30), "pong": true, "expires": self.dice.chance(10),
                "ttl": self.number() as u32, "subs": {"news": self.result("subscribe")}})
            }
            "publish" => json!({"epoch": self.epoch(), "offset": self.number()}),
            _ => json!({"expires": self.dice.chance(50), "ttl": self.number() as u32}),
        }
    }

    fn answer(&mut self, command: &Value) -> String {
        let verbs = [
            "connect",
            "subscribe",
            "history",
            "publish",
            "unsubscribe",
            "presence",
            "rpc",
            "refresh",
            "sub_refresh",
            "ping",
        ];
        let asked = verbs.into_iter().find(|verb| command.get(verb).is_some()).unwrap_or("ping");
        let id = if self.dice.chance(95) { command["id"].clone() } else { json!(self.dice.below(20)) };
        match self.dice.below(20) {
            0 => {
                let code = [100, 103, 105, 109, 111, 112, 3000][self.dice.below(7) as usize];
                json!({"id": id, "error": {"code": code, "temporary": self.dice.chance(30), "retry_after": self.dice.below(500)}}).to_string()
            }
            1 => {
                let verb = verbs[self.dice.below(10) as usize];
                json!({"id": id, verb: self.result(verb)}).to_string()
            }
            2 => json!({ "id": id }).to_string(),
            _ => json!({"id": id, asked: self.result(asked)}).to_string(),
        }
    }

    fn push(&mut self) -> String {
        let channel = ["a", "b", "news", ""][self.dice.below(4) as usize];
        let push = match self.dice.below(12) {
            0 => json!({"channel": channel, "unsubscribe": {"code": 1_990 + self.dice.below(1_100)}}),
            1 => json!({"channel": channel, "subscribe": self.result("subscribe")}),
            2 => json!({"channel": channel, "join": {"info": {"client": "x"}}}),
            3 => json!({"refresh": {"expires": true, "ttl": self.number() as u32}}),
            4 if self.dice.chance(20) => {
                json!({"disconnect": {"code": 2_990 + self.dice.below(30), "retry_after": self.dice.below(900)}})
            }
            _ => json!({"channel": channel, "pub": {"data": 1, "offset": self.number()}}),
        };
        json!({ "push": push }).to_string()
    }

    /// A frame with some of its bytes exchanged.
    fn bend(&mut self, frame: &str) -> String {
        let mut bytes = frame.as_bytes().to_vec();
        for _ in 0..=self.dice.below(3) {
            let at = self.dice.below(bytes.len() as u64) as usize;
            match self.dice.below(3) {
                0 => bytes[at] = b"{}[]\",:0x\\\n-"[self.dice.below(12) as usize],
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn whatever_a_server_says_the_app_is_told_nothing_that_cannot_be() {
    let mut heard = 0;
    let seeds = support::seeds(300);
    let stories = seeds.end - seeds.start;
    for seed in seeds {
        let mut desk = Desk::seeded(Config { provides_tokens: seed % 3 == 0, max_held: 5, ..config() }, seed);
        let mut fiend = Fiend { dice: Dice::new(seed ^ 0xbad), epochs: 0 };
        let mut witnesses: BTreeMap<ChannelKey, Witness> = BTreeMap::new();
        let mut handles: Vec<(HandleId, ChannelKey)> = ["a", "b"].map(|name| desk.subscribe(name)).into();
        desk.connect();
        for _ in 0..150 {
            if let Some(key) = step(&mut desk, &mut fiend, &mut handles) {
                // Who joins a channel that is there already begins where it stands.
                witnesses.insert(key, Witness { at: desk.client.subscription(key).position });
            }
            for event in desk.events.drain(..) {
                match event {
                    Event::Channel { channel, event } => {
                        heard += 1;
                        witnesses.entry(channel).or_default().hear(&event, seed);
                    }
                    Event::ServerSubscribed { channel, .. } => drop(witnesses.remove(&channel)),
                    _ => {}
                }
            }
        }
        recover(&mut desk, seed);
    }
    assert!(heard > 20 * stories, "{heard} events: the stories are about something");
}

/// One thing that happens; gives back the channel that somebody began to hear.
fn step(desk: &mut Desk, fiend: &mut Fiend, handles: &mut Vec<(HandleId, ChannelKey)>) -> Option<ChannelKey> {
    let dice = &mut fiend.dice;
    while !desk.tokens.is_empty() {
        let answer = if dice.chance(80) { Ok("t") } else { Err(TokenRefusal::Failed("no".into())) };
        desk.answer_token(answer);
    }
    if desk.conn.is_none() {
        if desk.refusal().is_some() {
            desk.connect();
        }
        desk.pass(20_000);
        return None;
    }
    match dice.below(20) {
        0 => {
            let code = [1000, 1006, 3000, 3005, 4000][dice.below(5) as usize];
            desk.closed_by_peer(code);
        }
        1 => desk.pass(dice.below(5_000)),
        2 => drop(desk.run(|client, now| client.publish(now, "a", "1", &PublishOptions::default()))),
        3 => {
            let name = ["a", "b", "news"][dice.below(3) as usize];
            let (handle, key) = desk.subscribe(name);
            let heard = handles.iter().any(|(_, held)| *held == key);
            handles.push((handle, key));
            return (!heard).then_some(key);
        }
        4 if !handles.is_empty() => {
            let (handle, _) = handles.swap_remove(dice.below(handles.len() as u64) as usize);
            desk.unsubscribe(handle);
        }
        5 => desk.open(),
        6..=12 if !desk.commands.is_empty() => {
            let at = dice.below(desk.commands.len() as u64) as usize;
            let command = desk.commands.remove(at);
            let frame = fiend.answer(&command);
            desk.frame(&frame);
        }
        13 => {
            let frame = fiend.push();
            let bent = fiend.bend(&frame);
            desk.frame(&bent);
        }
        _ => {
            if fiend.dice.chance(30) {
                desk.open();
            }
            let frames: Vec<_> = (0..=fiend.dice.below(3)).map(|_| fiend.push()).collect();
            desk.frame(&frames.join("\n"));
        }
    }
    if desk.conn.is_none() {
        desk.commands.clear();
    }
    None
}

/// The server is well again: within two minutes the client is connected, and every channel is subscribed.
fn recover(desk: &mut Desk, seed: u64) {
    desk.disconnect();
    desk.commands.clear();
    desk.connect();
    let (_, key) = desk.subscribe("fresh");
    let until = desk.now + 120_000;
    while desk.now < until {
        while !desk.tokens.is_empty() {
            desk.answer_token(Ok("t"));
        }
        if desk.conn.is_some() {
            desk.open();
        } else {
            desk.commands.clear();
        }
        for command in std::mem::take(&mut desk.commands) {
            let id = command["id"].as_u64().unwrap_or(0);
            if command.get("connect").is_some() {
                desk.answer(id, "connect", json!({"client": "c", "ping": 25, "pong": true}));
            } else if command.get("subscribe").is_some() {
                desk.answer(id, "subscribe", json!({"recoverable": true, "epoch": "well", "offset": 3}));
            } else if let Some(history) = command.get("history") {
                let since = history["since"]["offset"].as_u64().unwrap_or(0);
                desk.answer(
                    id,
                    "history",
                    json!({"publications": page(since + 1..=3), "epoch": "well", "offset": 3}),
                );
            } else if command.get("unsubscribe").is_some() {
                desk.answer(id, "unsubscribe", json!({}));
            } else if id > 0 {
                desk.refuse(id, 108);
            }
        }
        desk.pass(500);
        if desk.is_connected() {
            desk.frame("{}");
        }
    }
    assert!(desk.is_connected(), "seed {seed}: {:?}", desk.client.connection());
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed, "seed {seed}");
    desk.publication("fresh", 4);
    assert_eq!(desk.offsets(key), [4], "seed {seed}");
    desk.run(|client, now| client.close(now, Duration::ZERO));
}
