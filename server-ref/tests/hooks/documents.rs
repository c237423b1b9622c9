//! The page for backends: its settings are settings, and its check of signatures tells real requests from others.

use crate::{
    backend::{Backend, SECRET},
    socket::Socket,
};
use homing_server::config;
use serde_json::json;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/backends.md");

fn block(language: &str) -> &'static str {
    let start = format!("```{language}\n");
    let (_, rest) = PAGE.split_once(&start).expect("the page has one");
    assert!(!rest.contains(&start), "and only one");
    rest.split_once("```").expect("it ends").0
}

#[test]
fn the_settings_of_the_page_are_fine() {
    let settings = config::parse(block("toml")).unwrap();
    config::check(&settings).unwrap();
    assert!(settings.client.proxy.connect.enabled);
}

#[tokio::test]
async fn the_check_of_the_page_knows_what_the_server_has_signed() {
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    Socket::open(&server).await.call("connect", r#"{"data":{"name":"Zoë"}}"#).await;
    let asked = &backend.asked()[0];
    let headers: serde_json::Map<_, _> = asked
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let given =
        json!({"headers": headers, "body": std::str::from_utf8(&asked.body).unwrap(), "secret": SECRET});
    let script = format!(
        r#"{}
        const {{ headers, body, secret }} = {given};
        const bent = (more) => ({{ ...headers, ...more }});
        console.log(JSON.stringify([
            isReal({{}}, body, secret),
            isReal(bent({{ "x-homing-signature": "v1=00" }}), body, secret),
            isReal(bent({{ "x-homing-request": "another" }}), body, secret),
            isReal(bent({{ "x-homing-timestamp": "1" }}), body, secret),
            isReal(headers, body + " ", secret),
            isReal(headers, body, "guessed"),
            isReal(headers, body, secret),
            isReal(headers, body, secret),
        ]));"#,
        block("js")
    );
    let ran = Command::new("node").args(["--input-type=module", "--eval", &script]).output().unwrap();
    let said = std::str::from_utf8(&ran.stdout).unwrap();
    assert_eq!(said.trim(), "[false,false,false,false,false,false,true,false]", "{ran:?}");
}
