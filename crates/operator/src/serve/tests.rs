//! Probes are answered, whoever else hangs on the port.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Served {
    health: Arc<Health>,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (health, address) = (Arc::new(Health::default()), listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, health.clone(), stop.clone()));
        Self { health, address, stop, server }
    }

    /// The status code and the body of an answer.
    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn code(&self, path: &str) -> u16 {
        self.get(path).await.0
    }
}

#[tokio::test]
async fn health_answers_at_once_and_readiness_when_there_is_something_to_act_on() {
    let served = Served::start().await;
    let codes = (served.code("/healthz").await, served.code("/readyz").await, served.code("/metrics").await);
    assert_eq!(codes, (200, 503, 200));
    served.health.ready.store(true, Ordering::Relaxed);
    assert_eq!(served.get("/readyz").await, (200, "OK".to_owned()));
    served.stop.cancel();
    served.server.await.unwrap();
}

#[tokio::test]
async fn a_stale_watch_is_named_and_a_scheduler_that_stands_still_is_not_alive() {
    let health = Health::default();
    health.ready.store(true, Ordering::Relaxed);
    let two_minutes_ago = Instant::now().checked_sub(Duration::from_mins(2)).unwrap();
    health.vitals.heard_at("canaries", "Canary", two_minutes_ago);
    health.vitals.went_on_at(two_minutes_ago);
    let health = Arc::new(health);
    let answer = async |response: axum::response::Response| {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    let not_ready = answer(ready(State(health.clone())).await.into_response()).await;
    assert_eq!(not_ready, (503, "not ready: nothing was heard of canaries for 120 s".to_owned()));
    let dead = answer(alive(State(health.clone())).await.into_response()).await;
    assert_eq!(dead, (500, "the scheduler has not gone on for 120 s".to_owned()));
}

#[tokio::test]
async fn a_probe_is_answered_while_a_thousand_slow_clients_hang() {
    let served = Served::start().await;
    let mut slow = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // Some say nothing, some begin a request and never end it.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await;
        }
        slow.push(stream);
        if number % 250 == 249 {
            assert_eq!(served.code("/healthz").await, 200, "with {number} slow clients");
        }
    }
    let open = slow.iter().filter(|stream| stream.try_read(&mut [0]).is_err_and(is_open)).count();
    assert!(open <= CONNECTIONS, "{open} are still held open");
}

#[expect(clippy::needless_pass_by_value, reason = "this is how a result passes its error")]
fn is_open(error: std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
}

#[tokio::test]
async fn the_last_descriptors_are_kept_for_whoever_asks_how_it_is() {
    let mut open = Open::default();
    open.refill();
    assert_eq!(open.spare.len(), SPARE);
    let none_left = std::io::Error::from_raw_os_error(24);
    open.has_no_descriptor(&none_left).await;
    assert_eq!(open.spare.len(), 0, "they are free for the next connections");
    open.refill();
    assert_eq!(open.spare.len(), SPARE);
}
