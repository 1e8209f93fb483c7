//! I16: a gate is asked only in its phase, one that has passed is not asked again for that revision, and a run promotes
//! once, what it has analysed.

use std::collections::BTreeSet;

use burgee_api::{Phase, Webhook, WebhookType};
use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::Step;
use burgee_core::question::Ask;
use burgee_core::rollout::Strategy;

use super::{Checker, Moment, Verdict, What};
use crate::instant::Instant;

/// The runs that have promoted.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    promoted: BTreeSet<String>,
}

impl Checker for Gates {
    fn look(&mut self, moment: &Moment) -> Verdict {
        match moment.what {
            What::Asked(_, Ask::Hook { webhook, payload }) if moment.saw_the_canary() => {
                in_its_phase(moment.after, webhook)?;
                if webhook.kind == WebhookType::Rollback && payload["phase"] != moment.after.status.phase.as_str() {
                    return Err(format!("{} was told of another phase: {payload}", webhook.name));
                }
                not_again(moment.after, webhook)
            }
            What::Step(Step::Status(_)) => {
                promotes_what_was_analysed(moment)?;
                waits_at_the_end(moment)?;
                self.promotes_once(moment)
            }
            What::Step(_) | What::Asked(..) | What::Outside | What::Decided { .. } => Ok(()),
        }
    }
}

impl Gates {
    fn promotes_once(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (&moment.before.status, moment.after);
        let begins_anew = matches!(before.phase, Phase::Promoting) || !before.phase.is_run();
        if begins_anew && after.status.phase == Phase::Progressing {
            // By a clock that was set back two runs may have begun at the same time.
            self.promoted.clear();
        }
        let begins = before.phase != Phase::Promoting && after.status.phase == Phase::Promoting;
        let run = format!("{} of {}", after.run_start(), after.status.last_applied_spec);
        if begins && !self.promoted.insert(run) {
            return Err(format!("the run of {} promotes a second time", after.run_start()));
        }
        Ok(())
    }
}

fn promotes_what_was_analysed(moment: &Moment) -> Verdict {
    let (before, after) = (&moment.before.status, &moment.after.status);
    let is_new = before.last_promoted_spec != after.last_promoted_spec && !is_foreign(&before.last_promoted_spec);
    if is_new && after.phase == Phase::Succeeded && after.last_promoted_spec != before.last_applied_spec {
        return Err(format!("{} was promoted, {} was analysed", after.last_promoted_spec, before.last_applied_spec));
    }
    Ok(())
}

/// What still has steps to go does not wait for its promotion.
fn waits_at_the_end(moment: &Moment) -> Verdict {
    let (before, after) = (&moment.before.status, &moment.after.status);
    let total = match moment.after.rollout.strategy {
        Strategy::AbTesting(total) | Strategy::BlueGreen(total) => i64::from(total),
        Strategy::Canary(_) => return Ok(()),
    };
    let is_advance = after.iterations > before.iterations && after.iterations <= total;
    if is_advance && after.phase == Phase::WaitingPromotion && !is_foreign(&before.last_applied_spec) {
        return Err(format!("iteration {} of {total} was begun in {}", after.iterations, after.phase));
    }
    Ok(())
}

/// The phases in which hooks of a type are asked (contract: webhooks §2).
fn in_its_phase(instant: &Instant, webhook: &Webhook) -> Verdict {
    use Phase::{Failed, Initialized, Progressing, Succeeded, Waiting, WaitingPromotion};
    let phases: &[Phase] = match webhook.kind {
        WebhookType::ConfirmRollout => &[Initialized, Succeeded, Failed, Waiting],
        WebhookType::PreRollout | WebhookType::ConfirmTrafficIncrease => &[Progressing],
        WebhookType::Untyped | WebhookType::Rollout | WebhookType::ConfirmPromotion => &[Progressing, WaitingPromotion],
        WebhookType::Rollback => &[Progressing, Waiting, WaitingPromotion],
        WebhookType::PostRollout | WebhookType::Event => &[],
    };
    if phases.contains(&instant.status.phase) {
        return Ok(());
    }
    Err(format!("{:?} {} was asked in {}", webhook.kind, webhook.name, instant.status.phase))
}

/// Before a run the gates speak of the revision that waits; in it, of the run.
fn not_again(instant: &Instant, webhook: &Webhook) -> Verdict {
    let Some(run) = &instant.status.run else { return Ok(()) };
    let kind = webhook.kind;
    let is_about_it = instant.status.phase != Phase::Waiting || *run.revision == *instant.revision;
    let is_gate_of_phase = webhook.kind != WebhookType::ConfirmRollout || instant.status.phase == Phase::Waiting;
    if is_about_it
        && is_gate_of_phase
        && run.hooks_passed.iter().any(|passed| passed.kind == kind && passed.name == webhook.name)
    {
        return Err(format!("{kind:?} {} was asked again after it had passed", webhook.name));
    }
    Ok(())
}
