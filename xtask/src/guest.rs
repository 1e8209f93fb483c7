//! A cluster that exists already, as the demo and the end-to-end tests use it: what it must have. It changes nothing in it.
use anyhow::{Context, Result, ensure};
use burgee_lab::{Cluster, Counters, Gateway, Missing, Parts, Unmet, say};
use std::path::Path;

/// What both commands need, for their help.
const NEEDS: &str = "\
Use the cluster of this kubeconfig instead of a lab of our own.

It needs:
  * Istio, with its ingress gateway as Service istio-system/istio-ingressgateway, whose pods have Envoy's administration
    page at port 15000, and examples/podinfo/gateway.yaml. Requests go to the load balancer's address or to --gateway;
  * istio_requests_total and istio_request_duration_milliseconds with reporter=\"destination\", as sidecars give them; the
    namespaces are labelled istio-injection=enabled";

/// The long help of `--kubeconfig` for the demo.
pub(crate) fn help_of_demo() -> String {
    format!(
        "{NEEDS};
  * Prometheus as Service istio-system/prometheus, port 9090, which scrapes them at least every 15 s;
  * the operator as Deployment istio-system/flagger, or its image as --image;
  * no namespace test: the demo makes it and removes it.

This machine needs kubectl, helm and hey, and a user who may do all that."
    )
}

/// The long help of `--kubeconfig` for the end-to-end tests.
pub(crate) fn help_of_tests() -> String {
    format!(
        "{NEEDS};
  * Prometheus as Service istio-system/prometheus, port 9090, which scrapes them at least every 5 s;
  * the operator as Helm release flagger in istio-system. For the tests it is installed again with this tree's chart and
    defaults, its own image, and this process as its chat and event hook; in the end it is put back as it was;
  * the images lab.local/podinfo:6.0.0 to 6.0.4 on its nodes, with the program podinfo on their PATH;
  * metrics-server, which measures at least every 15 s;
  * a gateway with upstream_rq in its proxyStatsMatcher, or retries are not seen and none is counted.

This machine needs kubectl, helm and hey, a user who may do all that, and --address. Tests that stop or kill what others
need are left out, each with its reason."
    )
}

/// The cluster of a kubeconfig.
///
/// # Errors
/// With everything that this machine lacks.
pub(crate) fn cluster(kubeconfig: &Path) -> Result<Cluster> {
    let parts = Parts::installed()?;
    ensure!(kubeconfig.is_file(), "kubeconfig {} is no file", kubeconfig.display());
    Ok(Cluster::existing(kubeconfig, &parts))
}

/// Looks for what both commands need of a cluster, and finds its gateway.
///
/// # Errors
/// With one message that tells everything that is missing.
pub(crate) fn look(cluster: &Cluster, gateway: Option<&Gateway>) -> Result<Gateway> {
    cluster.kubectl(&["version"]).context("the cluster does not answer")?;
    let get = |kind: &str, name: &str| cluster.kubectl(&["-n", "istio-system", "get", kind, name]);
    let public = get("gateways.networking.istio.io", "public-gateway");
    let prometheus = get("service", "prometheus");
    let counters = Counters::read(cluster);
    let found = gateway.cloned().map_or_else(|| Gateway::find(cluster), Ok);
    let missing = [
        lack("public-gateway", "kubectl apply -f examples/podinfo/gateway.yaml", public.as_ref().err()),
        lack("prometheus", "a Service of this name in istio-system", prometheus.as_ref().err()),
        lack("gateway", "an address for requests", found.as_ref().err()),
        lack("counters", "Envoy's page at port 15000 of the gateway's pods", counters.as_ref().err()),
    ];
    Unmet::check("the cluster", missing.into_iter().flatten().collect())?;
    if counters.is_ok_and(|counters| !counters.has_retries()) {
        say("the gateway's Envoy does not count retries; they are shown as 0");
    }
    found
}

/// What is missing, its fix, and what was said when it was looked for.
fn lack(what: &str, fix: &str, error: Option<&anyhow::Error>) -> Option<Missing> {
    error.map(|error| Missing::new(what, &format!("{fix} ({error:#})")))
}
