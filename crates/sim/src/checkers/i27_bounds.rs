//! I27: every write is of a kind and name that the canary derives, in its own namespace, and what is there and not the
//! canary's is neither replaced nor deleted. The names are spelled out here once more, so that a mistake of the bounds is
//! found as well.

use burgee_core::bounds::{Trespass, controller};
use burgee_core::object::is_owned_by;
use burgee_core::ownership::ADOPT;
use burgee_core::plan::Step;
use burgee_core::rollout::{Rollout, TargetKind};
use burgee_core::router::row::{Holding, RouteKind};
use burgee_core::scaler;
use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use super::{Checker, Moment, Verdict, What};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds;

/// What is said of a step that was refused at the edge.
pub(crate) fn found(trespass: &Trespass) -> String {
    format!("I27 only what the canary derives is written, and nothing of others: {trespass}")
}

impl Checker for Bounds {
    fn look(&mut self, moment: &Moment) -> Verdict {
        // What a canary takes with it when it goes is collected, not written.
        let What::Step(step) = moment.what else { return Ok(()) };
        if !moment.after.exists() {
            return Ok(());
        }
        let rollout = &moment.before.rollout;
        for (key, before) in moment.changes {
            let before = before.as_deref();
            // What an operator had begun for a canary of this name that is gone arrives late.
            let is_late = !moment.saw_the_canary() && before.is_some_and(|before| is_formers(rollout, before));
            if is_late {
                continue;
            }
            // Where somebody edited the spec meanwhile, or made the canary anew, the plan writes what followed from it before.
            let saw_it = moment.saw_the_canary() && moment.saw_the_spec();
            let is_former_apex = key.kind == Kind::Service && before.is_some_and(|before| controller(before).is_none());
            if saw_it || !is_former_apex || key.namespace != rollout.namespace {
                judge(rollout, step, key, before)?;
            }
            if !is_derived(rollout, key, before) && saw_it {
                return Err(format!("{key} was written, which canary {} does not derive", rollout.name));
            }
        }
        Ok(())
    }
}

fn judge(rollout: &Rollout, step: &Step, key: &ObjectKey, before: Option<&Value>) -> Verdict {
    if key.namespace != rollout.namespace {
        return Err(format!("{key} was written for a canary of {}", rollout.namespace));
    }
    match before {
        Some(before) if !is_users(rollout, key) && !is_free(rollout, step, key, before) => {
            Err(format!("{key} was written, which is not controlled by canary {}", rollout.name))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_derived(rollout: &Rollout, key: &ObjectKey, before: Option<&Value>) -> bool {
    is_users(rollout, key) || is_named(rollout, key) || is_left(key, before, rollout)
}

/// The canary itself, and what it names: of the latter single fields are moved, and a Knative Service is routed.
fn is_users(rollout: &Rollout, key: &ObjectKey) -> bool {
    *key == rollout.key(Kind::Canary, &rollout.name)
        || *key == rollout.target_key()
        || scaler::key(rollout).as_ref() == Some(key)
}

/// Whether a name is one that the canary derives.
fn is_named(rollout: &Rollout, key: &ObjectKey) -> bool {
    let (target, apex, name) = (rollout.target.name.as_str(), rollout.apex.as_str(), key.name.as_str());
    let is_one_of = |names: &[String]| names.iter().any(|one| one == name);
    match key.kind {
        Kind::Deployment | Kind::DaemonSet => name == format!("{target}-primary"),
        Kind::Service => is_one_of(&[apex.to_owned(), format!("{apex}-primary"), format!("{apex}-canary")]),
        Kind::Route(RouteKind { holding: Holding::Adopted, .. }) => name == apex,
        Kind::Route(RouteKind { holding: Holding::Made, .. }) => {
            is_one_of(&[format!("{apex}-primary"), format!("{apex}-canary")])
        }
        Kind::HorizontalPodAutoscaler | Kind::ScaledObject => {
            rollout.scaler.as_ref().is_some_and(|scaler| name == format!("{}-primary", scaler.name))
        }
        Kind::ConfigMap => name.ends_with("-primary"),
        Kind::Secret => name.ends_with("-primary") || name == format!("{}-promoted-configs", rollout.name),
        Kind::ControllerRevision => name.starts_with(&format!("{}-", rollout.name)),
        Kind::Canary | Kind::MetricTemplate | Kind::AlertProvider | Kind::KnativeService | Kind::KnativeRevision => {
            false
        }
    }
}

/// Whether it is something that an edit of the spec has left behind.
fn is_left(key: &ObjectKey, before: Option<&Value>, rollout: &Rollout) -> bool {
    let is_ours = before.is_some_and(|before| is_owned_by(before, &rollout.uid) || controller(before).is_none());
    let scalers = matches!(key.kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject);
    is_ours && (key.kind.route().is_some() || scalers)
}

/// Whether what was there was the canary's to write.
fn is_free(rollout: &Rollout, step: &Step, key: &ObjectKey, before: &Value) -> bool {
    let is_adopted = key.kind.route().is_some_and(|route| route.holding == Holding::Adopted);
    let is_apex = is_adopted || (key.kind == Kind::Service && key.name == rollout.apex);
    let is_shared = || matches!(key.kind, Kind::ConfigMap | Kind::Secret) && is_canarys(before);
    let is_kept = matches!(step, Step::Keep(_));
    let is_adoption = || is_kept || is_handed_over(rollout, before) || is_marked(rollout, key, before);
    let is_of_service = rollout.target_kind == TargetKind::Service && *key == rollout.primary_key();
    is_owned_by(before, &rollout.uid)
        || is_shared()
        || (controller(before).is_none() && (is_apex || is_of_service || is_adoption()))
}

fn is_handed_over(rollout: &Rollout, object: &Value) -> bool {
    object["metadata"]["annotations"][ADOPT] == rollout.name.as_str()
}

/// Whether an object without a controller looks as the canary makes it.
fn is_marked(rollout: &Rollout, key: &ObjectKey, object: &Value) -> bool {
    let has_id = |object: &Value| object["metadata"]["annotations"]["flagger-id"].is_string();
    let is_switched_off = || object["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled";
    let scales_us = || object["spec"]["scaleTargetRef"]["name"] == format!("{}-primary", rollout.target.name);
    has_id(object)
        || has_id(&object["spec"]["template"])
        || is_switched_off()
        || scales_us()
        || object["spec"]["host"] == key.name.as_str()
}

/// Whether a canary of this name controls the object, whichever.
fn is_formers(rollout: &Rollout, object: &Value) -> bool {
    controller(object).is_some_and(|owner| owner["kind"] == "Canary" && owner["name"] == rollout.name.as_str())
}

fn is_canarys(object: &Value) -> bool {
    controller(object).is_some_and(|owner| owner["kind"] == "Canary")
}
