//! What users install: every chart and every kustomize base is rendered and shown to the API server, which changes nothing.
//! It knows no dashboard.
use super::objects::{self, set};
use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "the_api_server_takes_all_that_charts_and_bases_make_with_any_values",
        space: "charts",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: charts,
    },
    Test {
        name: "the_demo_chart_makes_a_canary_that_is_initialized",
        space: "demo-chart",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: demo,
    },
    Test {
        name: "the_alert_rules_fire_when_they_should_and_only_then",
        space: "alert-rules",
        group: Group::Parallel,
        limit: Duration::from_mins(1),
        run: rules,
    },
];

/// A chart, the release and the namespace under which its documentation installs it, and what its golden shows.
struct Chart {
    name: &'static str,
    release: &'static str,
    namespace: &'static str,
    /// Templates of the golden; all when empty.
    shown: &'static [&'static str],
}

const CHARTS: [Chart; 4] = [
    Chart { name: "burgee", release: "flagger", namespace: "istio-system", shown: &[] },
    Chart { name: "loadtester", release: "flagger-loadtester", namespace: "test", shown: &[] },
    Chart {
        name: "grafana",
        release: "flagger-grafana",
        namespace: "istio-system",
        // Without the dashboards, which are files of their own.
        shown: &["templates/datasources.yaml", "templates/deployment.yaml", "templates/service.yaml"],
    },
    Chart { name: "podinfo", release: "podinfo", namespace: "test", shown: &[] },
];

/// Groups whose definitions no lab has; their objects are rendered, and shown to nobody.
const ABSENT: [&str; 4] = ["appmesh.k8s.aws", "kuma.io", "monitoring.coreos.com", "policy.linkerd.io"];

impl Chart {
    fn folder(&self) -> String {
        format!("charts/{}", self.name)
    }

    /// The file with every value.
    fn all(&self) -> String {
        format!("charts/testdata/{}/all.yaml", self.name)
    }

    /// Helm's arguments that print the golden.
    fn golden(&self) -> Vec<&str> {
        let show = self.shown.iter().flat_map(|template| ["--show-only", template]);
        ["--namespace", self.namespace].into_iter().chain(show).collect()
    }
}

fn charts(stage: &Stage<'_>) -> Result<()> {
    let mut desk = Desk { stage, seen: BTreeSet::new(), absent: BTreeSet::new() };
    for chart in &CHARTS {
        let (folder, all) = (chart.folder(), chart.all());
        for values in [&[][..], &["--values", &all]] {
            helm(stage, &[&["lint", "--strict", &folder], values].concat())?;
            let text = helm(stage, &[&["template", chart.release, &folder, "--namespace", "charts"], values].concat())?;
            desk.show(&format!("{folder} {}", values.join(" ")), &text)?;
        }
        check_golden(stage, chart)?;
    }
    desk.show("the CRDs", &helm(stage, &["show", "crds", "charts/burgee"])?)?;
    let bases = bases()?;
    for base in &bases {
        desk.show(&base.display().to_string(), &stage.kubectl(&["kustomize", &base.display().to_string()])?)?;
    }
    ensure!(bases.len() > 12 && desk.seen.len() > 60, "only {} bases and {} objects", bases.len(), desk.seen.len());
    stage.note(&format!("{} charts and {} bases: {} objects", CHARTS.len(), bases.len(), desk.seen.len()));
    stage.note(&format!("not shown, as the lab does not know them: {:?}", desk.absent));
    Ok(())
}

/// Shows objects to the API server, each once.
struct Desk<'a, 'b> {
    stage: &'a Stage<'b>,
    seen: BTreeSet<String>,
    absent: BTreeSet<String>,
}

impl Desk<'_, '_> {
    /// Asks the API server to take what was rendered, by a dry run with strict validation; what it has no definition of is
    /// noted.
    fn show(&mut self, what: &str, text: &str) -> Result<()> {
        let mut shown = Vec::new();
        for mut object in documents(text).with_context(|| what.to_owned())? {
            let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            if group.is_some_and(|(group, _)| ABSENT.contains(&group)) {
                self.absent.insert(format!("{} of {}", object["kind"], object["apiVersion"]).replace('"', ""));
                continue;
            }
            // The namespaces of the documentation are not there.
            if object.pointer("/metadata/namespace").is_some() {
                set(&mut object, "/metadata/namespace", json!(self.stage.namespace()));
            }
            if self.seen.insert(object.to_string()) {
                shown.push(object);
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": shown});
        let dry = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
        self.stage.world().cluster.feed(&dry, &list.to_string()).with_context(|| what.to_owned())
    }
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let parts = text.split("\n---").filter(|part| part.contains("kind:"));
    parts.map(objects::parse).collect()
}

/// Runs helm on the test's cluster.
pub(crate) fn helm(stage: &Stage<'_>, arguments: &[&str]) -> Result<String> {
    let mut helm = stage.world().cluster.command("helm");
    let output = helm.args(arguments).output().context("run helm")?;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()];
    ensure!(output.status.success(), "helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&said.concat()));
    String::from_utf8(output.stdout).context("read what helm printed")
}

/// What a chart makes of its defaults is written down, so that a change of it is seen.
fn check_golden(stage: &Stage<'_>, chart: &Chart) -> Result<()> {
    let folder = chart.folder();
    let arguments = [&["template", chart.release, &folder], chart.golden().as_slice()].concat();
    let rendered = helm(stage, &arguments)?;
    let path = format!("charts/testdata/{}/default.yaml", chart.name);
    let golden = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    ensure!(golden == rendered, "if that is wanted: helm {} > {path}", arguments.join(" "));
    Ok(())
}

/// The folders of kustomize that can be applied.
fn bases() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("kustomize")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry.context("read a folder")?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "kustomization.yaml") {
                found.push(folder.clone());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The objects of the demo chart, with the image and the command of the tests' podinfo.
fn demo(stage: &Stage<'_>) -> Result<()> {
    let host =
        format!("canary.enabled=true,canary.istioIngress.enabled=true,canary.istioIngress.host={}", stage.host());
    let values = ["--set", &host, "--set", "hpa.minReplicas=1,service.port=9898,image.tag=6.0.0"];
    let image = ["--set", "image.repository=lab.local/podinfo"];
    let line = ["template", "podinfo", "charts/podinfo", "--no-hooks", "--namespace", stage.namespace()];
    for mut object in documents(&helm(stage, &[&line[..], &values, &image].concat())?)? {
        if object["kind"] == "Deployment" {
            set(&mut object, "/spec/template/spec/containers/0/command/0", json!("podinfo"));
        }
        stage.apply(&object)?;
    }
    stage.until_phase("Initialized", 120)?;
    stage.until_open()
}

/// Prometheus' own unit tests of the rules, by the lab's promtool.
fn rules(stage: &Stage<'_>) -> Result<()> {
    if stage.world().lab.is_none() {
        stage.note("not run: promtool is one of a lab's parts");
        return Ok(());
    }
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let mut promtool = stage.world().cluster.command("promtool");
        promtool.args(arguments).current_dir(Path::new("charts/burgee/files"));
        let output = promtool.output().context("run promtool")?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "promtool {}: {said}", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn read(path: &str) -> Value {
        objects::parse(&std::fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("read {path}"))).unwrap()
    }

    /// The paths of all values, such as `image.tag`. What users fill in as they like is one value.
    fn paths(values: &Value, at: &str) -> BTreeSet<String> {
        let free = ["nnotations", "abels", "resources", "context", "affinity"];
        let inner = values.as_object().filter(|map| !map.is_empty() && !free.iter().any(|end| at.ends_with(end)));
        let Some(inner) = inner else { return BTreeSet::from([at.to_owned()]) };
        inner.iter().flat_map(|(key, value)| paths(value, format!("{at}.{key}").trim_start_matches('.'))).collect()
    }

    #[test]
    fn every_value_is_in_the_schema_and_among_those_that_are_tried() {
        for chart in &CHARTS {
            let values = read(&format!("{}/values.yaml", chart.folder()));
            let (tried, schema) = (read(&chart.all()), read(&format!("{}/values.schema.json", chart.folder())));
            for path in paths(&values, "") {
                let at = |separator: &str| format!("{separator}{}", path.replace('.', separator));
                assert!(tried.pointer(&at("/")).is_some(), "{} tries no {path}", chart.all());
                assert!(schema.pointer(&at("/properties/")).is_some(), "the schema of {} has no {path}", chart.name);
            }
        }
    }

    #[test]
    fn the_load_tester_holds_no_token_that_it_does_not_need() {
        for file in ["kustomize/tester/deployment.yaml", "charts/testdata/loadtester/default.yaml"] {
            let text = std::fs::read_to_string(root().join(file)).unwrap();
            let objects = documents(&text).unwrap();
            let pods = objects.iter().filter_map(|object| object.pointer("/spec/template/spec"));
            let tokens: Vec<&Value> = pods.map(|pod| &pod["automountServiceAccountToken"]).collect();
            assert_eq!(tokens, [&json!(false)], "{file}");
        }
    }

    #[test]
    fn a_pod_that_prometheus_reads_speaks_for_its_own_namespace_and_within_bounds() {
        let config = read("charts/burgee/files/prometheus.yaml");
        let jobs = config["scrape_configs"].as_array().unwrap().iter();
        let of_pods: Vec<&Value> = jobs.filter(|job| job["kubernetes_sd_configs"][0]["role"] == "pod").collect();
        assert_eq!(of_pods.len(), 2);
        for job in of_pods {
            let bounds = (&job["sample_limit"], &job["body_size_limit"], &job["follow_redirects"]);
            assert_eq!(bounds, (&json!(20_000), &json!("16MB"), &json!(false)), "{}", job["job_name"]);
            let rules = job["metric_relabel_configs"].as_array().unwrap();
            let own = json!({
                "source_labels": ["reporter", "kubernetes_namespace"],
                "regex": "destination;(.+)",
                "target_label": "destination_workload_namespace",
                "replacement": "$1",
            });
            assert!(rules.contains(&own), "{}", job["job_name"]);
        }
    }

    #[test]
    fn charts_and_bases_name_the_version_of_the_program() {
        for chart in ["burgee", "loadtester"] {
            assert_eq!(read(&format!("charts/{chart}/Chart.yaml"))["appVersion"], env!("CARGO_PKG_VERSION"), "{chart}");
        }
        for base in ["base/flagger", "tester"] {
            let images = &read(&format!("kustomize/{base}/kustomization.yaml"))["images"];
            assert_eq!(images[0]["newTag"], env!("CARGO_PKG_VERSION"), "{base}");
        }
    }
}
