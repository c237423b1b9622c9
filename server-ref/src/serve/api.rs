//! The HTTP API on its way in and out: the key, the body's limit, the status. What a call does is
//! [`crate::api`]'s.

use super::{
    Handle,
    body::{self, Unread},
};
use crate::{
    api::{self, CallError, Method},
    config::{ErrorMode, HttpApi},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use homing_core::wire::ErrorCode;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

/// Bytes beyond the limit that are read and dropped, so that the client gets to read why.
const DROPPED: usize = 64 << 20;

struct Api {
    handle: Handle,
    /// The description, made once.
    openapi: String,
}

pub(super) fn router<S: Clone + Send + Sync + 'static>(handle: Handle) -> Router<S> {
    let prefix = handle.node.config.http_api.handler_prefix.clone();
    let api = Arc::new(Api { openapi: api::openapi(&prefix).to_string(), handle });
    Router::new()
        .route(&format!("{prefix}/openapi.json"), get(openapi))
        .route(&format!("{prefix}/{{method}}"), post(call))
        .with_state(api)
}

/// Whether the request carries the key. One that has none and one that has a wrong one look alike.
fn may_call(api: &Api, headers: &HeaderMap) -> bool {
    let config = &api.handle.node.config.http_api;
    if config.insecure {
        // A page of somebody else's, open on the same machine, could call too.
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
        return api.handle.node.origins.allow(text(header::ORIGIN), text(header::HOST));
    }
    let Some(key) = config.key.as_deref().filter(|key| !key.is_empty()) else { return false };
    let given = headers.get("x-api-key").map(header::HeaderValue::as_bytes).or_else(|| {
        let value = headers.get(header::AUTHORIZATION)?.as_bytes().trim_ascii();
        let (scheme, rest) = value.split_at_checked("apikey ".len())?;
        scheme.eq_ignore_ascii_case(b"apikey ").then(|| rest.trim_ascii())
    });
    // Takes the same time wherever the two differ; how long the key is, is no secret.
    given.is_some_and(|given| bool::from(given.ct_eq(key.as_bytes())))
}

fn answer(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

fn unauthorized(api: &Api) -> Response {
    api.handle.node.metrics.api.unauthorized.increment(1);
    answer(StatusCode::UNAUTHORIZED, api::told(&ErrorCode::Unauthorized.into()))
}

async fn openapi(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    if may_call(&api, &headers) { answer(StatusCode::OK, api.openapi.clone()) } else { unauthorized(&api) }
}

async fn call(
    State(api): State<Arc<Api>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !may_call(&api, &headers) {
        return unauthorized(&api);
    }
    let config = &api.handle.node.config.http_api;
    let body = match read(body, config.max_request_body_size).await {
        Ok(body) => body,
        Err(error) => return answer(status(&error, config, &headers), api::told(&error)),
    };
    let start = Instant::now();
    let (body, error) = api::respond(&api.handle, &method, &body).await;
    if let Some(method) = Method::ALL.into_iter().find(|known| known.name() == method) {
        api.handle.node.metrics.api.took(method, start.elapsed().as_secs_f64());
    }
    answer(error.map_or(StatusCode::OK, |error| status(&error, config, &headers)), body)
}

async fn read(body: Body, most: usize) -> Result<Vec<u8>, CallError> {
    body::read(body, most, DROPPED).await.map_err(|unread| match unread {
        Unread::Cut => CallError::bad_request("the body ends early"),
        Unread::Slow => CallError::bad_request("the body did not come in time"),
        Unread::TooLarge => {
            let what = format!("a body of more than {most} bytes (http_api.max_request_body_size)");
            CallError::because(ErrorCode::LimitExceeded, what)
        }
    })
}

/// The status of an error: 200, unless the settings or the request want one that fits.
fn status(error: &CallError, config: &HttpApi, headers: &HeaderMap) -> StatusCode {
    let asked = headers.get("x-centrifugo-error-mode").is_some_and(|mode| mode == "transport");
    if config.error_mode == ErrorMode::Body && !asked {
        return StatusCode::OK;
    }
    match error.code() {
        ErrorCode::UnknownChannel | ErrorCode::MethodNotFound => StatusCode::NOT_FOUND,
        ErrorCode::BadRequest | ErrorCode::NotAvailable => StatusCode::BAD_REQUEST,
        ErrorCode::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::UnrecoverablePosition => StatusCode::RANGE_NOT_SATISFIABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
