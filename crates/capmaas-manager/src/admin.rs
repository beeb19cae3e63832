//! The admin servers: /healthz, /readyz, /metrics.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::shared::Shared;

/// Serves /healthz and /readyz; ready on standby, or once the first lists are in.
pub(crate) async fn health(listener: TcpListener, shared: Shared) {
    let ready = move || {
        let shared = shared.clone();
        async move {
            let inner = shared.lock();
            if inner.standby || inner.unlisted.is_empty() {
                (StatusCode::OK, "ok".to_owned())
            } else {
                let kinds: Vec<_> = inner.unlisted.iter().copied().collect();
                (StatusCode::SERVICE_UNAVAILABLE, format!("not listed yet: {}", kinds.join(", ")))
            }
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

/// Binds an admin address. `[::]` serves IPv4 as well; where there is no IPv6 it means `0.0.0.0`.
///
/// # Errors
/// When the address is taken or not ours.
pub(crate) async fn bind(address: SocketAddr, what: &str) -> std::io::Result<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?
        }
        bound => bound?,
    };
    tracing::info!(address = %listener.local_addr()?, "Serving {what}");
    Ok(listener)
}
