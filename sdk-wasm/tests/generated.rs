//! What TypeScript must know of Rust's tables is written from them: errors, verbs and numbers among the options. Run with
//! `HOMING_UPDATE=1` to write the files.
#![cfg(not(target_arch = "wasm32"))]

use homing_core::ErrorCode;
use homing_wasm::{NUMBERS, Verb};
use std::fmt::Write;

const HEADER: &str =
    "// Written by the test `generated` of sdk-wasm from Rust's table; HOMING_UPDATE=1 writes it anew.\n\n";

fn is_current(name: &str, expected: &str) {
    let path = format!("{}/../js/src/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("HOMING_UPDATE").is_some() {
        std::fs::write(&path, expected).expect("the file is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "js/src/{name} is out of date: HOMING_UPDATE=1 cargo test -p homing-wasm");
}

#[test]
fn the_typescript_table_of_errors_is_that_of_the_core() {
    let mut out = String::from(HEADER);
    out.push_str("/** By name: number, whether a retry may help, what happened, what to do. */\nexport const table = {\n");
    for code in ErrorCode::ALL {
        let (name, number, what, next) = (code.name(), code.number(), code.what(), code.next());
        writeln!(out, "  {name}: [{number}, {}, {what:?}, {next:?}],", code.is_retryable())
            .expect("a string grows");
    }
    out.push_str(
        "} as const;\n\n/** The names of all errors; stable. */\nexport type ErrorName = keyof typeof table;\n",
    );
    is_current("errors.generated.ts", &out);
}

#[test]
fn the_typescript_verbs_are_those_of_the_module() {
    let mut out = String::from(HEADER);
    for verb in Verb::ALL {
        let (name, doc) = verb.described();
        let mut constant = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !constant.is_empty() {
                constant.push('_');
            }
            constant.push(letter.to_ascii_uppercase());
        }
        writeln!(out, "/** {} */\nexport const {constant} = {};", doc.trim(), *verb as u32)
            .expect("a string grows");
    }
    is_current("verbs.generated.ts", &out);
}

#[test]
fn the_typescript_numbers_are_in_the_order_of_the_module() {
    let mut out = String::from(HEADER);
    out.push_str("/** The options that are numbers, in the order in which the module takes them. */\nexport const numbers = [\n");
    for name in NUMBERS {
        writeln!(out, "  {name:?},").expect("a string grows");
    }
    out.push_str("] as const;\n");
    is_current("options.generated.ts", &out);
}

#[test]
fn every_verb_is_found_by_its_number() {
    for verb in Verb::ALL {
        assert_eq!(Verb::from_number(*verb as u32), Some(*verb));
    }
    assert_eq!(Verb::from_number(u32::MAX), None);
}
