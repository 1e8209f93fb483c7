//! A server on the loopback for tests: it answers what it is told to and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use burgee_core::bounds::Bounds;
use burgee_core::rollout::Rollout;
use burgee_core::settings::Settings;
use burgee_core::world::{Kind, ObjectKey};
use jiff::SignedDuration;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::args::Notifier;
use crate::clock::Clocks;
use crate::cluster::{Cluster, connect};
use crate::http::{Exceptions, Guard, Outside};
use crate::operator::{Decide, Operator, Parts};
use crate::stores::Stores;
use crate::tick_context::TickContext;

/// What a request looked like: method, path with query, content type, who asked, body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) media: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

type Answer = Box<dyn Fn(&Seen) -> Response + Send + Sync>;
type Behaviour = (Arc<Mutex<Vec<Seen>>>, Arc<Answer>);

pub(crate) struct Fake {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Starts a server that answers each request as the function says.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, url, answer)
    }

    /// The same with TLS, and a certificate that nobody has signed.
    pub(crate) async fn start_with_own_certificate(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        Self::serve(Encrypted { listener, acceptor: Arc::new(config).into() }, url, answer)
    }

    fn serve<L: Listener<Addr = SocketAddr>>(
        listener: L,
        url: String,
        answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let state: Behaviour = (seen.clone(), Arc::new(Box::new(answer)));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond).with_state(state)).await });
        Self { url, seen }
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// An operator whose API server this is. It holds the lease.
    pub(crate) fn operator(&self) -> Arc<Operator> {
        self.operator_with(Settings::default())
    }

    /// The same with other flags.
    pub(crate) fn operator_with(&self, settings: Settings) -> Arc<Operator> {
        Arc::new(self.make(settings))
    }

    /// The same with another patience for what receives its letters.
    pub(crate) fn operator_at(&self, pace: crate::outbox::Pace) -> Arc<Operator> {
        let mut operator = self.make(Settings::default());
        operator.outbox.pace = pace;
        Arc::new(operator)
    }

    /// The same with other clients.
    pub(crate) fn operator_outside(&self, settings: Settings, outside: Outside) -> Arc<Operator> {
        let mut operator = self.make(settings);
        operator.outside = outside;
        Arc::new(operator)
    }

    /// The same with another way to decide.
    pub(crate) fn operator_deciding(&self, decide: Decide) -> Arc<Operator> {
        let mut operator = self.make(Settings::default());
        operator.decide = decide;
        Arc::new(operator)
    }

    fn make(&self, settings: Settings) -> Operator {
        operator_of(connect(kube::Config::new(self.url.parse().unwrap())).unwrap(), settings)
    }
}

/// An operator with this client. It holds the lease.
fn operator_of(client: kube::Client, settings: Settings) -> Operator {
    let (changes, _) = mpsc::unbounded_channel();
    let (wishes, _) = mpsc::unbounded_channel();
    let parts = Parts {
        cluster: Cluster::new(client.clone(), client),
        stores: Stores::new(std::collections::BTreeSet::new(), changes),
        settings,
        notifier: Notifier::default(),
        guard: at_home(),
        wishes,
    };
    let operator = Operator::new(parts).unwrap();
    operator.leadership.note(Some(Clocks::read()));
    operator
}

/// An operator whose API server answers each request with what it brought, after so long. It is no server over a socket,
/// so that the time of a test can be a made one.
pub(crate) fn operator_of_a_slow_server(pause: Duration) -> (Arc<Operator>, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let own = seen.clone();
    let answer = move |request: http::Request<kube::client::Body>| {
        let seen = own.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let body = request.into_body().collect_bytes().await.unwrap();
            tokio::time::sleep(pause).await;
            seen.lock().unwrap().push(line);
            Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::from(body.to_vec())))
        }
    };
    let client = kube::Client::new(tower::service_fn(answer), "default");
    (Arc::new(operator_of(client, Settings::default())), seen)
}

/// A guard that lets tests reach their own servers.
pub(crate) fn at_home() -> Guard {
    Guard::new(&[], Exceptions::parse(["127.0.0.1", "::1", "localhost"]).unwrap())
}

/// A listener whose connections are encrypted.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // Whoever does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn respond(State((seen, answer)): State<Behaviour>, headers: HeaderMap, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: &str| headers.get(name).map(|text| text.to_str().unwrap().to_owned()).unwrap_or_default();
    let request = Seen {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        media: header("content-type"),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    seen.lock().unwrap().push(request.clone());
    answer(&request)
}

/// A successful answer with an object.
pub(crate) fn object(object: &Value) -> Response {
    (StatusCode::OK, [("content-type", "application/json")], object.to_string()).into_response()
}

/// A Kubernetes error.
pub(crate) fn failure(code: u16, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
                        "reason": "Test"});
    (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], status.to_string()).into_response()
}

/// A canary of the namespace `test` at version 7, as an API server has it.
pub(crate) fn canary(name: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": name, "namespace": "test", "uid": name, "resourceVersion": "7"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": 80},
            "analysis": {"interval": "30m", "threshold": 3, "stepWeight": 10, "maxWeight": 50},
        },
    })
}

/// The context of a canary `podinfo.test` at version 7, in the middle of a promotion.
pub(crate) fn context() -> TickContext {
    let canary = serde_json::from_value(json!({
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "u", "resourceVersion": "7"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 80},
        },
        "status": {"phase": "Promoting", "run": {}},
    }));
    let canary = canary.unwrap();
    let key = ObjectKey::new(Kind::Canary, "test", "podinfo");
    let mut context = TickContext::new(&key, &canary, SignedDuration::from_secs(10));
    context.bounds = Bounds::of(&Rollout::salvage(&canary, &Settings::default()).unwrap(), &canary);
    context
}
