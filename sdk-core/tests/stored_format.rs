//! The stored format, version 1, as the files in `tests/golden/storage/v1` have it: every later version reads
//! them, this one writes what they say. A file that no longer fits tells that users would lose their messages.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use homing_core::*;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The wall clock of the tests: later than anything in the files, within every age limit and dedupe window.
const NOW: i64 = 1_781_000_200_000;
/// What stands for the producer's name in what is written.
const PRODUCER: &str = "q3vXKf0aLdT_7uYw2m-e";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/storage/v1")
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// A client over a storage that does what it is told at once, and a server that answers what the test says.
struct Host {
    client: RealtimeClient,
    records: BTreeMap<String, String>,
    conn: Option<ConnId>,
    commands: Vec<Value>,
    errors: Vec<Error>,
}

impl Host {
    fn new(records: BTreeMap<String, String>) -> Self {
        let config = Config {
            endpoints: vec!["ws://one".into()],
            durable: true,
            user: Some("ada".into()),
            started_at: NOW,
            ..Config::default()
        };
        let client = RealtimeClient::new(config, [7; 32], Instant::default());
        Self { client, records, conn: None, commands: Vec::new(), errors: Vec::new() }
    }

    fn run<T>(&mut self, act: impl FnOnce(&mut RealtimeClient, Instant) -> T) -> T {
        let result = act(&mut self.client, Instant::default());
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::OpenSocket { conn, .. } => self.conn = Some(conn),
                Output::SendFrame { text, .. } => {
                    self.commands
                        .extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
                }
                Output::Storage(StorageOrder::Open { .. }) => {
                    let records = self.records.iter().map(|(key, value)| (&**key, &**value));
                    let records = Ok(records.map(|(key, value)| (key.into(), value.into())).collect());
                    self.client.handle_input(Instant::default(), Input::StorageOpened { records });
                }
                Output::Storage(StorageOrder::Write { write, ops }) => {
                    for op in ops {
                        match op {
                            StorageOp::Put { key, value } => {
                                drop(self.records.insert(key.into(), value.into()));
                            }
                            StorageOp::Delete { key } => drop(self.records.remove(&*key)),
                        }
                    }
                    self.client.handle_input(Instant::default(), Input::Stored { write, result: Ok(()) });
                }
                Output::Event(Event::Error(error)) => self.errors.push(error),
                _ => {}
            }
        }
        result
    }

    fn connect(&mut self) {
        self.run(|client, now| client.connect(now).unwrap());
        let conn = self.conn.unwrap();
        self.run(|client, now| client.handle_input(now, Input::SocketOpened { conn }));
        let homing = json!({
            "version": 1, "capabilities": ["producers"], "user": "ada",
            "limits": { "dedupe_window": 259_200, "in_flight": 16 },
        });
        self.answer("connect", &json!({ "client": "c", "ping": 25, "time": NOW, "homing": homing }));
    }

    /// Answers the oldest command of this kind.
    fn answer(&mut self, verb: &str, result: &Value) {
        let at = self.commands.iter().position(|command| !command[verb].is_null());
        let command = self.commands.remove(at.unwrap_or_else(|| panic!("no {verb} in {:?}", self.commands)));
        let reply = match result["error"].is_null() {
            true => json!({ "id": command["id"], verb: result }),
            false => json!({ "id": command["id"], "error": result["error"] }),
        };
        let (conn, text) = (self.conn.unwrap(), reply.to_string());
        self.run(|client, now| client.handle_input(now, Input::FrameReceived { conn, text: &text }));
    }

    fn subscribe(&mut self, channel: &str) -> ChannelKey {
        let options = SubscribeOptions { durable: true, recoverable: true, ..SubscribeOptions::default() };
        self.run(|client, now| client.subscribe(now, channel, &options)).unwrap().1
    }

    fn outbox(&self) -> Value {
        let state = |state: EntryState| match state {
            EntryState::Queued => json!("queued"),
            EntryState::Sending => json!("sending"),
            EntryState::Parked(error) => json!({
                "code": error.code.name(), "number": error.number, "detail": *error.detail,
                "retryable": error.retryable,
            }),
        };
        let entries = self.client.outbox().map(|entry| {
            json!({
                "id": *entry.id, "channel": *entry.channel, "queued": entry.queued_at,
                "data": serde_json::from_str::<Value>(entry.data.as_str()).unwrap(),
                "was_sent": entry.was_sent, "state": state(entry.state),
            })
        });
        // Which producer comes first is not told: the messages of each are in order.
        let mut entries: Vec<Value> = entries.collect();
        entries.sort_by_key(|entry| entry["id"].as_str().map(String::from));
        Value::Array(entries)
    }
}

fn records_of(file: &Value) -> BTreeMap<String, String> {
    let records = file["records"].as_object().unwrap().iter();
    records.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Restores a file into a client and compares everything that it says of it.
fn check(name: &str, file: &Value) {
    let mut host = Host::new(records_of(file));
    let positions = file["positions"].as_object().cloned().unwrap_or_default();
    let keys: Vec<(String, ChannelKey)> =
        positions.keys().map(|channel| (channel.clone(), host.subscribe(channel))).collect();
    host.run(|client, now| client.connect(now).unwrap());
    assert_eq!(host.outbox(), file["outbox"], "{name}");
    for (channel, key) in keys {
        let position = host.client.processed_position(key);
        let position = position.map_or(Value::Null, |at| json!([*at.epoch, at.offset]));
        assert_eq!(position, positions[&channel], "{name}: {channel}");
    }
    let errors: Vec<&str> = host.errors.iter().map(|error| error.code.name()).collect();
    let expected = file["errors"].as_array().cloned().unwrap_or_default();
    assert_eq!(json!(errors), Value::Array(expected), "{name}: {:?}", host.errors);

    host.connect();
    // Messages to a channel that is being joined wait for that.
    while let Some(command) = host.commands.iter().find(|command| command["subscribe"].is_object()) {
        let subscribe = &command["subscribe"];
        let since = json!([subscribe["epoch"], subscribe["offset"].as_u64().unwrap_or(0)]);
        let since = if subscribe["recover"] == true { since } else { Value::Null };
        assert_eq!(since, positions[subscribe["channel"].as_str().unwrap()], "{name}: {subscribe}");
        host.answer("subscribe", &json!({ "error": { "code": 103, "message": "permission denied" } }));
    }
    // The first of each lane goes alone, until the server has said that its number is the right one.
    let mut sent: Vec<Value> = Vec::new();
    while let Some(command) = host.commands.iter().find(|command| command["publish"].is_object()) {
        sent.push(command["publish"].clone());
        host.answer("publish", &json!({}));
    }
    sent.sort_by_key(|publish| publish["homing"]["id"].as_str().map(String::from));
    let expected = file["sends"].as_array().unwrap();
    assert_eq!(sent.len(), expected.len(), "{name}: {sent:?}");
    for (publish, expected) in sent.iter().zip(expected) {
        let stamp = &publish["homing"];
        for (value, field) in [(&publish["channel"], "channel"), (&stamp["id"], "id")] {
            assert_eq!(value, &expected[field], "{name}: {publish}");
        }
        assert_eq!(
            (&stamp["producer"], &stamp["number"]),
            (&expected["producer"], &expected["number"]),
            "{name}"
        );
        assert!(stamp["session"].as_u64() > expected["session_above"].as_u64(), "{name}: {publish}");
    }
    for key in file["left"].as_array().into_iter().flatten().map(|key| key.as_str().unwrap()) {
        assert_eq!(
            host.records.get(key).map(|value| json!(value)),
            Some(file["records"][key].clone()),
            "{name}"
        );
    }
    if file["errors"][0] == "storage_from_future" {
        assert_eq!(host.records, records_of(file), "{name}: it was written to");
    }
}

#[test]
fn every_golden_file_is_restored_as_it_says() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 5);
    for name in names {
        check(&name, &golden(&name));
    }
}

#[test]
fn what_is_written_is_what_the_golden_file_says() {
    let mut host = Host::new(BTreeMap::new());
    let key = host.subscribe("chat:a");
    host.connect();
    host.answer(
        "subscribe",
        &json!({ "recoverable": true, "positioned": true, "epoch": "AbC1", "offset": 6 }),
    );
    let publish = |host: &mut Host, id: &str, data: &str| {
        let options = PublishOptions { id: id.into(), ..PublishOptions::default() };
        host.run(|client, now| client.publish(now, "chat:a", data, &options)).unwrap();
    };
    publish(&mut host, "m1", "1");
    host.answer("publish", &json!({ "offset": 7, "epoch": "AbC1", "time": NOW }));
    publish(&mut host, "m2", r#"{"text":"two"}"#);
    host.answer("publish", &json!({ "error": { "code": 103, "message": "permission denied" } }));
    publish(&mut host, "m3", "[3]");
    let position = Position::new("AbC1", 7);
    host.run(|client, now| client.processed(now, key, &position));
    let conn = host.conn.unwrap();
    host.run(|client, now| client.handle_input(now, Input::SocketClosed { conn, code: 1006, reason: "cut" }));
    publish(&mut host, "m4", "\"four\"");

    let producer = host.records.keys().find_map(|key| key.strip_prefix("p/")).unwrap().to_owned();
    let named = |text: &str| text.replace(&producer, PRODUCER);
    let written: BTreeMap<String, String> =
        host.records.iter().map(|(key, value)| (named(key), named(value))).collect();
    let file = golden("written.json");
    assert_eq!(written, records_of(&file), "{}", serde_json::to_string_pretty(&written).unwrap());
}
