//! What the core is made of: nothing that brings a clock, threads, sockets or chance, on the browser's target too.

use std::{path::Path, process::Command};

/// The crates that are linked into the core for a target.
fn linked(target: &str) -> Vec<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"])
        .args(["--format", "{lib}", "--target", target, "--manifest-path", manifest])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut crates: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    crates.sort();
    crates.dedup();
    crates
}

#[test]
fn the_core_links_nothing_that_knows_time_or_chance() {
    for target in ["wasm32-unknown-unknown", "x86_64-unknown-linux-gnu"] {
        assert_eq!(linked(target), ["homing_core", "thiserror"], "{target}");
    }
}

#[test]
fn the_core_does_without_the_standard_library() {
    let front = include_str!("../src/lib.rs");
    assert!(front.contains("#![no_std]"));
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        assert!(!text.contains("extern crate std"), "{}", path.display());
    }
}
