//! Observe: everything seen of one canary at one instant, from the stores. It asks the API server only for what no
//! watch covers, and decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use burgee_api::Canary;
use burgee_core::dependencies;
use burgee_core::rollout::Rollout;
use burgee_core::strangers::strangers;
use burgee_core::world::{ConfigSeen, Deliveries, Kind, ObjectKey, Observed, World};
use futures::future::join_all;
use jiff::Timestamp;

use crate::clock;
use crate::cluster::Seen;
use crate::lock::lock;
use crate::operator::Operator;
use crate::sized::too_large;
use crate::stores::Look;

/// What was seen, and when to look again whatever happens.
pub struct Sight {
    /// The world.
    pub world: World,
    /// Some of it is not watched, or may be out of date: look again then.
    pub again: Option<Timestamp>,
    /// Which permissions are missing to watch it.
    pub forbidden: BTreeSet<String>,
}

/// A canary as the store has it. None if there is none; the error says why nothing of it can be read.
pub fn canary(operator: &Operator, key: &ObjectKey) -> Option<Result<Canary, String>> {
    operator.stores.read(key, Canary::read).map(|read| read.map_err(|error| error.to_string()))
}

/// Reads anew what the last plan could not write because it is not as it was seen. Its watch may be late, and who decided
/// again on what it has shown would have the same conflict until it has caught up.
pub async fn renew(operator: &Operator, key: &ObjectKey) {
    if !operator.exists(key) {
        return;
    }
    let outdated = std::mem::take(&mut lock(&operator.memory(key)).outdated);
    for object in outdated {
        operator.stores.renew(&operator.cluster, &object).await;
    }
}

/// From now on a canary that has appeared is woken by what it looks at, and all of it is kept, so that nothing of it has
/// to be asked for.
pub fn enter(operator: &Operator, key: &ObjectKey) {
    if let Some(Ok(canary)) = canary(operator, key)
        && let Ok(rollout) = Rollout::parse(&canary, &operator.settings)
    {
        operator.reads(key, &dependencies::objects(&rollout));
    }
}

/// The world of a canary.
pub async fn observe(operator: &Operator, canary: Canary, rollout: &Rollout) -> Sight {
    let keys = dependencies::objects(rollout);
    let own = key_of(&canary);
    // Before the first look: a change that comes while the others are looked at wakes the canary once more.
    operator.reads(&own, &keys);
    let rival = operator.stores.rival(&own, &operator.settings);
    let mut sight = Sight { world: World::new(canary), again: None, forbidden: BTreeSet::new() };
    if rival.as_ref().is_some_and(|rival| rival.namespace != rollout.namespace) {
        // Nothing that this canary reads changes when the other one lets go of a host.
        sight.look_again_after(rollout);
    }
    sight.world.rival = rival;
    sight.world.deliveries = deliveries(operator, &own, &sight.world.canary);
    let mut looked_at: BTreeSet<ObjectKey> = keys.iter().cloned().collect();
    // All of them are awaited together: several kinds that cannot be listed take no longer than one.
    let seen = join_all(keys.iter().map(|key| look(operator, key))).await;
    for (key, (observed, unwatched)) in keys.into_iter().zip(seen) {
        if unwatched {
            sight.look_again_after(rollout);
            sight.forbidden.extend(operator.stores.forbidden(&key));
        }
        sight.world.insert(key, observed);
    }
    let more = dependencies::more(rollout, &sight.world.canary, &sight.world);
    operator.reads(&own, &more);
    let seen = join_all(more.iter().map(|key| look(operator, key))).await;
    for (key, (observed, unwatched)) in more.into_iter().zip(seen) {
        if unwatched {
            sight.look_again_after(rollout);
        }
        looked_at.insert(key.clone());
        sight.world.insert(key, observed);
    }
    let workloads = operator.stores.workloads(&rollout.namespace);
    sight.world.strangers = strangers(rollout, &sight.world, &workloads);
    let target = sight.world.present(&rollout.target_key()).cloned();
    let configs = dependencies::configs(rollout, &operator.settings, target.as_ref());
    operator.reads(&own, &configs.iter().map(|reference| reference.key.clone()).collect::<Vec<_>>());
    let seen = join_all(configs.iter().map(|reference| look_at_config(operator, &reference.key))).await;
    for (reference, (seen, again)) in configs.into_iter().zip(seen) {
        if operator.stores.forbidden(&reference.key).is_some() {
            sight.look_again_after(rollout);
            sight.forbidden.extend(operator.stores.forbidden(&reference.key));
        }
        sight.again = sooner(sight.again, again);
        looked_at.insert(reference.key.clone());
        sight.world.configs.push((reference.key, seen));
    }
    operator.readers.settle(&own, &looked_at, operator.shelves());
    sight
}

impl Sight {
    /// What no watch covers is looked at once per interval.
    fn look_again_after(&mut self, rollout: &Rollout) {
        self.again = sooner(self.again, clock::steady().saturating_add(rollout.interval).ok());
    }
}

fn sooner(one: Option<Timestamp>, two: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(two).min()
}

/// What is known of the deliveries that are due.
fn deliveries(operator: &Operator, key: &ObjectKey, canary: &Canary) -> Deliveries {
    let memory = operator.memory(key);
    let mut memory = lock(&memory);
    memory.deliveries.look(canary.status.as_ref());
    memory.deliveries.clone()
}

/// The key of a canary.
pub fn key_of(canary: &Canary) -> ObjectKey {
    let metadata = &canary.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    ObjectKey::new(Kind::Canary, namespace.unwrap_or_default(), name.unwrap_or_default())
}

/// What is known of a config, and when to look again whatever happens.
async fn look_at_config(operator: &Operator, key: &ObjectKey) -> (ConfigSeen, Option<Timestamp>) {
    let metadata = operator.stores.look(&operator.cluster, key).await;
    operator.configs.look(&operator.cluster, key, metadata).await
}

/// What is known of an object, and whether no watch tells when it changes. A kept template is never watched: it is
/// needed about once a year.
async fn look(operator: &Operator, key: &ObjectKey) -> (Observed, bool) {
    let found = if key.kind.is_watched() { operator.stores.look(&operator.cluster, key).await } else { Look::Ask };
    match found {
        Look::Present(object) => (Observed::Present(object), false),
        Look::Absent => (Observed::Absent, false),
        Look::Unknown(reason) => (Observed::Unknown(reason), true),
        Look::Ask => (get(operator, key).await, key.kind.is_watched()),
    }
}

pub(crate) async fn get(operator: &Operator, key: &ObjectKey) -> Observed {
    match operator.cluster.look(key).await {
        Ok(Some(Seen::Whole(object))) => Observed::Present(Arc::new(object)),
        Ok(Some(Seen::TooLarge(_))) => Observed::Unknown(format!("{key} {}", too_large())),
        Ok(None) => Observed::Absent,
        Err(error) => Observed::Unknown(format!("{key} get query error: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;
    use crate::fixtures::Fake;

    #[tokio::test]
    async fn an_object_that_is_read_by_itself_is_of_a_size_that_is_read_too() {
        let large = json!({"metadata": {"name": "podinfo", "namespace": "test"}, "spec": vec![json!({}); 10_000]});
        let operator = Fake::start(move |_| Body::from(large.to_string()).into_response()).await.operator();
        let found = get(&operator, &ObjectKey::new(Kind::Deployment, "test", "podinfo")).await;
        let reason = "Deployment podinfo.test has more than the 20000 values that are read";
        assert_eq!(found, Observed::Unknown(reason.to_owned()));
    }
}
