//! Which object is meant. It knows nothing of what stands in it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;

/// Which object: its kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace; every kind that Burgee touches has one.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectKey {
    /// The key of a kind, namespace and name.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object as it stands in a manifest; none for a kind that Burgee does not know.
    pub fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        Some(Self::new(Kind::of(object)?, metadata["namespace"].as_str()?, metadata["name"].as_str()?))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}.{}", self.kind.name(), self.name, self.namespace)
    }
}
