//! An error as Kubernetes words it.

use serde_json::{Value, json};

/// Why there is no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub code: u16,
    /// Its reason, such as `NotFound`.
    pub reason: String,
    /// What is said.
    pub message: String,
}

impl Refusal {
    /// A refusal with the reason that belongs to its code.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, reason: reason(code).to_owned(), message: message.into() }
    }

    /// 409 because it exists already.
    pub(crate) fn exists(plural: &str, name: &str) -> Self {
        let message = format!("{plural} {name:?} already exists");
        Self { reason: "AlreadyExists".to_owned(), ..Self::new(409, message) }
    }

    /// 404 of an object.
    pub(crate) fn missing(plural: &str, name: &str) -> Self {
        Self::new(404, format!("{plural} {name:?} not found"))
    }

    /// 409 because it is another version.
    pub(crate) fn conflict(plural: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::new(409, format!("Operation cannot be fulfilled on {plural} {name:?}: {why}"))
    }

    /// The object that says so.
    pub fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
               "reason": self.reason, "code": self.code})
    }
}

const fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}
