//! Authorisation that changes while numbered publishes are in flight: what the log has is acked, the rest is
//! refused once, and the order is the client's.

use crate::{
    backend::{Backend, connected, json},
    socket::Socket,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn stamped(session: u32, number: usize, id: usize) -> String {
    format!(
        r#"{{"channel":"chat:one","data":{id},"homing":{{"id":"m{id}","producer":"p","session":{session},"number":{number}}}}}"#
    )
}

async fn log(socket: &mut Socket) -> Vec<u64> {
    let history = socket.call("history", r#"{"channel":"chat:one","limit":100}"#).await;
    let publications = history["history"]["publications"].as_array().cloned().unwrap_or_default();
    publications.iter().map(|one| one["data"].as_u64().unwrap()).collect()
}

/// Sends what is not settled again and again, as a client's outbox does, on a connection that is cut now and
/// then, until all of it is: acked or refused, each once.
#[tokio::test]
async fn what_the_log_has_is_acked_and_the_rest_is_refused_once() {
    const MESSAGES: usize = 40;
    let backend = Backend::start().await;
    let server = backend.server(|_| {}).await;
    // From its twentieth question on the backend refuses, later ones faster than earlier ones.
    let asked = Arc::new(AtomicUsize::new(0));
    let mut outcome: BTreeMap<usize, bool> = BTreeMap::new();
    let mut session = 0;
    let mut last_acked = 0;
    while outcome.len() < MESSAGES {
        session += 1;
        assert!(session < 100, "it comes to an end: {outcome:?}");
        let mut ada = connected(&backend, &server, "ada").await;
        let asked = Arc::clone(&asked);
        backend.answer(move |question| {
            let is_publish = question.path == "/publish";
            if is_publish && asked.fetch_add(1, Ordering::SeqCst) >= 20 {
                return json(r#"{"error":{"code":403,"message":"not any more"}}"#);
            }
            json(r#"{"result":{}}"#)
        });
        ada.call("subscribe", r#"{"channel":"chat:one"}"#).await;
        backend.take_so_long(Duration::from_millis(u64::from(session % 3)));
        // At most sixteen in flight, numbered behind what is acked.
        let open: Vec<usize> = (1..=MESSAGES).filter(|id| !outcome.contains_key(id)).take(16).collect();
        for (at, id) in open.iter().enumerate() {
            let stamp = stamped(session, last_acked + at + 1, *id);
            ada.send(&format!(r#"{{"id":{},"publish":{stamp}}}"#, 1000 + id)).await;
        }
        // Every second connection is cut before all answers are read.
        let mut left = if session % 2 == 0 { open.len() / 2 } else { open.len() };
        while left > 0 {
            let line: Value = ada.line().await;
            let Some(id) = line["id"].as_u64().filter(|id| *id > 1000) else { continue };
            left -= 1;
            let id = usize::try_from(id).unwrap() - 1000;
            if line["publish"].is_object() {
                assert_eq!(outcome.insert(id, true), None);
                last_acked += 1;
            } else if line["error"]["code"] == 403 {
                assert_eq!(outcome.insert(id, false), None, "refused once");
            } else {
                // Behind a refused one, whose number is free now: it comes again.
                assert_eq!(line["error"]["code"], 302, "{line}");
            }
        }
        backend.take_so_long(Duration::ZERO);
    }
    backend.say(r#"{"result":{}}"#);
    let mut reader = connected(&backend, &server, "bob").await;
    reader.call("subscribe", r#"{"channel":"chat:one"}"#).await;
    let acked: Vec<u64> = outcome.iter().filter(|(_, acked)| **acked).map(|(id, _)| *id as u64).collect();
    assert_eq!(log(&mut reader).await, acked, "each once, in order, and nothing that was refused");
    assert!(!acked.is_empty() && acked.len() < MESSAGES, "{acked:?}");
}
