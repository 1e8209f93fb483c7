//! What a tick is about, looked at once: the workloads with the digest of their revision, the configs that they mention,
//! readiness, and names that others have. It decides nothing, and knows nothing of phases.

use std::ops::Deref;

use burgee_api::CanaryStatus;

use super::mistake::{Mistake, Obstacle, Seen};
use super::placement::Pods;
use super::readiness::{limited, reported_canary, reported_primary};
use super::tick::Tick;
use super::workloads::{Workloads, missing_config, missing_target};
use crate::dependencies;
use crate::ownership::{self, Claim};
use crate::workload::{self, Readiness, Side};
use crate::world::ObjectKey;

/// A tick and what is known of it.
pub(super) struct Facts<'a> {
    tick: Tick<'a>,
    workloads: Seen<Option<Workloads<'a>>>,
    /// The status that every plan of the tick begins with.
    pub(super) opening: CanaryStatus,
    /// What is said of the first config without which the target's pods do not start.
    pub(super) missing_config: Option<String>,
    /// The names that the canary needs and that others have (S28).
    pub(super) claims: Vec<(ObjectKey, Claim)>,
    /// How the primary is by what its workload reports.
    pub(super) reported_primary: Readiness,
    /// The same of the canary.
    pub(super) reported_canary: Readiness,
    /// Pods that are ready now.
    pub(super) pods: Pods,
}

impl<'a> Deref for Facts<'a> {
    type Target = Tick<'a>;

    fn deref(&self) -> &Tick<'a> {
        &self.tick
    }
}

impl<'a> Facts<'a> {
    /// Looks at everything. The status that plans begin with is the one that is seen, until somebody says otherwise.
    pub(super) fn of(tick: &Tick<'a>) -> Self {
        let Tick { world, rollout, settings, .. } = *tick;
        let references = dependencies::configs(rollout, settings, world.present(&rollout.target_key()));
        Self {
            tick: *tick,
            workloads: Workloads::find(tick, &references),
            opening: world.canary.status.clone().unwrap_or_default(),
            missing_config: missing_config(tick, &references),
            claims: ownership::claims(rollout, settings, world),
            reported_primary: reported_primary(tick),
            reported_canary: reported_canary(tick),
            pods: Pods {
                primary: workload::ready_on(rollout, world, Side::Primary),
                canary: workload::ready_on(rollout, world, Side::Canary),
            },
        }
    }

    /// The workloads, or what cannot be seen of them.
    pub(super) fn workloads(&self) -> Seen<&Workloads<'a>> {
        let missing = || Obstacle::Mistaken(Mistake::TargetMissing, missing_target(self));
        self.find_scene()?.ok_or_else(missing)
    }

    /// The same for whoever can do without a target that is gone.
    pub(super) fn find_scene(&self) -> Seen<Option<&Workloads<'a>>> {
        self.workloads.as_ref().map(Option::as_ref).map_err(Obstacle::clone)
    }

    /// Whether the primary is ready, in the contract's words.
    pub(super) fn primary_readiness(&self) -> Readiness {
        limited(self, self.reported_primary.clone())
    }

    /// Whether the canary is ready, in the contract's words.
    pub(super) fn canary_readiness(&self) -> Readiness {
        limited(self, self.reported_canary.clone())
    }

    /// Pods of one side that are ready now.
    pub(super) fn ready_pods(&self, side: Side) -> i64 {
        match side {
            Side::Primary => self.pods.primary,
            Side::Canary => self.pods.canary,
        }
    }
}
