//! The routes beside the WebSocket endpoint: the API, health, readiness, metrics, files; and which of them are
//! for clients.

use super::{Handle, api, streaming, upgrade::upgrade};
use crate::node::Node;
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tower_http::services::ServeDir;

pub(super) fn router(node: &Arc<Node>, metrics: PrometheusHandle) -> Router {
    let config = &node.config;
    let mut router = Router::new().route(&config.websocket.handler_prefix, get(upgrade));
    if config.http_stream.enabled {
        let method = post(streaming::lines).options(streaming::preflight);
        router = router.route(&config.http_stream.handler_prefix, method);
    }
    if config.sse.enabled {
        let method = get(streaming::events).options(streaming::preflight);
        router = router.route(&config.sse.handler_prefix, method);
    }
    if config.http_stream.enabled || config.sse.enabled {
        let method = post(streaming::emulation).options(streaming::preflight);
        router = router.route(&config.emulation.handler_prefix, method);
    }
    if !config.http_server.has_internal() {
        router = router.merge(internal(node, metrics));
    } else if config.http_api.external && config.http_api.is_on() {
        router = router.merge(api::router(Handle::new(Arc::clone(node))));
    }
    if let Some(folder) = &config.http_server.static_dir {
        router = router.fallback_service(ServeDir::new(folder));
    }
    router.with_state(Arc::clone(node))
}

/// What is not for clients.
pub(super) fn internal<S: Clone + Send + Sync + 'static>(
    node: &Arc<Node>,
    metrics: PrometheusHandle,
) -> Router<S> {
    let config = &node.config;
    let mut router = Router::new();
    if config.http_api.is_on() {
        router = router.merge(api::router(Handle::new(Arc::clone(node))));
    }
    if config.health.enabled {
        let ready = Arc::clone(node);
        router = router
            .route("/health", get(async || json(StatusCode::OK, "{}")))
            .route("/ready", get(async move || readiness(&ready)));
    }
    if config.prometheus.enabled {
        router = router.route("/metrics", get(async move || render(&metrics)));
    }
    router
}

fn json(status: StatusCode, body: &'static str) -> impl IntoResponse {
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}

fn readiness(node: &Node) -> impl IntoResponse + use<> {
    if node.is_draining() {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"reason":"draining"}"#)
    } else if node.is_ready() {
        json(StatusCode::OK, r#"{"ready":true}"#)
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"reason":"the engine is away"}"#)
    }
}

fn render(metrics: &PrometheusHandle) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
