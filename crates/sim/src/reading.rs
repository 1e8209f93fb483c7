//! The canary as it is stored, parsed once for each version of it. It looks at nothing else.

use std::sync::Arc;

use burgee_api::Canary;
use burgee_core::bounds::Bounds;
use burgee_core::dependencies;
use burgee_core::rollout::Rollout;
use burgee_core::router;
use burgee_core::settings::Settings;
use burgee_core::split::Split;
use burgee_core::world::{ObjectKey, World};
use serde_json::Value;

use crate::cluster::Cluster;

/// What one stored version of a canary says and means.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What was written.
    pub(crate) canary: Arc<Canary>,
    /// What it means, or why it cannot be meant.
    pub(crate) rollout: Result<Rollout, String>,
    /// What every tick of it reads.
    pub(crate) reads: Vec<ObjectKey>,
    /// What may be written for it.
    pub(crate) bounds: Bounds,
    /// What of that are routes.
    routes: Vec<ObjectKey>,
}

impl Reading {
    fn new(object: &Value, settings: &Settings) -> Option<Self> {
        let canary = Canary::read_value(object).ok()?;
        let rollout = Rollout::salvage(&canary, settings);
        let reads = rollout.as_ref().map_or_else(|_| Vec::new(), dependencies::objects);
        let routes = rollout.as_ref().map_or_else(|_| Vec::new(), |rollout| router::of(rollout).reads(rollout));
        let bounds = match &rollout {
            Ok(rollout) => Bounds::of(rollout, &canary),
            Err(_) => Bounds::of_nobody(&ObjectKey::of(object)?),
        };
        Some(Self { canary: Arc::new(canary), rollout, reads, bounds, routes })
    }
}

/// The newest reading, and the split that was read with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    known: Option<(Arc<Value>, Settings, Option<Arc<Reading>>)>,
    split: Option<(Arc<Reading>, Routes, Option<Split>)>,
}

/// The routes as they are stored.
type Routes = Vec<Option<Arc<Value>>>;

impl Reader {
    /// The canary as this object says; none if it cannot be read.
    pub(crate) fn read(&mut self, object: &Arc<Value>, settings: &Settings) -> Option<Arc<Reading>> {
        if let Some((known, with, reading)) = &self.known
            && Arc::ptr_eq(known, object)
            && with == settings
        {
            return reading.clone();
        }
        let reading = Reading::new(object, settings).map(Arc::new);
        self.known = Some((Arc::clone(object), settings.clone(), reading.clone()));
        reading
    }

    /// How the routes split the traffic as they are stored; none before there are any.
    pub(crate) fn split(&mut self, reading: &Arc<Reading>, cluster: &Cluster) -> Option<Split> {
        let objects: Routes = reading.routes.iter().map(|key| cluster.shared(key).cloned()).collect();
        if let Some((known, seen, split)) = &self.split
            && Arc::ptr_eq(known, reading)
            && are_same(seen, &objects)
        {
            return *split;
        }
        let rollout = reading.rollout.as_ref().ok()?;
        let mut world = World::new(Arc::clone(&reading.canary));
        world.objects = reading.routes.iter().map(|key| (key.clone(), cluster.observe(key))).collect();
        let split = router::of(rollout).read(rollout, &world).ok().flatten();
        self.split = Some((Arc::clone(reading), objects, split));
        split
    }
}

fn are_same(one: &[Option<Arc<Value>>], two: &[Option<Arc<Value>>]) -> bool {
    one.len() == two.len()
        && one.iter().zip(two).all(|pair| match pair {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
}
