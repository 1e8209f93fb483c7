//! I24: with `revertOnDeletion` the primary is released only when the target is ready and has the traffic, and the user's
//! objects are then what they were before the first write to them, but for the replicas, which are the primary's.

use burgee_core::digest::is_foreign;
use burgee_core::object::{TOOLKIT_OFF, is_owned_by};
use burgee_core::reconcile::is_settled;
use burgee_core::services::adoption::NOTE;
use jiff::Timestamp;
use serde_json::Value;

use super::{Checker, Moment, Verdict, What};
use crate::instant::{Instant, Part};

/// The objects that may be the user's own.
const PARTS: [Part; 4] = [Part::Target, Part::Apex, Part::Route, Part::Scaler];

/// The user's objects before the first write of an operator, and when the primary lost its traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    originals: [Option<Value>; 4],
    moved: Option<Timestamp>,
    /// Whether another operator has run the canary before, and has changed the user's objects already.
    had_another: bool,
}

impl Checker for RoundTrip {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        // What somebody else takes from the primary during a deletion is his own doing, and no weight that we lower (I4).
        let is_ours = matches!(moment.what, What::Step(_));
        if is_ours && before.traffic.primary > 0 && after.traffic.primary == 0 && after.exists() {
            self.moved = Some(after.now);
        }
        match moment.what {
            What::Step(_) if moment.is_release() && before.rollout.revert_on_deletion => self.judge(moment),
            What::Step(_) => {
                self.remember(before, after);
                Ok(())
            }
            What::Outside => {
                self.follow(before, after);
                Ok(())
            }
            What::Asked(..) | What::Decided { .. } => Ok(()),
        }
    }
}

impl RoundTrip {
    fn remember(&mut self, before: &Instant, after: &Instant) {
        self.had_another |= is_foreign(&before.status.last_applied_spec);
        for (place, part) in PARTS.into_iter().enumerate() {
            let Some(object) = before.part(part).filter(|object| !is_owned_by(object, &before.rollout.uid)) else {
                continue;
            };
            // What it was before the other one is not known here, nor what its user would have of it who edits one of ours.
            if self.had_another && is_marked(object) || is_noted(object) {
                continue;
            }
            if self.originals[place].is_none() && !before.is_same(after, &[part]) {
                self.originals[place] = Some(object.clone());
            }
        }
    }

    /// A user who edits his object knows best what it should be; what we had written before is his now. Only the pause of
    /// his autoscaler he never wanted.
    fn follow(&mut self, before: &Instant, after: &Instant) {
        for (place, part) in PARTS.into_iter().enumerate() {
            let (Some(old), Some(new)) = (before.part(part), after.part(part)) else {
                self.originals[place] = self.originals[place].take().filter(|_| before.is_same(after, &[part]));
                continue;
            };
            if !before.is_same(after, &[part]) && !is_settled(old, new) {
                let was_paused_by_us = self.originals[place].take().is_some_and(|original| !is_paused(&original));
                self.originals[place] = (was_paused_by_us && is_paused(new)).then(|| without_pause(new));
            }
        }
    }

    fn judge(&self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        // Nobody is blamed for pods that came or went before a watch showed it (I14).
        let primary_pods = before.primary_pods.min(moment.sight.primary_pods);
        if before.part(Part::Target).is_some() && moment.canary_pods() == 0 && primary_pods > 0 {
            return Err("the primary was released while the target had no ready pod".to_owned());
        }
        let waited = self.moved.map(|moved| after.now.duration_since(moved));
        if before.primary_pods > 0 && waited.is_some_and(|waited| waited < after.drain_delay()) {
            return Err("the primary was released before it was drained".to_owned());
        }
        for (original, part) in self.originals.iter().zip(PARTS) {
            let Some(original) = original else { continue };
            let Some(now) = after.part(part) else { return Err(format!("{part:?} of the user is gone")) };
            if !is_settled(&plain(&without_marks(original), part), &plain(now, part)) {
                return Err(format!("{part:?} of the user is not what it was"));
            }
        }
        Ok(())
    }
}

/// Of KEDA: what keeps a workload at a number of pods.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

fn is_paused(scaler: &Value) -> bool {
    scaler["metadata"]["annotations"].get(PAUSED).is_some()
}

fn without_pause(scaler: &Value) -> Value {
    let mut scaler = scaler.clone();
    if let Some(annotations) = scaler["metadata"]["annotations"].as_object_mut() {
        annotations.remove(PAUSED);
    }
    scaler
}

/// Whether an object carries the marks of one that was adopted, is paused, or is scaled to zero.
fn is_marked(object: &Value) -> bool {
    let annotations = &object["metadata"]["annotations"];
    let selector = &object["spec"]["template"]["spec"]["nodeSelector"];
    let marks = [TOOLKIT_OFF[0].0, TOOLKIT_OFF[1].0, PAUSED];
    marks.iter().any(|mark| annotations.get(mark).is_some()) || selector.get("flagger.app/scale-to-zero").is_some()
}

/// Whether an adopted Service carries what it was before.
fn is_noted(object: &Value) -> bool {
    object["metadata"]["annotations"].get(NOTE).is_some()
}

/// A Knative Service that its user edited in the middle carries our mark and our traffic. He never wanted them.
fn without_marks(object: &Value) -> Value {
    let mut object = object.clone();
    let annotations = object["metadata"]["annotations"].as_object_mut();
    if annotations.is_some_and(|annotations| annotations.remove("flagger.app/primary-revision").is_some()) {
        object["spec"]["traffic"] = Value::Null;
    }
    object
}

fn plain(object: &Value, part: Part) -> Value {
    let mut object = object.clone();
    if part == Part::Target {
        object["spec"]["replicas"] = Value::Null;
    }
    object
}
