//! Objects for tests, written as YAML or JSON. It must not know what is tested with them.

use std::path::Path;
use std::sync::Arc;

use burgee_api::Canary;
use serde_json::{Value, json};

use crate::object::items;
use crate::rollout::Rollout;
use crate::settings::Settings;
use crate::world::{ObjectKey, Observed, World};

/// JSON from YAML.
pub(crate) fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

/// A canary named `podinfo` in `test` whose spec has these fields besides a target, a service port and an analysis.
pub(crate) fn canary(spec: &Value) -> Canary {
    let mut object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "canary-uid"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 9898},
            "analysis": {"interval": "30s", "threshold": 5, "stepWeight": 10},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// What such a canary means.
pub(crate) fn rollout(spec: &Value) -> Rollout {
    Rollout::parse(&canary(spec), &Settings::default()).unwrap()
}

/// A world of one canary, these objects, and nothing else of what is read.
pub(crate) fn world(canary: Canary, reads: Vec<ObjectKey>, objects: &Value) -> World {
    let mut world = World::new(canary);
    for key in reads {
        world.insert(key, Observed::Absent);
    }
    for object in items(objects) {
        world.insert(ObjectKey::of(object).unwrap(), Observed::Present(Arc::new(object.clone())));
    }
    world
}

/// Compares a value with a golden file under `testdata`; `BLESS=1` writes it instead.
pub(crate) fn check_golden(path: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path);
    let text = yaml_serde::to_string(value).unwrap();
    if option_env!("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = String::from_utf8(std::fs::read(&path).unwrap_or_default()).unwrap();
    assert_eq!(text, golden, "{} differs; BLESS=1 rewrites it", path.display());
}

/// Compares what a router has rendered, or why it could not, with a golden file.
pub(crate) fn check_rendered(path: &str, rendered: Result<Vec<Value>, String>) {
    check_golden(path, &rendered.map_or_else(|error| json!({"error": error}), Value::Array));
}

/// The `*.in.yaml` files of a directory under `testdata`: their names without the ending, and their content.
pub(crate) fn golden_inputs(directory: &str) -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(directory);
    let mut inputs: Vec<(String, Value)> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".in.yaml")?.to_owned();
            Some((name, yaml(&String::from_utf8(std::fs::read(&path).unwrap()).unwrap())))
        })
        .collect();
    inputs.sort_by(|one, two| one.0.cmp(&two.0));
    assert!(!inputs.is_empty(), "no *.in.yaml in {directory}");
    inputs
}
