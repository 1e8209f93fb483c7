//! The phase graph as a value. The decisions assert it, the simulator checks it, the docs print it.

use burgee_api::Phase;

/// Each phase with the phases that may follow it (contract: lifecycle §9.5). Staying is always allowed.
pub const GRAPH: [(Phase, &[Phase]); 12] = [
    (Phase::Unset, &[Phase::Initializing, Phase::Terminating]),
    (Phase::Initializing, &[Phase::Initialized, Phase::Terminating]),
    (Phase::Initialized, &[Phase::Waiting, Phase::Progressing, Phase::Terminating]),
    (Phase::Waiting, &[Phase::Progressing, Phase::Failed, Phase::Initialized, Phase::Succeeded, Phase::Terminating]),
    (
        Phase::Progressing,
        &[Phase::WaitingPromotion, Phase::Promoting, Phase::Finalising, Phase::Failed, Phase::Terminating],
    ),
    (
        Phase::WaitingPromotion,
        &[Phase::Progressing, Phase::Promoting, Phase::Finalising, Phase::Failed, Phase::Terminating],
    ),
    (Phase::Promoting, &[Phase::Finalising, Phase::Progressing, Phase::Failed, Phase::Terminating]),
    (Phase::Finalising, &[Phase::Succeeded, Phase::Failed, Phase::Terminating]),
    (Phase::Succeeded, &[Phase::Waiting, Phase::Progressing, Phase::Terminating]),
    (Phase::Failed, &[Phase::Waiting, Phase::Progressing, Phase::Terminating]),
    (Phase::Terminating, &[Phase::Terminated]),
    (Phase::Terminated, &[]),
];

/// What follows from a phase alone.
pub trait PhaseRules {
    /// Whether a canary in this phase may next be in `next`.
    fn may_become(self, next: Self) -> bool;
    /// Whether nothing happens any more until a new revision comes (I5).
    fn is_terminal(&self) -> bool;
    /// Whether the primary has not been set up yet.
    fn is_bootstrap(&self) -> bool;
    /// Whether a run is under way: traffic or templates are being moved.
    fn is_run(&self) -> bool;
}

impl PhaseRules for Phase {
    fn may_become(self, next: Self) -> bool {
        self == next || GRAPH.iter().any(|(from, to)| *from == self && to.contains(&next))
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Initialized | Self::Succeeded | Self::Failed)
    }

    fn is_bootstrap(&self) -> bool {
        matches!(self, Self::Unset | Self::Initializing)
    }

    fn is_run(&self) -> bool {
        matches!(self, Self::Progressing | Self::WaitingPromotion | Self::Promoting | Self::Finalising)
    }
}

/// The `Promoted` condition of a phase: status and message (contract: api §1.7). The reason is the phase's name.
pub fn promoted_condition(phase: Phase, target_kind: &str) -> (&'static str, String) {
    match phase {
        Phase::Unset | Phase::Initializing | Phase::Terminating | Phase::Terminated => {
            ("Unknown", format!("New {target_kind} detected, starting initialization."))
        }
        Phase::Initialized => ("True", format!("{target_kind} initialization completed.")),
        Phase::Waiting | Phase::WaitingPromotion => ("Unknown", "Waiting for approval.".to_owned()),
        Phase::Progressing => ("Unknown", "New revision detected, progressing canary analysis.".to_owned()),
        Phase::Promoting => ("Unknown", "Canary analysis completed, starting primary rolling update.".to_owned()),
        Phase::Finalising => ("Unknown", "Canary analysis completed, routing all traffic to primary.".to_owned()),
        Phase::Succeeded => ("True", "Canary analysis completed successfully, promotion finished.".to_owned()),
        Phase::Failed => ("False", format!("Canary analysis failed, {target_kind} scaled to zero.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_row_and_can_reach_an_end() {
        for (phase, _) in GRAPH {
            let mut reached = vec![phase];
            let mut position = 0;
            while position < reached.len() {
                let from = reached[position];
                let next = GRAPH.iter().find(|(known, _)| *known == from).map_or(&[][..], |(_, next)| next);
                reached.extend(next.iter().filter(|next| !reached.contains(next)).copied().collect::<Vec<_>>());
                position += 1;
            }
            assert!(reached.iter().any(|end| end.is_terminal() || *end == Phase::Terminated), "{phase} has no end");
        }
    }

    #[test]
    fn an_ended_run_never_comes_back_without_a_new_start() {
        assert!(!Phase::Failed.may_become(Phase::Promoting));
        assert!(!Phase::Succeeded.may_become(Phase::Failed));
        assert!(Phase::Failed.may_become(Phase::Progressing));
    }
}
