//! The operator's requests by the API server's audit log. It reads the log and judges nothing.
use anyhow::{Context, Result};
use burgee_lab::Lab;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Seek, SeekFrom};

/// Whether a user is the operator, by the name of the chart's service account in whatever namespace.
fn is_operator(user: &str) -> bool {
    user.starts_with("system:serviceaccount:") && user.ends_with(":flagger")
}

/// One request of the operator.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// When the API server got it.
    pub at: Timestamp,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// The resource in plural, with the subresource, such as `canaries/status`; the path when it is none.
    pub resource: String,
    /// The object's namespace; empty for lists over all and for cluster-wide objects.
    pub namespace: String,
    /// The object's name; empty for lists.
    pub name: String,
    /// The pod that asked.
    pub pod: String,
    /// The answer's status code.
    pub code: u64,
}

impl Asked {
    /// Whether it was meant to change something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it is about the lease of leadership.
    pub(crate) fn is_lease(&self) -> bool {
        self.resource == "leases"
    }

    /// Reads a line of the log. A watch is logged when it opens and when it ends; only the first counts.
    fn read(line: &str) -> Option<Self> {
        let entry: Value = serde_json::from_str(line).ok()?;
        let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let verb = text("/verb");
        let counted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        if text("/stage") != counted || !is_operator(&text("/user/username")) {
            return None;
        }
        let resource = [text("/objectRef/resource"), text("/objectRef/subresource")];
        let resource = resource.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/");
        Some(Self {
            at: text("/requestReceivedTimestamp").parse().ok()?,
            resource: if resource.is_empty() { text("/requestURI") } else { resource },
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            pod: text("/user/extra/authentication.kubernetes.io~1pod-name/0"),
            code: entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
            verb,
        })
    }
}

/// The audit log from a moment on.
pub(crate) struct Audit<'a> {
    lab: &'a Lab,
    from: u64,
    begun: Timestamp,
}

impl<'a> Audit<'a> {
    /// From now on.
    ///
    /// # Errors
    /// When there is no log.
    pub(crate) fn begin(lab: &'a Lab) -> Result<Self> {
        let from = fs::metadata(lab.audit_log()).context("look at the audit log")?.len();
        Ok(Self { lab, from, begun: Timestamp::now() })
    }

    /// The operator's requests since then, in the order in which they were answered.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn requests(&self) -> Result<Vec<Asked>> {
        let mut file = fs::File::open(self.lab.audit_log()).context("open the audit log")?;
        file.seek(SeekFrom::Start(self.from)).context("read the audit log")?;
        let mut text = String::new();
        file.read_to_string(&mut text).context("read the audit log")?;
        Ok(text.lines().filter_map(Asked::read).filter(|asked| asked.at >= self.begun).collect())
    }
}

/// What the operator asked for and was never allowed, from the boot of the lab on. A request that is refused once and allowed
/// later lacks no permission: an API server that has just started has not read them all.
///
/// # Errors
/// When the log cannot be read, or no request of the operator was ever allowed: then it shows nothing.
pub(crate) fn denied(lab: &Lab) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(lab.audit_log()).context("read the audit log")?;
    never_allowed(&text).context("the audit log has nothing of the operator")
}

/// What the operator asked for and was allowed, from the boot of the lab on.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn used(lab: &Lab) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(lab.audit_log()).context("read the audit log")?;
    let decisions = text.lines().filter_map(read_decision).filter(|(_, decision)| decision == "allow");
    Ok(decisions.map(|(request, _)| request).collect())
}

/// What a role allows, in the words of a request: the verb, then the group, resource and subresource between slashes.
pub(crate) fn granted(role: &Value) -> BTreeSet<String> {
    let words = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for (group, resource) in words(&rule["apiGroups"])
            .iter()
            .flat_map(|group| words(&rule["resources"]).into_iter().map(move |resource| (group.clone(), resource)))
        {
            let (resource, part) = resource.split_once('/').unwrap_or((&resource, ""));
            granted.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {group}/{resource}/{part}")));
        }
    }
    granted
}

fn never_allowed(log: &str) -> Option<BTreeSet<String>> {
    let decisions: Vec<(String, String)> = log.lines().filter_map(read_decision).collect();
    let requests = |wanted: &str| -> BTreeSet<String> {
        decisions.iter().filter(|(_, decision)| decision == wanted).map(|(request, _)| request.clone()).collect()
    };
    let allowed = requests("allow");
    (!allowed.is_empty()).then(|| requests("forbid").difference(&allowed).cloned().collect())
}

/// What a request of the operator's is about, and whether its permissions allowed it. Other refusals with 403 are none of
/// theirs: of objects in a namespace that is going, for one.
fn read_decision(line: &str) -> Option<(String, String)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let decision = text("/annotations/authorization.k8s.io~1decision");
    let is_it = !decision.is_empty() && is_operator(text("/user/username"));
    let what = ["/objectRef/apiGroup", "/objectRef/resource", "/objectRef/subresource"].map(text).join("/");
    is_it.then(|| (format!("{} {what}", text("/verb")), decision.to_owned()))
}

/// How many requests there were of each verb and resource, as lines of a report.
pub(crate) fn table<'a>(requests: impl Iterator<Item = &'a Asked>) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for asked in requests {
        *counts.entry((&asked.verb, &asked.resource)).or_default() += 1;
    }
    counts.iter().fold(String::new(), |mut text, ((verb, resource), count)| {
        let _ = write!(text, "\n    {count:4} {verb} {resource}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(verb: &str, stage: &str, user: &str) -> String {
        json!({
            "stage": stage, "verb": verb, "user": {"username": user, "extra": {"authentication.kubernetes.io/pod-name": ["p"]}},
            "objectRef": {"resource": "canaries", "subresource": "status", "namespace": "n", "name": "c"},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z", "responseStatus": {"code": 200},
        })
        .to_string()
    }

    #[test]
    fn a_request_is_counted_once_and_only_the_operators() {
        let own = "system:serviceaccount:istio-system:flagger";
        let asked = Asked::read(&line("patch", "ResponseComplete", own)).unwrap();
        assert_eq!(
            (asked.verb.as_str(), asked.resource.as_str(), asked.pod.as_str()),
            ("patch", "canaries/status", "p")
        );
        assert!(asked.is_write() && !asked.is_lease());
        assert!(Asked::read(&line("watch", "ResponseStarted", own)).is_some_and(|asked| !asked.is_write()));
        assert!(Asked::read(&line("watch", "ResponseComplete", own)).is_none());
        assert!(Asked::read(&line("patch", "ResponseComplete", "system:serviceaccount:kube-system:other")).is_none());
        assert!(Asked::read("{\"half a line").is_none());
    }

    #[test]
    fn what_the_permissions_of_the_operator_never_allowed_is_denied() {
        let own = "system:serviceaccount:istio-system:flagger";
        let line = |verb: &str, user: &str, decision: &str| {
            let object = json!({"apiGroup": "apps", "resource": "deployments"});
            json!({
                "verb": verb, "user": {"username": user}, "objectRef": object,
                "annotations": {"authorization.k8s.io/decision": decision},
            })
            .to_string()
        };
        let other = "system:serviceaccount:kube-system:other";
        let log = [
            line("get", own, "forbid"),
            line("get", own, "allow"),
            line("list", own, "forbid"),
            line("watch", other, "forbid"),
        ];
        let denied = never_allowed(&log.join("\n")).unwrap();
        assert_eq!(denied.into_iter().collect::<Vec<_>>(), ["list apps/deployments/"]);
        assert_eq!(never_allowed(&line("get", other, "allow")), None);
    }

    #[test]
    fn what_a_role_grants_is_said_as_a_request_is() {
        let role = json!({"rules": [
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
            {"apiGroups": ["flagger.app"], "resources": ["canaries", "canaries/status"], "verbs": ["patch"]},
        ]});
        let expected =
            ["create /events/", "patch /events/", "patch flagger.app/canaries/", "patch flagger.app/canaries/status"];
        assert_eq!(granted(&role).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_table_counts_by_verb_and_resource() {
        let asked =
            Asked::read(&line("patch", "ResponseComplete", "system:serviceaccount:istio-system:flagger")).unwrap();
        assert_eq!(table([&asked, &asked].into_iter()), "\n       2 patch canaries/status");
    }
}
