//! What a canary asks for and its router cannot do: left out, or refused (S7). It makes no routes.

use burgee_api::Canary;

use super::{Rollout, Strategy};
use crate::phase::PhaseRules;
use crate::router::row::{Feature, Lacking};
use crate::split::Mirror;

/// Checks of a canary whose router knows no weights (contract: lifecycle §2, 28).
const ITERATIONS: u32 = 10;

impl Rollout {
    /// Leaves out what the router cannot do; the error is what of that is refused. A run under way is finished without it,
    /// and blue/green goes on without copies.
    pub(super) fn adapt(&mut self, canary: &Canary) -> Result<(), String> {
        let is_run = canary.status.as_ref().is_some_and(|status| status.phase.is_run());
        let mut lacks = self.without_steps();
        lacks.extend(self.without_affinity());
        let lacks_copies_alone = lacks.is_empty() && matches!(self.strategy, Strategy::BlueGreen(_));
        lacks.extend(self.without_copies());
        let is_left_out = match self.provider.row().lacking {
            Lacking::LeftOut => true,
            Lacking::Refused => is_run || lacks_copies_alone,
        };
        if !is_left_out && let Some(lack) = lacks.first() {
            return Err(lack.clone());
        }
        self.warnings.extend(lacks);
        Ok(())
    }

    /// Without weights there are only iterations, and without conditions on requests all of them are alike.
    fn without_steps(&mut self) -> Vec<String> {
        match self.strategy {
            Strategy::AbTesting(iterations) if !self.provider.can(Feature::Matches) => {
                self.strategy = Strategy::BlueGreen(iterations);
                vec![self.lack("A/B testing")]
            }
            Strategy::Canary(_) if !self.provider.can(Feature::Weights) => {
                self.strategy = Strategy::BlueGreen(ITERATIONS);
                vec![self.lack("Progressive traffic"), format!("Setting canaryAnalysis.iterations: {ITERATIONS}")]
            }
            Strategy::Canary(_) | Strategy::BlueGreen(_) | Strategy::AbTesting(_) => Vec::new(),
        }
    }

    fn without_affinity(&mut self) -> Option<String> {
        if self.provider.can(Feature::Affinity) {
            return None;
        }
        self.analysis.as_mut()?.session_affinity.take()?;
        Some(self.lack("Session affinity"))
    }

    /// Connections cannot be copied either: a step with copies would be one of nothing.
    fn without_copies(&mut self) -> Option<String> {
        let lack = if self.provider.can(Feature::Mirroring) {
            self.is_tcp().then(|| "Traffic mirroring is not supported when using appProtocol tcp".to_owned())?
        } else {
            self.lack("Traffic mirroring")
        };
        (std::mem::replace(&mut self.mirror, Mirror::Off) == Mirror::On).then_some(lack)
    }

    fn lack(&self, what: &str) -> String {
        format!("{what} is not supported when using the {} provider", self.provider.as_str())
    }
}
