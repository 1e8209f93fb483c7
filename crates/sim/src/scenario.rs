//! Scenarios: prose, objects, and commands at times. It reads text, says which line it did not understand, and plays.
//!
//! ```text
//! # A version that answers with errors is rolled back.
//! use podinfo
//! ---
//! kind: Canary
//! spec: {analysis: {threshold: 1}}
//! at 30s image podinfo:6.0.1
//! at 50s success-rate 69.17
//! at 200s end
//! ```
//!
//! `use` brings the objects of the cast. A document without `apiVersion` changes one of them: a map is merged, null
//! removes. Any other document is an object of its own.

use burgee_api::Canary;
use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::faults::Faults;
use crate::mutations::Mutation;
use crate::stage::{Crash, Stage};

mod act;
mod check;
mod documents;
mod script;

pub use documents::{Document, documents};
pub use script::COMMANDS;
use script::{Command, Timed};

/// How often a play that goes on from the middle can begin, in seconds.
const STOP_SECONDS: i64 = 5;

/// The objects that most scenarios are about, by the name that `use` gives.
const CAST: [(&str, &str); 2] = [
    ("podinfo", include_str!("../scenarios/cast/podinfo.yaml")),
    ("flagger", include_str!("../scenarios/cast/flagger.yaml")),
];

/// A scenario: objects, and what happens to them.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// What it shows, for readers.
    pub prose: String,
    /// Chance, if the cluster is to be unkind: writes are refused, and the operator dies.
    pub seed: Option<u64>,
    /// What errors call the file that the commands stand in; nothing if it is the scenario's own.
    pub script: String,
    is_pleased: bool,
    objects: Vec<Value>,
    later: Vec<Value>,
    commands: Vec<Timed>,
}

impl Scenario {
    /// Reads a scenario. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scenario = Self::default();
        let (mut yaml, mut script) = (String::new(), String::new());
        for (number, line) in text.lines().enumerate() {
            let is_header = yaml.trim().is_empty() && script.trim().is_empty();
            let (mut rest, mut command) = ("", "");
            if let Some(prose) = line.strip_prefix('#').filter(|_| is_header) {
                scenario.prose.push_str(prose.trim());
                scenario.prose.push('\n');
            } else if let Some(name) = line.strip_prefix("use ") {
                scenario.bring(name.trim()).map_err(|error| format!("line {}: {error}", number + 1))?;
            } else if line.starts_with("at ") {
                command = line;
            } else {
                rest = line;
            }
            // Every line stays at its number in both.
            yaml.push_str(rest);
            yaml.push('\n');
            script.push_str(command);
            script.push('\n');
        }
        for Document { place, value, .. } in documents(&yaml)? {
            scenario.add(value).map_err(|error| format!("{place}: {error}"))?;
        }
        scenario.add_script(&script)?;
        Ok(scenario)
    }

    /// A scenario of these objects, in which nothing happens yet.
    pub fn of(objects: Vec<Value>) -> Self {
        Self { objects, ..Self::default() }
    }

    /// Adds commands: lines such as `at 40s success-rate 97`. The error names the line.
    pub fn add_script(&mut self, script: &str) -> Result<(), String> {
        self.commands.extend(script::read(script).map_err(|error| self.in_script(&error))?);
        self.commands.sort_by_key(|timed| timed.second);
        let is_made_later = |object: &Value| {
            self.commands
                .iter()
                .any(|timed| matches!(&timed.command, Command::Create(kind, name) if is_named(object, *kind, name)))
        };
        let (later, now): (Vec<Value>, Vec<Value>) =
            std::mem::take(&mut self.objects).into_iter().partition(is_made_later);
        self.later.extend(later);
        self.objects = now;
        Ok(())
    }

    /// An error of the script with the name of its file.
    fn in_script(&self, error: &str) -> String {
        if self.script.is_empty() { error.to_owned() } else { format!("{}: {error}", self.script) }
    }

    /// Every metric is good by the canary's own thresholds, unless a command says otherwise.
    pub fn please(&mut self) {
        self.is_pleased = true;
    }

    /// The objects that are there at the beginning.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    fn bring(&mut self, name: &str) -> Result<(), String> {
        let text = CAST.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let text = text.ok_or_else(|| format!("there is no cast {name}"))?;
        self.objects.extend(documents(text)?.into_iter().map(|document| document.value));
        Ok(())
    }

    /// Adds an object, or changes one of the cast.
    fn add(&mut self, document: Value) -> Result<(), String> {
        if document["apiVersion"].is_string() {
            self.objects.push(document);
            return Ok(());
        }
        let name = &document["metadata"]["name"];
        let same = |object: &&mut Value| {
            object["kind"] == document["kind"] && (name.is_null() || object["metadata"]["name"] == *name)
        };
        let object = self.objects.iter_mut().find(same);
        let object = object.ok_or_else(|| {
            format!("there is no {} to change; an object of its own has an apiVersion", document["kind"])
        })?;
        json_patch::merge(object, &document);
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

    /// Plays the scenario to its end, and once for each place at which the operator can die and be started again: before
    /// and after every step of every plan. What came before a crash is played only once. `look` sees the play without a
    /// crash beside each of the others.
    pub fn play_crashes(&self, mut look: impl FnMut(&Stage, Crash, Result<Stage, String>)) -> Result<Stage, String> {
        let scenes = self.scenes();
        let mut forks = vec![self.set_up()?];
        for scene in &scenes {
            let mut stage = forks[forks.len() - 1].clone();
            self.play_scene(&mut stage, scene)?;
            forks.push(stage);
        }
        let unbroken = forks[forks.len() - 1].clone();
        let plans = unbroken.plans.iter().enumerate();
        let crashes = plans.flat_map(|(plan, steps)| (0..=*steps).map(move |steps| Crash { plan, steps }));
        for crash in crashes {
            let done = forks.partition_point(|stage| stage.plans.len() <= crash.plan) - 1;
            let mut stage = forks[done].clone();
            stage.crash = Some(crash);
            let played = scenes[done..].iter().try_for_each(|scene| self.play_scene(&mut stage, scene));
            look(&unbroken, crash, played.map(|()| stage));
        }
        Ok(unbroken)
    }

    /// The commands, with a stop at least every few seconds.
    fn scenes(&self) -> Vec<Timed> {
        let end = self.commands.last().map_or(0, |timed| timed.second);
        let stops = (STOP_SECONDS..end).step_by(usize::try_from(STOP_SECONDS).unwrap_or(1));
        let stop = |second| Timed { second, line: 0, text: String::new(), command: Command::End };
        let mut scenes: Vec<Timed> = self.commands.iter().cloned().chain(stops.map(stop)).collect();
        scenes.sort_by_key(|timed| timed.second);
        scenes
    }

    fn play_on(&self, mut stage: Stage) -> Result<Stage, String> {
        self.commands.iter().try_for_each(|timed| self.play_scene(&mut stage, timed))?;
        Ok(stage)
    }

    /// Plays until a command, and obeys it.
    fn play_scene(&self, stage: &mut Stage, timed: &Timed) -> Result<(), String> {
        let Timed { second, text, command, .. } = timed;
        // What is done in one second is done at once, and in the first one before anything else.
        if *second > stage.second() {
            stage.play_until(*second)?;
        }
        let failed = |error: String| self.in_script(&timed.failed(&error));
        if *command != Command::End {
            let told = act::told(stage, text, command);
            stage.film.mark(*second, &told);
        }
        self.obey(stage, command).map_err(failed)
    }

    fn obey(&self, stage: &mut Stage, command: &Command) -> Result<(), String> {
        let Command::Create(kind, name) = command else { return act::obey(stage, command) };
        let object = self.later.iter().find(|object| is_named(object, *kind, name));
        let object = object.ok_or_else(|| format!("no document is {} {name}", kind.name()))?;
        stage.cluster.apply(object.clone()).map_err(|refusal| refusal.to_string())
    }

    /// The film as text: what was done and told, and below it what was counted, alerted and called. An invariant that
    /// broke is an error.
    pub fn film(&self) -> Result<String, String> {
        let stage = self.play()?;
        if let Some(broken) = stage.broken {
            return Err(format!("{broken}\n{}", stage.film));
        }
        Ok(format!("{}\n{}\n", stage.film, stage.aside.join("\n")))
    }

    /// The objects on a stage, before anything has happened. Of several canaries the last is the one that is played.
    pub fn set_up(&self) -> Result<Stage, String> {
        let mut cluster = Cluster::default();
        for object in &self.objects {
            cluster.apply(object.clone()).map_err(|refusal| refusal.to_string())?;
        }
        let canary = self.objects.iter().rev().filter_map(ObjectKey::of).find(|key| key.kind == Kind::Canary);
        let mut stage = Stage::new(cluster, canary.ok_or("the scenario has no Canary")?);
        stage.faults = self.seed.map(Faults::of_steps);
        if self.is_pleased {
            let canary: Canary =
                serde_json::from_value(stage.canary()).map_err(|error| format!("the Canary: {error}"))?;
            stage.outside.please(canary.analysis().map_or(&[], |analysis| &analysis.metrics));
        }
        Ok(stage)
    }
}

fn is_named(object: &Value, kind: Kind, name: &str) -> bool {
    object["kind"] == kind.name() && object["metadata"]["name"] == name
}
