//! Clients that are slow, silent or many cost nobody else an answer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::testing::Served;

#[tokio::test]
async fn a_gate_is_answered_while_a_thousand_slow_clients_hang() {
    let served = Served::start("");
    let mut slow = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"POST /gate/check HTTP/1.1\r\nhost: ").await.unwrap(),
            _ => stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap(),
        }
        slow.push(stream);
    }
    assert_eq!(served.send("GET", "/gate/approve", "").await, (200, "OK".to_owned()));
}

#[tokio::test]
async fn headers_that_never_end_are_not_waited_for() {
    let served = Served::start("");
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(HEADERS * 4, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is waited for");
}

#[tokio::test]
async fn a_connection_that_waits_for_its_client_makes_room_and_one_that_is_worked_for_does_not() {
    let served = Served::start("");
    let mut open = Open { connections: JoinSet::new(), order: VecDeque::new(), desk: served.desk.clone() };
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        open.take(listener.accept().await.unwrap().0);
    }
    open.order[0].is_read.store(true, Ordering::Relaxed);
    assert!(open.make_room(), "the second one waits for its client");
    assert!(!open.make_room(), "the first one is worked for");
    assert_eq!(open.order.len(), 1);
}
