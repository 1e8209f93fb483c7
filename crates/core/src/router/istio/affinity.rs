//! The `http` routes of a VirtualService with session affinity (contract: routers §2). It must not change the split.

use burgee_api::CanaryStatus;
use serde_json::{Value, json};

use super::routes::{both, entry};
use crate::affinity::{Cookie, affinity, canary_cookie, primary_cookie, stale_cookie};
use crate::object::items;
use crate::rollout::Rollout;
use crate::split::Split;

/// How long a browser keeps the canary's cookie unless told otherwise, in seconds (contract: api §1.3).
const MAX_AGE_SECONDS: i64 = 86_400;

/// The entries of a split; none if the canary asks for no affinity. The last one always carries the weights.
pub(super) fn http(rollout: &Rollout, status: &CanaryStatus, split: Split) -> Option<Value> {
    affinity(rollout)?;
    let mut entries = if split.canary() == 0 { expiring(rollout, status, split) } else { sticky(rollout, status) };
    entries.push(weighted(rollout, status, split));
    Some(Value::Array(entries))
}

/// Visitors of an ended run are told to forget its cookie.
fn expiring(rollout: &Rollout, status: &CanaryStatus, split: Split) -> Vec<Value> {
    let Some(cookie) = stale_cookie(rollout, status) else { return Vec::new() };
    let mut expiring = matching(rollout, &cookie, split);
    expiring["headers"]["response"]["add"]["Set-Cookie"] = json!(cookie.expiry());
    vec![expiring]
}

/// Visitors with a cookie stay where they are.
fn sticky(rollout: &Rollout, status: &CanaryStatus) -> Vec<Value> {
    let canary = canary_cookie(rollout, status).map(|cookie| matching(rollout, &cookie, Split::CANARY));
    let primary = primary_cookie(rollout, status).map(|cookie| matching(rollout, &cookie, Split::PRIMARY));
    canary.into_iter().chain(primary).collect()
}

/// All others are divided by weight, and get the cookie of where they went.
fn weighted(rollout: &Rollout, status: &CanaryStatus, split: Split) -> Value {
    let mut weighted = entry(rollout, split);
    let Some(affinity) = affinity(rollout).filter(|_| split.canary() > 0) else { return weighted };
    let max_age_seconds = affinity.max_age.filter(|age| *age > 0).unwrap_or(MAX_AGE_SECONDS);
    let canary = canary_cookie(rollout, status).map(|cookie| cookie.header(affinity, max_age_seconds));
    let primary = primary_cookie(rollout, status).map(|cookie| cookie.header(affinity, rollout.interval.as_secs()));
    for (place, header) in [(0, primary), (1, canary)] {
        if let Some(header) = header {
            weighted["route"][place]["headers"]["response"]["add"]["Set-Cookie"] = json!(header);
        }
    }
    weighted
}

/// An entry for requests with a cookie. Conditions of the service still hold; the peer drops those on headers.
fn matching(rollout: &Rollout, cookie: &Cookie, split: Split) -> Value {
    let mut matching = entry(rollout, split);
    matching["route"] = both(rollout, split);
    if let Some(fields) = matching.as_object_mut() {
        fields.retain(|field, _| !field.starts_with("mirror"));
    }
    let with_cookie = |condition: &Value| {
        let mut condition = condition.clone();
        condition["headers"]["Cookie"] = json!({"regex": cookie.regex()});
        condition
    };
    let conditions: Vec<Value> = items(&rollout.service_json["match"]).map(with_cookie).collect();
    matching["match"] = if conditions.is_empty() { json!([with_cookie(&json!({}))]) } else { json!(conditions) };
    matching
}
