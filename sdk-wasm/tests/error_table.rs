//! The TypeScript side's table of errors is written from the core's. Run with `HOMING_UPDATE=1` to write it.
#![cfg(not(target_arch = "wasm32"))]

use homing_core::ErrorCode;
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../js/src/errors.generated.ts");

fn table() -> String {
    let mut out = String::from(
        "// Written by the test error_table of sdk-wasm from the core's table; HOMING_UPDATE=1 writes it anew.\n\n\
         /** By name: number, whether a retry may help, what happened, what to do. */\n\
         export const table = {\n",
    );
    for code in ErrorCode::ALL {
        writeln!(
            out,
            "  {}: [{}, {}, {:?}, {:?}],",
            code.name(),
            code.number(),
            code.is_retryable(),
            code.what(),
            code.next()
        )
        .expect("writing to a string");
    }
    out.push_str(
        "} as const;\n\n/** The names of all errors; stable. */\nexport type ErrorName = keyof typeof table;\n",
    );
    out
}

#[test]
fn the_typescript_table_of_errors_is_that_of_the_core() {
    let expected = table();
    if std::env::var_os("HOMING_UPDATE").is_some() {
        std::fs::write(PATH, &expected).expect("the table is written");
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        found == expected,
        "js/src/errors.generated.ts is out of date: HOMING_UPDATE=1 cargo test -p homing-wasm"
    );
}
