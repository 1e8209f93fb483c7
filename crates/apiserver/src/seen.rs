//! A request as it was seen.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::address::Address;

/// What a request wants, as roles name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// A collection.
    List,
    /// What changes in a collection from now on.
    Watch,
    /// A new object.
    Create,
    /// A whole object in the place of another one.
    Update,
    /// Some of an object.
    Patch,
    /// No object.
    Delete,
    /// Anything else.
    Other,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `GET` and its like.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers, names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body; null if it is no JSON.
    pub body: Value,
    /// What it wants.
    pub verb: Verb,
    /// Where it goes; none if that is nothing that an API server stores.
    pub address: Option<Address>,
}

impl Seen {
    /// A request as it came.
    pub fn new(method: &str, path: &str, headers: BTreeMap<String, String>, body: &[u8]) -> Self {
        let address = Address::parse(path);
        let verb = address.as_ref().map_or(Verb::Other, |address| verb(method, address));
        let body = serde_json::from_slice(body).unwrap_or_default();
        Self { method: method.to_owned(), path: path.to_owned(), headers, body, verb, address }
    }

    /// A header, empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Plural name of the kind.
    pub fn plural(&self) -> Option<&str> {
        self.address.as_ref().map(|address| address.plural.as_str())
    }

    /// Name of the object: of the path, or of what is created.
    pub fn name(&self) -> Option<&str> {
        let named = self.address.as_ref().and_then(|address| address.name.as_deref());
        named.or_else(|| self.body["metadata"]["name"].as_str().filter(|_| self.verb == Verb::Create))
    }
}

fn verb(method: &str, address: &Address) -> Verb {
    match (method, &address.name) {
        ("GET", Some(_)) => Verb::Get,
        ("GET", None) if matches!(address.parameter("watch"), "1" | "true") => Verb::Watch,
        ("GET", None) => Verb::List,
        ("POST", None) => Verb::Create,
        ("PUT", Some(_)) => Verb::Update,
        ("PATCH", Some(_)) => Verb::Patch,
        ("DELETE", Some(_)) => Verb::Delete,
        (_, _) => Verb::Other,
    }
}
