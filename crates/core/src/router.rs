//! How traffic is split: a router is a lens between a [`Split`] and the objects of a mesh. It decides nothing.
//!
//! Laws, tested for all: what was rendered reads back as the same split; rendering twice is rendering once; fields of
//! others survive.

use serde_json::{Value, json};

use crate::object::based_on;
use crate::rollout::Rollout;
use crate::split::Split;
use crate::world::{ObjectKey, World};
use row::Lens;

mod adopted;
mod istio;
mod knative;
mod kubernetes;
pub mod row;
mod smi;
pub use smi::bridge;
pub mod table;

/// How much of the requests can get to each set at most, in percent: with an A/B test all of some and all of the others, so
/// the two need not add up to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of the requests to the primary.
    pub primary: i64,
    /// Of the requests to the canary.
    pub canary: i64,
}

/// The code of one router. What can be said of it as data, its row says.
pub trait Router: Sync {
    /// The objects that the router reads and writes.
    fn reads(&self, rollout: &Rollout) -> Vec<ObjectKey>;

    /// The split as it stands, or none if there is no route yet. The error says what is odd about the route.
    fn read(&self, rollout: &Rollout, world: &World) -> Result<Option<Split>, String>;

    /// The routing objects, whole, in the order in which they are written, for this split.
    fn render(&self, rollout: &Rollout, world: &World, split: Split) -> Result<Vec<Value>, String>;

    /// The routing objects that lead requests to the canary, as they stand but with all traffic on the primary. Nothing of
    /// the spec goes into them, so that nothing that is wrong with it can keep them from being written; what cannot be read
    /// is left out (I28).
    fn home(&self, rollout: &Rollout, world: &World) -> Vec<Value>;

    /// Whether the mesh says that it has taken over the route as it stands; the error is the text for the user.
    fn accepted(&self, rollout: &Rollout, world: &World) -> Result<(), String>;

    /// The object in which the split stands, if it is the router's own.
    fn route(&self, rollout: &Rollout) -> Option<ObjectKey>;

    /// What the mesh makes of the routes as they stand; none if it divides no traffic by them. This is told by the objects
    /// alone and not by way of [`Self::read`], because the simulator checks the decisions by it.
    fn shares(&self, rollout: &Rollout, world: &World) -> Option<Shares>;

    /// Whether an object without a controller is one that this router had made, as far as it shows by itself; the key is that
    /// of the object beside it that must be the canary's, or have been.
    fn made_beside(&self, rollout: &Rollout, key: &ObjectKey, object: &Value) -> Option<ObjectKey>;

    /// The user's own objects as they were before, for `revertOnDeletion`.
    fn finalize(&self, rollout: &Rollout, world: &World) -> Result<Vec<Value>, String>;
}

/// The object as seen, or a new one that belongs to the canary.
fn owned(rollout: &Rollout, key: &ObjectKey, seen: Option<&Value>) -> Value {
    let mut object = based_on(key, seen);
    if seen.is_none() {
        object["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    }
    object
}

/// The router of a rollout.
pub fn of(rollout: &Rollout) -> &'static dyn Router {
    match rollout.provider.row().lens {
        Lens::Istio => &istio::Istio,
        Lens::Kubernetes => &kubernetes::Kubernetes,
        Lens::Knative => &knative::Knative,
        Lens::Smi => &smi::Smi,
    }
}
