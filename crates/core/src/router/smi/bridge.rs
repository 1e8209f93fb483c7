//! A TrafficSplit of anybody's as Istio's VirtualService. It reads what it is given as hostile, and writes nothing.

use serde_json::{Value, json};

use super::{GATEWAYS, thousandths};
use crate::bounds::controller;
use crate::dns;
use crate::object::{based_on, entries, is_owned_by, items};
use crate::world::{Kind, ObjectKey};

/// The most backends of a TrafficSplit that are taken, and the most gateways.
const MOST: usize = 32;
/// The most characters of the annotation that names the gateways.
const LONGEST_ANNOTATION: usize = 4096;
/// What is put behind the TrafficSplit's name, so that nobody's routes of that name are met.
const SUFFIX: &str = "-vs";
/// By whom the routes are.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "burgee-smi-adapter");

/// What has to be done about a TrafficSplit.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// The routes are as they have to be.
    Nothing,
    /// There are none yet.
    Create(Value),
    /// They are others; these carry the version that they replace.
    Replace(Value),
}

/// Key of the routes that belong to a TrafficSplit.
pub fn route_key(split: &ObjectKey) -> ObjectKey {
    ObjectKey::new(Kind::VIRTUAL_SERVICE, &split.namespace, &format!("{}{SUFFIX}", split.name))
}

/// The TrafficSplit whose routes an object is, if it is one's.
pub fn split_of(route: &Value, kind: Kind) -> Option<ObjectKey> {
    let owner = controller(route)?;
    let group = owner["apiVersion"].as_str()?.split('/').next()?;
    let is_split = owner["kind"] == kind.name() && group == kind.names().0;
    let key = ObjectKey::new(kind, route["metadata"]["namespace"].as_str()?, owner["name"].as_str()?);
    Some(key).filter(|key| is_split && dns::is_key(key) && route["metadata"]["name"] == route_key(key).name.as_str())
}

/// What has to be done for a TrafficSplit, with the routes as they are there.
///
/// # Errors
/// What keeps it from being done, for the user: it cannot be translated, or the routes are somebody else's.
pub fn errand(split: &Value, seen: Option<&Value>) -> Result<Errand, String> {
    let key = ObjectKey::of(split).filter(dns::is_key).ok_or("it has no name that Kubernetes takes")?;
    let route = route_key(&key);
    if !dns::is_key(&route) {
        return Err(format!("{route} would have a name that is too long"));
    }
    let uid = split["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()).ok_or("it has no uid")?;
    let spec = spec(split)?;
    let Some(seen) = seen else { return Ok(Errand::Create(made(&route, split, uid, spec))) };
    if !is_owned_by(seen, uid) {
        return Err(format!("{route} is not this TrafficSplit's, it is left as it is"));
    }
    let label = &seen["metadata"]["labels"][MANAGED_BY.0];
    if seen["spec"] == spec && label == MANAGED_BY.1 {
        return Ok(Errand::Nothing);
    }
    let mut object = based_on(&route, Some(seen));
    object["spec"] = spec;
    object["metadata"]["labels"][MANAGED_BY.0] = json!(MANAGED_BY.1);
    Ok(Errand::Replace(object))
}

/// What the routes do, for the user: `90 % to podinfo-primary, 10 % to podinfo-canary`.
pub fn told(route: &Value) -> String {
    let routes = items(&route["spec"]["http"][0]["route"]);
    let share = |route: &Value| {
        let host = route["destination"]["host"].as_str().unwrap_or_default();
        format!("{} % to {host}", route["weight"])
    };
    routes.map(share).collect::<Vec<_>>().join(", ")
}

fn made(key: &ObjectKey, split: &Value, uid: &str, spec: Value) -> Value {
    let mut object = based_on(key, None);
    object["metadata"]["labels"] = json!({MANAGED_BY.0: MANAGED_BY.1});
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": split["apiVersion"], "kind": split["kind"], "name": split["metadata"]["name"], "uid": uid,
        "controller": true,
    }]);
    object["spec"] = spec;
    object
}

fn spec(split: &Value) -> Result<Value, String> {
    let spec = &split["spec"];
    if items(&spec["matches"]).next().is_some() {
        return Err("spec.matches is not translated, remove it".to_owned());
    }
    let service = spec["service"].as_str().filter(|host| is_host(host)).ok_or("spec.service is no host")?;
    Ok(json!({
        "hosts": [service],
        "gateways": gateways(split)?,
        "http": [{"route": routes(spec)?}],
    }))
}

/// The gateways that the annotation names; without it, the mesh.
fn gateways(split: &Value) -> Result<Value, String> {
    let written = match entries(&split["metadata"]["annotations"]).find(|(name, _)| *name == GATEWAYS) {
        None => return Ok(json!(["mesh"])),
        Some((_, written)) => written.as_str().filter(|text| text.len() <= LONGEST_ANNOTATION),
    };
    let names = written.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let names =
        names.filter(|names| !names.is_empty() && names.len() <= MOST && names.iter().all(|name| is_gateway(name)));
    names.map(|names| json!(names)).ok_or_else(|| format!("the annotation {GATEWAYS} is no list of gateways as JSON"))
}

/// Backends with their share of a hundred, which together are exactly that.
fn routes(spec: &Value) -> Result<Vec<Value>, String> {
    let backends: Vec<&Value> = items(&spec["backends"]).take(MOST + 1).collect();
    if backends.is_empty() || backends.len() > MOST {
        return Err(format!("spec.backends must be 1 to {MOST}"));
    }
    let mut weights = Vec::new();
    for (place, backend) in backends.iter().enumerate() {
        let service = backend["service"].as_str().filter(|name| dns::is_name(name));
        let service = service.ok_or_else(|| format!("spec.backends[{place}].service is no name of a Service"))?;
        let weight = thousandths(&backend["weight"]);
        let weight = weight.ok_or_else(|| format!("spec.backends[{place}].weight is no weight"))?;
        weights.push((service, i128::from(weight)));
    }
    let all: i128 = weights.iter().map(|(_, weight)| weight).sum();
    if all == 0 {
        return Err("spec.backends have no weight at all".to_owned());
    }
    let shares = shares(&weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), all);
    let routes = weights.iter().zip(shares);
    Ok(routes.map(|((service, _), share)| json!({"destination": {"host": service}, "weight": share})).collect())
}

/// Whole percents that add up to 100: what rounding leaves goes to those that lost most by it, the first of them first.
fn shares(weights: &[i128], all: i128) -> Vec<i128> {
    let mut shares: Vec<i128> = weights.iter().map(|weight| weight * 100 / all).collect();
    let missing = usize::try_from(100 - shares.iter().sum::<i128>()).unwrap_or(0);
    let mut places: Vec<usize> = (0..weights.len()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(weights.get(*place).map_or(0, |weight| weight * 100 % all)));
    for place in places.into_iter().take(missing) {
        if let Some(share) = shares.get_mut(place) {
            *share += 1;
        }
    }
    shares
}

/// A host as Istio takes it: a name, with `*.` before it or `*` alone.
fn is_host(text: &str) -> bool {
    text == "*" || dns::is_name(text.strip_prefix("*.").unwrap_or(text))
}

/// A gateway as Istio takes it: a name, with its namespace before it.
fn is_gateway(text: &str) -> bool {
    match text.split_once('/') {
        Some((namespace, name)) => dns::is_label(namespace) && dns::is_name(name),
        None => dns::is_name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(spec: &Value) -> Value {
        json!({"apiVersion": "split.smi-spec.io/v1alpha2", "kind": "TrafficSplit",
            "metadata": {"name": "podinfo", "namespace": "test", "uid": "split-uid"}, "spec": spec})
    }

    fn backends(weights: &[Value]) -> Value {
        let backend = |(place, weight)| json!({"service": format!("podinfo-{place}"), "weight": weight});
        json!({"service": "podinfo", "backends": weights.iter().enumerate().map(backend).collect::<Vec<_>>()})
    }

    fn created(split: &Value) -> Value {
        match errand(split, None) {
            Ok(Errand::Create(route)) => route,
            other => panic!("{split}: {other:?}"),
        }
    }

    fn check_weights(weights: &[Value], expected: &[i64]) {
        let route = created(&split(&backends(weights)));
        let shares: Vec<i64> =
            items(&route["spec"]["http"][0]["route"]).filter_map(|route| route["weight"].as_i64()).collect();
        assert_eq!(shares, expected, "{weights:?}");
    }

    #[test]
    fn weights_become_percents_that_add_up() {
        check_weights(&[json!(90), json!(10)], &[90, 10]);
        check_weights(&[json!("900m"), json!("100m")], &[90, 10]);
        check_weights(&[json!(1), json!(1), json!(1)], &[34, 33, 33]);
        check_weights(&[json!(0), json!(5)], &[0, 100]);
        check_weights(&[json!(i64::MAX / 1000), json!(i64::MAX / 1000)], &[50, 50]);
        check_weights(&[json!(7)], &[100]);
        check_weights(&[json!(2), json!(1), Value::Null], &[67, 33, 0]);
    }

    #[test]
    fn routes_belong_to_the_traffic_split_and_are_replaced_with_their_version() {
        let split = split(&backends(&[json!(90), json!(10)]));
        let mut seen = created(&split);
        assert_eq!(seen["metadata"]["name"], "podinfo-vs");
        assert_eq!(split_of(&seen, Kind::TRAFFIC_SPLITS[2]), ObjectKey::of(&split));
        assert_eq!(errand(&split, Some(&seen)), Ok(Errand::Nothing));
        assert_eq!(told(&seen), "90 % to podinfo-0, 10 % to podinfo-1");
        seen["metadata"]["resourceVersion"] = json!("7");
        let good = seen.clone();
        seen["spec"]["http"] = json!([]);
        assert_eq!(errand(&split, Some(&seen)), Ok(Errand::Replace(good)));
    }

    #[test]
    fn nobody_elses_routes_are_taken_over() {
        let split = split(&backends(&[json!(1)]));
        let text = "VirtualService podinfo-vs.test is not this TrafficSplit's, it is left as it is".to_owned();
        let mut former = created(&split);
        former["metadata"]["ownerReferences"][0]["uid"] = json!("former");
        let mut beside = created(&split);
        beside["metadata"]["ownerReferences"][0]["controller"] = json!(false);
        let mut marked = created(&split);
        marked["metadata"]["ownerReferences"] = json!([]);
        for theirs in [former, beside, marked] {
            assert_eq!(errand(&split, Some(&theirs)), Err(text.clone()), "{theirs}");
        }
    }

    fn check_gateways(annotation: &Value, expected: Option<&Value>) {
        let mut split = split(&backends(&[json!(1)]));
        split["metadata"]["annotations"] = json!({GATEWAYS: annotation});
        let found = errand(&split, None).ok().map(|errand| match errand {
            Errand::Create(route) => route["spec"]["gateways"].clone(),
            other @ (Errand::Nothing | Errand::Replace(_)) => panic!("{other:?}"),
        });
        assert_eq!(found.as_ref(), expected, "{annotation}");
    }

    #[test]
    fn gateways_stand_in_the_annotation() {
        check_gateways(&json!("[\"infra/public\", \"mesh\"]"), Some(&json!(["infra/public", "mesh"])));
        let many = json!(vec!["mesh"; 33]).to_string();
        let long = format!("[\"{}\"]", "a".repeat(5000));
        for odd in [
            json!(""),
            json!("public"),
            json!("[]"),
            json!("[1]"),
            json!("[\"a/b/c\"]"),
            json!("[\"../x\"]"),
            json!(7),
            json!(many),
            json!(long),
        ] {
            check_gateways(&odd, None);
        }
    }

    #[test]
    fn what_cannot_be_translated_is_refused_with_the_reason() {
        let check =
            |spec: &Value, expected: &str| assert_eq!(errand(&split(spec), None), Err(expected.to_owned()), "{spec}");
        let good = backends(&[json!(1)]);
        let with = |field: &str, value: Value| {
            let mut spec = good.clone();
            spec[field] = value;
            spec
        };
        check(&Value::Null, "spec.service is no host");
        check(&json!("text"), "spec.service is no host");
        check(&with("service", json!("a b")), "spec.service is no host");
        check(&with("service", json!("*.*.example.com")), "spec.service is no host");
        check(
            &with("matches", json!([{"kind": "HTTPRouteGroup", "name": "x"}])),
            "spec.matches is not translated, remove it",
        );
        check(&with("backends", json!([])), "spec.backends must be 1 to 32");
        check(&backends(&vec![json!(1); 33]), "spec.backends must be 1 to 32");
        check(&backends(&[json!(0), json!("0")]), "spec.backends have no weight at all");
        for odd in [json!(-1), json!(1.5), json!("many"), json!(i64::MAX), json!([])] {
            check(&backends(&[odd]), "spec.backends[0].weight is no weight");
        }
        check(
            &with("backends", json!([{"service": "a/b", "weight": 1}])),
            "spec.backends[0].service is no name of a Service",
        );
        let mut nameless = split(&good);
        nameless["metadata"]["name"] = json!("../x");
        assert_eq!(errand(&nameless, None), Err("it has no name that Kubernetes takes".to_owned()));
        let mut long = split(&good);
        long["metadata"]["name"] = json!("a".repeat(252));
        assert!(errand(&long, None).is_err_and(|error| error.ends_with("too long")));
    }
}
