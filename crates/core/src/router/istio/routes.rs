//! The `http` or `tcp` routes of a VirtualService and the split in them. It must not look at anything else of it.

use burgee_api::CanaryStatus;
use serde_json::{Value, json};

use super::affinity;
use crate::object::{entries, is_empty, items, items_mut, plain, put};
use crate::rollout::Rollout;
use crate::router::Shares;
use crate::split::{Mirror, Split};

/// Replaces the routes by those of the split (contract: routers §2). Routes of the other protocol go if they lead to
/// our Services, and stay if they are somebody else's.
pub(super) fn write(rollout: &Rollout, status: &CanaryStatus, spec: &mut Value, split: Split) {
    let (ours, other) = if rollout.is_tcp() { ("tcp", "http") } else { ("http", "tcp") };
    spec[ours] = if rollout.is_tcp() { tcp(rollout, split) } else { http(rollout, status, split) };
    if items(&spec[other]).any(|entry| leads_to_us(rollout, entry)) {
        put(spec, other, Value::Null);
    }
}

/// The split of the last entry that leads to the canary's Service.
pub(super) fn read(rollout: &Rollout, spec: &Value) -> Option<Split> {
    let entries = if rollout.is_tcp() { &spec["tcp"] } else { &spec["http"] };
    let canary = rollout.canary_service();
    let entry = items(entries).filter(|entry| weight(entry, &canary).is_some()).last()?;
    let (primary, canary) = (weight(entry, &rollout.primary_service()).unwrap_or(0), weight(entry, &canary)?);
    if primary == 0 && canary == 0 {
        return None;
    }
    let split = Split::with_canary(u8::try_from(canary.clamp(0, 100)).unwrap_or(100));
    let is_mirrored = entry["mirror"]["host"].as_str().is_some_and(|host| !host.is_empty());
    Some(if is_mirrored && !rollout.is_tcp() { split.mirrored() } else { split })
}

/// Gives the canary's share of every entry to the primary, and its copies to nobody. Answers whether any entry gave it
/// anything. An entry that leads to the canary alone leads to the primary after this; whatever else others lead anywhere
/// stays.
pub(super) fn lead_home(rollout: &Rollout, spec: &mut Value) -> bool {
    let (primary, canary) = (rollout.primary_service(), rollout.canary_service());
    let mut has_led = false;
    for protocol in ["http", "tcp"] {
        let ours = items_mut(spec.get_mut(protocol)).filter(|entry| leads_to_us(rollout, entry));
        for entry in ours {
            if entry["mirror"]["host"] == canary {
                has_led = true;
                for field in ["mirror", "mirrorPercentage"] {
                    put(entry, field, Value::Null);
                }
            }
            has_led |= leads_to(entry, &canary);
            take_over(entry, &primary, &canary);
        }
    }
    has_led
}

/// The most that any entry gives to each set.
pub(super) fn shares(rollout: &Rollout, spec: &Value) -> Shares {
    let entries = || items(&spec["http"]).chain(items(&spec["tcp"]));
    let most = |host: &str| entries().map(|entry| share(entry, host)).max().unwrap_or(0);
    Shares { primary: most(&rollout.primary_service()), canary: most(&rollout.canary_service()) }
}

/// The weight of a destination; Istio gives all to one that stands alone, whatever it says.
fn share(entry: &Value, host: &str) -> i64 {
    let is_alone = items(&entry["route"]).count() == 1;
    let found = items(&entry["route"]).find(|route| route["destination"]["host"] == host);
    found.map_or(0, |route| if is_alone { 100 } else { route["weight"].as_i64().unwrap_or(0) })
}

/// Whether an entry gives a host any requests. A single destination gets all, whatever its weight is.
fn leads_to(entry: &Value, host: &str) -> bool {
    let is_alone = items(&entry["route"]).count() == 1;
    weight(entry, host).is_some_and(|weight| weight > 0 || is_alone)
}

/// The primary takes what both had, which is all where nobody else has any; an entry of the canary alone becomes the
/// primary's.
fn take_over(entry: &mut Value, primary: &str, canary: &str) {
    let is_ours = |route: &Value| route["destination"]["host"] == primary || route["destination"]["host"] == canary;
    let is_shared = !items(&entry["route"]).all(is_ours);
    let all = if is_shared { [primary, canary].iter().filter_map(|host| weight(entry, host)).sum() } else { 100 };
    let has_primary = weight(entry, primary).is_some();
    for route in items_mut(entry.get_mut("route")) {
        let host = &route["destination"]["host"];
        if host == canary && has_primary {
            route["weight"] = json!(0);
        } else if host == canary || host == primary {
            route["destination"]["host"] = json!(primary);
            route["weight"] = json!(all);
        }
    }
}

fn weight(entry: &Value, host: &str) -> Option<i64> {
    let route = items(&entry["route"]).find(|route| route["destination"]["host"] == host)?;
    Some(route["weight"].as_i64().unwrap_or(0))
}

fn leads_to_us(rollout: &Rollout, entry: &Value) -> bool {
    weight(entry, &rollout.primary_service()).is_some() || weight(entry, &rollout.canary_service()).is_some()
}

fn tcp(rollout: &Rollout, split: Split) -> Value {
    let ports = rollout.service.matches.iter().filter_map(|found| found.port);
    let mut entry = json!({"route": both(rollout, split)});
    put(&mut entry, "match", ports.map(|port| json!({"port": port})).collect());
    json!([entry])
}

fn http(rollout: &Rollout, status: &CanaryStatus, split: Split) -> Value {
    let analysis_match = rollout.analysis.as_ref().map_or(Value::Null, |analysis| plain(&analysis.matches));
    if items(&analysis_match).next().is_none() {
        return affinity::http(rollout, status, split).unwrap_or_else(|| json!([entry(rollout, split)]));
    }
    let service = &rollout.service_json;
    let mut first = entry(rollout, split);
    put(&mut first, "match", merged(&analysis_match, &service["match"]));
    let mut second = common(service);
    put(&mut second, "match", service["match"].clone());
    // Istio ignores the weight of a single destination; the contract writes the primary's.
    second["route"] = json!([destination(rollout, &rollout.primary_service(), split.primary())]);
    json!([first, second])
}

/// The entry of a split for every request of the service.
pub(super) fn entry(rollout: &Rollout, split: Split) -> Value {
    let service = &rollout.service_json;
    let mut entry = common(service);
    put(&mut entry, "match", service["match"].clone());
    entry["route"] = both(rollout, split);
    if split.mirror() == Mirror::On {
        mirror(rollout, &mut entry);
    }
    entry
}

/// What every entry shares.
fn common(service: &Value) -> Value {
    let mut entry = json!({});
    let mut rewrite = service["rewrite"].clone();
    put(&mut rewrite, "type", Value::Null);
    put(&mut entry, "rewrite", rewrite);
    if service["timeout"] != "" {
        put(&mut entry, "timeout", service["timeout"].clone());
    }
    for field in ["retries", "corsPolicy", "headers"] {
        put(&mut entry, field, service[field].clone());
    }
    entry
}

/// The primary and the canary with their weights.
pub(super) fn both(rollout: &Rollout, split: Split) -> Value {
    json!([
        destination(rollout, &rollout.primary_service(), split.primary()),
        destination(rollout, &rollout.canary_service(), split.canary()),
    ])
}

fn destination(rollout: &Rollout, host: &str, weight: u8) -> Value {
    let service = &rollout.service;
    let is_behind_gateway = service.gateways.first().is_some_and(|gateway| gateway != "mesh");
    let mut destination = json!({"host": host});
    if service.port_discovery && (is_behind_gateway || service.delegation) {
        destination["port"] = json!({"number": service.port});
    }
    json!({"destination": destination, "weight": weight})
}

fn mirror(rollout: &Rollout, entry: &mut Value) {
    entry["mirror"] = json!({"host": rollout.canary_service()});
    let weight = rollout.analysis.as_ref().map_or(Value::Null, |analysis| plain(analysis)["mirrorWeight"].clone());
    if weight.as_f64().is_some_and(|weight| weight > 0.0) {
        entry["mirrorPercentage"] = json!({"value": weight});
    }
}

/// The requests of an A/B test: every combination of an analysis match and a service match. All conditions of the
/// analysis go along; the peer loses its query parameters, and with them perhaps the only condition.
fn merged(analysis: &Value, service: &Value) -> Value {
    if items(service).next().is_none() {
        return analysis.clone();
    }
    let combine = |condition: &Value, request: &Value| {
        let mut combined = request.clone();
        for (field, value) in entries(condition).filter(|(_, value)| !is_empty(value)) {
            combined[field] = value.clone();
        }
        combined
    };
    items(analysis).flat_map(|condition| items(service).map(move |request| combine(condition, request))).collect()
}
