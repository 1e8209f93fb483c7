//! What whoever may write only in his namespace does not get by way of the operator.
use super::edits::unmeasured;
use super::objects::{self, set};
use super::stage::Stage;
use super::{Group, Test};
use crate::audit;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_host_that_a_namespace_may_not_claim_is_refused_when_it_is_written",
        space: "hosts",
        group: Group::Parallel,
        limit: Duration::from_mins(2),
        run: hosts,
    },
    Test {
        name: "the_chart_grants_what_its_values_need_and_nothing_else",
        space: "roles",
        group: Group::Parallel,
        limit: Duration::from_mins(2),
        run: roles,
    },
];

/// The chart's roles with these values: where each stands (empty for the whole cluster), and what it grants.
fn rendered(stage: &Stage<'_>, values: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut helm = stage.world().cluster.command("helm");
    helm.args(["template", "flagger", "charts/burgee", "--namespace", "istio-system"]);
    helm.args(["--show-only", "templates/rbac.yaml"]).args(values.iter().flat_map(|value| ["--set", value]));
    let output = helm.output().context("run helm")?;
    ensure!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("read what helm rendered")?;
    let mut roles = BTreeMap::new();
    for document in text.split("\n---").filter(|document| document.contains("kind:")) {
        let role = objects::parse(document)?;
        if role["metadata"]["name"] == "flagger" && role["rules"].is_array() {
            let place = role["metadata"]["namespace"].as_str().unwrap_or_default();
            roles.insert(place.to_owned(), audit::granted(&role));
        }
    }
    Ok(roles)
}

fn roles(stage: &Stage<'_>) -> Result<()> {
    let only = |values: &[&str]| -> Result<BTreeSet<String>> {
        rendered(stage, values)?.remove("").context("the chart has no ClusterRole")
    };
    let all = only(&["rbac.knative=true"])?;
    let check = |values: &[&str], missing: &[&str]| -> Result<()> {
        let granted = only(values)?;
        let left: Vec<&String> = all.difference(&granted).collect();
        let is_as_said = left.iter().all(|request| missing.iter().any(|part| request.contains(part)));
        ensure!(is_as_said && !left.is_empty(), "{values:?} leaves out {left:?}");
        let still: Vec<_> =
            missing.iter().filter(|part| granted.iter().any(|request| request.contains(*part))).collect();
        ensure!(still.is_empty(), "{values:?} grants {still:?}");
        Ok(())
    };
    check(&[], &["serving.knative.dev"])?;
    check(&["meshProvider=kubernetes"], &["serving.knative.dev", "networking.istio.io"])?;
    check(&["meshProvider=knative"], &["networking.istio.io"])?;
    check(&["rbac.knative=true", "rbac.keda=false", "rbac.daemonSets=false"], &["keda.sh", "daemonsets"])?;
    let splits =
        |values: &[&str]| Ok::<_, anyhow::Error>(only(values)?.iter().any(|one| one.contains("trafficsplits")));
    for provider in ["smi:istio", "smi:v1alpha3:any", "linkerd"] {
        ensure!(splits(&[&format!("meshProvider={provider}")])?, "{provider} may not write its TrafficSplits");
    }
    ensure!(!splits(&[])?, "TrafficSplits may be written with Istio too");
    let untracked = only(&["rbac.knative=true", "configTracking.enabled=false"])?;
    let configs: Vec<_> =
        untracked.iter().filter(|one| one.contains("secrets") || one.contains("configmaps")).collect();
    ensure!(configs == ["get /secrets/"], "without config tracking {configs:?} is granted");
    let narrow = rendered(stage, &["rbac.knative=true", "namespace=a\\, b"])?;
    ensure!(narrow.len() == 2 && ["a", "b"].iter().all(|name| narrow.get(*name) == Some(&all)), "{:?}", narrow.keys());
    Ok(())
}

/// The admission policy of the chart: a foreign host is refused, an own one and names of own Services are not.
fn hosts(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 50, 50)?;
    for (hosts, is_allowed) in [
        (json!([stage.host(), "podinfo", "podinfo.hosts", "podinfo.hosts.svc.cluster.local"]), true),
        (json!(["podinfo.kube-system.svc.cluster.local"]), false),
        (json!([stage.host(), "shop.example.com"]), false),
        (json!(["*"]), false),
    ] {
        set(&mut canary, "/spec/service/hosts", hosts.clone());
        let answer = stage.apply(&canary);
        ensure!(answer.is_ok() == is_allowed, "a Canary with the hosts {hosts}: {answer:?}");
        if let Err(error) = answer {
            let text = format!("{error:#}");
            let advice = "its annotation burgee.flagger.app/hosts allows hosts.example.com";
            ensure!(text.contains("namespace hosts may not claim") && text.contains(advice), "{text}");
        }
    }
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "elsewhere"},
        "spec": {"hosts": ["shop.example.com"], "http": [{"route": [{"destination": {"host": "podinfo"}}]}]},
    });
    ensure!(stage.create(&route).is_err(), "the same host in a route of one's own was admitted");
    stage.kubectl(&["delete", "canary", "podinfo"]).map(drop)
}
