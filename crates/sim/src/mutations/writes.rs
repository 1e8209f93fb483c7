//! Plans that write what is not the canary's to write. What the decision saw is not touched here.

use std::sync::Arc;

use burgee_core::plan::Step;
use burgee_core::services::Role;
use burgee_core::world::{Kind, ObjectKey, Observed};
use serde_json::{Value, json};

use super::{Edge, Mutation};

/// I27: whoever keeps a template writes into another namespace as well, and nothing at the edge looks at it.
pub const ANOTHER_NAMESPACE_IS_WRITTEN: Mutation = Mutation {
    edge: Edge::Open,
    ..Mutation::of_plan("another namespace is written to, and the edge lets it pass", |tick, plan| {
        if plan.steps.iter().any(|step| matches!(step, Step::Keep(_))) {
            plan.steps.push(Step::Create(object("kube-system", &json!([tick.rollout.owner_reference()]))));
        }
    })
};

/// I27: a name that no canary derives is taken from somewhere.
pub const ANOTHER_NAME_IS_WRITTEN: Mutation = Mutation {
    edge: Edge::Open,
    ..Mutation::of_plan("a name that the canary does not derive is written, and the edge lets it pass", |tick, plan| {
        if plan.steps.iter().any(|step| matches!(step, Step::Keep(_))) {
            plan.steps.push(Step::Create(object("test", &json!([tick.rollout.owner_reference()]))));
        }
    })
};

/// I27: a plan leaves the bounds, and the edge keeps it from doing so.
pub const PLAN_LEAVES_ITS_BOUNDS: Mutation =
    Mutation::of_plan("a plan leaves the bounds of its canary, and the edge refuses it", |_, plan| {
        if plan.steps.iter().any(|step| matches!(step, Step::Keep(_))) {
            plan.steps.push(Step::Drop(ObjectKey::new(Kind::ConfigMap, "kube-system", "coredns")));
        }
    });

/// I27: whatever bears the name of something that is made counts as the canary's own.
pub const OTHERS_COUNT_AS_OWN: Mutation =
    Mutation::of_world("what bears a name that the canary needs counts as its own", |world, rollout| {
        let made = [rollout.primary_key(), Role::Primary.key(rollout), Role::Canary.key(rollout)];
        for (key, observed) in &mut world.objects {
            if let Observed::Present(object) = observed
                && made.contains(key)
            {
                Arc::make_mut(object)["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
            }
        }
    });

fn object(namespace: &str, owners: &Value) -> Value {
    let metadata = json!({"name": "coredns", "namespace": namespace, "ownerReferences": owners});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
}
