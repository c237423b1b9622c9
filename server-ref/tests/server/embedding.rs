//! The router inside an application's own, and the handle beside it.

use crate::socket::{Socket, fetch, start};
use axum::{Router, routing::get};
use homing_server::{Server, api::PublishOptions, config, node::Whom, rpc::ProcedureError, serve::Ended};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn the_router_nests_into_an_application() {
    let mut config = config::development();
    config.client.insecure = true;
    let server = Server::builder()
        .config(config)
        .procedure("whoami", async |caller, _| Ok(Some(format!("\"{}\"", caller.user).into())))
        .procedure("fail", async |_, _| {
            Err(ProcedureError { code: 450, message: "not today".into(), temporary: false })
        })
        .build()
        .await
        .unwrap();
    let app = Router::new().route("/", get(async || "the application")).nest("/realtime", server.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The application serves it its own way: the connections run on what hyper gives.
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert!(fetch(address, "/").await.1.ends_with("the application"));
    assert_eq!(fetch(address, "/realtime/health").await.0, 200);

    let mut socket = Socket::open_at(address, "/realtime/connection/websocket", b"").await;
    socket.call("connect", r#"{"data":{"user":"ada"}}"#).await;
    assert_eq!(socket.call("rpc", r#"{"method":"whoami"}"#).await["rpc"]["data"], "ada");
    let error = socket.call("rpc", r#"{"method":"fail"}"#).await["error"].clone();
    assert_eq!(error, json!({"code": 450, "message": "not today"}));

    socket.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    let handle = server.handle();
    let key = || PublishOptions::once("once");
    let first = handle.publish("chat:a", r#"{"n":1}"#, key()).await.unwrap();
    let again = handle.publish("chat:a", r#"{"n":1}"#, key()).await.unwrap();
    assert_eq!((first.position, again.duplicate), (again.position, true));
    let push = socket.line().await;
    assert_eq!(push["push"]["pub"]["data"], json!({"n": 1}));
    assert_eq!(push["push"]["pub"].get("info"), None);
    assert!(handle.publish("nowhere:a", "1", PublishOptions::default()).await.is_err());
    assert!(handle.publish("chat:a", "{", PublishOptions::default()).await.is_err());

    handle.disconnect(Whom::user("ada"), Ended::disconnect()).await.unwrap();
    assert_eq!(socket.close().await.0, 3503);
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let server = start(|_| {}).await;
    let mut socket = Socket::connected(&server).await;
    socket.call("subscribe", r#"{"channel":"chat:a"}"#).await;
    socket.call("publish", r#"{"channel":"chat:a","data":1}"#).await;
    socket.call("publish", r#"{"channel":"nowhere:a","data":1}"#).await;
    let (status, body) = fetch(server.address, "/metrics").await;
    assert_eq!(status, 200);
    for line in
        ["homing_publications_total 1", "homing_command_errors_total 1", "homing_connections_opened_total 1"]
    {
        assert!(body.lines().any(|one| one == line), "{line} is not in {body}");
    }
}
