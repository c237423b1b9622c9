//! Homing's server as a peer of the conformance suites: the flags and the control endpoints of the Go peer
//! (tests/conformance/go-server), on the server's library and the settings of tests/conformance/homing.toml.
//! Tests steer it by POST of JSON to `/control/{publish,unsubscribe,disconnect,hold,release}`. It is never meant
//! to serve anyone.
#![expect(clippy::print_stdout, reason = "its address is its output")]

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use homing_server::api::PublishOptions;
use homing_server::config::{self, EngineKind, Span};
use homing_server::hooks::{HookError, Hooks, PublishAsk, PublishGrant, Verdict};
use homing_server::node::Whom;
use homing_server::serve::Ended;
use homing_server::{Config, Handle, Server, serve};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

const SETTINGS: &str = include_str!("../../conformance/homing.toml");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = config::parse(SETTINGS)?;
    let mut listen = "127.0.0.1:0".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (argument, arguments.next().ok_or("every flag takes a value")?),
        };
        match name.as_str() {
            "--listen" => listen = value,
            name => set(&mut settings, name, value)?,
        }
    }
    let namespaces = settings.channel.namespaces.iter_mut();
    namespaces.filter(|each| each.name == "asked").for_each(|each| each.options.publish_proxy_enabled = true);
    settings.channel.proxy.publish.timeout = Span::seconds(60);
    let doorkeeper = Doorkeeper::default();
    let builder = Server::builder().config(settings).hooks(doorkeeper.clone());
    let server = builder.procedure("echo", async |_, data| Ok(data)).build().await?;
    let orders = Router::new()
        .route("/control/publish", post(publish))
        .route("/control/unsubscribe", post(unsubscribe))
        .route("/control/disconnect", post(disconnect))
        .with_state(server.handle());
    let doors = Router::new()
        .route("/control/hold", post(hold))
        .route("/control/release", post(release))
        .with_state(doorkeeper);
    let control = orders.merge(doors);
    let listener = TcpListener::bind(&listen).await?;
    println!("listening on {}", listener.local_addr()?);
    // It ends with the test that started it, which holds the other end of its standard input.
    let mut input = tokio::io::stdin();
    let parent_gone = async { while input.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    serve::listen_until(listener, server.router().merge(control), parent_gone).await;
    Ok(())
}

/// Sets what a flag of the Go peer means.
fn set(settings: &mut Config, name: &str, value: String) -> Result<(), Box<dyn Error>> {
    let span = |value: String| serde_json::from_value::<Span>(Value::String(value));
    match name {
        "--secret" => settings.client.token.hmac_secret_key = Some(value),
        "--anonymous" => settings.client.allow_anonymous_connect_without_token = value.parse()?,
        "--ping" => settings.client.ping_interval = span(value)?,
        "--pong" => settings.client.pong_timeout = span(value)?,
        "--redis" => {
            settings.engine.kind = EngineKind::Redis;
            settings.engine.redis.address = value;
        }
        "--message-size" => settings.client.message_size_limit = value.parse()?,
        // For runs under load: users are who they say, may write as fast as they can, and all of it is kept.
        "--load" => {
            settings.client.insecure = true;
            settings.client.command_rate_limit = 0;
            let size = value.parse()?;
            let all = settings.channel.namespaces.iter_mut().map(|each| &mut each.options);
            all.filter(|each| each.history_size > 0).for_each(|each| each.history_size = size);
        }
        "--redis-prefix" => settings.engine.redis.prefix = value,
        name => return Err(format!("no such flag: {name}").into()),
    }
    Ok(())
}

/// Answers for the namespace `asked`: a message waits while its channel is held, and `"refused"` is refused.
#[derive(Clone, Debug, Default)]
struct Doorkeeper(Arc<watch::Sender<HashSet<String>>>);

impl Hooks for Doorkeeper {
    async fn publish(&self, ask: PublishAsk) -> Verdict<PublishGrant> {
        // It fails only where the server has ended.
        let _ = self.0.subscribe().wait_for(|held| !held.contains(&*ask.channel)).await;
        if ask.data == br#""refused""#[..] {
            let message = "not this one".to_owned();
            return Err(HookError::Refused { code: 403, message, temporary: false });
        }
        Ok(PublishGrant::default())
    }
}

async fn hold(State(Doorkeeper(held)): State<Doorkeeper>, Json(order): Json<Order>) -> Json<Value> {
    held.send_modify(|held| _ = held.insert(order.channel));
    Json(json!({}))
}

async fn release(State(Doorkeeper(held)): State<Doorkeeper>, Json(order): Json<Order>) -> Json<Value> {
    held.send_modify(|held| _ = held.remove(&order.channel));
    Json(json!({}))
}

/// What a test wants the server to do.
#[derive(Debug, Deserialize)]
struct Order {
    #[serde(default)]
    user: String,
    #[serde(default)]
    channel: String,
    data: Option<Box<RawValue>>,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    reason: String,
}

type Answer = (StatusCode, Json<Value>);

fn answer<E: Display>(done: Result<Value, E>) -> Answer {
    match done {
        Ok(value) => (StatusCode::OK, Json(value)),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))),
    }
}

async fn publish(State(server): State<Handle>, Json(order): Json<Order>) -> Answer {
    let data = order.data.as_deref().map_or("null", RawValue::get);
    let appended = server.publish(&order.channel, data, PublishOptions::default()).await;
    answer(appended.map(|appended| match appended.position {
        Some(position) => json!({ "offset": position.offset, "epoch": position.epoch.to_string() }),
        None => json!({}),
    }))
}

async fn unsubscribe(State(server): State<Handle>, Json(order): Json<Order>) -> Answer {
    let Order { user, channel, code, reason, .. } = order;
    let ended = Ended { code: code.into(), reason };
    answer(server.unsubscribe(Whom::user(user), &channel, ended).await.map(|_| json!({})))
}

async fn disconnect(State(server): State<Handle>, Json(order): Json<Order>) -> Answer {
    let Order { user, code, reason, .. } = order;
    let ended = Ended { code: code.into(), reason };
    answer(server.disconnect(Whom::user(user), ended).await.map(|_| json!({})))
}
