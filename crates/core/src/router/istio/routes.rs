//! The `http` or `tcp` routes of a VirtualService and the split in them. It must not look at anything else of it.

use burgee_api::CanaryStatus;
use serde_json::{Value, json};

use super::affinity;
use crate::object::{is_empty, items, plain, put};
use crate::rollout::Rollout;
use crate::split::{Mirror, Split};

/// Replaces the routes by those of the split (contract: routers §2). Routes of the other protocol go if they lead to
/// our Services, and stay if they are somebody else's.
pub(super) fn write(rollout: &Rollout, status: &CanaryStatus, spec: &mut Value, split: Split) {
    let (ours, other) = if is_tcp(rollout) { ("tcp", "http") } else { ("http", "tcp") };
    spec[ours] = if is_tcp(rollout) { tcp(rollout, split) } else { http(rollout, status, split) };
    if items(&spec[other]).any(|entry| leads_to_us(rollout, entry)) {
        put(spec, other, Value::Null);
    }
}

/// The split of the last entry that leads to the canary's Service.
pub(super) fn read(rollout: &Rollout, spec: &Value) -> Option<Split> {
    let entries = if is_tcp(rollout) { &spec["tcp"] } else { &spec["http"] };
    let canary = rollout.canary_service();
    let entry = items(entries).filter(|entry| weight(entry, &canary).is_some()).last()?;
    let (primary, canary) = (weight(entry, &rollout.primary_service()).unwrap_or(0), weight(entry, &canary)?);
    if primary == 0 && canary == 0 {
        return None;
    }
    let split = Split::with_canary(u8::try_from(canary.clamp(0, 100)).unwrap_or(100));
    let is_mirrored = entry["mirror"]["host"].as_str().is_some_and(|host| !host.is_empty());
    Some(if is_mirrored && !is_tcp(rollout) { split.mirrored() } else { split })
}

fn weight(entry: &Value, host: &str) -> Option<i64> {
    let route = items(&entry["route"]).find(|route| route["destination"]["host"] == host)?;
    Some(route["weight"].as_i64().unwrap_or(0))
}

fn leads_to_us(rollout: &Rollout, entry: &Value) -> bool {
    weight(entry, &rollout.primary_service()).is_some() || weight(entry, &rollout.canary_service()).is_some()
}

fn is_tcp(rollout: &Rollout) -> bool {
    rollout.service.app_protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
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
    let weight = rollout.analysis.as_ref().and_then(|analysis| analysis.mirror_weight).filter(|weight| *weight > 0);
    if let Some(weight) = weight {
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
        for field in ["headers", "queryParams", "sourceLabels"] {
            if !is_empty(&condition[field]) {
                combined[field] = condition[field].clone();
            }
        }
        combined
    };
    items(analysis).flat_map(|condition| items(service).map(move |request| combine(condition, request))).collect()
}
