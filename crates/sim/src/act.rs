//! Carries out plans as the operator does: step by step, each write with the version it was decided on; the first step
//! that fails stops the plan. It decides nothing.

use std::collections::VecDeque;

use burgee_api::{Canary, Delivery, DeliveryKind, Phase, WebhookType};
use burgee_core::bounds::Bounds;
use burgee_core::notice::Names;
use burgee_core::plan::{Count, Plan, Step, Telling};
use burgee_core::question::Round;
use burgee_core::rollout::Rollout;
use burgee_core::times::Pulse;
use burgee_core::workload::Side;
use jiff::SignedDuration;

use crate::cluster::Refusal;
use crate::disturb;
use crate::fault::Mishap;
use crate::film::Frame;
use crate::inspector::Report;
use crate::kept::Noting;
use crate::mutations::{Edge, LateWrites};
use crate::process::{End, First, Frozen, Process, Waiting, later};
use crate::stage::{Crash, Stage};

/// How long a silent holder keeps the lease (core: `lease::DURATION`).
const LEASE: SignedDuration = burgee_core::lease::DURATION;

/// How far a plan came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// To its end.
    Done,
    /// The process died, or stands still.
    Gone,
}

impl Stage {
    /// Carries out a plan that was decided on this version of the canary.
    pub(crate) fn act(&mut self, process: &mut Process, plan: Plan, version: Option<String>) {
        let Plan { mut steps, next, quiet_until, round, repairs: _ } = plan;
        let crash = self.cut_short(&mut steps);
        let taken = self.take_all(process, steps.into(), version);
        if taken == Ok(Progress::Done) && crash.is_some() {
            return self.die(process);
        }
        self.end(process, taken, Some(End { next, quiet_until, round }));
    }

    /// What becomes of a plan that came so far.
    fn end(&mut self, process: &mut Process, taken: Result<Progress, Refusal>, end: Option<End>) {
        match taken {
            Ok(Progress::Done) => match end {
                Some(end) => process.carried_out(end, self.now),
                None => process.wake(self.now),
            },
            Ok(Progress::Gone) => {
                if let Some(frozen) = &mut process.frozen {
                    frozen.end = end;
                }
            }
            Err(refusal) => self.retry(process, &refusal),
        }
    }

    /// What is done and told before a question.
    pub(crate) fn act_first(&mut self, process: &mut Process, mut steps: Vec<Step>, version: Option<String>) -> First {
        let crash = self.cut_short(&mut steps);
        match self.take_all(process, steps.into(), version) {
            Ok(Progress::Done) if crash.is_none() => return First::Done,
            Ok(Progress::Gone) if crash.is_none() => {}
            Ok(_) => self.die(process),
            Err(Refusal::Invalid(reason)) => {
                self.aside.push(format!("{}s invalid object: {reason}", self.second()));
                return First::Refused;
            }
            Err(refusal) => self.retry(process, &refusal),
        }
        First::Stopped
    }

    /// Counts a plan that has steps, and leaves of it what comes before the crash, if the operator dies in it.
    fn cut_short(&mut self, steps: &mut Vec<Step>) -> Option<Crash> {
        if steps.is_empty() {
            return None;
        }
        let number = self.plans.len();
        self.plans.push(steps.len());
        let crash = self.crash.filter(|crash| crash.plan == number)?;
        steps.truncate(crash.steps);
        Some(crash)
    }

    /// A holder that waited for an answer, or stood still for less than its lease: the step that it had begun takes effect,
    /// and then the plan goes on, unless it has become too old.
    pub(crate) fn go_on(&mut self, process: &mut Process) {
        let Some(frozen) = process.frozen.take() else { return };
        let Frozen { begun, steps, mut version, until: _, wait, end } = frozen;
        if wait == Waiting::Answer {
            process.pulse = Pulse::begun(self.now);
        }
        let told = self.film.frames.len();
        let begun = begun.map_or(Ok(()), |step| self.take_checked(process, &step, &mut version));
        self.show_split(told);
        let taken = begun.and_then(|()| self.take_all(process, steps, version));
        self.end(process, taken, end);
        process.delays.note(&process.timing, self.now);
    }

    /// A process that lost the lease while it stood still: the write that it had begun arrives late; what follows is not
    /// even begun. What is no write goes out.
    pub(crate) fn write_late(&mut self, process: &mut Process) {
        let Some(Frozen { begun, steps, mut version, .. }) = process.frozen.take() else { return };
        if self.mutation.is_some_and(|mutation| mutation.late_writes == LateWrites::Forced) {
            version = self.version();
        }
        let harmless = steps.into_iter().take_while(|step| !step.is_write());
        for step in begun.into_iter().chain(harmless) {
            if self.take_checked(process, &step, &mut version).is_err() {
                break;
            }
        }
        process.delays.note(&process.timing, self.now);
    }

    fn retry(&mut self, process: &mut Process, refusal: &Refusal) {
        match refusal {
            // Nothing went wrong.
            Refusal::Noted => return process.wake(self.now),
            Refusal::Invalid(_) => process.answers.end_round(Round::Over, None),
            Refusal::Conflict(_) | Refusal::NotFound(_) | Refusal::Lost(_) | Refusal::Late | Refusal::Fenced => {}
        }
        self.aside.push(format!("{}s {refusal}", self.second()));
        let wait = process.failed();
        process.wake(later(self.now, wait));
    }

    fn die(&mut self, process: &mut Process) {
        self.report(process.id, Report::Dies);
        *process = Process::started(process.id, self.now, process.skew);
    }

    fn take_all(
        &mut self,
        process: &mut Process,
        mut steps: VecDeque<Step>,
        mut version: Option<String>,
    ) -> Result<Progress, Refusal> {
        let told = self.film.frames.len();
        let mut progress = Ok(Progress::Done);
        while let Some(step) = steps.pop_front() {
            progress = self.risk(process, step, &mut steps, &mut version);
            if progress != Ok(Progress::Done) {
                break;
            }
        }
        process.delays.note(&process.timing, self.now);
        self.show_split(told);
        progress
    }

    /// Takes a step on which something may go wrong.
    fn risk(
        &mut self,
        process: &mut Process,
        mut step: Step,
        rest: &mut VecDeque<Step>,
        version: &mut Option<String>,
    ) -> Result<Progress, Refusal> {
        if step.is_write() && process.pulse.stood_still(self.now) {
            return Err(Refusal::Late);
        }
        if let Step::Status(status) = &mut step {
            process.timing.send(status, self.now);
            process.deliveries.expect(status);
        }
        let phase = self.phase();
        let mishap = self.faults.as_mut().map_or(Mishap::None, |faults| faults.next_step(phase));
        let mishap = self.standstill.take().map_or(mishap, Mishap::Standstill);
        let mishap = if step.is_write() { mishap } else { mishap.unless_slow() };
        if let Some(text) = mishap.text() {
            self.film.mark(self.second(), text);
        }
        let is_slow = mishap == Mishap::None && step.is_write() && self.write_time.is_positive();
        let mishap = if is_slow { Mishap::SlowWrite(self.write_time) } else { mishap };
        if step.is_write() && matches!(mishap, Mishap::Refused | Mishap::LostAnswer) {
            self.report(process.id, Report::Fails);
        }
        match mishap {
            Mishap::None | Mishap::LostAnswer | Mishap::DeathAfter => {}
            Mishap::Refused => return Err(Refusal::Conflict(self.canary.clone())),
            Mishap::Edit => self.edit_between(process)?,
            Mishap::Death => {
                self.die(process);
                return Ok(Progress::Gone);
            }
            Mishap::Standstill(_) | Mishap::SlowWrite(_) => {
                self.wait(process, mishap, Some(step), (std::mem::take(rest), version.clone()));
                return Ok(Progress::Gone);
            }
            Mishap::SlowAnswer(_) => {
                self.take_checked(process, &step, version)?;
                self.wait(process, mishap, None, (std::mem::take(rest), version.clone()));
                return Ok(Progress::Gone);
            }
        }
        self.take_checked(process, &step, version)?;
        match mishap {
            Mishap::LostAnswer => Err(Refusal::Lost(self.canary.clone())),
            Mishap::DeathAfter => {
                self.die(process);
                Ok(Progress::Gone)
            }
            Mishap::None
            | Mishap::Refused
            | Mishap::Edit
            | Mishap::Death
            | Mishap::Standstill(_)
            | Mishap::SlowWrite(_)
            | Mishap::SlowAnswer(_) => Ok(Progress::Done),
        }
    }

    /// From now on the process waits, in the middle of a plan of which so much is left.
    fn wait(
        &mut self,
        process: &mut Process,
        mishap: Mishap,
        begun: Option<Step>,
        (steps, version): (VecDeque<Step>, Option<String>),
    ) {
        let (pause, wait) = match mishap {
            Mishap::Standstill(pause) => (pause, Waiting::Stopped),
            Mishap::SlowWrite(pause) | Mishap::SlowAnswer(pause) => (pause, Waiting::Answer),
            Mishap::None | Mishap::Refused | Mishap::Edit | Mishap::LostAnswer | Mishap::Death | Mishap::DeathAfter => {
                return;
            }
        };
        if wait == Waiting::Stopped {
            self.takeover = Some(later(self.now, LEASE));
        }
        let until = later(self.now, pause);
        process.frozen = Some(Frozen { begun, steps, version, until, wait, end: None });
    }

    /// Somebody does something between two steps of a plan.
    fn edit_between(&mut self, process: &mut Process) -> Result<(), Refusal> {
        let Some(mut faults) = self.faults.take() else { return Ok(()) };
        let done = disturb::edit(&mut faults, self);
        self.faults = Some(faults);
        self.report(process.id, Report::Outside);
        let at = later(self.now, self.debounce);
        for key in self.cluster.take_changes() {
            process.notice(&key, &self.canary, at);
            self.processes.iter_mut().for_each(|other| other.notice(&key, &self.canary, at));
        }
        done.map_err(Refusal::Invalid)
    }

    /// Takes a step, looks whether an invariant broke, and lets the process see what it wrote.
    fn take_checked(
        &mut self,
        process: &mut Process,
        step: &Step,
        version: &mut Option<String>,
    ) -> Result<(), Refusal> {
        let follows = matches!(step, Step::Status(_)) || matches!(step, Step::Patch { key, .. } if *key == self.canary);
        let bounds = process.bounds(&self.canary);
        if self.mutation.is_none_or(|mutation| mutation.edge == Edge::Guarded)
            && let Err(trespass) = bounds.may_take(step)
        {
            self.report(process.id, Report::Trespasses(&trespass));
            return Err(Refusal::Invalid(trespass.to_string()));
        }
        let noting = self.take(step, &bounds, version.as_deref())?;
        if let Step::Deliver(delivery) = step {
            process.deliveries.settle(delivery);
            process.wake(self.now);
        }
        self.taken += 1;
        process.pulse.beat(self.now);
        self.report(process.id, Report::Takes(step));
        let at = later(self.now, self.debounce);
        for key in self.cluster.take_changes() {
            process.wrote(&self.cluster, &key);
            self.processes.iter_mut().for_each(|other| other.notice(&key, &self.canary, at));
        }
        if follows {
            *version = self.version();
        }
        match noting {
            Noting::Nothing => Ok(()),
            Noting::Seal => Err(Refusal::Noted),
        }
    }

    fn version(&self) -> Option<String> {
        self.cluster.get(&self.canary)?["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    }

    fn take(&mut self, step: &Step, bounds: &Bounds, version: Option<&str>) -> Result<Noting, Refusal> {
        let taken = match step {
            Step::Create(object) => self.cluster.create(object.clone()),
            Step::Replace(object) => self.cluster.replace(object.clone()),
            Step::Patch { key, operations } => self.cluster.patch(key, operations),
            Step::Keep(object) => self.cluster.keep(bounds, object),
            Step::Drop(key) => {
                self.cluster.drop_kept(bounds, key);
                Ok(())
            }
            Step::CopyConfig(copy) => self.cluster.copy_config(bounds, copy),
            Step::KeepConfigs { key, copies } => {
                return self.cluster.keep_configs(bounds, (&self.canary, version), (key, copies));
            }
            Step::RestoreConfigs(key) => self.cluster.restore_configs(bounds, &self.canary, key),
            Step::Tell(telling) => {
                self.tell(telling);
                Ok(())
            }
            Step::Status(status) => {
                let status = serde_json::to_value(status).map_err(|error| Refusal::Invalid(error.to_string()))?;
                self.cluster.write_status(&self.canary, version, status)
            }
            Step::Deliver(delivery) => {
                let Delivery { kind, severity, text, phase, .. } = delivery;
                self.aside.push(match kind {
                    DeliveryKind::Alert => format!("{}s alert {severity:?}: {text}", self.second()),
                    DeliveryKind::PostRollout => format!("{}s post-rollout {phase}", self.second()),
                });
                Ok(())
            }
            // The events tell of it.
            Step::Count(Count::Superseded(_)) => Ok(()),
            Step::Count(count) => {
                self.aside.push(format!("{}s counted {count:?}", self.second()));
                Ok(())
            }
        };
        taken.map(|()| Noting::Nothing)
    }

    /// Writes down what was told, once for each event name and for each text that only says how things still are.
    fn tell(&mut self, telling: &Telling) {
        let Some(reading) = self.reading() else { return };
        let Ok(rollout) = &reading.rollout else { return self.tell_of_nobody(telling, &reading.canary) };
        let text = telling.notice.text(&rollout.names());
        if self.told.insert(telling.event_suffix.clone(), text.clone()).is_some() {
            return;
        }
        for hook in rollout.webhooks(WebhookType::Event) {
            let kind = telling.notice.event_type().as_str();
            self.aside.push(format!("{}s told {}: {} {kind} {text}", self.second(), hook.name, telling.phase));
        }
        let frame = Frame { text, ..self.frame(rollout, telling.phase) };
        self.film.add(frame);
    }

    /// A row of now, with nothing told and no routes yet.
    fn frame(&self, rollout: &Rollout, phase: Phase) -> Frame {
        Frame {
            second: self.second(),
            phase: phase.to_string(),
            split: None,
            primary_pods: self.ready(rollout, Side::Primary),
            canary_pods: self.ready(rollout, Side::Canary),
            asked: Vec::new(),
            times: 1,
            text: String::new(),
        }
    }

    /// Writes down what was asked in a tick that told nothing.
    pub(crate) fn show_asked(&mut self) {
        if !self.film.owes_a_row() {
            return;
        }
        let Some(reading) = self.reading() else { return };
        let Ok(rollout) = &reading.rollout else { return };
        let phase = self.phase();
        let split = self.live.split(&reading, &self.cluster);
        let frame = Frame { split, ..self.frame(rollout, phase) };
        self.film.add(frame);
    }

    /// Writes down what is told of a canary that cannot be meant.
    fn tell_of_nobody(&mut self, telling: &Telling, canary: &Canary) {
        let metadata = canary.metadata.clone();
        let (name, namespace) = (metadata.name.unwrap_or_default(), metadata.namespace.unwrap_or_default());
        let text = telling.notice.text(&Names { canary: name, namespace, ..Names::default() });
        if self.told.insert(telling.event_suffix.clone(), text.clone()).is_none() {
            let phase = telling.phase.to_string();
            let second = self.second();
            let (asked, times) = (Vec::new(), 1);
            self.film.add(Frame { second, phase, split: None, primary_pods: 0, canary_pods: 0, asked, times, text });
        }
    }

    /// The phase that is stored.
    pub(crate) fn phase(&mut self) -> Phase {
        let reading = self.reading();
        reading.and_then(|reading| Some(reading.canary.status.as_ref()?.phase)).unwrap_or_default()
    }
}
