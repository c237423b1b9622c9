//! The routes beside the WebSocket endpoint: health, readiness, metrics, files.

use super::upgrade::upgrade;
use crate::node::Node;
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tower_http::services::ServeDir;

pub(super) fn router(node: &Arc<Node>, metrics: PrometheusHandle) -> Router {
    let config = &node.config;
    let mut router = Router::new().route(&config.websocket.handler_prefix, get(upgrade));
    if config.health.enabled {
        let ready = Arc::clone(node);
        router = router
            .route("/health", get(async || json(StatusCode::OK, "{}")))
            .route("/ready", get(async move || readiness(&ready)));
    }
    if config.prometheus.enabled {
        router = router.route("/metrics", get(async move || render(&metrics)));
    }
    if let Some(folder) = &config.http_server.static_dir {
        router = router.fallback_service(ServeDir::new(folder));
    }
    router.with_state(Arc::clone(node))
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
