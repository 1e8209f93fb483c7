//! An alert as data, and under which name it is posted. It knows no chat.

use burgee_api::Phase;
use burgee_api::analysis::Severity;
use jiff::Timestamp;

/// A message for people, and what programs want to know besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Name of the canary.
    pub canary: String,
    /// Its namespace.
    pub namespace: String,
    /// The text.
    pub message: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is said besides, in order: title and value.
    pub fields: Vec<(String, String)>,
    /// Kind and name of the target; no chat shows them outside the fields.
    pub target: (String, String),
    /// `-cluster-name`; empty if it has none.
    pub cluster_name: String,
    /// The phase of the canary.
    pub phase: Phase,
    /// When it arose: it is the same however often, and however late, the alert is sent.
    pub time: Timestamp,
}

impl Alert {
    /// The same with every text that others wrote changed in this way.
    pub(super) fn each(&self, escape: fn(&str) -> String) -> Self {
        let Self { canary, namespace, message, severity, fields, target: (kind, name), cluster_name, phase, time } =
            self;
        Self {
            canary: escape(canary),
            namespace: escape(namespace),
            message: escape(message),
            severity: *severity,
            fields: fields.iter().map(|(title, value)| (escape(title), escape(value))).collect(),
            target: (escape(kind), escape(name)),
            cluster_name: escape(cluster_name),
            phase: *phase,
            time: *time,
        }
    }

    /// `<canary>.<namespace>`, as every chat shows it.
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.canary, self.namespace)
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The severity in the words of the spec.
    pub(super) const fn severity_name(&self) -> &'static str {
        match self.severity {
            Severity::Unset | Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }

    /// The time as RFC 3339, in UTC.
    pub(super) fn rfc3339(&self) -> String {
        format!("{:.3}", self.time)
    }
}

/// Where in a chat an alert is posted, and under which name.
#[derive(Clone, Copy)]
pub(super) struct Poster<'a> {
    /// Channel to post to.
    pub(super) channel: &'a str,
    /// Name to post under.
    pub(super) username: &'a str,
}
