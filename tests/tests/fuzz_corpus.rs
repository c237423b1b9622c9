//! Replays the kept corpus of the fuzzers on the stable toolchain, and a bent copy of every entry.

use homing_tests::fuzz;
use std::path::Path;

/// Runs every kept input, and copies of it with single bytes changed, `stride` bytes apart, through a fuzz
/// function.
fn replay(target: &str, stride: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 50, "{target} has a corpus");
    for path in paths {
        let bytes = std::fs::read(&path).expect("readable");
        run(&bytes);
        for at in (0..bytes.len().min(200)).step_by(stride) {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            run(&bent);
            run(&bytes[..at]);
        }
    }
}

#[test]
fn the_servers_decoder_takes_its_corpus() {
    replay("decode_commands", 1, fuzz::decode_commands);
}

#[test]
fn the_clients_decoder_takes_its_corpus() {
    replay("decode_replies", 1, fuzz::decode_replies);
}

#[test]
fn the_client_takes_its_corpus() {
    replay("client_inputs", 1, fuzz::client_inputs);
}

#[test]
fn the_server_takes_its_corpus() {
    replay("session_inputs", 10, fuzz::session_inputs);
}
