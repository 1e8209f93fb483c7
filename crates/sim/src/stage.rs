//! Where it is played: virtual time, the decisions, and the same execution of plans as the operator's. Whoever wrote
//! something is not woken by it: only what others change, an answer, or the time wakes an operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_core::claims::Claim;
use burgee_core::decide::{Tick, refuse};
use burgee_core::dependencies;
use burgee_core::plan::Plan;
use burgee_core::question::{Ask, Question};
use burgee_core::rollout::{Rollout, TargetKind};
use burgee_core::settings::{Audience, Settings};
use burgee_core::strangers::strangers;
use burgee_core::timetable::Wake;
use burgee_core::workload::Side;
use burgee_core::world::{ConfigSeen, Kind, ObjectKey, Observed, Rival, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::asked;
use crate::cluster::{self, Cluster};
use crate::faults::Faults;
use crate::film::Film;
use crate::inspector::{Inspector, Report};
use crate::instant::View;
use crate::knative;
use crate::mutations::{Mutation, decide_with};
use crate::outside::Outside;
use crate::process::{Asked, First, Process, later};
use crate::reading::{Reader, Reading};
use crate::scalers::Scalers;
use crate::workloads::Workloads;

mod hands;
mod requests;

/// What a collector of garbage takes.
const COLLECTION: SignedDuration = SignedDuration::from_secs(1);
/// The most ticks that may follow each other without time passing: more is a loop.
const MOST_TICKS_AT_ONCE: usize = 50;
/// The most ticks within a minute: more is a loop as well.
const MOST_TICKS_A_MINUTE: usize = 1_000;

/// Where the operator dies: while taking this plan, after this many of its steps. Plans without steps do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which plan, counted from 0.
    pub plan: usize,
    /// Steps of it that take effect.
    pub steps: usize,
}

/// Whether new runs are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// They wait.
    On,
    /// They begin.
    Off,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// Something was answered at once.
    Answered,
    /// Nothing was yet, or it could not even be asked.
    Waits,
}

/// A stage with one canary on it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The API server.
    pub cluster: Cluster,
    /// The pods.
    pub workloads: Workloads,
    /// The autoscalers.
    pub scalers: Scalers,
    /// Whom the canary asks.
    pub outside: Outside,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// What happened.
    pub film: Film,
    /// What was counted and alerted, as text.
    pub aside: Vec<String>,
    /// Every webhook that was called, and when.
    pub calls: Vec<(i64, String)>,
    /// Where the operator dies, if it does.
    pub crash: Option<Crash>,
    /// What goes wrong by chance, if anything does.
    pub faults: Option<Faults>,
    /// What a checker found, if one found anything; the first one counts.
    pub broken: Option<String>,
    /// How many steps each plan had so far.
    pub plans: Vec<usize>,
    /// The rule that is broken on purpose, if one is.
    pub mutation: Option<Mutation>,
    /// How long an operator waits after a change for further ones.
    pub debounce: SignedDuration,
    /// The canary as it stands in Git, for whoever applies it again.
    pub(crate) manifest: Option<Value>,
    pub(crate) canary: ObjectKey,
    pub(crate) start: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) told: BTreeMap<String, String>,
    pub(crate) processes: Vec<Process>,
    /// For how long whoever leads stands still at its next step, if somebody wants that.
    pub(crate) standstill: Option<SignedDuration>,
    /// How long each write takes, if it takes any time.
    pub(crate) write_time: SignedDuration,
    /// Who holds the lease.
    pub(crate) leader: usize,
    /// When somebody else takes the lease of a holder that stands still.
    pub(crate) takeover: Option<Timestamp>,
    /// Whether somebody moved the brake in the turn of a process, which has to look again after it.
    is_brake_moved: bool,
    pub(crate) live: Reader,
    seen: Reader,
    inspector: Inspector,
    /// How many steps took effect so far.
    pub(crate) taken: u64,
    ticks: (Timestamp, usize),
}

impl Stage {
    /// A stage at the beginning of time.
    pub fn new(cluster: Cluster, canary: ObjectKey) -> Self {
        let start = Timestamp::from_second(1_700_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            cluster,
            workloads: Workloads::default(),
            scalers: Scalers::default(),
            outside: Outside::default(),
            settings: Arc::new(Settings { audience: Audience::Chat, ..Settings::default() }),
            film: Film::default(),
            aside: Vec::new(),
            calls: Vec::new(),
            crash: None,
            faults: None,
            broken: None,
            plans: Vec::new(),
            mutation: None,
            debounce: SignedDuration::ZERO,
            manifest: None,
            canary,
            start,
            now: start,
            told: BTreeMap::new(),
            processes: vec![Process::started(0, start, SignedDuration::ZERO)],
            standstill: None,
            write_time: SignedDuration::ZERO,
            leader: 0,
            takeover: None,
            is_brake_moved: false,
            live: Reader::default(),
            seen: Reader::default(),
            inspector: Inspector::default(),
            taken: 0,
            ticks: (start, 0),
        }
    }

    /// Seconds since the beginning.
    pub fn second(&self) -> i64 {
        Film::second(self.start, self.now)
    }

    /// The operator forgets everything that is not in the cluster, as a restart makes it.
    pub fn restart(&mut self) {
        let (now, leader) = (self.now, self.leader);
        self.processes[leader] = Process::started(leader, now, self.processes[leader].skew);
    }

    /// Whoever leads is left alone for a while.
    pub(crate) fn pause(&mut self, pause: SignedDuration) {
        self.processes[self.leader].due = Some(later(self.now, pause));
    }

    /// Plays until `second`. The error says where decisions go round in circles.
    pub fn play_until(&mut self, second: i64) -> Result<(), String> {
        let end = Timestamp::from_second(self.start.as_second() + second).map_err(|error| error.to_string())?;
        if self.is_lost() {
            return Ok(());
        }
        self.settle()?;
        while let Some(now) = self.next_time().filter(|now| *now <= end) {
            self.now = now.max(self.now);
            self.settle()?;
        }
        self.now = end.max(self.now);
        self.settle()
    }

    /// Whether a rule that is broken on purpose was found: what comes after it proves nothing.
    fn is_lost(&self) -> bool {
        self.broken.is_some() && self.mutation.is_some()
    }

    /// When something happens next.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let pods = self.workloads.next_change(self.now);
        let events = self.processes.iter().filter_map(Process::next_event);
        let due = self.processes[self.leader].next_tick();
        events.chain(pods).chain(due).chain(self.takeover).min()
    }

    /// Ticks until nothing moves at this instant.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MOST_TICKS_AT_ONCE {
            let before = self.cluster.version();
            self.scalers.settle(&mut self.cluster);
            self.workloads.settle(&mut self.cluster, self.now);
            self.send_requests();
            self.report(self.leader, Report::Outside);
            self.spread_news();
            self.change_leader();
            for place in 0..self.processes.len() {
                self.attend(place)?;
            }
            if self.is_lost() {
                self.processes[self.leader].due = None;
                return Ok(());
            }
            let is_due = self.processes[self.leader].next_tick().is_some_and(|due| due <= self.now);
            if is_due {
                self.with_process(self.leader, Self::tick)?;
                self.show_asked();
            } else if self.cluster.version() == before {
                return Ok(());
            }
        }
        Err(format!("at {}s the decisions go round in circles\n{}", self.second(), self.film))
    }

    /// Everybody's watches show what was changed since the last call.
    pub(crate) fn spread_news(&mut self) {
        let changes = self.cluster.take_changes();
        if changes.is_empty() {
            return;
        }
        let phase = self.phase();
        let latency = self.faults.as_mut().map_or(SignedDuration::ZERO, |faults| faults.latency(phase));
        let at = later(self.now, self.debounce.max(latency));
        for key in &changes {
            for process in &mut self.processes {
                process.notice(key, &self.canary, at);
            }
        }
    }

    /// The lease of a process that stands still goes to the other one, which looks at everything at once.
    fn change_leader(&mut self) {
        if self.takeover.is_none_or(|at| at > self.now) {
            return;
        }
        self.takeover = None;
        if !self.processes[self.leader].stands_still() {
            return;
        }
        let other = self.processes.get(1 - self.leader);
        if let Some(frozen) = other.and_then(|other| other.frozen.as_ref()) {
            // Whoever stands still takes no lease either.
            self.takeover = Some(later(frozen.until, SignedDuration::from_millis(1)));
            return;
        }
        if self.processes.len() < 2 {
            let skew = self.faults.as_mut().map_or(SignedDuration::ZERO, Faults::skew);
            self.processes.push(Process::started(1, self.now, skew));
        }
        self.leader = 1 - self.leader;
        let now = self.now;
        let leader = &mut self.processes[self.leader];
        // Whoever wins the lease reads the canaries once more.
        leader.blurs.remove(&Kind::Canary);
        leader.wake(now);
    }

    /// What has come to a process: answers, watch events, and its own going on.
    fn attend(&mut self, place: usize) -> Result<(), String> {
        let now = self.now;
        let process = &mut self.processes[place];
        process.clear(now);
        let goes_on = process.frozen.as_ref().is_some_and(|frozen| frozen.until <= now);
        for (key, Asked { ask, answer, .. }) in process.hear(now) {
            self.film.ask(asked::words(&ask, Some(&answer)));
            self.report(place, Report::Hears(&key, &ask, &answer));
        }
        if goes_on {
            let leads = self.leader == place;
            self.with_process(place, |stage, process| {
                if leads {
                    stage.go_on(process);
                } else {
                    stage.write_late(process);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Takes a process out for its turn, so that the stage and it can be changed together.
    fn with_process(
        &mut self,
        place: usize,
        turn: impl FnOnce(&mut Self, &mut Process) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut process = std::mem::take(&mut self.processes[place]);
        let done = turn(self, &mut process);
        if std::mem::take(&mut self.is_brake_moved) {
            process.wake(self.now);
        }
        self.processes[place] = process;
        done
    }

    /// One tick, with all questions answered at once to which an answer comes at once.
    fn tick(&mut self, process: &mut Process) -> Result<(), String> {
        self.count_tick()?;
        if !self.debounce.is_zero() {
            // A tick takes its time: no two of them are at the same instant.
            self.now = later(self.now, SignedDuration::from_millis(1));
        }
        process.due = None;
        for _ in 0..MOST_TICKS_AT_ONCE {
            // An answer leads to a fresh look: somebody may have edited the canary meanwhile.
            let Observed::Present(object) = process.observe(&self.cluster, &self.canary) else {
                return Ok(());
            };
            let is_stored = self.cluster.shared(&self.canary).is_some_and(|stored| Arc::ptr_eq(stored, &object));
            let reader = if is_stored { &mut self.live } else { &mut self.seen };
            let Some(reading) = reader.read(&object, &self.settings) else { return Ok(()) };
            process.reading = Some(Arc::clone(&reading));
            let decided = match &reading.rollout {
                Ok(rollout) => self.decide(process, &reading, rollout),
                Err(reason) => Ok(self.refuse(process, &reading, reason)),
            };
            match decided {
                Ok(plan) => {
                    let version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                    self.act(process, plan, version);
                    let stored = self.cluster.get(&self.canary);
                    if stored.is_none_or(|stored| stored["metadata"]["uid"] != object["metadata"]["uid"]) {
                        // What is made for a canary that is gone is collected at once here, and after a moment elsewhere.
                        process.due = process.due.map(|due| due.max(later(self.now, COLLECTION)));
                    }
                    return Ok(());
                }
                Err(Asking::Answered) => {}
                Err(Asking::Waits) => return Ok(()),
            }
        }
        Err("a decision never stops asking".to_owned())
    }

    /// What is done about a canary that cannot be meant.
    fn refuse(&self, process: &mut Process, reading: &Reading, reason: &str) -> Plan {
        let status = reading.canary.status.as_ref();
        let now = process.look_at_the_clock(self.now, status);
        process.is_decided(status, self.now);
        refuse(&World::new(reading.canary.clone()), now, reason)
    }

    fn count_tick(&mut self) -> Result<(), String> {
        let (since, ticks) = self.ticks;
        let is_new = self.now.duration_since(since) > SignedDuration::from_mins(1);
        self.ticks = if is_new { (self.now, 1) } else { (since, ticks + 1) };
        if self.ticks.1 > MOST_TICKS_A_MINUTE {
            return Err(format!("at {}s the operator never comes to rest\n{}", self.second(), self.film));
        }
        Ok(())
    }

    /// The plan, or what became of the question that comes before it.
    fn decide(&mut self, process: &mut Process, reading: &Arc<Reading>, rollout: &Rollout) -> Result<Plan, Asking> {
        let settings = Arc::clone(&self.settings);
        let world = self.observe(process, reading, rollout);
        let (clock, status) = (process.clock(self.now), world.canary.status.as_ref());
        let now = process.look_at_the_clock(self.now, status);
        process.is_decided(status, self.now);
        let tick = Tick { world: &world, rollout, settings: &settings, now, clock };
        self.report(process.id, Report::Looks(&tick));
        match decide_with(self.mutation, &tick, &process.answers) {
            Ok(plan) => {
                self.report(process.id, Report::Decides(&plan, &world));
                Ok(plan)
            }
            Err(question) => {
                if self.ask(process, question) {
                    return Err(Asking::Answered);
                }
                // Whoever may want a rollback is asked again while another hook takes its time.
                process.look_again(Wake::At(later(tick.now, rollout.interval)), self.now);
                Err(Asking::Waits)
            }
        }
    }

    /// Asks what is not being asked already. Answers whether there is something new to decide on at once.
    fn ask(&mut self, process: &mut Process, question: Question) -> bool {
        let version = self.version_seen(process);
        let Question { repairs, first, asks } = question;
        let ahead = repairs.into_iter().chain(first.iter().cloned()).collect();
        match self.act_first(process, ahead, version.clone()) {
            First::Done => {}
            // No write that is refused stands before a check; what is told is told all the same.
            First::Refused => drop(self.act_first(process, first, version)),
            First::Stopped => return false,
        }
        let mut has_answer = false;
        for (key, ask) in asks {
            if !process.answers.ask(&key, process.canary_clock.at(self.now)) {
                continue;
            }
            self.report(process.id, Report::Asks(&key, &ask));
            if self.broken.is_none() {
                self.broken = self.looks_back_too_far(&ask, process);
            }
            if let Ask::Hook { webhook, .. } = &ask {
                self.calls.push((self.second(), webhook.name.clone()));
            }
            let (delay, answer) = self.outside.answer_after(&ask, self.now);
            self.film.ask(asked::words(&ask, delay.is_zero().then_some(&answer)));
            if delay.is_zero() {
                self.report(process.id, Report::Hears(&key, &ask, &answer));
                process.answers.insert(key, answer, process.canary_clock.at(self.now));
                has_answer = true;
            } else {
                process.asking.insert(key, Asked { until: later(self.now, delay), ask, answer });
            }
        }
        has_answer
    }

    pub(crate) fn version_seen(&self, process: &Process) -> Option<String> {
        match process.observe(&self.cluster, &self.canary) {
            Observed::Present(object) => object["metadata"]["resourceVersion"].as_str().map(str::to_owned),
            Observed::Absent | Observed::Unknown(_) => None,
        }
    }

    fn observe(&self, process: &mut Process, reading: &Reading, rollout: &Rollout) -> World {
        let mut canary = Arc::clone(&reading.canary);
        if process.delays.are_known()
            && let Some(status) = &mut Arc::make_mut(&mut canary).status
        {
            process.delays.correct(status);
        }
        process.deliveries.look(canary.status.as_ref());
        let mut world = World::new(canary);
        world.deliveries = process.deliveries.clone();
        world.rival = self.rival();
        for key in &reading.reads {
            let observed = process.observe(&self.cluster, key);
            if matches!(observed, Observed::Unknown(_)) {
                process.wake(later(self.now, rollout.interval));
            }
            world.objects.push((key.clone(), observed));
        }
        let more = dependencies::more(rollout, &reading.canary, &world);
        for key in more.clone() {
            let observed = process.observe(&self.cluster, &key);
            world.insert(key, observed);
        }
        world.strangers = strangers(rollout, &world, &self.cluster.workloads(&rollout.namespace));
        let target = world.present(&rollout.target_key());
        let references = dependencies::configs(rollout, &self.settings, target);
        for reference in references {
            let seen = match process.observe(&self.cluster, &reference.key) {
                Observed::Present(object) => cluster::config_seen(&object),
                Observed::Absent => ConfigSeen::Absent,
                Observed::Unknown(reason) => ConfigSeen::Unknown(reason),
            };
            world.configs.push((reference.key, seen));
        }
        // Kept templates are asked for, not watched.
        let more = more.iter().filter(|key| key.kind != Kind::ControllerRevision);
        let besides: Vec<&ObjectKey> = world.configs.iter().map(|(key, _)| key).chain(more).collect();
        let looked_at = reading.reads.len() + besides.len();
        if process.reads.len() != looked_at || !besides.iter().all(|key| process.reads.contains(key)) {
            process.reads = reading.reads.iter().chain(besides).cloned().collect();
        }
        world
    }

    /// The older canary that claims the same as this one.
    fn rival(&self) -> Option<Rival> {
        let others = self.cluster.of_kind(Kind::Canary).filter(|(key, _)| **key != self.canary);
        let others: Vec<Claim> = others.map(|(_, canary)| Claim::of(canary)).collect();
        if others.is_empty() {
            return None;
        }
        Claim::of(self.cluster.get(&self.canary)?).rival(others.iter(), &self.settings)
    }

    /// Shows the checkers what has just happened.
    pub(crate) fn report(&mut self, operator: usize, report: Report) {
        let view = View {
            cluster: &self.cluster,
            canary: &self.canary,
            settings: &self.settings,
            start: self.start,
            now: self.now,
            is_still: self.processes[self.leader].frozen.is_some(),
        };
        self.inspector.hear(&view, operator, report);
        if self.broken.is_none() {
            self.broken = self.inspector.broken().map(str::to_owned);
        }
    }

    /// Looks at everything anew, after something was changed that is no object.
    pub(crate) fn look_anew(&mut self) {
        self.workloads.disturb();
    }

    /// Ready pods of a set. A Service counts as one, and so does a Knative revision: their pods are nobody's here.
    pub(crate) fn ready(&self, rollout: &Rollout, side: Side) -> usize {
        let key = match side {
            Side::Primary => rollout.primary_key(),
            Side::Canary => rollout.target_key(),
        };
        match rollout.target_kind {
            TargetKind::Deployment | TargetKind::DaemonSet => self.workloads.ready(&key, self.now),
            TargetKind::Service => usize::from(self.cluster.get(&key).is_some()),
            TargetKind::Knative => usize::try_from(knative::ready(&self.cluster, rollout, side)).unwrap_or(0),
        }
    }

    /// Whether the last run is over and drained, nothing is due, and no pod is on its way: a primary that is put back may
    /// wait for it.
    pub fn rests(&self) -> bool {
        // What was begun by an operator that has lost the lease since may still arrive.
        let is_idle = self.processes[self.leader].due.is_none()
            && self.processes.iter().all(|process| process.next_event().is_none())
            && self.workloads.next_change(self.now).is_none();
        let status = self.cluster.get(&self.canary).map(|canary| &canary["status"]["phase"]);
        let phase = status.and_then(Value::as_str).unwrap_or_default();
        is_idle && matches!(phase, "Initialized" | "Succeeded" | "Failed")
    }

    /// Rows show the traffic as it is after the plan that told them.
    pub(crate) fn show_split(&mut self, told: usize) {
        if self.film.frames.len() <= told {
            return;
        }
        let Some(reading) = self.reading() else { return };
        let split = self.live.split(&reading, &self.cluster);
        self.film.frames.iter_mut().skip(told).for_each(|frame| frame.split = split);
    }

    /// The canary as it is stored, parsed.
    pub(crate) fn reading(&mut self) -> Option<Arc<Reading>> {
        let object = self.cluster.shared(&self.canary)?;
        self.live.read(object, &self.settings)
    }

    /// The canary as it is stored.
    pub fn canary(&self) -> Value {
        self.cluster.get(&self.canary).cloned().unwrap_or_default()
    }

    /// The status of the canary as it is stored.
    pub fn status(&self) -> Value {
        self.cluster.get(&self.canary).map(|canary| canary["status"].clone()).unwrap_or_default()
    }

    /// An object of the canary's namespace.
    pub fn object(&self, kind: Kind, name: &str) -> Value {
        let key = ObjectKey::new(kind, &self.canary.namespace, name);
        self.cluster.get(&key).cloned().unwrap_or_default()
    }
}
