//! Scenarios: prose, objects, and commands at times. It reads text and says which line it did not understand.

use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::mutations::Mutation;
use crate::outside::Reply;
use crate::stage::{Crash, Stage};

/// A scenario: objects, and what happens to them.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows, for readers.
    pub prose: String,
    objects: Vec<Value>,
    commands: Vec<(i64, String)>,
}

impl Scenario {
    /// Reads a scenario: lines that begin with `#` are prose, `at …` lines are commands, the rest is YAML.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scenario = Self { prose: String::new(), objects: Vec::new(), commands: Vec::new() };
        let mut yaml = String::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(prose) = line.strip_prefix("# ") {
                scenario.prose.push_str(prose);
                scenario.prose.push('\n');
            } else if let Some(command) = line.strip_prefix("at ") {
                scenario.commands.push(timed(command).map_err(|error| format!("line {}: {error}", number + 1))?);
            } else {
                yaml.push_str(line);
                yaml.push('\n');
            }
        }
        for (number, document) in yaml.split("\n---").enumerate() {
            let value: Value =
                yaml_serde::from_str(document).map_err(|error| format!("document {}: {error}", number + 1))?;
            if !value.is_null() {
                scenario.objects.push(value);
            }
        }
        Ok(scenario)
    }

    /// A scenario of these objects, in which nothing happens yet.
    pub fn of(objects: Vec<Value>) -> Self {
        Self { prose: String::new(), objects, commands: Vec::new() }
    }

    /// Adds commands: lines such as `at 40s success-rate 97`. The error names the line.
    pub fn add_script(&mut self, script: &str) -> Result<(), String> {
        for (number, line) in script.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let command = line.strip_prefix("at ").ok_or("a line begins with `at`, such as `at 40s new-revision`");
            let command = command.map_err(str::to_owned).and_then(timed);
            self.commands.push(command.map_err(|error| format!("line {}: {error}", number + 1))?);
        }
        self.commands.sort_by_key(|(second, _)| *second);
        Ok(())
    }

    /// Plays the scenario, and goes on after its last command until the canary rests, for at most `most_seconds`.
    pub fn play_out(&self, most_seconds: i64) -> Result<Stage, String> {
        let mut stage = self.play()?;
        let mut second = stage.second() + 1;
        stage.play_until(second)?;
        while !stage.rests() && second < most_seconds {
            second += 10;
            stage.play_until(second)?;
        }
        Ok(stage)
    }

    /// Plays the scenario to its end.
    pub fn play(&self) -> Result<Stage, String> {
        self.play_with(None)
    }

    /// Plays the scenario with an operator that dies once and is started again.
    pub fn play_with(&self, crash: Option<Crash>) -> Result<Stage, String> {
        let mut stage = self.set_up()?;
        stage.crash = crash;
        self.play_on(stage)
    }

    /// Plays the scenario with a rule that is broken on purpose.
    pub fn play_mutated(&self, mutation: Mutation) -> Result<Stage, String> {
        let mut stage = self.set_up()?;
        stage.mutation = Some(mutation);
        self.play_on(stage)
    }

    fn play_on(&self, mut stage: Stage) -> Result<Stage, String> {
        for (second, command) in &self.commands {
            stage.play_until(*second)?;
            obey(&mut stage, command).map_err(|error| format!("at {second}s {command}: {error}"))?;
        }
        Ok(stage)
    }

    /// The objects on a stage, before anything has happened.
    pub fn set_up(&self) -> Result<Stage, String> {
        let mut cluster = Cluster::default();
        for object in &self.objects {
            cluster.apply(object.clone()).map_err(|refusal| refusal.to_string())?;
        }
        let canary = cluster.iter().map(|(key, _)| key).find(|key| key.kind == Kind::Canary).cloned();
        Ok(Stage::new(cluster, canary.ok_or("the scenario has no Canary")?))
    }
}

/// What a script may say after `at TIME`.
pub const COMMANDS: &str = "new-revision, success-rate PERCENT|none|silence, latency MILLISECONDS|none|silence, prometheus down|up, \
    hook NAME passes|fails TEXT, pods NAME stuck TEXT, set KIND NAME POINTER VALUE, delete KIND NAME, restart, end";

fn timed(command: &str) -> Result<(i64, String), String> {
    let (time, command) = command.split_once(' ').ok_or("a command follows the time, such as `at 40s end`")?;
    let second = burgee_api::GoDuration::parse(time).map_err(|error| error.to_string())?.nanoseconds() / 1_000_000_000;
    Ok((second, command.to_owned()))
}

fn obey(stage: &mut Stage, command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["end"] => {}
        ["restart"] => stage.restart(),
        ["new-revision"] => stage.new_revision()?,
        ["prometheus", "down"] => stage.outside.silence(),
        ["prometheus", "up"] => stage.outside.speak(),
        ["success-rate", value] => stage.outside.set_metric("istio_requests_total", reply(value)?),
        ["latency", value] => stage.outside.set_metric("histogram_quantile", reply(value)?),
        ["hook", name, "passes"] => stage.outside.set_hook(name, Ok(())),
        ["hook", name, "fails", rest @ ..] => stage.outside.set_hook(name, Err(rest.join(" "))),
        ["delete", kind, name] => delete(stage, kind, name)?,
        ["pods", name, "stuck", mention] => {
            stage.workloads.behaviour.stuck.insert(((*name).to_owned(), (*mention).to_owned()));
        }
        ["set", kind, name, pointer, value] => set(stage, (kind, name), pointer, value)?,
        _ => return Err(format!("not a command; there are: {COMMANDS}")),
    }
    Ok(())
}

fn reply(value: &str) -> Result<Reply, String> {
    match value {
        "none" => Ok(Reply::NoValues),
        "silence" => Ok(Reply::Silence),
        number => number.parse().map(Reply::Value).map_err(|_| format!("{number} is no number")),
    }
}

fn delete(stage: &mut Stage, kind: &str, name: &str) -> Result<(), String> {
    let keys = stage.cluster.iter().map(|(key, _)| key);
    let key = keys.into_iter().find(|key| key.kind.name() == kind && key.name == name).cloned();
    stage.cluster.delete(&key.ok_or("there is no such object")?);
    Ok(())
}

/// Changes one field of an object, as a user's edit does.
fn set(stage: &mut Stage, (kind, name): (&str, &str), pointer: &str, value: &str) -> Result<(), String> {
    let key = stage
        .cluster
        .iter()
        .map(|(key, _)| key)
        .find(|key| key.kind.name() == kind && key.name == name)
        .cloned()
        .ok_or("there is no such object")?;
    let value: Value = yaml_serde::from_str(value).map_err(|error| error.to_string())?;
    patch(stage, &key, pointer, &value)
}

fn patch(stage: &mut Stage, key: &ObjectKey, pointer: &str, value: &Value) -> Result<(), String> {
    let operations = serde_json::json!([{"op": "add", "path": pointer, "value": value}]);
    stage.cluster.patch(key, &operations).map_err(|refusal| refusal.to_string())
}
