//! Connections: one request each, and none that waits in vain costs anybody else an answer. It knows no endpoint.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::numbers::Numbers;
use crate::routes::{self, Desk, IsRead};

/// How long open requests may take after a stop.
const GRACE: Duration = Duration::from_secs(3);
/// The headers of a request must have come by then.
const HEADERS: Duration = Duration::from_secs(5);
/// An answer must have been taken by then.
const ANSWER: Duration = Duration::from_secs(30);
/// So many connections are open at the same time; for one more the oldest that waits for its client goes.
const CONNECTIONS: usize = 2048;
/// So many may wait to be taken.
const BACKLOG: u32 = 4096;
/// How long to wait when no connection can be taken.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// A listener that a thousand clients may come to at once.
pub(crate) fn listen(address: std::net::SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let mut open = Open { connections: JoinSet::new(), order: VecDeque::new(), desk };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => open.take(stream),
                Err(error) => {
                    tracing::warn!("connection cannot be taken: {error}");
                    open.make_room();
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                }
            },
            Some(_) = open.connections.join_next() => open.numbers().connected(-1.0),
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    open.drop_waiting();
    let _ = tokio::time::timeout(GRACE, async { while open.connections.join_next().await.is_some() {} }).await;
}

/// A connection, and whether its request has been read.
struct Connection {
    handle: AbortHandle,
    is_read: Arc<IsRead>,
}

impl Connection {
    fn waits_for_client(&self) -> bool {
        !self.is_read.load(Ordering::Relaxed) && !self.handle.is_finished()
    }
}

struct Open {
    connections: JoinSet<()>,
    /// Oldest first; of those that have ended some may still be in here.
    order: VecDeque<Connection>,
    desk: Arc<Desk>,
}

impl Open {
    fn numbers(&self) -> &Numbers {
        &self.desk.runner.numbers
    }

    fn take(&mut self, stream: TcpStream) {
        if self.connections.len() >= CONNECTIONS && !self.make_room() {
            // All are being worked for: whoever comes last goes.
            self.numbers().dropped();
            return;
        }
        if self.order.len() >= 2 * CONNECTIONS {
            self.order.retain(|connection| !connection.handle.is_finished());
        }
        let is_read = Arc::new(IsRead::new(false));
        let handle = self.connections.spawn(converse(stream, self.desk.clone(), is_read.clone()));
        self.order.push_back(Connection { handle, is_read });
        self.numbers().connected(1.0);
    }

    /// Ends the oldest connection that waits for its client. Answers whether there was one.
    fn make_room(&mut self) -> bool {
        self.order.retain(|connection| !connection.handle.is_finished());
        let Some(oldest) = self.order.iter().position(Connection::waits_for_client) else { return false };
        if let Some(oldest) = self.order.remove(oldest) {
            oldest.handle.abort();
        }
        self.numbers().dropped();
        true
    }

    fn drop_waiting(&mut self) {
        self.order.iter().filter(|connection| connection.waits_for_client()).for_each(|one| one.handle.abort());
    }
}

async fn converse(stream: TcpStream, desk: Arc<Desk>, is_read: Arc<IsRead>) {
    // An answer is one small packet, which must not wait for another one.
    let _ = stream.set_nodelay(true);
    let answered = CancellationToken::new();
    let service = service_fn(|request| {
        let (desk, is_read, answered) = (desk.clone(), is_read.clone(), answered.clone());
        async move {
            let response = routes::answer(&desk, request, &is_read).await;
            answered.cancel();
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // One request each: whoever keeps a connection and asks again as it is being closed would get an error for an answer.
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS).keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    let takes_too_long = async {
        answered.cancelled().await;
        tokio::time::sleep(ANSWER).await;
    };
    tokio::select! {
        // Whoever goes away in the middle is no news.
        _ = connection => {}
        () = takes_too_long => {}
    }
}

#[cfg(test)]
mod tests;
