//! What a canary claims for itself: its target, its apex name and its autoscaler, with what is made of them, and its hosts at
//! gateways, which all namespaces share (S29). Two that claim the same are rivals, and the younger one has to wait (S24). It
//! decides nothing else.

use crate::limits::allows;
use crate::settings::Settings;
use crate::world::Rival;
use serde_json::Value;

mod hosts;

use hosts::Place;

/// What is made of a target or an autoscaler has its name with this ending.
const MADE: [&str; 1] = ["-primary"];
/// What is made of an apex Service.
const MADE_OF_APEX: [&str; 2] = ["-primary", "-canary"];

/// The claim of one canary, small enough to keep for every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    created: String,
    name: String,
    namespace: String,
    target: String,
    apex: String,
    /// Empty without an autoscaler.
    scaler: String,
    places: Vec<Place>,
}

impl Claim {
    /// The claim of a canary.
    pub fn of(canary: &Value) -> Self {
        let (metadata, spec) = (&canary["metadata"], &canary["spec"]);
        let target = text(&spec["targetRef"]["name"]);
        let apex = Some(text(&spec["service"]["name"])).filter(|name| !name.is_empty()).unwrap_or(target);
        let named = |reference: &Value| format!("{}/{}", text(&reference["kind"]), text(&reference["name"]));
        let scaler = Some(&spec["autoscalerRef"]).filter(|reference| reference.is_object());
        Self {
            created: text(&metadata["creationTimestamp"]).to_owned(),
            name: text(&metadata["name"]).to_owned(),
            namespace: text(&metadata["namespace"]).to_owned(),
            places: hosts::of(spec, text(&metadata["namespace"]), apex),
            target: named(&spec["targetRef"]),
            apex: apex.to_owned(),
            scaler: scaler.map(named).unwrap_or_default(),
        }
    }

    /// The oldest of the others that claims the same and is older than this one. A host that its namespace may not claim is
    /// claimed by nobody.
    pub fn rival<'a>(&self, others: impl Iterator<Item = &'a Self>, settings: &Settings) -> Option<Rival> {
        let older = others.filter(|other| other.age() < self.age());
        let rivals = older.filter_map(|other| Some((other, self.shared(other, settings)?)));
        let (oldest, claim) = rivals.min_by_key(|(other, _)| other.age())?;
        Some(Rival { name: oldest.name.clone(), namespace: oldest.namespace.clone(), claim })
    }

    /// Whether a canary of another namespace claims a host that this one claims.
    pub fn meets_elsewhere(&self, other: &Self) -> bool {
        self.namespace != other.namespace && hosts::shared(&self.places, &other.places, |_| true).is_some()
    }

    /// The older, the less.
    fn age(&self) -> (&str, &str, &str) {
        (self.created.as_str(), self.name.as_str(), self.namespace.as_str())
    }

    /// What this one claims and another does as well.
    fn shared(&self, other: &Self, settings: &Settings) -> Option<String> {
        if self.namespace != other.namespace {
            return hosts::shared(&self.places, &other.places, |host| allows(settings, &other.namespace, host));
        }
        if meet(&self.target, &other.target, &MADE) {
            Some(format!("target {}", self.target))
        } else if meet(&self.apex, &other.apex, &MADE_OF_APEX) {
            Some(format!("service {}", self.apex))
        } else if !self.scaler.is_empty() && meet(&self.scaler, &other.scaler, &MADE) {
            Some(format!("autoscaler {}", self.scaler))
        } else {
            None
        }
    }
}

/// Whether two names are one, or one of them is the name of something that is made of the other.
fn meet(one: &str, other: &str, made: &[&str]) -> bool {
    let is_made = |made_of: &str, name: &str| {
        name.strip_prefix(made_of).is_some_and(|ending| made.contains(&ending) && !made_of.is_empty())
    };
    one == other || is_made(one, other) || is_made(other, one)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(name: &str, created: &str, target: &str, service: &str) -> Claim {
        Claim::of(&json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"targetRef": {"kind": "Deployment", "name": target}, "service": {"name": service}},
        }))
    }

    fn scaled(mut claim: Claim, scaler: &str) -> Claim {
        scaler.clone_into(&mut claim.scaler);
        claim
    }

    fn check(own: &Claim, others: &[Claim], expected: Option<(&str, &str)>) {
        let found = own.rival(others.iter(), &Settings::default());
        assert_eq!(found.as_ref().map(|rival| (rival.name.as_str(), rival.claim.as_str())), expected);
    }

    fn at_host(namespace: &str, created: &str) -> Claim {
        Claim::of(&json!({
            "metadata": {"name": "shop", "namespace": namespace, "creationTimestamp": created},
            "spec": {
                "targetRef": {"kind": "Deployment", "name": "shop"},
                "service": {"hosts": ["shop.example.com"], "gateways": ["infra/public"]},
            },
        }))
    }

    #[test]
    fn a_host_that_a_namespace_may_not_claim_is_kept_from_nobody() {
        let (squatter, owner) = (at_host("evil", "1"), at_host("shop", "2"));
        let check = |allowed: &[&str], expected: Option<&str>| {
            let given = allowed.iter().map(|namespace| ((*namespace).to_owned(), vec!["shop.example.com".to_owned()]));
            let settings = Settings { allowed_hosts: given.collect(), ..Settings::default() };
            let rival = owner.rival([&squatter].into_iter(), &settings).map(|rival| rival.namespace);
            assert_eq!(rival.as_deref(), expected, "{allowed:?}");
        };
        check(&["shop"], None);
        check(&["shop", "evil"], Some("evil"));
        check(&[], Some("evil"));
    }

    #[test]
    fn the_younger_of_two_that_claim_the_same_has_a_rival() {
        let (old, young) = (claim("b", "1", "app", "x"), claim("a", "2", "app", "y"));
        let both = [old.clone(), young.clone()];
        check(&young, &both, Some(("b", "target Deployment/app")));
        check(&old, &both, None);
        let apex = claim("c", "3", "other", "x");
        check(&apex, &both, Some(("b", "service x")));
        check(&claim("d", "3", "x", ""), &both, Some(("b", "service x")));
        check(&claim("e", "3", "z", ""), &both, None);
    }

    #[test]
    fn what_is_made_of_a_claim_is_claimed_as_well() {
        let old = [scaled(claim("a", "1", "app", "web"), "HorizontalPodAutoscaler/app")];
        check(&claim("b", "2", "app-primary", "x"), &old, Some(("a", "target Deployment/app-primary")));
        check(&claim("b", "2", "other", "web-canary"), &old, Some(("a", "service web-canary")));
        check(&claim("b", "2", "app-canary", "x"), &old, None);
        let same = scaled(claim("b", "2", "other", "x"), "HorizontalPodAutoscaler/app");
        check(&same, &old, Some(("a", "autoscaler HorizontalPodAutoscaler/app")));
        check(&scaled(same.clone(), "ScaledObject/app"), &old, None);
        check(&scaled(same, ""), &[scaled(claim("a", "1", "app", "web"), "")], None);
    }

    #[test]
    fn an_older_claim_on_what_is_made_of_a_younger_one_counts_as_well() {
        let primary = claim("a", "1", "app-primary", "x");
        check(&claim("b", "2", "app", "y"), &[primary], Some(("a", "target Deployment/app")));
    }

    #[test]
    fn between_namespaces_only_hosts_are_claimed() {
        let of = |namespace: &str, created: &str| {
            let mut canary = json!({
                "metadata": {"name": "podinfo", "namespace": namespace, "creationTimestamp": created},
                "spec": {"targetRef": {"kind": "Deployment", "name": "podinfo"}, "service": {"port": 80}},
            });
            let local = Claim::of(&canary);
            canary["spec"]["service"]["hosts"] = json!(["shop.example.com"]);
            (local, Claim::of(&canary))
        };
        let (old, young) = (of("a", "1"), of("b", "2"));
        check(&young.0, std::slice::from_ref(&old.0), None);
        check(&young.0, std::slice::from_ref(&old.1), None);
        check(&young.1, std::slice::from_ref(&old.1), Some(("podinfo", "host shop.example.com of gateway mesh")));
        check(&old.1, std::slice::from_ref(&young.1), None);
        assert!(old.1.meets_elsewhere(&young.1) && !old.0.meets_elsewhere(&young.1));
    }

    #[test]
    fn of_the_same_age_the_name_decides() {
        let both = [claim("a", "1", "app", ""), claim("b", "1", "app", "")];
        check(&both[1], &both, Some(("a", "target Deployment/app")));
        check(&both[0], &both, None);
    }
}
