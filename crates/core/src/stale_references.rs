//! What an edit of the spec leaves behind: routes under another name or of another provider, and the primary's copy of an
//! autoscaler that the canary no longer names. It decides nothing.

use burgee_api::{Canary, CopiedScaler, Routed, Run};

use crate::dns;
use crate::notice::{Left, Notice};
use crate::object::is_owned_by;
use crate::rollout::{Provider, Rollout};
use crate::router;
use crate::scaler;
use crate::world::{Kind, ObjectKey, Observed, World};

/// So many autoscalers are remembered.
const REMEMBERED: usize = 4;

/// Kinds of autoscalers.
const SCALERS: [Kind; 2] = [Kind::HorizontalPodAutoscaler, Kind::ScaledObject];

/// The canary as it was when the routes were made that it no longer looks after; none if it still does.
pub fn routed(rollout: &Rollout, canary: &Canary) -> Option<Rollout> {
    let Standing { provider, apex } = standing(canary)?;
    let is_other = (provider, apex) != (rollout.provider, rollout.apex.as_str());
    is_other.then(|| Rollout { provider, apex: apex.to_owned(), ..rollout.clone() })
}

/// The routes that stand, by whom and for which Service, as the status remembers them.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// By whom.
    pub provider: Provider,
    /// For which Service.
    pub apex: &'a str,
}

/// The routes that were made last.
pub fn standing(canary: &Canary) -> Option<Standing<'_>> {
    let Routed { provider, name } = canary.status.as_ref()?.run.as_ref()?.routed.as_ref()?;
    let apex = Some(name.as_str()).filter(|apex| dns::is_name(apex))?;
    Some(Standing { provider: Provider::from_name(provider)?, apex })
}

/// What is said of routes that are left behind.
pub fn notice(rollout: &Rollout, old: &Rollout) -> Notice {
    if rollout.apex == old.apex {
        let name = |rollout: &Rollout| rollout.provider.as_str().to_owned();
        return Notice::RoutesLeft(Left::Provider, name(rollout), name(old));
    }
    Notice::RoutesLeft(Left::Service, rollout.apex.clone(), old.apex.clone())
}

/// The primary's copies of autoscalers that the canary no longer names.
pub fn scalers(rollout: &Rollout, canary: &Canary) -> Vec<ObjectKey> {
    let named = scaler::primary_key(rollout);
    copies(rollout, noted(canary)).into_iter().filter(|copy| named.as_ref() != Some(copy)).collect()
}

/// The newest of those that the status names. It may name thousands, as only others would write it, and each is looked at.
fn noted(canary: &Canary) -> &[CopiedScaler] {
    let run = canary.status.as_ref().and_then(|status| status.run.as_ref());
    let scalers = run.map(|run| run.scalers.as_slice()).unwrap_or_default();
    &scalers[scalers.len().saturating_sub(REMEMBERED)..]
}

/// The copies that are noted, the newest last.
fn copies(rollout: &Rollout, noted: &[CopiedScaler]) -> Vec<ObjectKey> {
    noted.iter().filter_map(|scaler| copy(rollout, scaler)).collect()
}

fn copy(rollout: &Rollout, CopiedScaler { kind, name }: &CopiedScaler) -> Option<ObjectKey> {
    let kind = SCALERS.into_iter().find(|known| known.name() == kind).filter(|_| dns::is_name(name))?;
    Some(rollout.key(kind, &format!("{name}-primary")))
}

/// What has to be looked at because of it.
pub fn reads(rollout: &Rollout, canary: &Canary) -> Vec<ObjectKey> {
    let routes = routed(rollout, canary).map(|old| router::of(&old).reads(&old));
    routes.into_iter().flatten().chain(copies(rollout, noted(canary))).collect()
}

/// Notes for whom the routes are made, and of which autoscaler there is a copy. Routes that were left behind stay noted until
/// they are seen to; autoscalers for good, because what an operator had begun that has lost the lease may arrive late.
pub fn note(run: &mut Run, rollout: &Rollout) {
    run.routed.get_or_insert_with(|| routed_now(rollout));
    let Some(named) = named_scaler(rollout) else { return };
    run.scalers.retain(|scaler| *scaler != named);
    run.scalers.push(named);
    run.scalers.drain(..run.scalers.len().saturating_sub(REMEMBERED));
}

/// Whether it is noted that the autoscaler that the canary names is the newest of which there is a copy.
pub fn is_noted(rollout: &Rollout, canary: &Canary) -> bool {
    scaler::primary_key(rollout).is_none_or(|named| copies(rollout, noted(canary)).pop() == Some(named))
}

/// Notes that the routes of before are seen to.
pub fn forget_routes(run: &mut Run, rollout: &Rollout) {
    run.routed = Some(routed_now(rollout));
}

/// Whether an object may be there that belongs to the canary and is not on its way out. What cannot be read may be.
pub fn is_ours(rollout: &Rollout, world: &World, key: &ObjectKey) -> bool {
    match world.seen(key) {
        Observed::Present(object) => {
            is_owned_by(&object, &rollout.uid) && object["metadata"]["deletionTimestamp"].is_null()
        }
        Observed::Absent => false,
        Observed::Unknown(_) => true,
    }
}

fn routed_now(rollout: &Rollout) -> Routed {
    Routed { provider: rollout.provider.as_str().to_owned(), name: rollout.apex.clone() }
}

fn named_scaler(rollout: &Rollout) -> Option<CopiedScaler> {
    let key = scaler::key(rollout)?;
    Some(CopiedScaler { kind: key.kind.name().to_owned(), name: key.name })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{canary, rollout, world};

    fn spec(kind: &str) -> Value {
        json!({"autoscalerRef": {"apiVersion": "any", "kind": kind, "name": "podinfo"}})
    }

    /// Routes that are written as PROVIDER/NAME.
    fn routes(text: &str) -> Routed {
        let (provider, name) = text.split_once('/').unwrap_or((text, ""));
        Routed { provider: provider.to_owned(), name: name.to_owned() }
    }

    fn copied(kind: &str) -> CopiedScaler {
        CopiedScaler { kind: kind.to_owned(), name: "podinfo".to_owned() }
    }

    /// A canary that had a HorizontalPodAutoscaler, and routes of this name, and has a ScaledObject now.
    fn edited(routed: &str) -> Canary {
        let mut canary = canary(&spec("ScaledObject"));
        let run =
            Run { routed: Some(routes(routed)), scalers: vec![copied("HorizontalPodAutoscaler")], ..Run::default() };
        canary.status = Some(burgee_api::CanaryStatus { run: Some(run), ..burgee_api::CanaryStatus::default() });
        canary
    }

    fn is_ours_with(metadata: &Value) -> bool {
        let (canary, rollout) = (edited("istio/podinfo"), rollout(&spec("ScaledObject")));
        let key = scalers(&rollout, &canary).remove(0);
        let mut copy = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata});
        copy["metadata"]["name"] = json!("podinfo-primary");
        copy["metadata"]["namespace"] = json!("test");
        let world = world(canary, vec![key.clone()], &json!([copy]));
        is_ours(&rollout, &world, &key)
    }

    #[test]
    fn a_former_copy_is_ours_as_long_as_it_belongs_to_the_canary_and_stays() {
        let owners = json!([{"uid": "canary-uid", "controller": true}]);
        assert!(is_ours_with(&json!({"ownerReferences": owners})));
        let goes = json!({"ownerReferences": owners, "deletionTimestamp": "2026-01-31T12:00:00Z"});
        let theirs = json!({"ownerReferences": [{"uid": "another", "controller": true}]});
        assert!([goes, theirs, json!({})].iter().all(|metadata| !is_ours_with(metadata)));
    }

    #[test]
    fn routes_are_left_behind_under_another_name_or_provider_and_otherwise_not() {
        let rollout = rollout(&spec("ScaledObject"));
        let left = |routed: &str| self::routed(&rollout, &edited(routed)).map(|old| (old.provider.as_str(), old.apex));
        assert_eq!(left("istio/podinfo"), None);
        assert_eq!(left("istio/frontend"), Some(("istio", "frontend".to_owned())));
        assert_eq!(left("kubernetes/podinfo"), Some(("kubernetes", "podinfo".to_owned())));
        assert_eq!(left("unheard of"), None);
    }

    #[test]
    fn what_was_left_behind_stays_noted() {
        let rollout = rollout(&spec("ScaledObject"));
        let canary = edited("istio/frontend");
        let mut run = canary.status.clone().unwrap_or_default().run.unwrap_or_default();
        assert!(!is_noted(&rollout, &canary), "a copy is noted before it is made");
        note(&mut run, &rollout);
        assert_eq!(run.scalers, ["HorizontalPodAutoscaler", "ScaledObject"].map(copied));
        let again = run.clone();
        note(&mut run, &rollout);
        assert_eq!(run, again);
        assert_eq!(run.routed, Some(routes("istio/frontend")));
        forget_routes(&mut run, &rollout);
        assert_eq!(run.routed, Some(routes("istio/podinfo")));
    }

    #[test]
    fn no_more_copies_are_looked_at_than_are_noted_however_many_the_status_names() {
        let mut canary = edited("istio/podinfo");
        let scaler = |number| CopiedScaler { name: format!("copy-{number}"), ..copied("ScaledObject") };
        canary.status.as_mut().and_then(|status| status.run.as_mut()).unwrap().scalers =
            (0..6_000).map(scaler).collect();
        let names: Vec<String> = reads(&rollout(&json!({})), &canary).into_iter().map(|key| key.name).collect();
        assert_eq!(names, [5_996, 5_997, 5_998, 5_999].map(|number| format!("copy-{number}-primary")));
    }

    #[test]
    fn copies_go_that_the_canary_no_longer_names() {
        let mut canary = edited("istio/podinfo");
        let run = canary.status.as_mut().and_then(|status| status.run.as_mut());
        run.unwrap().scalers = ["HorizontalPodAutoscaler", "ScaledObject"].map(copied).to_vec();
        let go = |spec: &Value| scalers(&rollout(spec), &canary).iter().map(|key| key.kind).collect::<Vec<_>>();
        assert_eq!(go(&spec("HorizontalPodAutoscaler")), [Kind::ScaledObject]);
        assert_eq!(go(&spec("ScaledObject")), [Kind::HorizontalPodAutoscaler]);
        assert_eq!(go(&json!({})), SCALERS);
    }
}
