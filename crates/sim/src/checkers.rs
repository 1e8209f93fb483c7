//! What must never happen, one file per invariant, looked at after every step of every play. A checker sees what moved
//! and remembers what it needs of the play so far; it says what is wrong, and repairs nothing.

use std::sync::Arc;

use burgee_core::decide::Tick;
use burgee_core::plan::{Plan, Step};
use burgee_core::question::{Ask, AskKey};
use burgee_core::router;
use burgee_core::services::Role;
use burgee_core::workload::{self, Side};
use burgee_core::world::{Observed, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::cluster::Change;
use crate::instant::{Instant, Part};

mod act;
mod i01_capacity;
mod i02_only_ready_set;
mod i03_endpoints;
mod i04_drain;
mod i05_rest;
mod i06_fix;
mod i07_routes;
mod i08_no_traffic;
mod i09_digest;
mod i10_revisions;
mod i11_unknown;
mod i12_primary;
mod i13_deadlines;
mod i14_views;
mod i15_bystander;
mod i16_gates;
mod i17_writers;
mod i18_writes;
mod i19_silence;
mod i20_verdict;
mod i21_metrics;
mod i22_rollback;
mod i23_pace;
mod i23_tellings;
mod i24_round_trip;
mod i25_deletion;
mod i26_takeover;
pub(crate) mod i27_bounds;
mod i28_safety;
mod i29_judged;
mod revision;
pub mod round;
mod wait;

use round::Round;

/// What a checker finds.
pub type Verdict = Result<(), String>;

/// What has just happened.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// Time passed, pods came or went, or somebody else than the operator wrote.
    Outside,
    /// Somebody was asked.
    Asked(&'a AskKey, &'a Ask),
    /// An operator decided; nothing of it has been done yet.
    Decided {
        /// What it is going to do.
        plan: &'a Plan,
        /// What it saw.
        world: &'a World,
        /// What it has been answered for this step.
        round: &'a Round,
    },
    /// A step took effect.
    Step(&'a Step),
}

/// What an operator last decided on.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Ready pods of the primary, as it saw them.
    pub primary_pods: i64,
    /// Whether it could read the primary at all.
    pub is_primary_known: bool,
    /// Ready pods of the target, as it saw them.
    pub canary_pods: i64,
    /// Whether it saw the Services of the primary and of the canary.
    pub has_services: [bool; 2],
    /// The target, as it saw it.
    pub target: Option<Arc<Value>>,
    /// The routes, as it saw them.
    pub route: Option<Arc<Value>>,
    /// Version of the canary that it saw.
    pub version: Option<String>,
    /// Generation of the canary that it saw: it moves with the spec, and not with the status.
    pub generation: Option<i64>,
    /// What time it was by its own reckoning.
    pub now: Timestamp,
    /// What time it really was.
    pub at: Timestamp,
    /// Number of the decision.
    pub number: u64,
    /// How often this operator had been killed before it.
    pub deaths: u64,
}

impl Sight {
    /// What a world shows.
    pub fn of(tick: &Tick, number: u64) -> Self {
        let Tick { world, rollout, now, .. } = *tick;
        let present = |key| match world.seen(&key) {
            Observed::Present(object) => Some(object),
            Observed::Absent | Observed::Unknown(_) => None,
        };
        Self {
            is_primary_known: !matches!(world.seen(&rollout.primary_key()), Observed::Unknown(_)),
            primary_pods: workload::ready_on(rollout, world, Side::Primary),
            canary_pods: workload::ready_on(rollout, world, Side::Canary),
            has_services: [Role::Primary, Role::Canary].map(|role| world.present(&role.key(rollout)).is_some()),
            target: present(rollout.target_key()),
            route: router::of(rollout).route(rollout).and_then(present),
            version: world.canary.metadata.resource_version.clone(),
            generation: world.canary.metadata.generation,
            now,
            at: now,
            number,
            deaths: 0,
        }
    }
}

/// What a checker looks at.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// What has just happened.
    pub what: What<'a>,
    /// Which operator did it, counted from 0.
    pub operator: usize,
    /// What this operator last decided on.
    pub sight: &'a Sight,
    /// Whether another operator has written a status that it decided on later: what still comes of this one was begun
    /// before it lost the lease, and only arrives late.
    pub is_overtaken: bool,
    /// Whether whoever holds the lease stands still, so that nobody can do anything.
    pub is_still: bool,
    /// At a decision, how long it was held up by a write that the API server had failed.
    pub held_up: SignedDuration,
    /// Whether the step leads the traffic to where an operator led it last: somebody else moved it since.
    pub is_put_back: bool,
    /// What was before it.
    pub before: &'a Instant,
    /// What is after it; the same instant if it moved nothing.
    pub after: &'a Instant,
    /// What was changed since watches were told last; after a step, what it changed.
    pub changes: &'a [Change],
}

impl Moment<'_> {
    /// The step, if it is one that took effect while the canary stayed. The last step of a deletion takes everything
    /// with it; what that may do is I24.
    fn step(&self) -> Option<&Step> {
        match self.what {
            What::Step(step) if !self.is_release() => Some(step),
            What::Step(_) | What::Outside | What::Asked(..) | What::Decided { .. } => None,
        }
    }

    /// Whether a step has just let the canary go.
    fn is_release(&self) -> bool {
        matches!(self.what, What::Step(_)) && self.before.exists() && !self.after.exists()
    }

    /// Whether the operator decided on the canary as it was before: an old view of it only delays (I14).
    fn saw_the_canary(&self) -> bool {
        self.before.version() == self.sight.version.as_deref()
    }

    /// Whether the canary still wants what it wanted when the operator decided: the objects that a plan writes do not tell
    /// that somebody has edited the spec since, and the next plan puts them right.
    fn saw_the_spec(&self) -> bool {
        self.before.object(Part::Canary)["metadata"]["generation"].as_i64() == self.sight.generation
    }

    /// Whether the primary has no pod, or had none as far as the operator knew: traffic that leaves it is taken from nobody.
    fn takes_from_nobody(&self) -> bool {
        self.before.primary_pods.min(self.sight.primary_pods) == 0
    }

    /// Whether the operator saw the routes as they are.
    fn saw_the_route(&self) -> bool {
        self.sight.route.as_deref() == self.after.part(Part::Route)
    }

    /// The most pods of the primary that there are, or that the operator saw: nobody is blamed for a late report.
    fn primary_pods(&self) -> i64 {
        self.before.primary_pods.max(self.sight.primary_pods)
    }

    /// The same of the target.
    fn canary_pods(&self) -> i64 {
        self.before.canary_pods.max(self.sight.canary_pods)
    }
}

/// A rule about what may happen.
trait Checker {
    /// Looks at what has just happened.
    fn look(&mut self, moment: &Moment) -> Verdict;
}

macro_rules! checkers {
    ($($name:literal $field:ident: $kind:ty;)*) => {
        /// All checkers of a play, with what they remember of it.
        #[derive(Clone, Debug, Default)]
        pub struct Checkers {
            $($field: $kind,)*
        }

        /// What the checkers are called: the number of the invariant, and the invariant.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Checkers {
            /// Looks with every checker. The error is what the first one found, after its name.
            pub fn look(&mut self, moment: &Moment) -> Verdict {
                $(self.$field.look(moment).map_err(|wrong| format!("{}: {wrong}", $name))?;)*
                Ok(())
            }
        }
    };
}

checkers! {
    "I1 no weight is raised on a set without its capacity" capacity: i01_capacity::Capacity;
    "I2 the only ready set is never scaled down" only_ready_set: i02_only_ready_set::OnlyReadySet;
    "I3 traffic goes only where pods are ready" endpoints: i03_endpoints::Endpoints;
    "I4 a set without traffic keeps its pods for the drain delay" drain: i04_drain::Drain;
    "I5 an ended run stays ended until a new revision comes" rest: i05_rest::Rest;
    "I6 an unhealthy primary never blocks the fix" fix: i06_fix::Fix;
    "I7 the routes are whole and follow the status" routes: i07_routes::Routes;
    "I8 a step without traffic never passes" no_traffic: i08_no_traffic::NoTraffic;
    "I9 only another template is another revision" digests: i09_digest::Digests;
    "I10 a revision is seen when it is analysed, and none is lost" revisions: i10_revisions::Revisions;
    "I11 unknown is not changed" unknown: i11_unknown::Unknown;
    "I12 nothing becomes the primary that was not analysed" primary: i12_primary::Primary;
    "I13 every wait has an end or a reason" deadlines: i13_deadlines::Deadlines;
    "I17 one operator writes at a time" writers: i17_writers::Writers;
    "I14 nothing is written on an older view than our own last write" views: i14_views::Views;
    "I15 one bad object never harms another canary" bystander: i15_bystander::Bystander;
    "I16 a gate is asked in its phase, and not again when it has passed" gates: i16_gates::Gates;
    "I18 what has not changed is not written" writes: i18_writes::Writes;
    "I19 a silent provider neither promotes nor rolls back" silence: i19_silence::Silence;
    "I20 the verdict follows from the answers, not from their order" verdict: i20_verdict::Verdicts;
    "I21 a metric that cannot be resolved never passes" metrics: i21_metrics::Metrics;
    "I22 a rollback comes within an interval" rollback: i22_rollback::Rollback;
    "I23 a weight stays for its interval" pace: i23_pace::Pace;
    "I23 each transition is told once" tellings: i23_tellings::Tellings;
    "I24 the user's objects come back as they were" round_trip: i24_round_trip::RoundTrip;
    "I25 what is missing never hangs a deletion" deletion: i25_deletion::Deletion;
    "I26 what another operator left is adopted as it stands" takeover: i26_takeover::Takeover;
    "I27 only what the canary derives is written, and nothing of others" bounds: i27_bounds::Bounds;
    "I28 nothing that is wrong stands before the safety of the traffic" safety: i28_safety::Safety;
    "I29 a canary that has traffic is judged at every interval" judged: i29_judged::Judged;
}

/// Whether something has happened since each operator's last decision.
#[derive(Clone, Debug, Default)]
struct ByOperator {
    happened: u64,
    known: std::collections::BTreeMap<usize, u64>,
}

impl ByOperator {
    /// It has happened.
    fn note(&mut self) {
        self.happened += 1;
    }

    /// An operator has done it: to all others it is news.
    fn note_by(&mut self, operator: usize) {
        let is_news = self.of(operator);
        self.note();
        if !is_news {
            self.forget(operator);
        }
    }

    /// An operator has decided anew.
    fn forget(&mut self, operator: usize) {
        self.known.insert(operator, self.happened);
    }

    fn of(&self, operator: usize) -> bool {
        self.known.get(&operator).copied().unwrap_or_default() < self.happened
    }
}

/// The status as two versions of it have to be compared: without what moves with every write.
fn without_marks(status: &burgee_api::CanaryStatus) -> burgee_api::CanaryStatus {
    let mut status = status.clone();
    status.last_transition_time = None;
    if let Some(run) = &mut status.run {
        run.told = 0;
    }
    status
}
