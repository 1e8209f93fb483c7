//! The HTTP server of the controller: `/metrics`, `/healthz`, `/readyz`. It shows, and changes nothing
//! (contract: operations §3). Whoever is slow costs nobody else an answer.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;
use crate::vitals::Vitals;

/// How long open requests may take after a stop.
const GRACE: Duration = Duration::from_secs(3);
/// The headers of a request must have come by then.
const HEADERS: Duration = Duration::from_secs(5);
/// A connection ends by then, whatever it does.
const LONGEST: Duration = Duration::from_secs(30);
/// So many connections are open at the same time; for one more the oldest goes.
const CONNECTIONS: usize = 64;
/// Descriptors that are kept for the time when the process has no other: a probe can be answered then.
const SPARE: usize = 8;
/// How long to wait when no connection can be taken even so.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// What the server shows.
#[derive(Default)]
pub struct Health {
    /// The numbers.
    pub telemetry: Arc<Telemetry>,
    /// Stores synced and custom resource definitions current; not necessarily leading.
    pub ready: AtomicBool,
    /// What lives.
    pub vitals: Arc<Vitals>,
}

/// The routes, for the server and for tests.
pub fn routes(health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(health)
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: Arc<TcpListener>, health: Arc<Health>, stop: CancellationToken) {
    let router = routes(health);
    let mut open = Open::default();
    loop {
        open.refill();
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => open.take(stream, &router),
                Err(error) => open.has_no_descriptor(&error).await,
            },
            Some(_) = open.connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    let _ = tokio::time::timeout(GRACE, async { while open.connections.join_next().await.is_some() {} }).await;
}

/// The connections that are open.
#[derive(Default)]
struct Open {
    connections: JoinSet<()>,
    /// Oldest first; of those that have ended some may still be in here.
    order: VecDeque<AbortHandle>,
    spare: Vec<File>,
}

impl Open {
    fn take(&mut self, stream: TcpStream, router: &Router) {
        self.order.retain(|connection| !connection.is_finished());
        if self.order.len() >= CONNECTIONS
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        let mut server = hyper::server::conn::http1::Builder::new();
        // One request each: nobody waits in an open connection for the next one.
        server.timer(TokioTimer::new()).header_read_timeout(HEADERS).keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // Whoever goes away in the middle is no news.
        let connection = async move { drop(tokio::time::timeout(LONGEST, connection).await) };
        self.order.push_back(self.connections.spawn(connection));
    }

    /// Puts by what is free, as long as nobody needs it.
    fn refill(&mut self) {
        while self.connections.is_empty() && self.spare.len() < SPARE {
            let Ok(file) = File::open("/dev/null") else { return };
            self.spare.push(file);
        }
    }

    async fn has_no_descriptor(&mut self, error: &std::io::Error) {
        if self.spare.is_empty() {
            tracing::warn!("connection to the metrics port cannot be taken: {error}");
            tokio::time::sleep(NO_DESCRIPTOR).await;
        }
        self.spare.clear();
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    health.vitals.show(&health.telemetry);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.telemetry.render())
}

/// Whether the process lives: its scheduler goes on. Whether the API server can be reached is no question of life: a restart
/// would not help.
async fn alive(State(health): State<Arc<Health>>) -> impl IntoResponse {
    match health.vitals.standstill(Instant::now()) {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason),
    }
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    if !health.ready.load(Ordering::Relaxed) {
        let reason = "not ready: custom resources are not synced or their definitions are outdated";
        return (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned());
    }
    let stale = health.vitals.stale(Instant::now());
    if stale.is_empty() {
        return (StatusCode::OK, "OK".to_owned());
    }
    let stale: Vec<String> = stale.into_iter().map(|(watch, seconds)| format!("{watch} for {seconds} s")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: nothing was heard of {}", stale.join(", ")))
}

#[cfg(test)]
mod tests;
