//! Who is let in, whatever way a connection takes: origins, draining, limits.

use crate::{
    hub::Connection,
    node::{Node, Registered},
    session::Session,
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Seconds after which a client that was refused for a while may come back.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A connection that may be there, not yet run.
pub(super) struct Admitted {
    connection: Arc<Connection>,
    place: Registered,
}

impl Admitted {
    /// The session of a client that came over this transport, with this request.
    pub(super) fn session(self, node: &Arc<Node>, transport: &'static str, request: &HeaderMap) -> Session {
        let mut session = Session::new(Arc::clone(node), self.connection, self.place);
        session.came(node.desk.visit(transport, request));
        session
    }
}

/// What a browser says of a request that a script of a page makes and whose answer only that page gets to read.
/// Another one that names no origin is a link, a picture or a form: a way for any page to act as its visitor.
const ASKED_BY_SCRIPTS: [&str; 3] = ["cors", "same-origin", "websocket"];

/// Whether the page that asks, if one does, may.
#[expect(clippy::result_large_err, reason = "it is the answer, made once per refused request")]
pub(super) fn check_origin(node: &Node, headers: &HeaderMap) -> Result<(), Response> {
    let (origin, host) = (text(headers, header::ORIGIN), text(headers, header::HOST));
    let mode = headers.get("sec-fetch-mode").map(|mode| mode.to_str().unwrap_or_default());
    let by_script = origin.is_some() || mode.is_none_or(|mode| ASKED_BY_SCRIPTS.contains(&mode));
    if by_script && node.origins.allow(origin, host) || node.config.client.insecure {
        return Ok(());
    }
    tracing::warn!(origin, host, mode, "connection refused: its origin is not in client.allowed_origins");
    node.metrics.refused.increment(1);
    Err((StatusCode::FORBIDDEN, "origin not allowed\n").into_response())
}

/// Takes one more connection, if there may be one more now.
#[expect(clippy::result_large_err, reason = "it is the answer, made once per refused request")]
pub(super) fn admit(node: &Arc<Node>) -> Result<Admitted, Response> {
    if !node.is_ready() && node.is_draining() {
        return Err(unavailable(node, "the server is stopping"));
    }
    if !node.admit_rate() {
        return Err(unavailable(node, "too many new connections a second"));
    }
    let connection = node.connection();
    match node.registry.add(&connection, node.config.client.connection_limit) {
        Ok(place) => {
            node.metrics.opened.increment(1);
            Ok(Admitted { connection, place })
        }
        Err(error) => Err(unavailable(node, &error.to_string())),
    }
}

fn unavailable(node: &Node, why: &str) -> Response {
    tracing::debug!(why, "connection refused");
    node.metrics.refused.increment(1);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER)], format!("{why}\n"))
        .into_response()
}
