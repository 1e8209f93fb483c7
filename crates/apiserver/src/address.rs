//! What a path means: the collection, the object, and the query behind them.

use std::collections::BTreeMap;

/// Where a request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// API group, empty for core.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Namespace; none for the whole cluster and for kinds without namespaces.
    pub namespace: Option<String>,
    /// Plural name of the kind.
    pub plural: String,
    /// Name of the object; none is the collection.
    pub name: Option<String>,
    /// `status` and its like.
    pub subresource: Option<String>,
    /// The parameters.
    pub query: BTreeMap<String, String>,
}

impl Address {
    /// The address of a path with its query; none if it is that of no object and no collection.
    pub fn parse(path_and_query: &str) -> Option<Self> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let query = url::form_urlencoded::parse(query.as_bytes());
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let mut parts = path.trim_start_matches('/').split('/').map(str::to_owned);
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let mut plural = parts.next()?;
        let mut namespace = None;
        let mut rest: Vec<String> = parts.collect();
        if plural == "namespaces" && rest.len() >= 2 {
            namespace = Some(rest.remove(0));
            plural = rest.remove(0);
        }
        let mut rest = rest.into_iter();
        let (name, subresource) = (rest.next(), rest.next());
        rest.next().is_none().then_some(Self { group, version, namespace, plural, name, subresource, query })
    }

    /// A parameter, empty without one.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The `apiVersion` of what is here.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Group, namespace, plural, name, subresource; what is not there is a dash.
    fn check(path: &str, expected: Option<[&str; 5]>) {
        let or_dash = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
        let found = Address::parse(path)
            .map(|at| [at.group, or_dash(at.namespace), at.plural, or_dash(at.name), or_dash(at.subresource)]);
        assert_eq!(found, expected.map(|parts| parts.map(str::to_owned)), "{path}");
    }

    #[test]
    fn a_path_names_a_collection_or_an_object_or_nothing() {
        check("/api/v1/pods?limit=1", Some(["", "-", "pods", "-", "-"]));
        check("/api/v1/namespaces/test/secrets", Some(["", "test", "secrets", "-", "-"]));
        check("/api/v1/namespaces/test", Some(["", "-", "namespaces", "test", "-"]));
        let canary = "/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo/status";
        check(canary, Some(["flagger.app", "test", "canaries", "podinfo", "status"]));
        check("/version", None);
        check("/api/v1/namespaces/test/pods/a/log/more", None);
    }
}
