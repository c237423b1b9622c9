//! Frames made by chance: golden ones, cut, bent and joined. Whatever comes, the session answers with frames
//! of the protocol or ends with a code of it, and the node goes on.

use crate::support::World;
use homing_core::wire::{DisconnectCode, json};

const GOLDEN: &str = include_str!("../../../tests/golden/client.jsonl");

/// Numbers by seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

fn bend(chance: &mut Chance, frame: &str) -> String {
    let mut bytes = frame.as_bytes().to_vec();
    for _ in 0..chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let byte = b"{}[]\",:0129-.eEtfn \\\n\0x"[chance.below(23)];
        match chance.below(3) {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => bytes[at] = byte,
            _ => bytes.truncate(at),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn every_golden_command_is_understood() {
    for line in GOLDEN.lines().filter(|line| !line.is_empty()) {
        let world = World::changed(|config| config.client.insecure = true);
        let mut client = world.client();
        if !line.contains("\"connect\"") {
            client.call("connect", "{}");
        }
        client.send(line);
        assert_ne!(client.close_code(), Some(3501), "{line}: {:?}", client.close());
    }
}

#[test]
fn bent_frames_harm_nobody() {
    let golden: Vec<&str> = GOLDEN.lines().filter(|line| !line.is_empty()).collect();
    let world = World::changed(|config| config.client.insecure = true);
    let mut witness = world.user("witness");
    witness.subscribe("chat:general");
    for seed in 1..=2000 {
        let mut chance = Chance(seed * 0x9e37_79b9);
        let mut client = world.client();
        client.send(r#"{"id":1,"connect":{}}"#);
        for _ in 0..10 {
            let count = 1 + chance.below(3);
            let mut lines = Vec::new();
            for _ in 0..count {
                let line = golden[chance.below(golden.len())];
                lines.push(bend(&mut chance, line));
            }
            client.send(&lines.join("\n"));
            for reply in client.all() {
                let text = reply.to_string();
                assert!(json::replies(&text).all(|reply| reply.is_ok()), "seed {seed}: {text}");
            }
        }
        if let Some(code) = client.close_code() {
            assert!(DisconnectCode::from_code(code.into()).is_some(), "seed {seed}: {code}");
        }
        client.vanish();
        witness.all();
    }
    assert_eq!(world.node.registry.len(), 1);
    assert!(witness.publish("chat:general", "1").is_object());
}
