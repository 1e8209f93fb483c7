//! Does on a stage what a command says, as a user, a provider or a kubelet would. It decides nothing.

use burgee_core::world::{Kind, ObjectKey};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::check;
use super::script::{Command, Line, Place};
use crate::stage::Stage;

/// Does what a command says. What is created is not known here: its object stands in the scenario.
pub(super) fn obey(stage: &mut Stage, command: &Command) -> Result<(), String> {
    match command {
        Command::Create(..) | Command::End | Command::Show(..) => {}
        Command::Unreadable(kind) => stage.hide(*kind),
        Command::Readable(kind) => stage.reveal(*kind),
        Command::Restart => stage.restart(),
        Command::StandStill(seconds) => {
            stage.standstill = Some(SignedDuration::from_secs(*seconds));
        }
        Command::WritesTake(seconds) => {
            stage.write_time = SignedDuration::from_secs(*seconds);
        }
        Command::Order(word, actor) => stage.order(*word, actor)?,
        Command::Brake(brake) => stage.brake(*brake),
        Command::NewRevision => stage.new_revision().or_else(|_| annotate(stage))?,
        Command::Image(image) => {
            let key = find(stage, &Place::Target)?;
            patch(
                stage,
                &key,
                &json!({"op": "add", "path": "/spec/template/spec/containers/0/image", "value": image}),
            )?;
        }
        Command::Metric(name, reply) => stage.outside.set_metric(name, reply.clone()),
        Command::Prometheus(Line::Down) => stage.outside.silence(),
        Command::Prometheus(Line::Up) => stage.outside.speak(),
        Command::PrometheusRestart => stage.outside.prometheus.restart(),
        Command::Scrapes(scrapes) => stage.outside.prometheus.scrapes = *scrapes,
        Command::Hook(name, answer) => stage.outside.set_hook(name, answer.clone()),
        Command::HookSilent(name) => stage.outside.silence_hook(name),
        Command::HookTakes(name, seconds) => stage.outside.delay_hook(name, SignedDuration::from_secs(*seconds)),
        Command::ReadyAfter(seconds) => {
            stage.workloads.behaviour.ready_after_seconds = *seconds;
        }
        Command::Nodes(number) => have_nodes(stage, *number),
        Command::Stuck(name, mention) => {
            stage.workloads.behaviour.stuck.insert((name.clone(), mention.clone()));
        }
        Command::Crash(name, number) => {
            stage.workloads.behaviour.crashing.insert(name.clone(), (*number, None));
            stage.look_anew();
        }
        Command::Refused(name) => {
            stage.workloads.behaviour.refused.insert(name.clone());
        }
        Command::Admitted(name) => {
            stage.workloads.behaviour.refused.remove(name);
            stage.look_anew();
        }
        Command::NoticeAfter(seconds) => stage.workloads.behaviour.notice_after_seconds = *seconds,
        Command::Set(place, pointer, value) => {
            let key = find(stage, place)?;
            patch(stage, &key, &json!({"op": "add", "path": pointer, "value": value}))?;
        }
        Command::Remove(place, pointer) => {
            let key = find(stage, place)?;
            patch(stage, &key, &json!({"op": "remove", "path": pointer}))?;
        }
        Command::Delete(place) => {
            let key = find(stage, place)?;
            stage.cluster.delete(&key);
        }
    }
    Ok(())
}

/// From now on there are so many nodes.
fn have_nodes(stage: &mut Stage, number: usize) {
    stage.workloads.behaviour.nodes = number;
    stage.look_anew();
}

/// The text of a command in a film; what is shown stands in it.
pub(super) fn told(stage: &Stage, text: &str, command: &Command) -> String {
    let Command::Show(place, pointer) = command else { return text.to_owned() };
    let Ok(key) = find(stage, place) else { return format!("{text}: there is no such object") };
    let shown = stage.cluster.get(&key).and_then(|object| object.pointer(pointer)).unwrap_or(&Value::Null);
    format!("{text}: {shown}")
}

/// A new revision of the target of a canary that cannot be meant.
fn annotate(stage: &mut Stage) -> Result<(), String> {
    let key = find(stage, &Place::Target)?;
    let annotations = json!({"revision": format!("at {}s", stage.second())});
    patch(stage, &key, &json!({"op": "add", "path": "/spec/template/metadata/annotations", "value": annotations}))
}

fn find(stage: &Stage, place: &Place) -> Result<ObjectKey, String> {
    let canary = stage.canary();
    let target = &canary["spec"]["targetRef"];
    let is_wanted = |key: &&ObjectKey| match place {
        Place::Canary => key.kind == Kind::Canary && canary["metadata"]["name"] == key.name,
        Place::Target => target["kind"] == key.kind.name() && target["name"] == key.name,
        Place::Named(kind, name) => key.kind == *kind && key.name == *name,
    };
    stage
        .cluster
        .iter()
        .map(|(key, _)| key)
        .find(is_wanted)
        .cloned()
        .ok_or_else(|| "there is no such object".to_owned())
}

fn patch(stage: &mut Stage, key: &ObjectKey, operation: &Value) -> Result<(), String> {
    let object = stage.cluster.get(key).cloned().unwrap_or_default();
    let pointer = operation["path"].as_str().unwrap_or_default();
    let edited = check::edited(&object, operation).map_err(|field| format!("{key} has no {field}"))?;
    check::refusal(&object, &edited, pointer).map_or(Ok(()), Err)?;
    stage.cluster.patch(key, &json!([operation])).map_err(|refusal| refusal.to_string())
}
