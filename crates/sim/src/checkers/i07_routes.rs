//! I7: weights add up to 100, the routes never run ahead of the status, what others wrote stays, and of a user's objects
//! nothing is touched but what the contract says.

use burgee_core::object::{TOOLKIT_OFF, entries, is_owned_by, items};
use burgee_core::plan::Step;
use burgee_core::reconcile::are_alike;
use burgee_core::router::Shares;
use burgee_core::router::row::Feature;
use burgee_core::services::adoption::NOTE;
use serde_json::Value;

use super::{Checker, Moment, Verdict};
use crate::instant::{Instant, Part};

/// Annotations of ours on the objects of others, which go when they are given back.
const OURS: [&str; 5] = [
    NOTE,
    "flagger.kubernetes.io/original-configuration",
    "autoscaling.keda.sh/paused-replicas",
    TOOLKIT_OFF[0].0,
    TOOLKIT_OFF[1].0,
];

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes;

impl Checker for Routes {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let Some(step) = moment.step() else { return Ok(()) };
        let (before, after) = (moment.before, moment.after);
        if !before.is_same(after, &[Part::Route]) {
            adds_up(after)?;
            if !moment.is_overtaken && moment.saw_the_spec() {
                follows_the_status(before, after)?;
            }
        }
        if step.replacement().is_some() {
            return [Part::Route, Part::Apex].iter().try_for_each(|part| keeps(before, after, *part));
        }
        if matches!(step, Step::Patch { .. }) { touches_little(before, after) } else { Ok(()) }
    }
}

fn adds_up(instant: &Instant) -> Verdict {
    let spec = &instant.object(Part::Route)["spec"];
    let leads_to = |route: &Value, host: &str| route["destination"]["host"] == host;
    let hosts = (instant.rollout.primary_service(), instant.rollout.canary_service());
    for entry in items(&spec["http"]).chain(items(&spec["tcp"])) {
        let ours = || items(&entry["route"]).filter(|route| leads_to(route, &hosts.0) || leads_to(route, &hosts.1));
        let sum: i64 = ours().map(|route| route["weight"].as_i64().unwrap_or(0)).sum();
        if ours().count() > 1 && sum != 100 {
            return Err(format!("the weights add up to {sum}"));
        }
    }
    // Where all requests are alike, what each set may get adds up as well.
    let Shares { primary, canary } = instant.traffic;
    if instant.is_routed() && !instant.rollout.provider.can(Feature::Matches) && primary + canary != 100 {
        return Err(format!("the shares add up to {}", primary + canary));
    }
    Ok(())
}

/// Between the two writes of a step the routes lag behind by exactly that step; never do they run ahead.
fn follows_the_status(before: &Instant, after: &Instant) -> Verdict {
    let (Some(old), Some(new)) = (before.split, after.split) else { return Ok(()) };
    let is_split = after.rollout.provider.can(Feature::Weights) && old != new;
    if is_split && i64::from(new.canary()) != after.status.canary_weight {
        return Err(format!("the routes went to {new} while the status says {}", after.status.canary_weight));
    }
    Ok(())
}

/// What others wrote into an object that is shared with them stays: fields besides hosts, gateways, routes, ports and
/// selector, and their labels and annotations.
fn keeps(before: &Instant, after: &Instant, part: Part) -> Verdict {
    let (Some(old), Some(new)) = (before.part(part), after.part(part)) else { return Ok(()) };
    let is_shared = part == Part::Route || !is_owned_by(old, &before.rollout.uid);
    if before.is_same(after, &[part]) || !is_shared {
        return Ok(());
    }
    let ours = if part == Part::Route { before.rollout.provider.row().fields } else { &["ports", "selector"] };
    let is_ours = |field: &str| before.is_deleted() || ours.contains(&field);
    let mut fields = entries(&old["spec"]);
    if let Some((field, _)) = fields.find(|(field, value)| !is_ours(field) && new["spec"][*field] != **value) {
        return Err(format!("spec.{field} of {part:?} was changed"));
    }
    for kind in ["labels", "annotations"] {
        let lost = entries(&old["metadata"][kind]).find(|(key, _)| new["metadata"][kind].get(key.as_str()).is_none());
        if let Some((key, _)) = lost.filter(|(key, _)| !OURS.contains(&key.as_str())) {
            return Err(format!("{kind} {key} of {part:?} was lost"));
        }
    }
    Ok(())
}

/// Of the target only the replicas are written, of its autoscaler only the pause.
fn touches_little(before: &Instant, after: &Instant) -> Verdict {
    for part in [Part::Target, Part::Scaler] {
        let (Some(old), Some(new)) = (before.part(part), after.part(part)) else { continue };
        if !before.is_same(after, &[part]) && !are_alike(&untouched(old), &untouched(new)) {
            return Err(format!("more of {part:?} was written than its replicas"));
        }
    }
    Ok(())
}

/// An object without what we may write, and without what the API server does.
fn untouched(object: &Value) -> Value {
    let mut rest = object.clone();
    for field in ["resourceVersion", "generation"] {
        rest["metadata"][field] = Value::Null;
    }
    rest["spec"]["replicas"] = Value::Null;
    rest["status"] = Value::Null;
    if let Some(annotations) = rest["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, _| !OURS.contains(&key.as_str()));
    }
    if let Some(selector) = rest["spec"]["template"]["spec"]["nodeSelector"].as_object_mut() {
        selector.remove("flagger.app/scale-to-zero");
    }
    rest
}
