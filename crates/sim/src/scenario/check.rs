//! What a script may not say although each of its lines can be read: names that nobody has, values of the wrong type. It
//! changes nothing.

use burgee_core::metric::builtin::Builtin;
use burgee_core::world::Kind;
use serde_json::Value;

use super::script::{Command, Timed};
use super::{Scenario, is_named};
use crate::admission::{self, Problem};

/// Fields that are whole numbers in every kind that has them.
const WHOLE: [&str; 5] = ["replicas", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount"];

/// Names that a script may use.
struct Known {
    metrics: Vec<String>,
    queries: Vec<String>,
    hooks: Vec<String>,
    workloads: Vec<String>,
}

impl Scenario {
    /// Checks that the script speaks of metrics, hooks, workloads and documents that there are. The error names the file
    /// and the line.
    pub fn check_script(&self) -> Result<(), String> {
        let known = self.known();
        for timed in &self.commands {
            self.check(&known, timed).map_err(|error| self.in_script(&timed.failed(&error)))?;
        }
        Ok(())
    }

    fn check(&self, known: &Known, timed: &Timed) -> Result<(), String> {
        match &timed.command {
            Command::Metric(topic, _) => known.metric(topic),
            Command::Hook(name, _) | Command::HookSilent(name) | Command::HookTakes(name, _) => {
                among("hook", name, &known.hooks)
            }
            Command::Stuck(name, _) | Command::Crash(name, _) | Command::Refused(name) | Command::Admitted(name) => {
                among("workload", name, &known.workloads)
            }
            Command::Create(kind, name) => {
                let is_there = self.later.iter().any(|object| is_named(object, *kind, name));
                if is_there { Ok(()) } else { Err(format!("no document is {} {name}", kind.name())) }
            }
            Command::NewRevision
            | Command::Image(_)
            | Command::Prometheus(_)
            | Command::ReadyAfter(_)
            | Command::NoticeAfter(_)
            | Command::Nodes(_)
            | Command::Set(..)
            | Command::Remove(..)
            | Command::Delete(_)
            | Command::Order(..)
            | Command::Brake(_)
            | Command::Unreadable(_)
            | Command::Readable(_)
            | Command::Show(..)
            | Command::Restart
            | Command::StandStill(_)
            | Command::WritesTake(_)
            | Command::PrometheusRestart
            | Command::Scrapes(_)
            | Command::End => Ok(()),
        }
    }

    /// The names of the canary that is played, and of what the script makes of it.
    fn known(&self) -> Known {
        let canary = self.objects.iter().rev().find(|object| object["kind"] == Kind::Canary.name());
        let spec = canary.map_or(&Value::Null, |canary| &canary["spec"]);
        let edits = self.commands.iter().filter_map(|timed| {
            let Command::Set(_, _, value) = &timed.command else { return None };
            Some(value)
        });
        let edits: Vec<&Value> = edits.collect();
        let analysis = || [&spec["analysis"], &spec["canaryAnalysis"]];
        let listed = |list: &str| analysis().map(|analysis| names_in(&analysis[list])).concat();
        let edited: Vec<String> = edits.iter().flat_map(|value| names_in(value)).collect();
        let templates = self.objects.iter().chain(&self.later).filter(|object| object["kind"] == "MetricTemplate");
        let inline = analysis().into_iter().chain(edits).flat_map(|value| texts_in(value, "query"));
        let queries = templates.flat_map(|template| texts_in(template, "query")).chain(inline).collect();
        let target = spec["targetRef"]["name"].as_str().unwrap_or_default();
        Known {
            metrics: [listed("metrics"), edited.clone()].concat(),
            queries,
            hooks: [listed("webhooks"), edited].concat(),
            workloads: vec![target.to_owned(), format!("{target}-primary")],
        }
    }
}

impl Known {
    fn metric(&self, topic: &str) -> Result<(), String> {
        let builtin = |name: &String| Builtin::from_name(name);
        let is_known = match topic {
            "success-rate" => self.metrics.iter().any(|name| builtin(name) == Some(Builtin::SuccessRate)),
            "latency" => self.metrics.iter().any(|name| matches!(builtin(name), Some(Builtin::Duration { .. }))),
            _ => {
                self.metrics.iter().any(|name| name == topic) || self.queries.iter().any(|query| query.contains(topic))
            }
        };
        if is_known { Ok(()) } else { among("metric", topic, &self.metrics) }
    }
}

fn among(what: &str, name: &str, known: &[String]) -> Result<(), String> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
    Err(format!("the canary has no {what} {name}; {known}"))
}

/// The names of the items of a list, or of one item.
fn names_in(value: &Value) -> Vec<String> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().filter_map(|item| item["name"].as_str()).map(str::to_owned).collect()
}

/// All texts below a field of this name.
fn texts_in(value: &Value, field: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, below)| {
                let text = below.as_str().filter(|_| name == field).map(str::to_owned);
                text.into_iter().chain(texts_in(below, field)).collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| texts_in(item, field)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The object after an edit. The error is the field that the edit needs and the object does not have.
pub(super) fn edited(object: &Value, operation: &Value) -> Result<Value, String> {
    let pointer = operation["path"].as_str().unwrap_or_default();
    let mut edited = object.clone();
    let done = serde_json::from_value(Value::Array(vec![operation.clone()]))
        .is_ok_and(|operations: json_patch::Patch| json_patch::patch(&mut edited, &operations).is_ok());
    if done { Ok(edited) } else { Err(missing(object, pointer)) }
}

/// The first part of a pointer that leads nowhere.
fn missing(object: &Value, pointer: &str) -> String {
    let ends = pointer.match_indices('/').map(|(end, _)| end).skip(1).chain([pointer.len()]);
    let mut parts = ends.map(|end| &pointer[..end]);
    parts.find(|part| object.pointer(part).is_none()).unwrap_or(pointer).to_owned()
}

/// Why the API server would refuse what an edit writes, if it would. What other lines of the same second may still make
/// right, such as the choice between two fields, is not judged.
pub(super) fn refusal(before: &Value, after: &Value, pointer: &str) -> Option<String> {
    let known = admission::problems(before);
    let is_new = |problem: &Problem| !known.contains(problem) && problem.pointer().starts_with(pointer);
    if let Some(problem) = admission::problems(after).into_iter().find(is_new) {
        return Some(problem.to_string());
    }
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let value = after.pointer(pointer)?;
    (WHOLE.contains(&name) && !value.is_null() && !admission::is_whole(value))
        .then(|| format!("{pointer}: {value} is not a whole number"))
}
