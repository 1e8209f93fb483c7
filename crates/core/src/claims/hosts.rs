//! The hosts that a canary claims at gateways. One host at one gateway leads to one canary: routes of two namespaces for it
//! are merged by Istio as it likes. It looks at nothing but the spec.

use serde_json::Value;

use super::text;
use crate::dns::folded;
use crate::object::items;

/// The gateway of requests within the mesh.
const MESH: &str = "mesh";

/// A host at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `<namespace>/<name>`, or `mesh`.
    gateway: String,
    /// In full; `*`, or one that begins with `*.`, stands for all that end so.
    host: String,
}

/// What the spec of a canary claims. Names without a dot are those of the namespace's own Services, and nobody else's.
pub(super) fn of(spec: &Value, namespace: &str, apex: &str) -> Vec<Place> {
    let service = &spec["service"];
    let is_routed = !matches!(text(&spec["provider"]), "kubernetes" | "knative");
    if !is_routed || service["delegation"] == true {
        return Vec::new();
    }
    let mut gateways: Vec<String> =
        items(&service["gateways"]).map(|name| full_gateway(text(name), namespace)).collect();
    if gateways.is_empty() {
        gateways.push(MESH.to_owned());
    }
    let mut hosts: Vec<String> = items(&service["hosts"]).map(|host| full_host(text(host), namespace)).collect();
    if !hosts.iter().any(|host| host == "*") {
        hosts.push(full_host(apex, namespace));
    }
    hosts.sort();
    hosts.dedup();
    let at =
        |gateway: &String| hosts.iter().map(|host| Place { gateway: gateway.clone(), host: host.clone() }).collect();
    let places: Vec<Vec<Place>> = gateways.iter().map(at).collect();
    // Istio takes no `*` within the mesh.
    places.into_iter().flatten().filter(|place| place.gateway != MESH || place.host != "*").collect()
}

/// A gateway that is named without a namespace is one of the canary's. With one it is written in two ways: Istio still takes
/// the older one, `<name>.<namespace>.svc.cluster.local`.
fn full_gateway(name: &str, namespace: &str) -> String {
    match (name.split_once('/'), name.split_once('.')) {
        (Some((".", name)), _) => format!("{namespace}/{name}"),
        (Some(_), _) => name.to_owned(),
        (None, Some((name, rest))) => format!("{}/{name}", rest.split('.').next().unwrap_or_default()),
        (None, None) if name == MESH => name.to_owned(),
        (None, None) => format!("{namespace}/{name}"),
    }
}

fn full_host(host: &str, namespace: &str) -> String {
    let host = folded(host);
    if host.contains('.') || host == "*" { host } else { format!("{host}.{namespace}.svc.cluster.local") }
}

/// The first place that both claim, for the user. The other one's count only where it may claim the host.
pub(super) fn shared(one: &[Place], other: &[Place], may: impl Fn(&str) -> bool) -> Option<String> {
    let meets = |theirs: &Place, own: &Place| theirs.gateway == own.gateway && overlap(&theirs.host, &own.host);
    let is_shared = |place: &&Place| other.iter().any(|theirs| meets(theirs, place) && may(&theirs.host));
    one.iter().find(is_shared).map(|place| format!("host {} of gateway {}", place.host, place.gateway))
}

/// Whether some host is meant by both.
fn overlap(one: &str, other: &str) -> bool {
    let covers = |wide: &str, host: &str| wide.strip_prefix('*').is_some_and(|end| host.ends_with(end));
    one == other || covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What two canaries of two namespaces share.
    fn check(one: &Value, other: &Value, expected: Option<&str>) {
        let claimed = |service: &Value, namespace| of(&json!({"service": service}), namespace, "podinfo");
        let (one, other) = (claimed(one, "team-a"), claimed(other, "team-b"));
        assert_eq!(shared(&one, &other, |_| true).as_deref(), expected);
        assert_eq!(shared(&other, &one, |_| true).is_some(), expected.is_some());
    }

    fn at(gateway: &str, host: &str) -> Value {
        json!({"gateways": [gateway], "hosts": [host]})
    }

    #[test]
    fn names_of_services_are_those_of_the_namespace() {
        check(&json!({}), &json!({}), None);
        check(&json!({"hosts": ["shop"]}), &json!({"hosts": ["shop"]}), None);
        check(&at("istio-system/public", "shop"), &at("istio-system/public", "shop"), None);
        let text = "host podinfo.team-a.svc.cluster.local of gateway mesh";
        check(&json!({}), &json!({"hosts": ["podinfo.team-a.svc.cluster.local"]}), Some(text));
    }

    #[test]
    fn one_host_at_one_gateway_is_claimed_once() {
        let public = |host| at("istio-system/public", host);
        check(
            &public("shop.example.com"),
            &public("shop.example.com"),
            Some("host shop.example.com of gateway istio-system/public"),
        );
        check(
            &public("shop.example.com"),
            &public("Shop.example.com"),
            Some("host shop.example.com of gateway istio-system/public"),
        );
        check(
            &public("shop.example.com"),
            &public("shop.example.com."),
            Some("host shop.example.com of gateway istio-system/public"),
        );
        check(&public("shop.example.com"), &public("blog.example.com"), None);
        check(&public("shop.example.com"), &at("istio-system/private", "shop.example.com"), None);
        check(
            &json!({"hosts": ["shop.example.com"]}),
            &json!({"hosts": ["shop.example.com"]}),
            Some("host shop.example.com of gateway mesh"),
        );
    }

    #[test]
    fn a_gateway_without_a_namespace_is_the_canarys_own() {
        check(&at("public", "shop.example.com"), &at("public", "shop.example.com"), None);
        check(
            &at("team-b/public", "a.example.com"),
            &at("public", "a.example.com"),
            Some("host a.example.com of gateway team-b/public"),
        );
    }

    #[test]
    fn a_gateway_is_one_however_istio_lets_it_be_written() {
        let claimed = Some("host a.example.com of gateway infra/public");
        for written in ["public.infra", "public.infra.svc", "public.infra.svc.cluster.local", "infra/public"] {
            check(&at("infra/public", "a.example.com"), &at(written, "a.example.com"), claimed);
        }
        check(
            &at("team-b/public", "a.example.com"),
            &at("./public", "a.example.com"),
            Some("host a.example.com of gateway team-b/public"),
        );
    }

    #[test]
    fn wildcards_claim_what_they_stand_for() {
        let public = |host| at("istio-system/public", host);
        check(
            &public("*.example.com"),
            &public("shop.example.com"),
            Some("host *.example.com of gateway istio-system/public"),
        );
        check(
            &public("*.example.com"),
            &public("*.shop.example.com"),
            Some("host *.example.com of gateway istio-system/public"),
        );
        check(&public("*.example.com"), &public("example.com"), None);
        check(&public("*.example.com"), &public("myexample.com"), None);
        check(&public("*"), &public("a.example.com"), Some("host * of gateway istio-system/public"));
        check(&json!({"hosts": ["*"]}), &json!({}), None);
    }

    #[test]
    fn whoever_has_no_routes_of_his_own_claims_nothing() {
        let spec = |provider: &str| json!({"provider": provider, "service": {"hosts": ["a.example.com"]}});
        assert_eq!(of(&spec("kubernetes"), "test", "podinfo"), []);
        assert_eq!(of(&json!({"service": {"delegation": true}}), "test", "podinfo"), []);
        assert_eq!(of(&spec("istio"), "test", "podinfo").len(), 2);
    }
}
