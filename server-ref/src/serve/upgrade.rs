//! The WebSocket handshake: who is let in, and the task that each connection becomes.

use super::{
    admission::{self, text},
    patient::Patient,
    task::SocketTask,
};
use crate::{node::Node, session::Session, ws};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::net::TcpStream;

/// The subprotocol of the JSON encoding, for clients that name it.
const SUBPROTOCOL: &str = "centrifuge-json";

/// Whether a header that lists words holds this one.
fn lists(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

pub(super) async fn upgrade(State(node): State<Arc<Node>>, mut request: Request) -> Response {
    let headers = request.headers();
    let wants = lists(headers, header::CONNECTION, "upgrade") && lists(headers, header::UPGRADE, "websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| ws::accept_key(key.as_bytes()));
    let (true, Some(key)) = (wants, key) else {
        return (StatusCode::BAD_REQUEST, "this is a WebSocket endpoint\n").into_response();
    };
    if text(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, version, "WebSocket version 13 is needed\n").into_response();
    }
    if let Err(refused) = admission::check_origin(&node, headers) {
        return refused;
    }
    let subprotocol = lists(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return (StatusCode::UPGRADE_REQUIRED, "this connection cannot be upgraded\n").into_response();
    };
    let session = match admission::admit(&node) {
        Ok(admitted) => admitted.session(&node, "websocket", request.headers()),
        Err(refused) => return refused,
    };
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(upgraded) => run(node, session, upgraded).await,
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// Runs the connection on the bare socket where that can be had: without the layers that hyper has put
/// around it. In another task than the handshake's, which needs more memory.
async fn run(node: Arc<Node>, session: Session, upgraded: Upgraded) {
    match upgraded.downcast::<TokioIo<Patient<TcpStream>>>() {
        Ok(parts) => {
            tokio::spawn(SocketTask::new(node, session, parts.io.into_inner().into_inner(), &parts.read_buf));
        }
        Err(upgraded) => {
            tokio::spawn(SocketTask::new(node, session, TokioIo::new(upgraded), &[]));
        }
    }
}
