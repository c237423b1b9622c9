//! The API's documents: the OpenAPI description is what the types say, and the examples of the page are run.
//! `UPDATE=1 cargo test -p homing-server --test api` writes the description.

use crate::support::{KEY, answer, start};
use homing_server::api::{Method, openapi};
use reqwest::StatusCode;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/http-api.md");

#[test]
fn the_description_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&openapi("/api")).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == made,
        "docs/openapi.json is out of date: UPDATE=1 cargo test -p homing-server --test api"
    );
}

/// Every reference in a description, and whether it names something.
fn references<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    match part {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|part| references(part, found));
        }
        Value::Array(items) => items.iter().for_each(|part| references(part, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_served_and_whole() {
    let server = start(|_| {}).await;
    let request = server.http.get(server.url("/api/openapi.json")).header("X-API-Key", KEY);
    let (status, description) = answer(request).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(description, openapi("/api"));
    for method in Method::ALL {
        assert!(description["paths"][format!("/api/{}", method.name())]["post"].is_object());
    }
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        let path = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(path).is_some(), "{reference} names nothing");
    }
}

/// A command of the page: `curl -H "name: value" URL -d 'body'`, and nothing else.
fn curl(command: &str) -> (String, String, String) {
    let rest = command.strip_prefix("curl -H \"").unwrap();
    let (header, rest) = rest.split_once("\" http://localhost:8000").unwrap();
    let (path, rest) = rest.split_once(" -d '").unwrap();
    (header.replace("$KEY", KEY), path.trim().to_owned(), rest.strip_suffix('\'').unwrap().to_owned())
}

/// What differs between two runs is taken out.
fn settled(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(fields) => {
            for (name, value) in fields {
                *value =
                    if matches!(&**name, "epoch" | "time") { Value::Null } else { settled(value.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = settled(item.take())),
        _ => {}
    }
    answer
}

#[tokio::test]
async fn the_examples_of_the_page_are_answered_as_it_says() {
    let server = start(|_| {}).await;
    let mut ran = 0;
    for block in PAGE.split("```sh\n").skip(1) {
        let (command, rest) = block.split_once("\n```\n```json\n").expect("an answer follows at once");
        let (expected, _) = rest.split_once("\n```").unwrap();
        let (header, path, body) = curl(&command.replace(" \\\n ", ""));
        let (name, value) = header.split_once(": ").unwrap();
        let request = server.http.post(server.url(&path)).header(name, value).body(body);
        let (status, answer) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{command}");
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(settled(answer), settled(expected), "{command}");
        ran += 1;
    }
    assert_eq!(ran, 9);
}
