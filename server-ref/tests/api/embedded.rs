//! The same calls in Rust, and what clients of ours make of what the application does.

use crate::support::{Running, soon, start};
use homing::{Delivery, Messages};
use homing_core::wire::ErrorCode;
use homing_server::{
    api::{CallError, HistoryQuery, PublishOptions},
    node::Whom,
    serve::Ended,
    session::{Admission, Refreshed},
};
use serde_json::json;

#[tokio::test]
async fn a_program_calls_without_a_socket() {
    let server = start(|config| config.http_api.key = None).await;
    let handle = server.server.handle();
    let options =
        || PublishOptions { tags: [("kind".into(), "news".into())].into(), ..PublishOptions::once("k") };
    let first = handle.publish("chat:a", "{\n\"n\": 1}", options()).await.unwrap();
    let again = handle.publish("chat:a", "{}", options()).await.unwrap();
    assert!(again.duplicate && first.position == again.position);
    let all = handle.broadcast(&["chat:a", "nowhere:a"], "2", PublishOptions::default()).await.unwrap();
    assert_eq!(all[0].as_ref().unwrap().position.unwrap().offset, 2);
    let error = all[1].clone().unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (ErrorCode::UnknownChannel, false));
    let page =
        handle.history("chat:a", HistoryQuery { limit: Some(9), ..HistoryQuery::default() }).await.unwrap();
    assert_eq!(page.publications.len(), 2);
    assert_eq!(page.publications[0].data, "{ \"n\": 1}");
    handle.remove_history("chat:a").await.unwrap();
    let page = handle.history("chat:a", HistoryQuery::default()).await.unwrap();
    assert_eq!((page.publications.len(), page.head.offset), (0, 2));
    assert_eq!(handle.presence_stats("chat:a").await.unwrap().entries, 0);
    assert!(handle.presence("chat:a").await.unwrap().entries.is_empty());
    let info = handle.info().await.unwrap();
    assert_eq!((info.found.len(), info.unanswered.len()), (1, 0));
    for wrong in [
        handle.disconnect(Whom::default(), Ended::disconnect()).await,
        handle.disconnect(Whom::user("ada"), Ended { code: 1000, reason: String::new() }).await,
        handle
            .subscribe(
                Whom::user("ada"),
                "chat:a",
                Admission { data: Some("{".into()), ..Admission::default() },
            )
            .await,
        handle.refresh(Whom::user("ada"), Refreshed { info: Some("{".into()), ..Refreshed::default() }).await,
    ] {
        assert!(matches!(wrong, Err(CallError::Refused { code: ErrorCode::BadRequest, .. })), "{wrong:?}");
    }
}

/// The next numbers that a reader gets; a gap or an end fails the test.
async fn numbers(messages: &mut Messages, count: usize) -> Vec<i32> {
    let mut all = Vec::new();
    while all.len() < count {
        match soon(messages.next()).await {
            Some(Ok(Delivery::Message(message))) => {
                all.push(serde_json::from_str(message.data.as_str()).unwrap())
            }
            other => panic!("{other:?} behind {all:?}"),
        }
    }
    all
}

async fn publish(server: &Running, data: i32, skip_history: bool) {
    let body = json!({"channel": "chat:a", "data": data, "skip_history": skip_history});
    server.result("publish", body).await;
}

#[tokio::test]
async fn a_message_that_skips_history_opens_no_gap() {
    let server = start(|_| {}).await;
    let client = server.client("ada").await;
    let room = client.channel("chat:a");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    for (data, skip) in [(1, false), (2, true), (3, true), (4, false), (5, true)] {
        publish(&server, data, skip).await;
    }
    assert_eq!(numbers(&mut messages, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(messages.position().unwrap().offset, 2);
}

#[tokio::test]
async fn a_history_that_was_removed_is_one_gap_to_who_missed_it() {
    let server = start(|_| {}).await;
    let (here, away) = (server.client("ada").await, server.client("bob").await);
    let (mut reading, mut missing) = (here.channel("chat:a").messages(), away.channel("chat:a").messages());
    for client in [&here, &away] {
        soon(client.channel("chat:a").join()).await.unwrap();
    }
    publish(&server, 1, false).await;
    assert_eq!((numbers(&mut reading, 1).await, numbers(&mut missing, 1).await), (vec![1], vec![1]));
    away.disconnect();
    publish(&server, 2, false).await;
    server.result("history_remove", json!({"channel": "chat:a"})).await;
    publish(&server, 3, false).await;
    away.connect().unwrap();
    assert_eq!(numbers(&mut reading, 2).await, [2, 3]);
    let Some(Ok(Delivery::Gap(gap))) = soon(missing.next()).await else { panic!("no gap") };
    assert_eq!((gap.from.offset, gap.to.offset), (2, 2));
    assert_eq!(numbers(&mut missing, 1).await, [3]);
}
