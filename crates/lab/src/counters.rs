//! Envoy's own counters at the gateway, per workload and response code. Parsing only; fetching is the gateway's.
use crate::cluster::Cluster;
use crate::gateway::envoy_pages;
use anyhow::Result;
use std::collections::BTreeMap;

/// Requests that the gateway has sent, by Service and response code, since its Envoy started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    requests: BTreeMap<(String, String, u16), u64>,
    retries: BTreeMap<(String, String), u64>,
}

impl Counters {
    /// Reads the gateway's counters.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub fn read(cluster: &Cluster) -> Result<Self> {
        Ok(Self::parse(&envoy_pages(cluster, "/stats/prometheus")?))
    }

    /// Parses what the gateway's Envoys answer at `/stats/prometheus`; lines of other metrics are skipped. An Envoy of
    /// Istio keeps no statistics of its clusters unless it is told to, but always Istio's own count of requests.
    pub fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        let mut by_istio = BTreeMap::new();
        for line in text.lines() {
            counters.take(line);
            if let Some((key, count)) = counted_by_istio(line) {
                *by_istio.entry(key).or_default() += count;
            }
        }
        if counters.requests.is_empty() {
            counters.requests = by_istio;
        }
        counters
    }

    /// Whether the gateway counts the requests that it tries again.
    pub fn has_retries(&self) -> bool {
        !self.retries.is_empty()
    }

    /// Requests answered with `code` by a Service, all codes if none is given.
    pub fn requests(&self, namespace: &str, service: &str, code: Option<u16>) -> u64 {
        let wanted = |(space, name, seen): &(String, String, u16)| {
            space == namespace && name == service && code.is_none_or(|code| code == *seen)
        };
        self.requests.iter().filter(|(key, _)| wanted(key)).map(|(_, count)| count).sum()
    }

    /// Requests answered with 500 or above by a Service.
    pub fn server_errors(&self, namespace: &str, service: &str) -> u64 {
        let wanted =
            |(space, name, code): &(String, String, u16)| space == namespace && name == service && *code >= 500;
        self.requests.iter().filter(|(key, _)| wanted(key)).map(|(_, count)| count).sum()
    }

    /// Requests to a Service that the gateway tried again.
    pub fn retries(&self, namespace: &str, service: &str) -> u64 {
        self.retries.get(&(namespace.to_owned(), service.to_owned())).copied().unwrap_or_default()
    }

    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: difference(&self.requests, &earlier.requests),
            retries: difference(&self.retries, &earlier.retries),
        }
    }

    fn take(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once('{') else { return };
        let Some((labels, value)) = rest.rsplit_once("} ") else { return };
        let Some((service, namespace)) = label(labels, "cluster_name").and_then(destination) else { return };
        let Ok(count) = value.trim().parse::<u64>() else { return };
        if name == "envoy_cluster_upstream_rq" {
            let Some(code) = label(labels, "response_code").and_then(|code| code.parse().ok()) else { return };
            *self.requests.entry((namespace, service, code)).or_default() += count;
        } else if name == "envoy_cluster_upstream_rq_retry" {
            *self.retries.entry((namespace, service)).or_default() += count;
        }
    }
}

fn difference<Key: Clone + Ord>(now: &BTreeMap<Key, u64>, earlier: &BTreeMap<Key, u64>) -> BTreeMap<Key, u64> {
    let grown =
        |(key, count): (&Key, &u64)| (key.clone(), count - earlier.get(key).copied().unwrap_or_default().min(*count));
    now.iter().map(grown).collect()
}

/// A line of Istio's own count, as the gateway that sends a request makes it.
fn counted_by_istio(line: &str) -> Option<((String, String, u16), u64)> {
    let (labels, value) = line.strip_prefix("istio_requests_total{")?.rsplit_once("} ")?;
    let own = |name: &str| label(labels, name).map(str::to_owned);
    label(labels, "reporter").filter(|reporter| *reporter == "source")?;
    let key = (own("destination_service_namespace")?, own("destination_service_name")?);
    let code = label(labels, "response_code")?.parse().ok()?;
    Some(((key.0, key.1, code), value.trim().parse().ok()?))
}

/// The value of a label, also of one whose name begins with `envoy_`, as plain Envoy calls what Istio's does not.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Service and namespace of `outbound|9898||podinfo-canary.test.svc.cluster.local`.
fn destination(cluster: &str) -> Option<(String, String)> {
    let host = cluster.strip_prefix("outbound|")?.rsplit('|').next()?;
    let mut parts = host.split('.');
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="outbound|9898||podinfo-canary.test.svc.cluster.local"} 40
envoy_cluster_upstream_rq{envoy_response_code="500",envoy_cluster_name="outbound|9898||podinfo-canary.test.svc.cluster.local"} 2
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="outbound|9898||podinfo-primary.test.svc.cluster.local"} 7
envoy_cluster_upstream_rq_retry{envoy_cluster_name="outbound|9898||podinfo-canary.test.svc.cluster.local"} 3
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="xds-grpc"} 9
envoy_server_live{} 1
"#;

    #[test]
    fn requests_are_counted_per_service_and_code() {
        let counters = Counters::parse(ANSWER);
        assert_eq!(counters.requests("test", "podinfo-canary", None), 42);
        assert_eq!(counters.requests("test", "podinfo-canary", Some(200)), 40);
        assert_eq!(counters.server_errors("test", "podinfo-canary"), 2);
        assert_eq!(counters.requests("test", "podinfo-primary", None), 7);
        assert_eq!(counters.requests("other", "podinfo-primary", None), 0);
        assert_eq!(counters.retries("test", "podinfo-canary"), 3);
    }

    #[test]
    fn an_envoy_of_istio_names_its_labels_otherwise_and_may_keep_only_istios_own_count() {
        let own = ANSWER.replace("envoy_response_code", "response_code").replace("envoy_cluster_name", "cluster_name");
        assert_eq!(Counters::parse(&own), Counters::parse(ANSWER));
        let line = |reporter: &str, code: u16, count: u64| {
            format!(
                "istio_requests_total{{reporter=\"{reporter}\",destination_service=\"podinfo-canary.test.svc.cluster.local\",\
                 destination_service_name=\"podinfo-canary\",destination_service_namespace=\"test\",\
                 response_code=\"{code}\"}} {count}\n"
            )
        };
        let text =
            line("source", 200, 7) + &line("source", 200, 2) + &line("source", 503, 1) + &line("waypoint", 200, 5);
        let counters = Counters::parse(&text);
        assert_eq!(counters.requests("test", "podinfo-canary", None), 10);
        assert_eq!(counters.server_errors("test", "podinfo-canary"), 1);
        assert!(!counters.has_retries() && Counters::parse(ANSWER).has_retries());
        assert_eq!(Counters::parse(&(own + &text)), Counters::parse(ANSWER), "nothing is counted twice");
    }

    #[test]
    fn a_difference_counts_only_what_came_later_and_survives_a_restart_of_envoy() {
        let earlier = Counters::parse(&ANSWER.replace("} 40", "} 30").replace("} 7", "} 70"));
        let since = Counters::parse(ANSWER).since(&earlier);
        assert_eq!(since.requests("test", "podinfo-canary", Some(200)), 10);
        assert_eq!(since.requests("test", "podinfo-primary", None), 0);
    }
}
