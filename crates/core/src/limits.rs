//! What a namespace may claim of what all share: the hosts that `-allowed-hosts` gives to it (S29). Off by default.

use burgee_api::{Canary, ServiceSpec};

use crate::dns;
use crate::settings::Settings;

/// `spec.service` with the hosts that the namespace may claim: routes are made for no others, whatever becomes of the
/// canary.
pub fn service(canary: &Canary, settings: &Settings) -> ServiceSpec {
    let mut service = canary.spec.service.clone().unwrap_or_default();
    let namespace = canary.metadata.namespace.as_deref().unwrap_or_default();
    service.hosts.retain(|host| allows(settings, namespace, host));
    service
}

/// Whether a namespace may claim a host: one of its own Services, or one that it or every namespace is given.
pub(crate) fn allows(settings: &Settings, namespace: &str, host: &str) -> bool {
    if settings.allowed_hosts.is_empty() || is_own(namespace, host) {
        return true;
    }
    let given = [namespace, "*"].into_iter().filter_map(|namespace| settings.allowed_hosts.get(namespace));
    given.flatten().any(|allowed| covers(allowed, &dns::folded(host)))
}

/// Whether a host is the name of a Service of the namespace.
fn is_own(namespace: &str, host: &str) -> bool {
    let (name, rest) = host.split_once('.').unwrap_or((host, ""));
    let ends = ["", ".svc", ".svc.cluster.local"];
    dns::is_label(name) && (rest.is_empty() || ends.iter().any(|end| rest == format!("{namespace}{end}")))
}

fn covers(allowed: &str, host: &str) -> bool {
    allowed == "*"
        || allowed == host
        || allowed.strip_prefix('*').is_some_and(|end| end.len() > 1 && host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::canary;
    use crate::rollout::Rollout;

    /// Settings that give hosts to namespaces.
    fn settings(given: &[(&str, &str)]) -> Settings {
        let given = given.iter().map(|(namespace, host)| ((*namespace).to_owned(), vec![(*host).to_owned()])).collect();
        Settings { allowed_hosts: given, ..Settings::default() }
    }

    /// Whether a spec with this host is meant, and of which hosts routes are made.
    fn check(given: &[(&str, &str)], host: &str, left: &[&str]) {
        let (canary, settings) = (canary(&json!({"service": {"port": 80, "hosts": [host]}})), settings(given));
        let refused = Rollout::parse(&canary, &settings).err();
        let text = format!("namespace test may not claim the host {host} (-allowed-hosts)");
        assert_eq!(refused, left.is_empty().then_some(text), "{given:?}");
        let routed = Rollout::salvage(&canary, &settings).map(|rollout| rollout.service.hosts);
        assert_eq!(routed, Ok(left.iter().map(|host| (*host).to_owned()).collect()), "{given:?} {host}");
    }

    #[test]
    fn a_namespace_claims_its_own_services_and_the_hosts_that_it_is_given() {
        check(&[], "shop.example.com", &["shop.example.com"]);
        let given = [("test", "*.test.example.com"), ("*", "shared.example.com"), ("other", "*")];
        for host in ["shop", "shop.test", "shop.test.svc", "shop.test.svc.cluster.local", "shared.example.com"] {
            check(&given, host, &[host]);
        }
        for host in ["a.test.example.com", "A.test.example.com.", "*.test.example.com", "*.a.test.example.com"] {
            check(&given, host, &[host]);
        }
        for host in
            ["test.example.com", "*.example.com", "*", "shop.other", "shop.other.svc", "a.test.example.com.evil.org"]
        {
            check(&given, host, &[]);
        }
    }

    #[test]
    fn the_name_of_the_service_is_no_way_to_claim_a_host() {
        let settings = settings(&[("other", "*")]);
        for name in ["shop.example.com", "shop.other.svc.cluster.local"] {
            let named = json!({"service": {"port": 80, "name": name}});
            let aimed = json!({"service": {"port": 80}, "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}});
            for spec in [named, aimed] {
                assert!(Rollout::parse(&canary(&spec), &settings).is_err(), "{spec}");
            }
        }
    }
}
