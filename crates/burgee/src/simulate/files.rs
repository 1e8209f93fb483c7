//! What the files hold, and what has to be made up besides. It decides nothing about the canary.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use burgee_api::Canary;
use burgee_sim::admission::{Problem, metadata_problems, problems};
use burgee_sim::scenario::{Document, documents};
use serde_json::{Value, json};

/// Who plays.
pub(super) struct Cast {
    /// The canary that is played, as NAMESPACE/NAME.
    pub(super) name: String,
    /// The objects; the canary is the last.
    pub(super) objects: Vec<Value>,
    /// What was made up, for the user.
    pub(super) assumed: Vec<String>,
}

/// An object, and the file that holds it.
struct Found {
    file: String,
    /// What a cluster called it, in what `kubectl get -o yaml` prints.
    uid: Value,
    object: Value,
}

/// Reads files and directories, and makes up what is missing: a cast for each canary that is played.
pub(super) fn read(paths: &[PathBuf], wanted: Option<&str>) -> anyhow::Result<Vec<Cast>> {
    let mut found = Vec::new();
    for path in paths {
        for file in files(path)? {
            found.extend(objects_of(&file)?);
        }
    }
    let (mut canaries, others) = apart(unowned(found))?;
    if let [_, _, ..] = canaries.as_slice() {
        canaries.iter_mut().enumerate().for_each(|(place, canary)| date(canary, place));
    }
    let is_wanted = |canary: &Value| {
        wanted.is_none_or(|wanted| canary["metadata"]["name"] == wanted || full_name(canary) == wanted)
    };
    let played: Vec<&Value> = canaries.iter().filter(|canary| is_wanted(canary)).collect();
    if let (Some(wanted), []) = (wanted, played.as_slice()) {
        let named: Vec<String> = canaries.iter().map(full_name).collect();
        bail!("no canary is called {wanted}; there are: {}", named.join(", "));
    }
    Ok(played.into_iter().map(|canary| cast(canary, &canaries, &others, paths)).collect())
}

/// One canary with everything else, and what has to be made up for it.
fn cast(canary: &Value, canaries: &[Value], others: &[Value], paths: &[PathBuf]) -> Cast {
    let namespace = canary["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    let rest = canaries.iter().filter(|other| *other != canary);
    let mut objects: Vec<Value> = others.iter().chain(rest).chain([canary]).cloned().collect();
    for object in &mut objects {
        place(object, &namespace);
    }
    let mut cast = Cast { name: full_name(canary), objects: Vec::new(), assumed: Vec::new() };
    let missing = [stand_in(canary), scaler(canary)].into_iter().flatten().chain(templates(canary));
    for mut object in missing {
        place(&mut object, &namespace);
        if !objects.iter().any(|known| is_same(known, &object)) {
            cast.assumed.push(said(&object, paths));
            cast.objects.push(object);
        }
    }
    cast.objects.append(&mut objects);
    cast
}

/// Of several canaries that were never applied the first one in the files is the oldest.
fn date(canary: &mut Value, place: usize) {
    if !canary["metadata"]["creationTimestamp"].is_string() {
        canary["metadata"]["creationTimestamp"] =
            json!(format!("2023-11-14T22:{:02}:{:02}Z", place / 60 % 60, place % 60));
    }
}

/// The file itself, or the YAML files of a directory in order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    Ok(files)
}

/// The objects of a file that matter to a canary.
fn objects_of(file: &Path) -> anyhow::Result<Vec<Found>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let file = file.display().to_string();
    let documents = documents(&text).map_err(|error| anyhow!("{file}: {error}"))?;
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for document in &documents {
        let uid = document.value["metadata"]["uid"].clone();
        let object = as_written(document.value.clone());
        if let Err(error) = check(document, &object) {
            wrong.push(format!("{file}: {}: {error}", document.place));
        }
        if burgee_sim::is_known(&object) {
            found.push(Found { file: file.clone(), uid, object });
        }
    }
    if wrong.is_empty() { Ok(found) } else { bail!("{}", wrong.join("\n")) }
}

/// Says what the API server would say of an object, each field with its line.
fn check(document: &Document, object: &Value) -> Result<(), String> {
    let is_ours = object["apiVersion"].as_str().is_some_and(|version| version.starts_with("flagger.app/"));
    if !object["kind"].is_string() {
        return Err("it has no kind".to_owned());
    }
    if object["kind"] == "Canary" && !object["apiVersion"].is_string() {
        return Err("it has no apiVersion".to_owned());
    }
    if (is_ours || burgee_sim::is_known(object)) && !object["metadata"]["name"].is_string() {
        return Err("it has no metadata.name".to_owned());
    }
    let said = |problem: &Problem| {
        let line = document.line_of(&problem.path).map_or_else(String::new, |line| format!(" at line {line}"));
        format!("{}{line}: {}", problem.field(), problem.text)
    };
    let problems: Vec<String> = problems(object).iter().chain(&metadata_problems(object)).map(said).collect();
    if !problems.is_empty() {
        return Err(problems.join("\n  "));
    }
    if is_ours && object["kind"] == "Canary" {
        serde_json::from_value::<Canary>(object.clone()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// An object of `kubectl get -o yaml` as its user wrote it.
fn as_written(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata
            .retain(|field, _| !["uid", "resourceVersion", "generation", "managedFields"].contains(&field.as_str()));
    }
    object
}

/// What users wrote of what a cluster held: what was made for a canary, or for another object of the files, is made again.
/// Other owners do not play, and what they own would go with them.
fn unowned(found: Vec<Found>) -> Vec<Found> {
    let uids: Vec<Value> = found.iter().map(|found| found.uid.clone()).filter(Value::is_string).collect();
    let is_maker = |owner: &Value| {
        owner["controller"] == true
            && (uids.contains(&owner["uid"])
                || (owner["kind"] == "Canary"
                    && owner["apiVersion"].as_str().is_some_and(|version| version.starts_with("flagger.app/"))))
    };
    let is_made = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(is_maker)
    };
    let written = found.into_iter().filter(|found| !is_made(&found.object));
    let mut written: Vec<Found> = written.collect();
    let maps = written.iter_mut().filter_map(|found| found.object["metadata"].as_object_mut());
    maps.for_each(|metadata| drop(metadata.remove("ownerReferences")));
    written
}

/// The canaries and the other objects.
fn apart(found: Vec<Found>) -> anyhow::Result<(Vec<Value>, Vec<Value>)> {
    let (canaries, others): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| found.object["kind"] == "Canary");
    if canaries.is_empty() {
        bail!("none of the files holds a Canary; add it with -f");
    }
    for canary in &canaries {
        let name = full_name(&canary.object);
        let same: Vec<&Found> = canaries.iter().filter(|other| full_name(&other.object) == name).collect();
        if same.len() > 1 {
            let places: Vec<String> = same.iter().map(|found| format!("{name} in {}", found.file)).collect();
            bail!("Canary {name} is there {} times: {}", same.len(), places.join(", "));
        }
    }
    let objects = |found: Vec<Found>| found.into_iter().map(|found| found.object).collect();
    Ok((objects(canaries), objects(others)))
}

/// The name, with the namespace if there is one.
fn full_name(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str();
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// What has no namespace is where the canary is.
fn place(object: &mut Value, namespace: &str) {
    if !object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = json!(namespace);
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    let name = |object: &Value| {
        (object["kind"].clone(), object["metadata"]["name"].clone(), object["metadata"]["namespace"].clone())
    };
    name(one) == name(other)
}

fn said(object: &Value, paths: &[PathBuf]) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let what = match kind {
        "Deployment" => " with 2 replicas",
        "HorizontalPodAutoscaler" | "ScaledObject" => " from 2 to 4 replicas",
        _ => "",
    };
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{kind} {name}{what}, which is not in {}", paths.join(", "))
}

/// A target, for a canary that comes without one.
fn stand_in(canary: &Value) -> Option<Value> {
    let target = &canary["spec"]["targetRef"];
    let labels = json!({"app": target["name"]});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
    let mut object = json!({"apiVersion": target["apiVersion"], "kind": target["kind"],
        "metadata": {"name": target["name"]},
        "spec": {"selector": {"matchLabels": labels}, "template": template.clone()}});
    let is_knative = target["apiVersion"].as_str().is_some_and(|version| version.starts_with("serving.knative.dev/"));
    match target["kind"].as_str()? {
        "Service" if is_knative => object["spec"] = json!({"template": template}),
        "Deployment" => object["spec"]["replicas"] = json!(2),
        "DaemonSet" => {}
        "Service" => {
            object["spec"] =
                json!({"selector": labels, "ports": [{"name": "http", "port": canary["spec"]["service"]["port"]}]});
        }
        _ => return None,
    }
    Some(object)
}

/// An autoscaler, for a canary that names one.
fn scaler(canary: &Value) -> Option<Value> {
    let reference = canary["spec"].get("autoscalerRef").filter(|reference| reference.is_object())?;
    let metadata = json!({"name": reference["name"]});
    let target = &canary["spec"]["targetRef"];
    Some(match reference["kind"].as_str()? {
        "ScaledObject" => json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata,
            "spec": {"scaleTargetRef": {"name": target["name"]}, "minReplicaCount": 2, "maxReplicaCount": 4,
                "triggers": [{"type": "cpu", "metadata": {"value": "80"}}]}}),
        _ => json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
            "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}}),
    })
}

/// The templates that the metrics name.
fn templates(canary: &Value) -> Vec<Value> {
    let analysis = canary["spec"].get("analysis").or(canary["spec"].get("canaryAnalysis"));
    let metrics = analysis.and_then(|analysis| analysis["metrics"].as_array()).into_iter().flatten();
    let references = metrics.map(|metric| &metric["templateRef"]).filter(|reference| reference["name"].is_string());
    let template = |reference: &Value| {
        let mut object = json!({"apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
            "metadata": {"name": reference["name"]},
            "spec": {"provider": {"type": "prometheus", "address": "http://prometheus:9090"}, "query": "vector(1)"}});
        if reference["namespace"].is_string() {
            object["metadata"]["namespace"] = reference["namespace"].clone();
        }
        object
    };
    references.map(template).collect()
}
