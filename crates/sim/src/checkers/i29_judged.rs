//! I29: a canary that has traffic is judged at every interval, whatever is not ready, cannot be read or cannot be meant.

use burgee_api::{CanaryStatus, GoDuration, Metric, Phase, Run, WebhookType};
use burgee_core::plan::Step;
use burgee_core::question::Ask;
use jiff::{SignedDuration, Timestamp};

use super::wait::Wait;
use super::{Checker, Moment, Verdict, What, without_marks};
use crate::instant::{Instant, Part};
use crate::kinds::HOOK_TIMEOUT_SECONDS;

/// Since when nobody has asked how the canary does.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    unasked: Wait,
    /// Whether a hook was asked last: its answer may take its time.
    hook: bool,
    /// Which operator acted last, and how often that one had been killed.
    life: (usize, u64),
}

impl Checker for Judged {
    fn look(&mut self, moment: &Moment) -> Verdict {
        self.unasked.heed(moment);
        let now = moment.after.now;
        let life = (moment.operator, moment.sight.deaths);
        if std::mem::replace(&mut self.life, life) != life {
            // Whoever was killed asks anew.
            self.unasked.renew(now);
        }
        match moment.what {
            What::Asked(_, ask) => {
                self.hook = matches!(ask, Ask::Hook { .. });
                self.unasked.renew(now);
                Ok(())
            }
            What::Step(Step::Status(_)) if has_moved(moment) => {
                self.unasked.renew(now);
                Ok(())
            }
            What::Outside if !moment.before.is_same(moment.after, &[Part::Canary]) => {
                // While it cannot be meant nobody looks here.
                self.unasked.renew(now);
                Ok(())
            }
            What::Decided { .. } => self.is_asked(moment),
            What::Step(_) | What::Outside => Ok(()),
        }
    }
}

impl Judged {
    fn is_asked(&mut self, moment: &Moment) -> Verdict {
        let instant = moment.after;
        if !moment.saw_the_canary() || !is_checked(instant) {
            self.unasked.end();
            return Ok(());
        }
        let waited = self.unasked.goes_on(instant.now);
        let answer = SignedDuration::from_secs(if self.hook { HOOK_TIMEOUT_SECONDS } else { 0 });
        if waited > instant.rollout.interval.saturating_mul(2).saturating_add(answer) {
            return Err(format!("the canary has traffic, and nobody has asked about it for {waited:#}"));
        }
        Ok(())
    }
}

/// Whether a step has begun anew.
fn has_moved(moment: &Moment) -> bool {
    without_marks(&moment.before.status) != without_marks(&moment.after.status)
}

/// Whether the canary has traffic, somebody can be asked about it, and nobody has said otherwise.
fn is_checked(instant: &Instant) -> bool {
    let CanaryStatus { phase, canary_weight, failed_checks, run, .. } = &*instant.status;
    let run = run.clone().unwrap_or_default();
    let is_held = instant.rollout.suspended || run.paused_since.is_some() || instant.is_deleted();
    // Nobody asks about what is to be rolled back already, and waits for a pod of the primary.
    let is_over = *failed_checks >= i64::from(instant.rollout.threshold);
    let is_skipped = is_over || instant.rollout.skip_analysis || run.ordered.is_some();
    let is_analysed = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    is_analysed && *canary_weight > 0 && !is_held && !is_skipped && has_checks(instant, &run)
}

fn has_checks(instant: &Instant, run: &Run) -> bool {
    let kinds = [WebhookType::Untyped, WebhookType::Rollout, WebhookType::Rollback];
    kinds.into_iter().any(|kind| !instant.rollout.webhooks(kind).is_empty()) || has_clean_metrics(instant, run)
}

/// Whether there is a metric that looks back on the requests of this run alone (S25). It is none two windows after the run
/// began, whatever its pods do and whatever stands in the status.
fn has_clean_metrics(instant: &Instant, run: &Run) -> bool {
    let read = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let (begun, until) = (read(&run.started_at), read(&run.foreign_until));
    let has_passed = |since: Option<Timestamp>, time: SignedDuration| {
        since.is_none_or(|since| instant.now.duration_since(since) >= time)
    };
    let is_open = run.strategy.is_none() && run.foreign_until == run.started_at;
    let is_clean = |metric: &Metric| {
        let written = GoDuration::parse(metric.interval.as_deref().unwrap_or("1m")).map(GoDuration::nanoseconds);
        let window = SignedDuration::from_nanos(written.unwrap_or_default());
        let is_over = !is_open && has_passed(until, window);
        is_over || until.is_none() || has_passed(begun, window.saturating_mul(2))
    };
    instant.rollout.metrics().iter().any(is_clean)
}
