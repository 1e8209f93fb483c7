//! How traffic is split: a router is a lens between a [`Split`] and the objects of a mesh. It decides nothing.
//!
//! Laws, tested for all: what was rendered reads back as the same split; rendering twice is rendering once; fields of
//! others survive.

use serde_json::Value;

use crate::rollout::{Provider, Rollout};
use crate::split::Split;
use crate::world::{ObjectKey, World};

mod istio;
mod knative;
mod kubernetes;

/// One provider of traffic splitting.
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

    /// The user's own objects as they were before, for `revertOnDeletion`.
    fn finalize(&self, rollout: &Rollout, world: &World) -> Result<Vec<Value>, String>;
}

/// The router of a rollout.
pub fn of(rollout: &Rollout) -> &'static dyn Router {
    match rollout.provider {
        Provider::Istio => &istio::Istio,
        Provider::Kubernetes => &kubernetes::Kubernetes,
        Provider::Knative => &knative::Knative,
    }
}
