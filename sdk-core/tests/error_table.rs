//! The documents' table of errors is made from the one enum that the code uses.
//! `UPDATE=1 cargo test -p homing-core --test error_table` writes it.

use homing_core::ErrorCode;
use std::fmt::Write;

fn table() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery error of the SDKs has a stable number and name, says what happened and what to do, and whether the\n\
         same call may succeed later. Numbers from 100 on are those of the wire; an error with a number from 400 to\n\
         1999 that is not listed is the application's own and has the name `application`. This table is generated\n\
         from `sdk-core/src/error.rs`.\n\n| number | name | retryable | what happened | what to do |\n|---|---|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        let retryable = if code.is_retryable() { "yes" } else { "no" };
        let (number, name) = (code.number(), code.name());
        writeln!(text, "| {number} | `{name}` | {retryable} | {} | {} |", code.what(), code.next())
            .expect("a string grows");
    }
    text
}

#[test]
fn the_table_in_the_documents_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, table()).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == table(),
        "docs/errors.md is out of date: UPDATE=1 cargo test -p homing-core --test error_table"
    );
}
