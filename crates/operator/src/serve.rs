//! The HTTP server of the controller: `/metrics`, `/healthz`, `/readyz`. It shows, and changes nothing
//! (contract: operations §3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;

/// How long open requests may take after a stop.
const GRACE: Duration = Duration::from_secs(3);

/// What the server shows.
#[derive(Default)]
pub struct Health {
    /// The numbers.
    pub telemetry: Arc<Telemetry>,
    /// Stores synced and custom resource definitions current; not necessarily leading.
    pub ready: AtomicBool,
}

/// The routes, for the server and for tests.
pub fn routes(health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "OK" }))
        .route("/readyz", get(ready))
        .with_state(health)
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, health: Arc<Health>, stop: CancellationToken) -> std::io::Result<()> {
    let stopped = stop.clone();
    let server = axum::serve(listener, routes(health)).with_graceful_shutdown(async move { stopped.cancelled().await });
    tokio::select! {
        result = server => result,
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.telemetry.render())
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "OK")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: custom resources are not synced or their definitions are outdated",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn health_answers_at_once_and_readiness_when_there_is_something_to_act_on() {
        let health = Arc::new(Health::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, health.clone(), stop.clone()));
        crate::http::Outside::new(crate::fixtures::at_home()).unwrap();
        let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap().status().as_u16();
        assert_eq!((get("/healthz").await, get("/readyz").await, get("/metrics").await), (200, 503, 200));
        health.ready.store(true, Ordering::Relaxed);
        assert_eq!(get("/readyz").await, 200);
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
