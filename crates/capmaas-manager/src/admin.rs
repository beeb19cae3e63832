//! The admin servers: /healthz, /readyz, /metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::shared::Shared;

/// Serves /healthz and /readyz; ready once the first lists are in.
pub(crate) async fn health(listener: TcpListener, shared: Shared) {
    let ready = move || {
        let shared = shared.clone();
        async move {
            let unsynced = shared.lock().unsynced;
            if unsynced == 0 { (StatusCode::OK, "ok".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, format!("{unsynced} kinds not listed yet")) }
        }
    };
    let app = Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready));
    serve(listener, app).await;
}

/// Serves /metrics as OpenMetrics text.
pub(crate) async fn metrics(listener: TcpListener, metrics: Metrics) {
    let text = move || {
        let text = metrics.text();
        async move { ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text) }
    };
    serve(listener, Router::new().route("/metrics", get(text))).await;
}

async fn serve(listener: TcpListener, app: Router) {
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "admin server");
    }
}

/// Binds an admin address.
///
/// # Errors
/// When the address is taken or not ours.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
