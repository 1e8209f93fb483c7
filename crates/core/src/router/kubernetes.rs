//! Kubernetes Services alone (contract: routers §5): nothing is split, the primary's own rolling update moves traffic.
//! It must not read or write any object.

use serde_json::Value;

use super::{Router, Shares};
use crate::rollout::Rollout;
use crate::split::Split;
use crate::world::{ObjectKey, World};

pub(super) mod row;

/// The router that routes nothing.
pub(super) struct Kubernetes;

impl Router for Kubernetes {
    fn reads(&self, _: &Rollout) -> Vec<ObjectKey> {
        Vec::new()
    }

    /// Once a check has passed, the canary counts as having all (synthetic) traffic.
    fn read(&self, _: &Rollout, world: &World) -> Result<Option<Split>, String> {
        let is_started = world.canary.status.as_ref().is_some_and(|status| status.iterations > 0);
        Ok(Some(if is_started { Split::CANARY } else { Split::PRIMARY }))
    }

    fn render(&self, _: &Rollout, _: &World, _: Split) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }

    fn home(&self, _: &Rollout, _: &World) -> Vec<Value> {
        Vec::new()
    }

    fn route(&self, _: &Rollout) -> Option<ObjectKey> {
        None
    }

    fn shares(&self, _: &Rollout, _: &World) -> Option<Shares> {
        None
    }

    fn made_beside(&self, _: &Rollout, _: &ObjectKey, _: &Value) -> Option<ObjectKey> {
        None
    }

    fn accepted(&self, _: &Rollout, _: &World) -> Result<(), String> {
        Ok(())
    }

    fn finalize(&self, _: &Rollout, _: &World) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}
