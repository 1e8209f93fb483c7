//! What the files hold, and what has to be made up besides. It decides nothing about the canary.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use burgee_api::Canary;
use burgee_sim::scenario::documents;
use serde_json::{Value, json};

/// Who plays.
pub(super) struct Cast {
    /// The objects; the canary is the last.
    pub(super) objects: Vec<Value>,
    /// What was made up, for the user.
    pub(super) assumed: Vec<String>,
}

/// Reads files and directories, and makes up what is missing.
pub(super) fn read(paths: &[PathBuf], wanted: Option<&str>) -> anyhow::Result<Cast> {
    let mut objects = Vec::new();
    for path in paths {
        for file in files(path)? {
            objects.extend(objects_of(&file)?);
        }
    }
    let canary = choose(&mut objects, wanted)?;
    let namespace = canary["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    objects.push(canary.clone());
    for object in &mut objects {
        place(object, &namespace);
    }
    let mut cast = Cast { objects: Vec::new(), assumed: Vec::new() };
    let missing = [stand_in(&canary), scaler(&canary)].into_iter().flatten().chain(templates(&canary));
    for mut object in missing {
        place(&mut object, &namespace);
        if !objects.iter().any(|known| is_same(known, &object)) {
            cast.assumed.push(said(&object, paths));
            cast.objects.push(object);
        }
    }
    cast.objects.append(&mut objects);
    Ok(cast)
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
fn objects_of(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let documents = documents(&text).map_err(|error| anyhow!("{}: {error}", file.display()))?;
    let mut objects = Vec::new();
    for (place, object) in documents {
        if !object["kind"].is_string() {
            bail!("{}: {place}: it has no kind", file.display());
        }
        if !burgee_sim::is_known(&object) {
            continue;
        }
        if !object["metadata"]["name"].is_string() {
            bail!("{}: {place}: it has no metadata.name", file.display());
        }
        let object = as_written(object);
        if object["kind"] == "Canary" {
            let parsed: Result<Canary, _> = serde_json::from_value(object.clone());
            parsed.with_context(|| format!("{}: {place}", file.display()))?;
        }
        objects.push(object);
    }
    Ok(objects)
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

/// Takes the canary that is played out of the objects; other canaries are left out.
fn choose(objects: &mut Vec<Value>, wanted: Option<&str>) -> anyhow::Result<Value> {
    let (canaries, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(objects).into_iter().partition(|object| object["kind"] == "Canary");
    *objects = others;
    let names: Vec<&str> = canaries.iter().filter_map(|canary| canary["metadata"]["name"].as_str()).collect();
    if let Some(wanted) = wanted {
        let chosen = canaries.iter().find(|canary| canary["metadata"]["name"] == wanted).cloned();
        return chosen.ok_or_else(|| anyhow!("no canary is called {wanted}; there are: {}", names.join(", ")));
    }
    match canaries.as_slice() {
        [] => bail!("none of the files holds a Canary; add it with -f"),
        [canary] => Ok(canary.clone()),
        [_, _, ..] => bail!("the files hold {} canaries; choose one with --canary: {}", names.len(), names.join(", ")),
    }
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
        "spec": {"selector": {"matchLabels": labels}, "template": template}});
    match target["kind"].as_str()? {
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
