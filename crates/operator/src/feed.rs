//! One collection as it is followed: a list, then what changes. Whatever is not as it should be ends in an error within a
//! minute: an answer that does not come, silence, half an event, bytes without meaning, a list that is none. It keeps
//! nothing.

use std::time::Duration;

use burgee_core::world::Kind;
use http::{HeaderValue, Method, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::Instant;

use crate::cluster::{ApiError, Cluster, request};
use crate::item::{Item, Text, Versioned};

/// Objects of the first page of a list, and the most of any. How large they are is not known before.
const PAGE: (usize, usize) = (8, 200);
/// Bytes of a page after which the next one has fewer objects, and more. What a page took for a moment is not given back by
/// the allocator.
const PAGE_BYTES: (usize, usize) = (2 << 20, 512 << 10);
/// No event is longer: etcd takes no object of more than 1.5 MiB.
const LONGEST_EVENT: usize = 16 << 20;
/// Metadata only, for the kinds whose content must not be kept.
const METADATA: &str = "application/json;as=PartialObjectMetadata{LIST};g=meta.k8s.io;v=v1,application/json";

/// What is followed.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// The kind.
    pub(crate) kind: Kind,
    /// Path of the collection.
    pub(crate) path: String,
    /// Selectors of the query, each with its `&`.
    pub(crate) selector: &'static str,
    /// How much of the objects is wanted.
    pub(crate) depth: Depth,
}

/// How much of an object is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All of it.
    Whole,
    /// Its metadata.
    Metadata,
}

/// Something that a watch has shown.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// An object is there, or is otherwise than before.
    Present(Item),
    /// It is gone.
    Gone(Item),
    /// Nothing: only time has passed.
    Nothing,
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing was heard that is wrong: it can be opened again where it was.
    Connection(ApiError),
    /// What was missed is not known: only a list tells.
    Thread(ApiError),
}

impl Feed {
    /// All objects, page by page, one at a time. Answers the version to watch from. An answer that is no list is an error, for
    /// it would say that everything is gone.
    pub(crate) async fn list(&self, cluster: &Cluster, mut take: impl FnMut(Item)) -> Result<u64, ApiError> {
        let mut token = String::new();
        let mut limit = PAGE.0;
        loop {
            let query = format!("limit={limit}&continue={}", escape(&token));
            let page: Page = cluster.read(self.kind, self.request(&query, "List")?).await?;
            let version = page.metadata.version().ok_or_else(|| self.nonsense("an answer without a version"))?;
            match page.items {
                Some(items) => {
                    limit = next_limit(limit, items.iter().map(Text::len).sum());
                    for text in items {
                        take(text.item().ok_or_else(|| self.nonsense("an answer that is no list"))?);
                    }
                }
                // Go may write an empty list so.
                None if page.kind.ends_with("List") => {}
                None => return Err(self.nonsense("an answer that is no list")),
            }
            let next = page.metadata.token;
            if next.is_empty() {
                return Ok(version);
            }
            if next == token {
                return Err(self.nonsense("the same page twice"));
            }
            token = next;
        }
    }

    /// Follows from `version`, which moves along, until the server ends the watch. Everything that is heard is told.
    pub(crate) async fn follow(
        &self,
        cluster: &Cluster,
        version: &mut u64,
        mut tell: impl FnMut(Happened),
    ) -> Result<(), Lost> {
        let deadlines = cluster.deadlines;
        let seconds = fastrand::u32(deadlines.watch_seconds.0..=deadlines.watch_seconds.1);
        let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
        let request = self.request(&query, "").map_err(Lost::Connection)?;
        let response = match cluster.open(self.kind, request).await {
            Ok(response) => response,
            Err(error @ (ApiError::Gone(_) | ApiError::Forbidden(_) | ApiError::Missing(_))) => {
                return Err(Lost::Thread(error));
            }
            Err(error) => return Err(Lost::Connection(error)),
        };
        tell(Happened::Nothing);
        let mut lines = Lines::new(response, deadlines.silence);
        while let Some(line) = lines.next().await? {
            let event = serde_json::from_slice(&line).map_err(|_| self.lost("an event that is no JSON"))?;
            self.take(event, version, &mut tell)?;
        }
        Ok(())
    }

    fn take(&self, event: Event, version: &mut u64, tell: &mut impl FnMut(Happened)) -> Result<(), Lost> {
        let Event { kind, object } = event;
        if kind == "ERROR" {
            let object = object.read().unwrap_or_default();
            let code = object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            let message = object["message"].as_str().unwrap_or_default().to_owned();
            return Err(Lost::Thread(ApiError::of(code, message)));
        }
        let shown = object.version().ok_or_else(|| self.lost("an event without a version"))?;
        let happened = match kind.as_str() {
            "BOOKMARK" => Happened::Nothing,
            "ADDED" | "MODIFIED" => Happened::Present(self.object(object)?),
            "DELETED" => Happened::Gone(self.object(object)?),
            _ => return Err(self.lost("an event of no known kind")),
        };
        tell(happened);
        *version = shown.max(*version);
        Ok(())
    }

    fn object(&self, text: Text) -> Result<Item, Lost> {
        text.item().ok_or_else(|| self.lost("an event without an object"))
    }

    fn request(&self, query: &str, list: &str) -> Result<http::Request<Vec<u8>>, ApiError> {
        let mut request = request(Method::GET, &format!("{}?{query}{}", self.path, self.selector), None)?;
        if self.depth == Depth::Metadata {
            let accept = METADATA.replace("{LIST}", list);
            let accept = HeaderValue::from_str(&accept).map_err(|error| ApiError::Failed(error.to_string()))?;
            request.headers_mut().insert(http::header::ACCEPT, accept);
        }
        Ok(request)
    }

    fn lost(&self, what: &str) -> Lost {
        Lost::Thread(self.nonsense(what))
    }

    fn nonsense(&self, what: &str) -> ApiError {
        ApiError::Failed(format!("the API server sent {what} for {}", self.kind.names().3))
    }
}

/// The lines of a body, each of which must come in time.
struct Lines {
    body: Body,
    silence: Duration,
    unread: Vec<u8>,
}

impl Lines {
    fn new(response: Response<Body>, silence: Duration) -> Self {
        Self { body: response.into_body(), silence, unread: Vec::new() }
    }

    /// The next line; none when the body has ended after a whole one. Bytes that make no line are silence.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Lost> {
        let end = Instant::now() + self.silence;
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=searched + at).collect();
                return Ok(Some(line));
            }
            searched = self.unread.len();
            if searched > LONGEST_EVENT {
                return Err(Lost::Thread(ApiError::Failed("the API server sent an endless event".to_owned())));
            }
            match tokio::time::timeout_at(end, self.body.frame()).await {
                Err(_) => return Err(Lost::Thread(silent("nothing heard", self.silence))),
                Ok(Some(Ok(frame))) => self.unread.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Ok(None) if self.unread.is_empty() => return Ok(None),
                Ok(Some(Err(error))) if self.unread.is_empty() => return Err(Lost::Connection(error.into())),
                Ok(None | Some(Err(_))) => {
                    return Err(Lost::Thread(ApiError::Failed(
                        "the API server stopped in the middle of an event".to_owned(),
                    )));
                }
            }
        }
    }
}

fn silent(what: &str, wait: Duration) -> ApiError {
    ApiError::Failed(format!("{what} from the API server for {} s", wait.as_secs()))
}

/// A list as it comes.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    kind: String,
    metadata: Versioned,
    #[serde(default)]
    items: Option<Vec<Text>>,
}

/// An event of a watch as it comes.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Text,
}

/// How many objects the next page has, after one of so many objects and bytes.
fn next_limit(limit: usize, bytes: usize) -> usize {
    if bytes > PAGE_BYTES.0 {
        (limit / 2).max(1)
    } else if bytes < PAGE_BYTES.1 {
        (limit * 4).min(PAGE.1)
    } else {
        limit
    }
}

fn escape(token: &str) -> String {
    url::form_urlencoded::byte_serialize(token.as_bytes()).collect()
}
