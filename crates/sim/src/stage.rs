//! Where it is played: virtual time, the decisions, and the same execution of plans as the operator's.

use std::collections::BTreeMap;

use burgee_api::{Canary, WebhookType};
use burgee_core::claims::Claim;
use burgee_core::decide::{Tick, refuse};
use burgee_core::notice::Names;
use burgee_core::plan::{Plan, Step, Telling};
use burgee_core::question::{Answers, Question};
use burgee_core::reads;
use burgee_core::rollout::Rollout;
use burgee_core::router;
use burgee_core::settings::Settings;
use burgee_core::timetable::Wake;
use burgee_core::world::{Kind, ObjectKey, Rival, World};
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::{Cluster, Refusal};
use crate::faults::{Faults, Mishap};
use crate::film::{Film, Frame};
use crate::inspector::{Inspector, Report};
use crate::instant::View;
use crate::mutations::{Mutation, decide_with};
use crate::outside::Outside;
use crate::workloads::Workloads;

/// The most ticks that may follow each other without time passing: more is a loop.
const MOST_TICKS_AT_ONCE: usize = 50;

/// Where the operator dies: while taking this plan, after this many of its steps. Plans without steps do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which plan, counted from 0.
    pub plan: usize,
    /// Steps of it that take effect.
    pub steps: usize,
}

/// A stage with one canary on it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The API server.
    pub cluster: Cluster,
    /// The pods.
    pub workloads: Workloads,
    /// Whom the canary asks.
    pub outside: Outside,
    /// What the operator was started with.
    pub settings: Settings,
    /// What happened.
    pub film: Film,
    /// What was counted and alerted, as text.
    pub aside: Vec<String>,
    /// Where the operator dies, if it does.
    pub crash: Option<Crash>,
    /// What goes wrong by chance, if anything does.
    pub faults: Option<Faults>,
    /// The rule that is broken on purpose, if one is.
    pub mutation: Option<Mutation>,
    /// What a checker found, if one found anything; the first one counts.
    pub broken: Option<String>,
    /// How many steps each plan had so far.
    pub plans: Vec<usize>,
    inspector: Inspector,
    canary: ObjectKey,
    start: Timestamp,
    now: Timestamp,
    answers: Answers,
    told: BTreeMap<String, String>,
    next: Wake,
}

impl Stage {
    /// A stage at the beginning of time.
    pub fn new(cluster: Cluster, canary: ObjectKey) -> Self {
        let start = Timestamp::from_second(1_700_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            cluster,
            workloads: Workloads::default(),
            outside: Outside::default(),
            settings: Settings::default(),
            film: Film::default(),
            aside: Vec::new(),
            crash: None,
            faults: None,
            mutation: None,
            broken: None,
            plans: Vec::new(),
            inspector: Inspector::default(),
            canary,
            start,
            now: start,
            answers: Answers::default(),
            told: BTreeMap::new(),
            next: Wake::At(start),
        }
    }

    /// Seconds since the beginning.
    pub fn second(&self) -> i64 {
        Film::second(self.start, self.now)
    }

    /// Forgets everything that is not in the cluster, as a restart does.
    pub fn restart(&mut self) {
        self.answers = Answers::default();
        self.next = Wake::At(self.now);
    }

    /// Plays until `second`. The error says where decisions go round in circles.
    pub fn play_until(&mut self, second: i64) -> Result<(), String> {
        if self.broken.is_some() && self.mutation.is_some() {
            return Ok(());
        }
        let end = self.start.as_second() + second;
        self.settle()?;
        while let Some(now) = self.next_time().filter(|now| now.as_second() <= end) {
            self.now = now;
            self.settle()?;
        }
        self.now = Timestamp::from_second(end).map_err(|error| error.to_string())?;
        self.settle()
    }

    fn next_time(&self) -> Option<Timestamp> {
        let pods = self.workloads.next_change(self.now);
        let due = match self.next {
            Wake::At(at) => Some(at.max(self.now)),
            Wake::OnChange => None,
        };
        [pods, due].into_iter().flatten().min()
    }

    /// Ticks until nothing moves at this instant.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MOST_TICKS_AT_ONCE {
            let before = self.cluster.version();
            self.workloads.settle(&mut self.cluster, self.now);
            self.report(Report::Outside);
            self.tick()?;
            if self.broken.is_some() && self.mutation.is_some() {
                self.next = Wake::OnChange;
                return Ok(());
            }
            let is_due = matches!(self.next, Wake::At(at) if at <= self.now);
            if self.cluster.version() == before && !is_due {
                return Ok(());
            }
        }
        Err(format!("at {}s the decisions go round in circles\n{}", self.second(), self.film))
    }

    /// One tick, with all its questions answered at once.
    fn tick(&mut self) -> Result<(), String> {
        let Some(object) = self.cluster.get(&self.canary) else {
            self.next = Wake::OnChange;
            return Ok(());
        };
        let canary: Canary = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        let plan = match Rollout::parse(&canary, &self.settings) {
            Ok(rollout) => self.decide(&rollout, &canary)?,
            Err(reason) => refuse(&World::new(canary), self.now, &reason),
        };
        self.next = plan.next;
        self.answers.end_round(plan.quiet_until);
        if let Err(refusal) = self.act(&plan) {
            self.aside.push(format!("{}s {refusal}", self.second()));
            self.next = Wake::At(self.now);
        }
        Ok(())
    }

    fn decide(&mut self, rollout: &Rollout, canary: &Canary) -> Result<Plan, String> {
        for _ in 0..MOST_TICKS_AT_ONCE {
            let world = self.observe(rollout, canary);
            let settings = self.settings.clone();
            let tick = Tick { world: &world, rollout, settings: &settings, now: self.now };
            self.report(Report::Looks(&world, rollout));
            match decide_with(self.mutation, &tick, &self.answers) {
                Ok(plan) => {
                    self.report(Report::Decides(&plan, &world));
                    return Ok(plan);
                }
                Err(question) => self.ask(&question)?,
            }
        }
        Err("a decision never stops asking".to_owned())
    }

    fn ask(&mut self, question: &Question) -> Result<(), String> {
        let told = self.film.frames.len();
        for step in &question.first {
            self.take(step).map_err(|refusal| refusal.to_string())?;
            self.report(Report::Takes(step));
        }
        self.show_split(told);
        for (key, ask) in &question.asks {
            self.report(Report::Asks(key, ask));
            let answer = self.outside.answer(ask);
            self.report(Report::Hears(key, ask, &answer));
            self.answers.insert(key.clone(), answer);
        }
        Ok(())
    }

    fn observe(&self, rollout: &Rollout, canary: &Canary) -> World {
        let mut world = World::new(canary.clone());
        world.rival = self.rival();
        for key in reads::objects(rollout) {
            let observed = self.cluster.observe(&key);
            world.insert(key, observed);
        }
        for key in reads::more(rollout, canary, &world) {
            let observed = self.cluster.observe(&key);
            world.insert(key, observed);
        }
        let target = world.present(&rollout.target_key()).cloned();
        for reference in reads::configs(rollout, &self.settings, target.as_ref()) {
            let seen = self.cluster.observe_config(&reference.key);
            world.configs.push((reference.key, seen));
        }
        world
    }

    /// The older canary that claims the same as this one.
    fn rival(&self) -> Option<Rival> {
        let canaries = self.cluster.iter().filter(|(key, _)| key.kind == Kind::Canary && **key != self.canary);
        let others: Vec<Claim> = canaries.map(|(_, canary)| Claim::of(canary)).collect();
        Claim::of(self.cluster.get(&self.canary)?).rival(others.iter())
    }

    fn act(&mut self, plan: &Plan) -> Result<(), Refusal> {
        if plan.steps.is_empty() {
            return Ok(());
        }
        let number = self.plans.len();
        self.plans.push(plan.steps.len());
        let crash = self.crash.filter(|crash| crash.plan == number);
        let taken = crash.map_or(plan.steps.len(), |crash| crash.steps.min(plan.steps.len()));
        let told = self.film.frames.len();
        let outcome = plan.steps.iter().take(taken).try_for_each(|step| self.risk(step));
        self.show_split(told);
        outcome?;
        if crash.is_some() {
            self.restart();
        }
        Ok(())
    }

    /// Takes a step on which something may go wrong, and looks whether an invariant broke.
    fn risk(&mut self, step: &Step) -> Result<(), Refusal> {
        let mishap = self.faults.as_mut().map_or(Mishap::None, Faults::next_step);
        if mishap == Mishap::Conflict {
            return Err(Refusal::Conflict(self.canary.clone()));
        }
        self.take(step)?;
        self.report(Report::Takes(step));
        if mishap == Mishap::Crash {
            self.restart();
            return Err(Refusal::Conflict(self.canary.clone()));
        }
        Ok(())
    }

    /// Shows the checkers what has just happened.
    fn report(&mut self, report: Report) {
        let view = View {
            cluster: &self.cluster,
            canary: &self.canary,
            settings: &self.settings,
            start: self.start,
            now: self.now,
        };
        self.inspector.hear(&view, 0, report);
        if self.broken.is_none() {
            self.broken = self.inspector.broken().map(str::to_owned);
        }
    }

    /// Ready pods of a set. A Service counts as one: its pods are nobody's here.
    fn ready(&self, key: &ObjectKey) -> usize {
        if key.kind == Kind::Service {
            return usize::from(self.cluster.get(key).is_some());
        }
        self.workloads.ready(key, self.now)
    }

    /// Whether the last run is over and drained, and nothing is due.
    pub fn rests(&self) -> bool {
        let phase = self.status()["phase"].as_str().unwrap_or_default().to_owned();
        matches!(phase.as_str(), "Initialized" | "Succeeded" | "Failed") && matches!(self.next, Wake::OnChange)
    }

    /// A new revision of the target, as an edit of its pod template makes one.
    pub fn new_revision(&mut self) -> Result<(), String> {
        let target = self.rollout().ok_or("the canary cannot be parsed")?.target_key();
        let template = self.cluster.get(&target).cloned().ok_or("there is no target")?;
        if target.kind == Kind::Service {
            let mut selector = template["spec"]["selector"].clone();
            selector["revision"] = Value::String(format!("at-{}s", self.second()));
            return self.edit("/spec/selector", &selector);
        }
        let mut annotations = template["spec"]["template"]["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = serde_json::json!({});
        }
        annotations["revision"] = Value::String(format!("at {}s", self.second()));
        self.edit("/spec/template/metadata/annotations", &annotations)
    }

    /// Changes the target, as a user does.
    pub fn edit(&mut self, pointer: &str, value: &Value) -> Result<(), String> {
        let key = self.rollout().ok_or("the canary cannot be parsed")?.target_key();
        let operations = serde_json::json!([{"op": "add", "path": pointer, "value": value}]);
        self.cluster.patch(&key, &operations).map_err(|refusal| refusal.to_string())
    }

    /// Rows show the traffic as it is after the plan that told them.
    fn show_split(&mut self, told: usize) {
        let Some(rollout) = self.rollout() else { return };
        let world = self.observe(&rollout, &self.typed().unwrap_or_default());
        let split = router::of(&rollout).read(&rollout, &world).ok().flatten();
        self.film.frames.iter_mut().skip(told).for_each(|frame| frame.split = split);
    }

    fn take(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::Create(object) => self.cluster.create(object.clone()),
            Step::Replace(object) => self.cluster.replace(object.clone()),
            Step::Patch { key, operations } => self.cluster.patch(key, operations),
            Step::Keep(object) => match self.cluster.create(object.clone()) {
                Err(Refusal::Conflict(_)) | Ok(()) => Ok(()),
                Err(refusal) => Err(refusal),
            },
            Step::Drop(key) => {
                self.cluster.delete(key);
                Ok(())
            }
            Step::CopyConfig(copy) => self.cluster.copy_config(copy),
            Step::Tell(telling) => {
                self.tell(telling);
                Ok(())
            }
            Step::Status(status) => {
                let version = self.canary_version();
                let status = serde_json::to_value(status).map_err(|error| Refusal::Invalid(error.to_string()))?;
                self.cluster.write_status(&self.canary.clone(), version.as_deref(), status)
            }
            Step::Alert(alert) => {
                self.aside.push(format!("{}s alert {:?}: {}", self.second(), alert.loudness, alert.text));
                Ok(())
            }
            Step::Count(count) => {
                self.aside.push(format!("{}s counted {count:?}", self.second()));
                Ok(())
            }
            Step::PostRollout(phase) => {
                self.aside.push(format!("{}s post-rollout {phase}", self.second()));
                Ok(())
            }
        }
    }

    fn canary_version(&self) -> Option<String> {
        self.cluster.get(&self.canary)?["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    }

    /// Writes down what was told, once for each event name and for each text that only says how things still are.
    fn tell(&mut self, telling: &Telling) {
        let Some(rollout) = self.rollout() else { return self.tell_of_nobody(telling) };
        let text = telling.notice.text(&rollout.names());
        if self.told.insert(telling.event_suffix.clone(), text.clone()).is_some() {
            return;
        }
        for hook in rollout.webhooks(WebhookType::Event) {
            let kind = telling.notice.event_type().as_str();
            self.aside.push(format!("{}s told {}: {} {kind} {text}", self.second(), hook.name, telling.phase));
        }
        self.film.frames.push(Frame {
            second: self.second(),
            phase: telling.phase.to_string(),
            split: None,
            primary_pods: self.ready(&rollout.primary_key()),
            canary_pods: self.ready(&rollout.target_key()),
            text,
        });
    }

    /// Writes down what is told of a canary that cannot be meant.
    fn tell_of_nobody(&mut self, telling: &Telling) {
        let text = telling.notice.text(&Names::default());
        if self.told.insert(telling.event_suffix.clone(), text.clone()).is_none() {
            let phase = telling.phase.to_string();
            let second = self.second();
            self.film.frames.push(Frame { second, phase, split: None, primary_pods: 0, canary_pods: 0, text });
        }
    }

    fn rollout(&self) -> Option<Rollout> {
        Rollout::parse(&self.typed()?, &self.settings).ok()
    }

    fn typed(&self) -> Option<Canary> {
        serde_json::from_value(self.cluster.get(&self.canary)?.clone()).ok()
    }

    /// The canary as it is stored.
    pub fn canary(&self) -> Value {
        self.cluster.get(&self.canary).cloned().unwrap_or_default()
    }

    /// The status of the canary as it is stored.
    pub fn status(&self) -> Value {
        self.canary()["status"].clone()
    }

    /// An object of the canary's namespace.
    pub fn object(&self, kind: Kind, name: &str) -> Value {
        let key = ObjectKey::new(kind, &self.canary.namespace, name);
        self.cluster.get(&key).cloned().unwrap_or_default()
    }
}
