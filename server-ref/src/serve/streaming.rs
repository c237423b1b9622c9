//! The ways around a network where WebSocket does not pass: a streamed response (lines, or server-sent events) for
//! what goes to the client, and requests of their own for what comes from it.
//!
//! These endpoints are called by pages of other origins too, so they speak CORS for the origins that may connect.

use super::{
    admission::{self, text},
    body::{self, Unread},
    task::{Framing, StreamTask},
};
use crate::node::{Emulated, EmulationError, Node};
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::mpsc;

/// Bytes beyond the limit that are read and dropped, so that a client gets to read why.
const DROPPED: usize = 1 << 20;
/// Seconds for which a page need not ask again whether it may.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Asks nginx and its kin not to hold the stream back.
const ACCEL: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `POST`: the body holds the first commands, the response every message on a line of its own.
pub(super) async fn lines(State(node): State<Arc<Node>>, headers: HeaderMap, body: Body) -> Response {
    if let Err(refused) = admission::check_origin(&node, &headers) {
        return refused;
    }
    let limit = node.config.http_stream.max_request_body_size;
    let response = match body::read(body, limit, DROPPED).await {
        Ok(body) => open(&node, &headers, std::str::from_utf8(&body).ok(), limit, Framing::Lines),
        Err(unread) => refuse(unread, limit),
    };
    with_cors(&headers, response)
}

/// `GET`: `cf_connect` holds the first commands, the response every message as an event.
pub(super) async fn events(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let first = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "cf_connect");
    let first = first.as_ref().map(|(_, commands)| &**commands);
    let limit = node.config.sse.max_request_body_size;
    if let Err(refused) = admission::check_origin(&node, &headers) {
        return refused;
    }
    with_cors(&headers, open(&node, &headers, first, limit, Framing::Events))
}

/// `POST`: `{"session":"…","node":"…","data":"<commands>"}`. Answered 204 once the session has the
/// commands, on whatever node it is.
pub(super) async fn emulation(State(node): State<Arc<Node>>, headers: HeaderMap, body: Body) -> Response {
    if let Err(refused) = admission::check_origin(&node, &headers) {
        return refused;
    }
    // The commands stand in JSON text, where quotes and the like take two bytes.
    let limit = node.config.websocket.message_size_limit.saturating_mul(2).saturating_add(1024);
    let answer = match body::read(body, limit, DROPPED).await {
        Err(unread) => refuse(unread, limit),
        Ok(body) => match serde_json::from_slice::<Emulated>(&body) {
            Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
            Ok(piece) => match node.emulate(piece).await {
                Ok(()) => StatusCode::NO_CONTENT.into_response(),
                Err(error) => refuse_piece(error),
            },
        },
    };
    with_cors(&headers, answer)
}

/// A client may send what was not taken again, after a while; what may have been taken it must not.
fn refuse_piece(error: EmulationError) -> Response {
    let status = match error {
        EmulationError::NoSession => StatusCode::NOT_FOUND,
        EmulationError::Full => StatusCode::TOO_MANY_REQUESTS,
        EmulationError::Away => StatusCode::SERVICE_UNAVAILABLE,
        EmulationError::Unanswered => StatusCode::GATEWAY_TIMEOUT,
    };
    let mut response = (status, format!("{error}\n")).into_response();
    if matches!(error, EmulationError::Full | EmulationError::Away) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A page asks whether it may send such a request.
pub(super) async fn preflight(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    if let Err(refused) = admission::check_origin(&node, &headers) {
        return refused;
    }
    let mut response = with_cors(&headers, StatusCode::NO_CONTENT.into_response());
    let answers = response.headers_mut();
    answers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    answers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// A body that was not read.
fn refuse(unread: Unread, limit: usize) -> Response {
    let (status, why) = match unread {
        Unread::Cut => (StatusCode::BAD_REQUEST, "the body ends early\n".to_owned()),
        Unread::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, format!("a body of more than {limit} bytes\n")),
        Unread::Slow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n".to_owned()),
    };
    (status, why).into_response()
}

fn open(
    node: &Arc<Node>,
    headers: &HeaderMap,
    first: Option<&str>,
    limit: usize,
    framing: Framing,
) -> Response {
    let Some(first) = first.map(str::trim_ascii).filter(|first| !first.is_empty()) else {
        let why =
            "the request must bring the connect command: as its body, or as cf_connect in its address\n";
        return (StatusCode::BAD_REQUEST, why).into_response();
    };
    if first.len() > limit {
        let why = format!("{} bytes of commands, {limit} may be\n", first.len());
        return (StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
    }
    let session = match admission::admit(node) {
        Ok(admitted) => admitted.session(node, framing.transport(), headers),
        Err(refused) => return refused,
    };
    // One piece waits while another is written; what the socket does not take stays in the connection's queue.
    let (sender, mut pieces) = mpsc::channel(1);
    tokio::spawn(StreamTask::new(session, framing, sender, first));
    let pieces =
        stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(Ok::<Bytes, Infallible>)));
    let mut response = Response::new(Body::from_stream(pieces));
    let kind = match framing {
        Framing::Lines => "application/octet-stream",
        Framing::Events => "text/event-stream",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache, no-store, no-transform"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets the page of an origin that was checked read the answer.
fn with_cors(request: &HeaderMap, mut response: Response) -> Response {
    if let Some(origin) = text(request, header::ORIGIN)
        && response.status() != StatusCode::FORBIDDEN
        && let Ok(origin) = HeaderValue::try_from(origin)
    {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
    response
}
