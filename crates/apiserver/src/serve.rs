//! One connection: reads requests and answers them, or does what the test wants instead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::address::Address;
use crate::faults::Fault;
use crate::objects::Page;
use crate::refusal::Refusal;
use crate::seen::{Seen, Verb};
use crate::server::{Shared, lock};
use crate::wire::{Answer, Connection, Stream, chunk};

/// Serves a connection until it ends, or falls silent for good.
pub(crate) async fn attend(shared: Arc<Shared>, stream: impl Stream) {
    let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
    let open = Counted::one_more(&shared, |shared| &shared.connections);
    let mut connection = Connection::new(stream);
    let mut silenced = shared.silenced.subscribe();
    let is_silenced = tokio::select! {
        () = converse(&shared, &mut connection) => false,
        order = silenced.wait_for(|(silent, ended)| number < *silent || number < *ended) => {
            order.is_ok_and(|order| number >= order.1)
        }
    };
    if is_silenced {
        tokio::select! {
            () = connection.ends() => {}
            _ = silenced.wait_for(|(_, ended)| number < *ended) => {}
        }
    }
    drop(open);
}

/// Something that is counted as long as it lives.
struct Counted<'a> {
    shared: &'a Shared,
    counter: fn(&Shared) -> &tokio::sync::watch::Sender<usize>,
}

impl<'a> Counted<'a> {
    fn one_more(shared: &'a Shared, counter: fn(&Shared) -> &tokio::sync::watch::Sender<usize>) -> Self {
        counter(shared).send_modify(|count| *count += 1);
        Self { shared, counter }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        (self.counter)(self.shared).send_modify(|count| *count -= 1);
    }
}

async fn converse<S: Stream>(shared: &Shared, connection: &mut Connection<S>) {
    while let Some(seen) = connection.next().await {
        let fault = lock(&shared.faults).take(&seen);
        shared.note(&seen);
        let answered = match fault {
            None => respond(shared, connection, &seen).await,
            Some(fault) => misbehave(shared, connection, &seen, fault).await,
        };
        if answered.is_err() {
            return;
        }
    }
}

/// What comes back for a request.
enum Outcome {
    Whole(Answer),
    /// A watch of a collection from a version on.
    Watch(Address, u64),
}

async fn respond<S: Stream>(shared: &Shared, connection: &mut Connection<S>, seen: &Seen) -> std::io::Result<()> {
    match outcome(shared, seen) {
        Outcome::Whole(answer) => connection.send(&answer.bytes()).await,
        Outcome::Watch(address, version) => {
            connection.send(&stream_head()).await?;
            follow(shared, connection, seen, (address, version), None).await
        }
    }
}

/// Does something else than to answer. An error ends the connection.
async fn misbehave<S: Stream>(
    shared: &Shared,
    connection: &mut Connection<S>,
    seen: &Seen,
    fault: Fault,
) -> std::io::Result<()> {
    match fault {
        Fault::DelayHeaders(pause) => {
            tokio::time::sleep(pause).await;
            return respond(shared, connection, seen).await;
        }
        Fault::DelayBody(pause) => return respond_late(shared, connection, seen, pause).await,
        Fault::Refuse(code) => return connection.send(&refused(code).bytes()).await,
        Fault::RefuseFor(code, seconds) => {
            return connection.send(&refused(code).with("retry-after", &seconds.to_string()).bytes()).await;
        }
        Fault::DoAndHang => drop(outcome(shared, seen)),
        Fault::Hang => {}
        Fault::HangAfterHeaders => connection.send(&head(shared, seen)).await?,
        Fault::HangInTheMiddle => half(shared, connection, seen).await?,
        Fault::CutInTheMiddle => {
            half(shared, connection, seen).await?;
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        Fault::Cut => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Fault::Lie(lie) if seen.verb == Verb::Watch => {
            connection.send(&stream_head()).await?;
            connection.send(&chunk(format!("{lie}\n").as_bytes())).await?;
        }
        Fault::Lie(lie) => return connection.send(&Answer::json(200, &lie).bytes()).await,
        Fault::Garbage if seen.verb == Verb::Watch => {
            connection.send(&stream_head()).await?;
            connection.send(&chunk(b"\x01\x02{{{ garbage\n")).await?;
        }
        Fault::Garbage => return connection.send(&Answer::text(200, "\u{1}\u{2}{{{ garbage").bytes()).await,
        Fault::NotHttp => connection.send(b"220 mail.example.com ESMTP\r\n\r\n").await?,
        Fault::HalfClose => connection.stream.shutdown().await?,
    }
    connection.ends().await;
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

/// The headers at once, the rest after a pause.
async fn respond_late<S: Stream>(
    shared: &Shared,
    connection: &mut Connection<S>,
    seen: &Seen,
    pause: Duration,
) -> std::io::Result<()> {
    match outcome(shared, seen) {
        Outcome::Whole(answer) => {
            connection.send(&answer.head(Some(answer.body.len()))).await?;
            tokio::time::sleep(pause).await;
            connection.send(&answer.body).await
        }
        Outcome::Watch(address, version) => {
            connection.send(&stream_head()).await?;
            tokio::time::sleep(pause).await;
            follow(shared, connection, seen, (address, version), None).await
        }
    }
}

fn head(shared: &Shared, seen: &Seen) -> Vec<u8> {
    match outcome(shared, seen) {
        Outcome::Whole(answer) => answer.head(Some(answer.body.len())),
        Outcome::Watch(..) => stream_head(),
    }
}

/// Half of an answer, or of the next event.
async fn half<S: Stream>(shared: &Shared, connection: &mut Connection<S>, seen: &Seen) -> std::io::Result<()> {
    match outcome(shared, seen) {
        Outcome::Whole(answer) => {
            let head = answer.head(Some(answer.body.len()));
            connection.send(&head).await?;
            connection.send(&answer.body[..answer.body.len() / 2]).await
        }
        Outcome::Watch(address, version) => {
            connection.send(&stream_head()).await?;
            follow(shared, connection, seen, (address, version), Some(Half)).await
        }
    }
}

fn refused(code: u16) -> Answer {
    Answer::json(code, &Refusal::new(code, "the server wants it so").status())
}

fn stream_head() -> Vec<u8> {
    Answer::json(200, &Value::Null).head(None)
}

/// Does what a request wants.
fn outcome(shared: &Shared, seen: &Seen) -> Outcome {
    if let Some(answer) = (shared.script)(seen) {
        return Outcome::Whole(answer);
    }
    let Some(address) = &seen.address else { return Outcome::Whole(outside_of_kinds(seen)) };
    if lock(&shared.unknown).contains(&address.plural) {
        return Outcome::Whole(Answer::text(404, "404 page not found\n"));
    }
    if let Some(namespace) = shared.is_ending(seen) {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Outcome::Whole(Answer::json(403, &Refusal::new(403, why).status()));
    }
    if seen.verb == Verb::Watch {
        let version = address.parameter("resourceVersion").parse().unwrap_or_default();
        return Outcome::Watch(address.clone(), version);
    }
    let done = act(shared, seen, address);
    shared.tell();
    Outcome::Whole(match done {
        Ok((code, object)) => Answer::json(code, &object),
        Err(refusal) => Answer::json(refusal.code, &refusal.status()),
    })
}

fn outside_of_kinds(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/version" => Answer::json(200, &json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})),
        _ => Answer::text(404, "404 page not found\n"),
    }
}

fn act(shared: &Shared, seen: &Seen, address: &Address) -> Result<(u16, Value), Refusal> {
    let mut objects = lock(&shared.objects);
    match seen.verb {
        Verb::Get => objects.get(address).map(|object| (200, shown(seen, object))),
        Verb::List => objects.list(address).map(|page| (200, listed(seen, address, page))),
        Verb::Create => objects.create(address, seen.body.clone()).map(|object| (201, object)),
        Verb::Update => objects.update(address, seen.body.clone()).map(|object| (200, object)),
        Verb::Patch => {
            objects.patch(address, seen.header("content-type"), seen.body.clone()).map(|object| (200, object))
        }
        Verb::Delete => objects.delete(address, &seen.body).map(|object| (200, object)),
        Verb::Watch | Verb::Other => Err(Refusal::new(405, "the server does not allow this method")),
    }
}

/// An object as the request wants to see it.
fn shown(seen: &Seen, object: Value) -> Value {
    if !seen.header("accept").contains("as=PartialObjectMetadata") {
        return object;
    }
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn listed(seen: &Seen, address: &Address, page: Page) -> Value {
    let items: Vec<Value> = page.items.into_iter().map(|item| bare(address, shown(seen, item))).collect();
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if !page.token.is_empty() {
        metadata["continue"] = page.token.into();
    }
    json!({"kind": "List", "apiVersion": address.api_version(), "metadata": metadata, "items": items})
}

/// The real server leaves kind and version off the items of lists of its own kinds.
fn bare(address: &Address, mut item: Value) -> Value {
    let is_own = !address.group.contains('.') || address.group.ends_with(".k8s.io");
    if let Some(fields) = item.as_object_mut().filter(|_| is_own) {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    item
}

/// Only half of the next event is sent.
#[derive(Clone, Copy)]
struct Half;

/// Sends what happens in a collection, until the time of the watch is over. With `half` it returns after half an event.
async fn follow<S: Stream>(
    shared: &Shared,
    connection: &mut Connection<S>,
    seen: &Seen,
    from: (Address, u64),
    half: Option<Half>,
) -> std::io::Result<()> {
    let _open = Counted::one_more(shared, |shared| &shared.watches);
    let (address, mut version) = from;
    let mut news = shared.news.subscribe();
    let seconds = address.parameter("timeoutSeconds").parse().unwrap_or(3_600);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut bookmark = Instant::now() + *lock(&shared.bookmarks);
    loop {
        let happened = {
            let objects = lock(&shared.objects);
            let happened = if version == 0 { Ok(Vec::new()) } else { objects.since(&address, version) };
            version = objects.version();
            happened
        };
        let (mut events, is_over) = match happened {
            Ok(changes) => {
                (changes.into_iter().map(|change| event(change.kind, &shown(seen, change.object))).collect(), false)
            }
            Err(refusal) => (vec![event("ERROR", &refusal.status())], true),
        };
        if Instant::now() >= bookmark && !address.parameter("allowWatchBookmarks").is_empty() {
            events.push(event("BOOKMARK", &json!({"metadata": {"resourceVersion": version.to_string()}})));
            bookmark = Instant::now() + *lock(&shared.bookmarks);
        }
        for event in events {
            let bytes = chunk(&event);
            if half.is_some() {
                return connection.send(&bytes[..bytes.len() / 2]).await;
            }
            connection.send(&bytes).await?;
        }
        if is_over || Instant::now() >= end {
            return connection.send(&chunk(b"")).await;
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep_until(bookmark.min(end)) => {}
            () = connection.ends() => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn event(kind: &str, object: &Value) -> Vec<u8> {
    format!("{}\n", json!({"type": kind, "object": object})).into_bytes()
}
