//! One operator process: what it remembers between two ticks, what its watches show it, and when it looks again. All of
//! it is lost in a crash. It decides nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use burgee_api::CanaryStatus;
use burgee_core::bounds::Bounds;
use burgee_core::plan::Step;
use burgee_core::question::{Answer, Answers, Ask, AskKey, Round};
use burgee_core::times::{CanaryClock, PlanTiming, Pulse, WriteDelays};
use burgee_core::timetable::Wake;
use burgee_core::world::{Deliveries, Kind, ObjectKey, Observed};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::reading::Reading;

/// First and longest wait after a plan that was not carried out, in milliseconds, as the operator waits.
const RETRY_MILLISECONDS: (i64, i64) = (100, 5_000);

/// How a kind of objects is seen while its watch is not up to date.
#[derive(Clone, Debug)]
pub(crate) enum Blur {
    /// As it was some time ago, but never older than a write of this process.
    Stale(BTreeMap<ObjectKey, Arc<Value>>),
    /// Not at all.
    Blind,
}

/// A plan on its way while its process can do nothing but wait.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    /// The step that was begun, after the check of the lease, and takes effect only when the process goes on.
    pub(crate) begun: Option<Step>,
    /// What follows.
    pub(crate) steps: VecDeque<Step>,
    /// The version of the canary that the plan was decided on.
    pub(crate) version: Option<String>,
    /// When the process goes on.
    pub(crate) until: Timestamp,
    /// What it waits for.
    pub(crate) wait: Waiting,
    /// What is due when the plan has come to its end; nothing if a question follows, which is decided anew.
    pub(crate) end: Option<End>,
}

/// What a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For nothing: it was stopped itself.
    Stopped,
    /// For the answer to a write.
    Answer,
}

/// What comes after the last step of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) next: Wake,
    pub(crate) quiet_until: Option<Timestamp>,
    pub(crate) round: Round,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// When its answer comes.
    pub(crate) until: Timestamp,
    /// What is asked.
    pub(crate) ask: Ask,
    /// What will be answered.
    pub(crate) answer: Answer,
}

/// One operator process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// Which of the two it is.
    pub(crate) id: usize,
    /// The answers of the round under way.
    pub(crate) answers: Answers,
    /// What is being asked.
    pub(crate) asking: BTreeMap<AskKey, Asked>,
    /// When it looks again; none while nothing is due.
    pub(crate) due: Option<Timestamp>,
    /// What the last tick looked at.
    pub(crate) reads: BTreeSet<ObjectKey>,
    /// Kinds that are not seen as they are, and until when.
    pub(crate) blurs: BTreeMap<Kind, (Timestamp, Blur)>,
    /// Where it waits in the middle of a plan.
    pub(crate) frozen: Option<Frozen>,
    /// How far the wall's clock of its machine is ahead of time itself. Its steady clock shows time itself.
    pub(crate) skew: SignedDuration,
    /// What became of the deliveries that are due. Here they are made as soon as they are taken.
    pub(crate) deliveries: Deliveries,
    /// What time it is for the canary.
    pub(crate) canary_clock: CanaryClock,
    /// What was written later than it says.
    pub(crate) delays: WriteDelays,
    /// What its plan has to do with time.
    pub(crate) timing: PlanTiming,
    /// Its signs of life in the plan.
    pub(crate) pulse: Pulse,
    /// The canary as it last decided on it, with what it may write.
    pub(crate) reading: Option<Arc<Reading>>,
    failures: u32,
}

impl Process {
    /// A process that has just been started.
    pub(crate) fn started(id: usize, now: Timestamp, skew: SignedDuration) -> Self {
        Self { id, due: Some(now), skew, ..Self::default() }
    }

    /// What the wall's clock of its machine shows.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        later(now, self.skew)
    }

    /// What time it is for the canary.
    pub(crate) fn look_at_the_clock(&mut self, now: Timestamp, status: Option<&CanaryStatus>) -> Timestamp {
        self.canary_clock.now(self.clock(now), now, status, &mut self.answers)
    }

    /// Asks for a look no later than `at`.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Notes when a decision, by the time of the canary, wants the next look.
    pub(crate) fn look_again(&mut self, wake: Wake, now: Timestamp) {
        if let Wake::At(at) = wake {
            self.wake(self.canary_clock.steady(at).max(now));
        }
    }

    /// A plan was decided at `now` on this status.
    pub(crate) fn is_decided(&mut self, status: Option<&CanaryStatus>, now: Timestamp) {
        self.timing = PlanTiming::begun(status, now);
        self.pulse = self.timing.pulse();
    }

    /// Whether it was stopped itself.
    pub(crate) fn stands_still(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.wait == Waiting::Stopped)
    }

    /// How long to wait after a plan that was not carried out: 100 ms, doubling to 5 s.
    pub(crate) fn failed(&mut self) -> SignedDuration {
        let wait = RETRY_MILLISECONDS.0.saturating_mul(1 << self.failures.min(10)).min(RETRY_MILLISECONDS.1);
        self.failures += 1;
        SignedDuration::from_millis(wait)
    }

    /// A plan was carried out.
    pub(crate) fn carried_out(&mut self, end: End, now: Timestamp) {
        self.failures = 0;
        self.answers.end_round(end.round, end.quiet_until);
        self.look_again(end.next, now);
    }

    /// What it may write, as far as it knows what the canary means.
    pub(crate) fn bounds(&self, canary: &ObjectKey) -> Bounds {
        self.reading.as_ref().map_or_else(|| Bounds::of_nobody(canary), |reading| reading.bounds.clone())
    }

    /// An object as the watches show it. Kept templates are never watched: they are asked for.
    pub(crate) fn observe(&self, cluster: &Cluster, key: &ObjectKey) -> Observed {
        match self.blurs.get(&key.kind) {
            Some((_, Blur::Stale(seen))) if key.kind != Kind::ControllerRevision => {
                seen.get(key).map_or(Observed::Absent, |object| Observed::Present(Arc::clone(object)))
            }
            Some((_, Blur::Blind)) => Observed::Unknown(format!("{} could not be listed yet", key.kind.names().3)),
            Some(_) | None => cluster.observe(key),
        }
    }

    /// From now on until `until` a kind is seen as it is now, or not at all.
    pub(crate) fn blur(&mut self, kind: Kind, blur: Blur, until: Timestamp) {
        self.blurs.entry(kind).or_insert((until, blur));
    }

    /// A kind is seen as it is from `now` on.
    pub(crate) fn unblur(&mut self, kind: Kind, now: Timestamp) {
        if let Some((until, _)) = self.blurs.get_mut(&kind) {
            *until = now;
        }
    }

    /// What the process wrote itself it sees at once (I14).
    pub(crate) fn wrote(&mut self, cluster: &Cluster, key: &ObjectKey) {
        let Some((_, Blur::Stale(seen))) = self.blurs.get_mut(&key.kind) else { return };
        match cluster.shared(key) {
            Some(object) => seen.insert(key.clone(), Arc::clone(object)),
            None => seen.remove(key),
        };
    }

    /// Somebody else changed an object: wakes the process if it reads it and its watch shows it.
    pub(crate) fn notice(&mut self, key: &ObjectKey, canary: &ObjectKey, at: Timestamp) {
        let concerns = self.reads.contains(key) || key.kind == canary.kind;
        if concerns && !self.blurs.contains_key(&key.kind) {
            self.wake(at);
        }
    }

    /// Watches that are up to date again wake the process.
    pub(crate) fn clear(&mut self, now: Timestamp) {
        let before = self.blurs.len();
        self.blurs.retain(|_, (until, _)| *until > now);
        if self.blurs.len() < before {
            self.wake(now);
        }
    }

    /// Answers that have come wake the process.
    pub(crate) fn hear(&mut self, now: Timestamp) -> Vec<(AskKey, Asked)> {
        let has_come = |asked: &Asked| asked.until <= now;
        let come: Vec<(AskKey, Asked)> = self
            .asking
            .iter()
            .filter(|(_, asked)| has_come(asked))
            .map(|(key, asked)| (key.clone(), asked.clone()))
            .collect();
        let at = self.canary_clock.at(now);
        for (key, asked) in &come {
            self.asking.remove(key);
            self.answers.insert(key.clone(), asked.answer.clone(), at);
            self.wake(now);
        }
        come
    }

    /// When something happens next to this process, apart from the tick that is due.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        let frozen = self.frozen.as_ref().map(|frozen| frozen.until);
        let answers = self.asking.values().map(|asked| asked.until);
        let watches = self.blurs.values().map(|(until, _)| *until);
        answers.chain(watches).chain(frozen).min()
    }

    /// When its next tick is due, unless it stands still.
    pub(crate) fn next_tick(&self) -> Option<Timestamp> {
        self.due.filter(|_| self.frozen.is_none())
    }
}

/// A time so much later; far ends stay ends.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

/// What became of what is done before a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The question may be asked.
    Done,
    /// A write was refused for good: it may be asked all the same.
    Refused,
    /// It may not: the process died, stands still, or has to look again.
    Stopped,
}
