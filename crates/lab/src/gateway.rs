//! The ingress gateway of a cluster: where its users reach it, and what the Envoys in its pods say of themselves. It
//! counts nothing.
use crate::cluster::Cluster;
use crate::command::run;
use crate::forward::Forward;
use crate::network::GATEWAY_ADDRESS;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::TcpStream;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Namespace of the gateway.
const NAMESPACE: &str = "istio-system";
/// Its Service, as Istio's own charts and profiles name it.
const SERVICE: &str = "istio-ingressgateway";
/// Port of Envoy's administration page; in Istio's pods it listens on the loopback address only.
const ADMINISTRATION: u16 = 15000;
/// How long the list of the gateway's pods holds, unless one of them does not answer. To list them takes seconds on a busy
/// machine, in which nothing is read; who counts a step of ten seconds cannot wait so long within it.
const LISTED: Duration = Duration::from_mins(10);

/// Where the users of a cluster reach its ingress gateway by HTTP: `HOST:PORT`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    address: String,
}

impl Gateway {
    /// That of every lab, inside its network.
    pub fn of_lab() -> Self {
        Self { address: format!("{GATEWAY_ADDRESS}:80") }
    }

    /// That of a cluster, by the load balancer's address in its Service.
    ///
    /// # Errors
    /// When there is no such Service or it has no address; the message says what to do then.
    pub fn find(cluster: &Cluster) -> Result<Self> {
        Self::of_service(&cluster.json(&["-n", NAMESPACE, "get", "service", SERVICE])?)
    }

    fn of_service(service: &Value) -> Result<Self> {
        let balancer = &service["status"]["loadBalancer"]["ingress"][0];
        if let Some(host) = balancer["ip"].as_str().or_else(|| balancer["hostname"].as_str()) {
            return host.parse();
        }
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        let node_port = ports.filter(|port| port["port"] == 80).find_map(|port| port["nodePort"].as_u64());
        let advice = node_port.map(|port| format!(", such as that of a node and port {port}")).unwrap_or_default();
        bail!("service {NAMESPACE}/{SERVICE} has no load balancer's address; name one with --gateway{advice}")
    }

    /// URL of its first page.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect(&self.address).with_context(|| format!("connect to the gateway at {}", self.address))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.address)
    }
}

impl FromStr for Gateway {
    type Err = anyhow::Error;

    /// Reads `HOST[:PORT]`; the port is 80 unless it is named.
    fn from_str(text: &str) -> Result<Self> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._[]:".contains(letter);
        ensure!(!text.is_empty() && text.chars().all(is_plain), "{text:?} is no HOST[:PORT]");
        let (host, port) = match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
            None => (text, "80"),
            Some(parts) => parts,
        };
        let is_enclosed = host.starts_with('[') && host.ends_with(']');
        ensure!(!host.is_empty() && (is_enclosed || !host.contains(':')), "{text:?} is no HOST[:PORT]");
        let port: u16 = port.parse().with_context(|| format!("{port:?} in {text:?} is no port"))?;
        Ok(Self { address: format!("{host}:{port}") })
    }
}

/// The ways to the pods of a gateway, which stay open between two readings.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    pods: BTreeMap<String, Forward>,
    selector: Option<String>,
    listed: Option<Instant>,
}

impl Ways {
    /// Closes all; they open again when they are needed.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    fn read(&mut self, cluster: &Cluster, path: &str) -> Result<String> {
        if self.listed.is_none_or(|listed| listed.elapsed() > LISTED) {
            self.open(cluster)?;
        }
        self.pods.values().map(|pod| pod.read(path)).collect()
    }

    fn open(&mut self, cluster: &Cluster) -> Result<()> {
        let selector = self.selector.take().map_or_else(|| selector(cluster), Ok)?;
        let names = pods(cluster, &selector)?;
        self.selector = Some(selector);
        ensure!(!names.is_empty(), "service {NAMESPACE}/{SERVICE} selects no pod that runs");
        self.pods.retain(|name, _| names.contains(name));
        for name in names {
            if let Entry::Vacant(place) = self.pods.entry(name) {
                let spawn = |kubectl: &mut Command| cluster.spawn(kubectl, "port-forward");
                let pod = (NAMESPACE, place.key().as_str(), ADMINISTRATION);
                let forward = Forward::begin(cluster.command("kubectl"), spawn, pod)?;
                place.insert(forward);
            }
        }
        self.listed = Some(Instant::now());
        Ok(())
    }
}

/// A page of the Envoy in each of the gateway's pods, one after the other: directly in the lab, by kubectl's forwarding
/// elsewhere.
///
/// # Errors
/// When there is no such pod, or one does not answer with 200.
pub(crate) fn envoy_pages(cluster: &Cluster, path: &str) -> Result<String> {
    if cluster.is_of_lab() {
        let url = format!("http://{GATEWAY_ADDRESS}:{ADMINISTRATION}{path}");
        return run(cluster.command("busybox").args(["wget", "-qO-", &url]));
    }
    let mut ways = cluster.ways();
    ways.read(cluster, path).or_else(|_| {
        // A pod may have gone since.
        ways.close();
        ways.read(cluster, path)
    })
}

/// The labels by which the gateway's Service selects its pods.
fn selector(cluster: &Cluster) -> Result<String> {
    let service = cluster.json(&["-n", NAMESPACE, "get", "service", SERVICE])?;
    let labels = service["spec"]["selector"].as_object().context("the gateway's service selects nothing")?;
    let labels = labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    Ok(labels.collect::<Vec<_>>().join(","))
}

/// The names of the gateway's running pods.
fn pods(cluster: &Cluster, selector: &str) -> Result<Vec<String>> {
    let running = ["--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"];
    let list = [&["-n", NAMESPACE, "get", "pods", "-l", selector][..], &running].concat();
    Ok(cluster.kubectl(&list)?.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(text.parse::<Gateway>().ok().map(|gateway| gateway.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_gateway_is_a_host_and_its_port_is_80_unless_named() {
        check("10.0.0.1", Some("10.0.0.1:80"));
        check("gateway.example.com:8080", Some("gateway.example.com:8080"));
        check("[::1]", Some("[::1]:80"));
        check("[::1]:8080", Some("[::1]:8080"));
        for wrong in ["", ":80", "::1", "host:port", "http://host", "host/path", "host:70000"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_gateway_is_found_by_its_load_balancer_and_else_the_message_names_the_flag() {
        let found = |ingress: Value| {
            let ports = json!([{"port": 443, "nodePort": 31390}, {"port": 80, "nodePort": 31380}]);
            let service = json!({"spec": {"ports": ports}, "status": {"loadBalancer": {"ingress": ingress}}});
            Gateway::of_service(&service).map(|gateway| gateway.url()).map_err(|error| error.to_string())
        };
        assert_eq!(found(json!([{"ip": "203.0.113.7"}])).unwrap(), "http://203.0.113.7:80/");
        assert_eq!(found(json!([{"hostname": "lb.example.com"}])).unwrap(), "http://lb.example.com:80/");
        let refused = found(json!(null)).unwrap_err();
        assert!(refused.ends_with("name one with --gateway, such as that of a node and port 31380"), "{refused}");
    }
}
