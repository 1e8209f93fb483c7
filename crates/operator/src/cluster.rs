//! The API server as it is spoken to: raw JSON in and out, one door for every request. It decides nothing and keeps
//! nothing; typed clients are not used because they drop fields that they do not know.

use std::time::Duration;

use burgee_core::dns;
use burgee_core::world::{Kind, ObjectKey};
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use crate::door::connect;
use crate::door::{Door, collect};
use crate::item::Text;
use crate::sized::Unread;

/// How long the API server may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// A whole answer, or a page of a list.
    pub answer: Duration,
    /// The headers of a watch.
    pub headers: Duration,
    /// An open watch in which nothing is heard is dead after this time. It is longer than a watch is open.
    pub silence: Duration,
    /// The first list of a kind, as long as a tick waits for it.
    pub first_list: Duration,
    /// A watch is opened for so many seconds, from the least to the most, so that thousands of them do not end together.
    /// When they are over the server sends a bookmark and ends it: a sign of life that comes sooner than the bookmark of
    /// each minute.
    pub watch_seconds: (u32, u32),
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            headers: Duration::from_secs(15),
            silence: Duration::from_secs(50),
            first_list: Duration::from_secs(20),
            watch_seconds: (30, 45),
        }
    }
}

/// The API server's words, with a 403, for a write into a namespace that is being deleted.
const NAMESPACE_ENDS: &str = "because it is being terminated";

/// What the API server answered instead of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404: neither the object nor, perhaps, its kind exists.
    #[error("{0}")]
    Missing(String),
    /// 409: it exists already, or is not the version that was decided on.
    #[error("{0}")]
    Conflict(String),
    /// 401 or 403: a permission is missing, if it stands.
    #[error("{0}")]
    Forbidden(String),
    /// 410: the version to watch from is too old.
    #[error("{0}")]
    Gone(String),
    /// 422: refused by validation, or a `test` of a JSON patch failed. Also: the namespace ends and takes nothing more.
    #[error("{0}")]
    Refused(String),
    /// Anything else: transport, timeout, 429, 5xx.
    #[error("{0}")]
    Failed(String),
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Failed(error.to_string()) };
        Self::of(status.code, status.message.clone())
    }
}

impl ApiError {
    /// What a status code means, with the server's words.
    pub(crate) fn of(code: u16, message: String) -> Self {
        match code {
            404 => Self::Missing(message),
            409 => Self::Conflict(message),
            // It says nothing of permissions, and will not be otherwise in ten seconds.
            403 if message.contains(NAMESPACE_ENDS) => Self::Refused(message),
            401 | 403 => Self::Forbidden(message),
            410 => Self::Gone(message),
            422 => Self::Refused(message),
            code => Self::Failed(format!("{message} ({code})")),
        }
    }
}

/// Group, version and plural: what a URL needs to know of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// API group, empty for core.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Plural name.
    pub plural: &'static str,
}

impl Resource {
    /// `core/v1` events.
    pub const EVENTS: Self = Self { group: "", version: "v1", plural: "events" };
    /// `coordination.k8s.io/v1` leases.
    pub const LEASES: Self = Self { group: "coordination.k8s.io", version: "v1", plural: "leases" };
    /// `apiextensions.k8s.io/v1` custom resource definitions.
    pub const DEFINITIONS: Self =
        Self { group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions" };

    /// The resource of a kind.
    pub const fn of(kind: Kind) -> Self {
        let (group, version, _, plural) = kind.names();
        Self { group, version, plural }
    }

    /// Path of the collection, cluster-wide without a namespace.
    pub fn collection(self, namespace: Option<&str>) -> String {
        let Self { group, version, plural } = self;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{plural}", escape(namespace)),
            None => format!("{root}/{plural}"),
        }
    }
}

/// Path of one object. Whatever is no name becomes no part of it (S30).
pub fn path(key: &ObjectKey) -> Result<String, ApiError> {
    Ok(format!("{}/{}", collection(key)?, escape(&key.name)))
}

/// Path of the collection that one object is in.
fn collection(key: &ObjectKey) -> Result<String, ApiError> {
    if dns::is_key(key) {
        return Ok(Resource::of(key.kind).collection(Some(&key.namespace)));
    }
    let ObjectKey { kind, namespace, name } = key;
    Err(ApiError::Refused(format!("{} {name:?} in namespace {namespace:?} is no name", kind.name())))
}

/// A text as one segment of a path, or one value in a query.
pub fn escape(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escaped).collect()
}

/// An object as it was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// All of it, but for its managed fields.
    Whole(Value),
    /// The outline of one that has more values than are read.
    TooLarge(Value),
}

impl Seen {
    /// What is known of it: of one that is too large who it is, and nothing that anybody could act on.
    pub(crate) fn known(self) -> Value {
        match self {
            Self::Whole(object) | Self::TooLarge(object) => object,
        }
    }
}

/// The API server of the workloads, and the one of the mesh objects, which is mostly the same.
#[derive(Clone)]
pub struct Cluster {
    work: Door,
    mesh: Door,
    pub(crate) deadlines: Deadlines,
}

impl Cluster {
    /// A cluster whose mesh objects live in `mesh` (`-kubeconfig-service-mesh`).
    pub fn new(client: Client, mesh: Client) -> Self {
        Self { work: Door::new(client), mesh: Door::new(mesh), deadlines: Deadlines::default() }
    }

    /// The same with other deadlines.
    #[must_use]
    pub const fn with(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// The API server that knows a kind.
    const fn door(&self, kind: Kind) -> &Door {
        if kind.is_of_the_mesh() { &self.mesh } else { &self.work }
    }

    /// Any read of a kind.
    pub(crate) async fn read<T: DeserializeOwned>(&self, kind: Kind, request: Request<Vec<u8>>) -> Result<T, ApiError> {
        self.send(self.door(kind), request).await
    }

    /// Opens a watch. Whoever reads it has a deadline for each event.
    pub(crate) async fn open(&self, kind: Kind, request: Request<Vec<u8>>) -> Result<http::Response<Body>, ApiError> {
        let door = self.door(kind);
        door.rested().await;
        let late = || ApiError::Failed(format!("the watch was not answered in {} s", self.deadlines.headers.as_secs()));
        let opened = tokio::time::timeout(self.deadlines.headers, door.send(request)).await;
        opened.unwrap_or_else(|_| Err(late()))
    }

    /// Sends a request as soon as the server takes any, and waits for its answer, but not for ever.
    async fn send<T: DeserializeOwned>(&self, door: &Door, request: Request<Vec<u8>>) -> Result<T, ApiError> {
        door.rested().await;
        let answer = async {
            let body = collect(door.send(request).await?).await?;
            serde_json::from_slice(&body).map_err(|error| without_sense(&error))
        };
        let late =
            || ApiError::Failed(format!("the API server did not answer in {} s", self.deadlines.answer.as_secs()));
        tokio::time::timeout(self.deadlines.answer, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// One object, or none if there is none.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ApiError> {
        match self.find(key).await {
            Ok(object) => Ok(Some(object)),
            Err(ApiError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One object as far as its size permits, or none if there is none.
    pub(crate) async fn look(&self, key: &ObjectKey) -> Result<Option<Seen>, ApiError> {
        let text: Text = match self.read(key.kind, request(Method::GET, &path(key)?, None)?).await {
            Ok(text) => text,
            Err(ApiError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match text.sized() {
            Ok(object) => verified(key, object).map(|object| Some(Seen::Whole(object))),
            Err(Unread::Nonsense(error)) => Err(without_sense(&error)),
            Err(Unread::TooLarge) => {
                let item = text.item().ok_or_else(|| something_else(key))?;
                verified(key, item.outline).map(|outline| Some(Seen::TooLarge(outline)))
            }
        }
    }

    /// One object. The error may be that there is none, or that the API server does not know its kind.
    pub async fn find(&self, key: &ObjectKey) -> Result<Value, ApiError> {
        let found: Value = self.read(key.kind, request(Method::GET, &path(key)?, None)?).await?;
        verified(key, found)
    }

    /// Creates an object.
    pub async fn create(&self, key: &ObjectKey, object: &Value) -> Result<Value, ApiError> {
        let request = request(Method::POST, &written_by(&collection(key)?), Some(object))?;
        self.send(self.door(key.kind), request).await
    }

    /// Replaces a whole object; the `resourceVersion` in it is the precondition.
    pub async fn replace(&self, key: &ObjectKey, object: &Value) -> Result<Value, ApiError> {
        let request = request(Method::PUT, &written_by(&path(key)?), Some(object))?;
        self.send(self.door(key.kind), request).await
    }

    /// Applies an RFC 6902 patch.
    pub async fn patch(&self, key: &ObjectKey, operations: &Value) -> Result<Value, ApiError> {
        self.send(self.door(key.kind), json_patch(&path(key)?, operations)?).await
    }

    /// Applies an RFC 6902 patch to the status subresource.
    pub async fn patch_status(&self, key: &ObjectKey, operations: &Value) -> Result<Value, ApiError> {
        self.send(self.door(key.kind), json_patch(&format!("{}/status", path(key)?), operations)?).await
    }

    /// Deletes an object; with a uid, only if it still has that one.
    pub async fn delete(&self, key: &ObjectKey, uid: Option<&str>) -> Result<Value, ApiError> {
        let mut options = json!({"propagationPolicy": "Background"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({"uid": uid});
        }
        self.send(self.door(key.kind), request(Method::DELETE, &path(key)?, Some(&options))?).await
    }

    /// Any other request to the API server of the workloads, such as for an event or the Lease.
    pub async fn raw(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let path = if method == Method::GET { path.to_owned() } else { written_by(path) };
        let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        self.send(&self.work, build(method, &path, media, body)?).await
    }
}

fn without_sense(error: &serde_json::Error) -> ApiError {
    ApiError::Failed(format!("an answer without sense: {error}"))
}

fn something_else(key: &ObjectKey) -> ApiError {
    ApiError::Failed(format!("the API server sent something else for {key}"))
}

/// The object that was asked for: something else in its place would be decided on.
fn verified(key: &ObjectKey, found: Value) -> Result<Value, ApiError> {
    let name = found["metadata"]["name"].as_str();
    let is_it = found["metadata"].is_object() && name.is_none_or(|name| name == key.name);
    if is_it { Ok(found) } else { Err(something_else(key)) }
}

fn written_by(path: &str) -> String {
    format!("{path}?fieldManager=burgee")
}

/// A request with an optional JSON body.
pub fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, ApiError> {
    build(method, path, "application/json", body)
}

fn json_patch(path: &str, operations: &Value) -> Result<Request<Vec<u8>>, ApiError> {
    build(Method::PATCH, &written_by(path), "application/json-patch+json", Some(operations))
}

fn build(method: Method, path: &str, media: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, ApiError> {
    let body = body.map(serde_json::to_vec).transpose().map_err(|error| ApiError::Failed(error.to_string()))?;
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, media)
        .header(http::header::ACCEPT, "application/json")
        .body(body.unwrap_or_default())
        .map_err(|error| ApiError::Failed(format!("{path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_becomes_no_part_of_a_path() {
        let of = |namespace: &str, name: &str| path(&ObjectKey::new(Kind::Secret, namespace, name));
        assert_eq!(of("test", "a.b-c"), Ok("/api/v1/namespaces/test/secrets/a.b-c".to_owned()));
        for (namespace, name) in
            [("test", "../x"), ("test", ".."), ("test", ""), ("a/b", "x"), ("..", "x"), ("test", "x?y")]
        {
            assert!(matches!(of(namespace, name), Err(ApiError::Refused(_))), "{namespace} {name}");
        }
        let collection = Resource::EVENTS.collection(Some("a/../b c"));
        assert_eq!(collection, "/api/v1/namespaces/a%2F..%2Fb%20c/events");
    }
}
