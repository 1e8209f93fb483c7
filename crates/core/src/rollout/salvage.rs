//! What is left of a canary that cannot be meant: enough to judge a run of it, and to lead its traffic back along the routes
//! that stand (S45). It makes nothing of what is wrong.

use burgee_api::Canary;

use super::{Provider, Rollout, provider_name};
use crate::metric::builtin::metrics_provider;
use crate::settings::Settings;
use crate::stale_references;

impl Rollout {
    /// Parses a canary, or of one that cannot be meant what is left of it: enough to lead the traffic of a run back to the
    /// primary. By whom the routes are, and for which Service, the status remembers, whatever the spec says by now. The
    /// error is why even that is too little.
    pub fn salvage(canary: &Canary, settings: &Settings) -> Result<Self, String> {
        Self::parse(canary, settings).or_else(|reason| {
            let left = match stale_references::standing(canary) {
                Some(standing) => Self::routed(canary, settings, standing).map_err(Some),
                None => Self::written(canary, settings),
            };
            // What is wrong with what is left may only be that something could not be read.
            let mut rollout =
                left.map_err(|error| error.filter(|_| canary.unreadable.is_none()).unwrap_or_else(|| reason.clone()))?;
            // What the provider lacks is left out, whether or not that is refused.
            rollout.adapt(canary).unwrap_or_default();
            rollout.refused = Some(reason);
            Ok(rollout)
        })
    }

    /// A canary whose routes stand.
    fn routed(canary: &Canary, settings: &Settings, standing: stale_references::Standing) -> Result<Self, String> {
        let mut rollout = Self::read(canary, settings, standing.provider)?;
        standing.apex.clone_into(&mut rollout.apex);
        if Provider::parse(provider_name(canary, settings)).is_err() {
            let name = Some(standing.provider.as_str());
            rollout.metrics_provider = metrics_provider(&settings.mesh_provider, name, rollout.target_kind);
        }
        Ok(rollout)
    }

    /// A canary of which nobody knows any routes, if its spec says where they would be. The error is what is wrong, if it is
    /// something else than what it was refused for.
    fn written(canary: &Canary, settings: &Settings) -> Result<Self, Option<String>> {
        let provider = Provider::parse(provider_name(canary, settings)).map_err(Some)?;
        let rollout = Self::read(canary, settings, provider).map_err(Some)?;
        let has_services = canary.spec.service.is_some() || !rollout.target_kind.has_services();
        if !has_services || rollout.verify_target(canary, settings).is_err() {
            return Err(None);
        }
        Ok(rollout)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::canary;

    /// Why a canary with this spec cannot be meant, and whether anything is left of it.
    fn check(spec: &Value, (refused, is_left): (bool, bool)) {
        let (canary, settings) = (canary(spec), Settings::default());
        let reason = Rollout::parse(&canary, &settings).err();
        assert_eq!(reason.is_some(), refused, "{spec}");
        match Rollout::salvage(&canary, &settings) {
            Ok(left) => assert!(is_left && left.refused == reason, "{spec}"),
            Err(error) => assert!(!is_left && Some(error) == reason, "{spec}"),
        }
    }

    #[test]
    fn of_a_spec_that_cannot_be_meant_what_leads_the_traffic_back_is_left() {
        let cookies = json!({"cookieName": "same", "primaryCookieName": "same"});
        check(&json!({}), (false, true));
        check(&json!({"analysis": {"interval": "30s", "sessionAffinity": cookies}}), (true, true));
        check(&json!({"service": null}), (true, false));
        check(&json!({"provider": "nginx"}), (true, false));
        check(&json!({"targetRef": {"apiVersion": "v1", "kind": "Pod", "name": "podinfo"}}), (true, false));
    }

    #[test]
    fn of_a_canary_that_cannot_be_read_as_a_whole_the_rest_leads_the_traffic_back_and_nothing_is_made_of_it() {
        fn check(text: &Value, (refused, is_left): (&str, bool)) {
            let canary = Canary::read(&text.to_string()).unwrap();
            let left = Rollout::salvage(&canary, &Settings::default());
            let reason = left.as_ref().map_or_else(Clone::clone, |left| left.refused.clone().unwrap_or_default());
            assert!(reason.starts_with(refused) && left.is_ok() == is_left, "{reason}");
        }
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"});
        let status = json!({"phase": "Progressing", "canaryWeight": 50, "run": {"routed": {"provider": "istio", "name": "podinfo"}}});
        let metadata = json!({"name": "podinfo", "namespace": "test"});
        let canary = |spec: Value, status: &Value| json!({"metadata": metadata, "spec": spec, "status": status});
        let port = json!({"targetRef": target, "service": {"port": {}}, "analysis": {"stepWeight": 10}});
        check(&canary(port.clone(), &status), ("spec.service.port cannot be read", true));
        check(&canary(port, &json!({})), ("spec.service.port cannot be read", false));
        check(
            &canary(json!({"targetRef": "podinfo", "service": {"port": 80}}), &status),
            ("spec.targetRef cannot be", false),
        );
    }

    #[test]
    fn a_run_whose_routes_stand_is_led_by_them_whatever_the_spec_says_by_now() {
        let renamed = json!({"service": {"name": "other", "port": 80}, "provider": "smi"});
        for spec in [json!({"service": null}), json!({"provider": "nginx"}), renamed] {
            let mut canary = canary(&spec);
            let status = json!({"phase": "Progressing", "canaryWeight": 10, "run": {"routed": {"provider": "istio", "name": "frontend"}}});
            canary.status = serde_json::from_value(status).ok();
            let left = Rollout::salvage(&canary, &Settings::default()).unwrap();
            assert_eq!((left.provider.as_str(), left.apex.as_str()), ("istio", "frontend"), "{spec}");
            assert_eq!(left.metrics_provider, "istio", "{spec}");
        }
    }
}
