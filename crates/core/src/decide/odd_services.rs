//! Services that lead to others besides the canary's own pods. They stop nothing.

use super::tick::Tick;
use crate::notice::Notice;
use crate::rollout::Rollout;
use crate::services::Role;
use crate::world::Stranger;

/// What is said once in a run of Services that lead to others besides the canary's own pods (S49, S50).
pub(super) fn odd_services(tick: &Tick) -> Vec<Notice> {
    let apex = tick.world.present(&Role::Apex.key(tick.rollout)).filter(|_| tick.rollout.target_kind.has_pods());
    let outside = apex.filter(|apex| apex["spec"]["type"] == "ExternalName").map(|apex| {
        let name = apex["spec"]["externalName"].as_str().unwrap_or_default();
        let Rollout { apex, namespace, .. } = tick.rollout;
        format!("Service {apex}.{namespace} is of type ExternalName and leads to {name}, not to the primary")
    });
    let strangers = tick.world.strangers.iter().map(Stranger::text);
    outside.into_iter().chain(strangers).map(Notice::Problem).collect()
}
