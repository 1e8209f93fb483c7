//! Plans and questions in words. No content of any object, no payload and no path of a URL is shown: each may be secret.

use burgee_api::{DeliveryKind, Phase};
use burgee_core::decide::{self, Tick};
use burgee_core::notice::Names;
use burgee_core::plan::{Count, Plan, Step};
use burgee_core::question::{Ask, ProviderSource};
use burgee_core::timetable::Wake;
use burgee_core::world::ObjectKey;
use jiff::Timestamp;
use serde_json::Value;

/// One step.
pub(super) fn step(step: &Step, names: &Names) -> String {
    match step {
        Step::Create(object) => format!("create {}", named(object)),
        Step::Replace(object) => format!("replace {}", named(object)),
        Step::Drop(key) => format!("drop the kept template {key}"),
        Step::Patch { key, operations } => format!("patch {key}: {}", paths(operations)),
        Step::Keep(object) => format!("keep the promoted template as {}", named(object)),
        Step::CopyConfig(copy) => format!("copy {} to {}", copy.source, copy.name),
        Step::KeepConfigs { key, copies: _ } => format!("keep the promoted configs in {key}"),
        Step::RestoreConfigs(key) => format!("put the configs kept in {key} back"),
        Step::Tell(telling) => format!("say: {}", telling.notice.text(names)),
        Step::Status(status) => {
            format!(
                "write the status: phase {}, canary weight {}, failed checks {}",
                status.phase, status.canary_weight, status.failed_checks
            )
        }
        Step::Deliver(delivery) => match delivery.kind {
            DeliveryKind::Alert => format!("alert: {}", delivery.text),
            DeliveryKind::PostRollout => format!("call the post-rollout hooks for {}", delivery.phase),
        },
        Step::Count(Count::Completed) => "count a promotion".to_owned(),
        Step::Count(Count::Skipped) => "count a promotion without analysis".to_owned(),
        Step::Count(Count::Failed) => "count a failure".to_owned(),
        Step::Count(Count::Superseded(_)) => "count a run that another revision ended".to_owned(),
    }
}

fn named(object: &Value) -> String {
    ObjectKey::of(object).map_or_else(|| "an object".to_owned(), |key| key.to_string())
}

/// Which fields a JSON patch writes.
fn paths(operations: &Value) -> String {
    let writes = operations.as_array().into_iter().flatten().filter(|operation| operation["op"] != "test");
    let paths: Vec<&str> = writes.filter_map(|operation| operation["path"].as_str()).collect();
    paths.join(", ")
}

/// One question.
pub(super) fn ask(ask: &Ask) -> String {
    match ask {
        Ask::Hook { webhook, .. } => format!("webhook {} at {}", webhook.name, webhook.url),
        Ask::Measure { metric, source, query, .. } => {
            let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("metric {metric} of {}: {query}", provider(source))
        }
        Ask::Online { source } => format!("whether {} answers", provider(source)),
    }
}

fn provider(source: &ProviderSource) -> String {
    let address = &source.address;
    if address.is_empty() { source.provider_type.clone() } else { format!("{} at {address}", source.provider_type) }
}

/// When it would be looked at again.
pub(super) fn next(wake: Wake, now: Timestamp) -> Option<String> {
    match wake {
        Wake::OnChange => None,
        Wake::At(at) if at <= now => Some("at once".to_owned()),
        Wake::At(at) => Some(format!("in {} s, at {at:.0}", at.duration_since(now).as_secs())),
    }
}

/// Why the plan ends where it ends.
pub(super) fn reason(tick: &Tick, plan: &Plan) -> String {
    let status = tick.world.canary.status.clone().unwrap_or_default();
    let run = status.run.clone().unwrap_or_default();
    if tick.world.rival.is_some() {
        return "another canary, an older one, claims the same".to_owned();
    }
    if tick.rollout.suspended {
        return "spec.suspend is true".to_owned();
    }
    if let Some(moved) = plan.status().filter(|moved| moved.phase != status.phase) {
        return format!("the canary becomes {}", moved.phase);
    }
    if let Some(telling) = plan.steps.iter().rev().find_map(Step::telling) {
        return telling.notice.text(&tick.rollout.names());
    }
    if run.paused_since.is_some() && matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion) {
        return "the analysis is paused; `burgee resume` ends that".to_owned();
    }
    match decide::waiting_metrics(tick).as_slice() {
        [] => standing(status.phase, &run),
        waiting => unclean(waiting),
    }
}

/// Why these metrics are not asked yet.
pub(super) fn unclean(waiting: &[(&str, Timestamp)]) -> String {
    let metrics: Vec<String> = waiting.iter().map(|(metric, at)| format!("{metric} until {at:.0}")).collect();
    format!("these metrics still look back on requests of before this run, and are not asked: {}", metrics.join(", "))
}

/// Why a phase goes on.
fn standing(phase: Phase, run: &burgee_api::Run) -> String {
    let drains = run.drain_until.is_some();
    let text = match phase {
        Phase::Unset => "it has not been looked at yet",
        Phase::Initializing => "the primary is being set up",
        Phase::Initialized | Phase::Succeeded | Phase::Failed if drains => {
            "the target keeps its pods until no proxy sends it anything any more"
        }
        Phase::Initialized | Phase::Succeeded => "the target runs the promoted revision; a new one begins a run",
        Phase::Failed => "the revision failed; a new one, or `burgee retry`, begins a run",
        Phase::Waiting => "the gate before the run is closed, and asked every interval",
        Phase::Progressing => "each step is held for one interval; the next check is due then",
        Phase::WaitingPromotion => "the gate before the promotion is closed, and asked every interval",
        Phase::Promoting => "the primary gets ready for the traffic",
        Phase::Finalising => "the target keeps its pods until no proxy sends it anything any more",
        Phase::Terminating | Phase::Terminated => "the canary is being deleted",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use serde_json::json;

    #[test]
    fn a_question_names_whom_it_goes_to_and_shows_no_secret() {
        let webhook = json!({"name": "load", "url": "http://tester.test/token", "metadata": {"cmd": "secret"}});
        let webhook = serde_json::from_value(webhook).unwrap();
        let hook = Ask::Hook { webhook, payload: json!({"secret": 1}) };
        assert_eq!(ask(&hook), "webhook load at http://tester.test");
        let source = ProviderSource { provider_type: "prometheus".to_owned(), ..ProviderSource::default() };
        let query = "sum(\n  rate(x[1m])\n)".to_owned();
        let (metric, window) = ("rate".to_owned(), SignedDuration::from_mins(1));
        let measure = Ask::Measure { metric, scale: 1.0, source, query, window };
        assert_eq!(ask(&measure), "metric rate of prometheus: sum( rate(x[1m]) )");
    }

    #[test]
    fn a_step_names_the_object_and_the_fields_but_no_content() {
        let names = Names {
            canary: "podinfo".to_owned(),
            namespace: "test".to_owned(),
            target: "podinfo".to_owned(),
            target_kind: "Deployment".to_owned(),
        };
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo-primary", "namespace": "test"},
            "spec": {"secret": 1},
        });
        assert_eq!(step(&Step::Replace(object.clone()), &names), "replace Deployment podinfo-primary.test");
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "replace", "path": "/spec/replicas", "value": 0},
        ]);
        let key = ObjectKey::of(&object).unwrap();
        let patch = Step::Patch { key, operations };
        assert_eq!(step(&patch, &names), "patch Deployment podinfo-primary.test: /spec/replicas");
    }
}
