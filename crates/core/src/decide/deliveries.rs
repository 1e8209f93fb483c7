//! What others get after a status write: alerts, and the calls of post-rollout hooks. They stand in the status from the write
//! that they come with until they are delivered, so that a restart loses none. It delivers nothing, and costs a run no
//! write: what was delivered leaves with the next one.

use burgee_api::{AlertDetail, Delivery, DeliveryKind, Phase, Severity, WebhookType};
use jiff::Timestamp;

use super::stamp::fraction;
use super::tick::Tick;
use crate::alert::{self, Recipients};
use crate::notice::{AlertText, cut};
use crate::plan::Step;
use crate::world;

/// An alert that arises now.
pub(super) fn alert(alert: AlertText, phase: Phase, now: Timestamp) -> Delivery {
    let AlertText { text, severity, detail } = alert;
    Delivery { at: fraction(now), kind: DeliveryKind::Alert, phase, text: cut(&text).to_owned(), severity, detail }
}

/// The calls of the hooks after a run that ended now.
pub(super) fn post_rollout(phase: Phase, now: Timestamp) -> Delivery {
    let (severity, detail) = (Severity::Unset, AlertDetail::Cluster);
    Delivery { at: fraction(now), kind: DeliveryKind::PostRollout, phase, text: String::new(), severity, detail }
}

/// Sees to it that the status knows what is due, and that it is delivered.
pub(super) fn keep(tick: &Tick, steps: &mut Vec<Step>) {
    let noted = world::due(tick.world.canary.status.as_ref());
    let known = &tick.world.deliveries;
    let left: Vec<Delivery> = noted.iter().filter(|delivery| known.is_due(delivery)).cloned().collect();
    let lost: Vec<Step> = left.iter().filter(|delivery| known.is_lost(delivery)).cloned().map(Step::Deliver).collect();
    match steps.iter().position(|step| matches!(step, Step::Status(_))) {
        Some(place) => note(tick, &mut steps[place..], left),
        None if rests(tick) && left.is_empty() && !noted.is_empty() => steps.extend(cleared(tick)),
        None => {}
    }
    steps.extend(lost);
}

/// The status that is written says what is due from then on. A delivery tells of the phase that it is in.
fn note(tick: &Tick, steps: &mut [Step], left: Vec<Delivery>) {
    let Some((Step::Status(status), after)) = steps.split_first_mut() else { return };
    let mut due = left;
    for step in after {
        if let Step::Deliver(delivery) = step {
            delivery.phase = status.phase;
            due.extend(is_wanted(tick, delivery).then(|| delivery.clone()));
        }
    }
    due.drain(..due.len().saturating_sub(world::DUE));
    if let Some(run) = &mut status.run {
        run.due = due;
    }
}

/// Whether anybody would get it: what nobody gets is not due.
fn is_wanted(tick: &Tick, delivery: &Delivery) -> bool {
    let analysis = tick.world.canary.analysis();
    let alerts = analysis.map(|analysis| analysis.alerts.as_slice()).unwrap_or_default();
    let webhooks = analysis.map(|analysis| analysis.webhooks.as_slice()).unwrap_or_default();
    match delivery.kind {
        DeliveryKind::PostRollout => webhooks.iter().any(|webhook| webhook.kind == WebhookType::PostRollout),
        DeliveryKind::Alert => {
            let namespace = &tick.rollout.namespace;
            alert::recipients(alerts, namespace, delivery.severity, tick.settings.audience) != Recipients::Nobody
        }
    }
}

/// Where nothing else would be written for a long time, one write says that nothing is due any more.
fn rests(tick: &Tick) -> bool {
    match tick.phase() {
        Phase::Initialized | Phase::Succeeded | Phase::Failed | Phase::Waiting | Phase::WaitingPromotion => true,
        Phase::Unset
        | Phase::Initializing
        | Phase::Progressing
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => false,
    }
}

/// The status as it is, with nothing due.
fn cleared(tick: &Tick) -> Option<Step> {
    let mut status = tick.world.canary.status.clone()?;
    status.run.as_mut()?.due.clear();
    Some(Step::Status(Box::new(status)))
}
