//! Wrong input: each mistake is told where its maker looks, and hurts nobody else.
use super::edits::{ask, end_at_first_failure, refer_to_autoscaler, small, unmeasured};
use super::objects::{SHORT, revision, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(3);

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_hook_that_never_answers_or_answers_ten_megabytes_fails_and_holds_up_nothing_else",
        space: "endless",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: endless,
    },
    Test {
        name: "a_provider_that_answers_ten_megabytes_or_nothing_holds_its_run_until_it_answers_well",
        space: "provider",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: provider,
    },
    Test {
        name: "a_missing_template_is_named_and_fails_the_checks",
        space: "untemplated",
        group: Group::Parallel,
        limit: LIMIT,
        run: untemplated,
    },
    Test {
        name: "a_missing_target_is_named_until_it_comes",
        space: "untargeted",
        group: Group::Parallel,
        limit: LIMIT,
        run: untargeted,
    },
    Test {
        name: "a_missing_autoscaler_is_named_until_it_comes",
        space: "unscaled",
        group: Group::Parallel,
        limit: LIMIT,
        run: unscaled,
    },
    Test {
        name: "a_selector_without_a_usable_label_is_told_with_the_usable_ones",
        space: "unlabelled",
        group: Group::Parallel,
        limit: LIMIT,
        run: unlabelled,
    },
    Test {
        name: "a_second_canary_of_one_target_is_invalid_and_says_so",
        space: "doubled",
        group: Group::Parallel,
        limit: LIMIT,
        run: doubled,
    },
    Test {
        name: "the_api_server_refuses_an_invalid_canary_and_names_the_field",
        space: "invalid",
        group: Group::Parallel,
        limit: LIMIT,
        run: invalid,
    },
];

/// A small podinfo and its Canary, without waiting for anything.
fn begin(stage: &Stage<'_>, canary: &Value) -> Result<()> {
    stage.apply(&small(stage)?)?;
    stage.apply(canary)
}

fn endless(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 50, 50)?;
    let slow = json!({"name": "slow", "type": "pre-rollout", "url": stage.hook_url("slow"), "timeout": "3s"});
    ask(&mut canary, &[slow]);
    end_at_first_failure(&mut canary);
    stage.answer("slow", Answer::Never);
    begin(stage, &canary)?;
    stage.until_phase("Initialized", 90)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Failed", 60)?;
    let url = super::story::neutral(&stage.hook_url("slow"), stage.namespace());
    let halt = "Halt podinfo.test advancement pre-rollout check slow failed";
    stage.until_told(&format!("{halt} POST {url} giving up after 1 attempt(s)*"), 10)?;
    stage.answer("slow", Answer::Bulk(400, 10 << 20));
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_phase("Progressing", 30)?;
    stage.until_phase("Failed", 60)?;
    let halts: Vec<String> =
        stage.told().into_iter().map(|told| told.text).filter(|text| text.starts_with(halt)).collect();
    ensure!(halts.len() == 2, "the failures are {halts:?}");
    for reason in ["unanswered", "refused"] {
        let label = format!("reason=\"{reason}\",type=\"pre-rollout\",webhook=\"slow\"");
        stage.poll("the counter says why", 15, || {
            Ok(stage.metric_with("burgee_webhook_failures_total", &label)? == Some(1.0))
        })?;
    }
    let shown = stage.canary()["status"]["run"]["lastFailure"].as_str().unwrap_or_default().to_owned();
    let shown = super::story::neutral(&shown, stage.namespace());
    ensure!(shown.starts_with(halt) && shown.len() <= 1024, "the status says {shown}");
    let longest = halts.iter().map(String::len).max().unwrap_or_default();
    ensure!(longest <= 1100, "an event has {longest} bytes");
    Ok(())
}

fn provider(stage: &Stage<'_>) -> Result<()> {
    let template = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "orders"},
        "spec": {"provider": {"type": "prometheus", "address": stage.hook_url("metrics")}, "query": "sum(orders)"},
    });
    stage.apply(&template)?;
    let mut canary = stage.object(SHORT)?;
    let metric =
        json!([{"name": "orders", "interval": "10s", "templateRef": {"name": "orders"}, "thresholdRange": {"max": 1}}]);
    set(&mut canary, "/spec/analysis/metrics", metric);
    end_at_first_failure(&mut canary);
    let query = "metrics/api/v1/query";
    stage.answer(query, Answer::Status(200, GOOD));
    begin(stage, &canary)?;
    stage.until_phase("Initialized", 90)?;
    stage.answer(query, Answer::Bulk(200, 10 << 20));
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Metric query failed for orders: *", 60)?;
    stage.until("the condition says so", 10, || Ok(condition(&stage.canary(), "Held").is_some()))?;
    stage.answer(query, Answer::Never);
    let asked = stage.calls(query).len();
    stage.until("the provider is asked again", 30, || Ok(stage.calls(query).len() > asked))?;
    stage.poll("the gauge says held", 15, || {
        Ok(stage.metric("burgee_canary_held_seconds")?.is_some_and(|held| held > 0.0))
    })?;
    let unanswered = stage.metric_with("burgee_provider_failures_total", "metric=\"orders\",reason=\"unanswered\"")?;
    ensure!(unanswered.is_some_and(|times| times > 0.0), "the counter says {unanswered:?}");
    ensure!(stage.phase() == "Progressing", "the canary is {}", stage.phase());
    stage.answer(query, Answer::Status(200, GOOD));
    stage.until_told("Metrics provider answers again, resuming podinfo.test", 60)?;
    stage.until_phase("Succeeded", 90)?;
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        "Canary analysis on hold, metrics provider not answering: *",
        "Canary analysis completed successfully, promotion finished.",
    ])
}

/// An answer of Prometheus with one good value.
const GOOD: &str =
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"0.5"]}]}}"#;

/// A condition that is true.
fn condition(canary: &Value, kind: &str) -> Option<Value> {
    let conditions = canary["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True").cloned()
}

/// The condition and the metric name the mistake with the words of its event.
fn shows(stage: &Stage<'_>, reason: &str, message: &str) -> Result<()> {
    stage.until("the condition says so", 10, || {
        let shown = condition(&stage.canary(), "Invalid").unwrap_or_default();
        Ok(shown["reason"] == reason && shown["message"].as_str().is_some_and(|text| text.starts_with(message)))
    })?;
    stage.poll("the gauge says why", 15, || {
        Ok(stage.metric_with("burgee_canary_invalid", &format!("reason=\"{reason}\""))? == Some(1.0))
    })
}

/// Once the mistake is mended nothing speaks of it any more.
fn shows_none(stage: &Stage<'_>) -> Result<()> {
    stage.until("the condition is gone", 10, || Ok(condition(&stage.canary(), "Invalid").is_none()))?;
    stage.poll("the gauge is 0", 15, || Ok(stage.metric("burgee_canary_invalid")? == Some(0.0)))
}

fn untemplated(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    let metric = json!([{"name": "orders", "interval": "10s", "templateRef": {"name": "nothing"}, "thresholdRange": {"max": 1}}]);
    set(&mut canary, "/spec/analysis/metrics", metric);
    begin(stage, &canary)?;
    stage.until_told("Error checking metric providers: metric template nothing.test error: *", 60)?;
    stage.until_phase("Initialized", 90)?;
    shows(stage, "TemplateMissing", "Metric template nothing.")?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Failed", 90)?;
    let halts = stage.times_told("Metric template nothing.test error: *");
    ensure!(halts == 2, "the missing template was told {halts} times");
    stage.until_told("Rolling back podinfo.test failed checks threshold reached 2", 10).map(drop)
}

fn untargeted(stage: &Stage<'_>) -> Result<()> {
    stage.apply(&unmeasured(stage, 50, 50)?)?;
    stage.until_told("deployment podinfo.test get query error: *", 30)?;
    shows(stage, "TargetMissing", "deployment podinfo.")?;
    stage.apply(&small(stage)?)?;
    stage.until_phase("Initialized", 60)?;
    shows_none(stage)
}

fn unscaled(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 50, 50)?;
    refer_to_autoscaler(&mut canary);
    begin(stage, &canary)?;
    stage.until_told("HorizontalPodAutoscaler podinfo.test get query error: *", 60)?;
    shows(stage, "ScalerMissing", "HorizontalPodAutoscaler podinfo.")?;
    stage.apply(&stage.object(super::objects::AUTOSCALER)?)?;
    stage.until_phase("Initialized", 60)?;
    shows_none(stage)
}

fn unlabelled(stage: &Stage<'_>) -> Result<()> {
    let mut deployment = small(stage)?;
    set(&mut deployment, "/spec/selector/matchLabels", json!({"tier": "web"}));
    set(&mut deployment, "/spec/template/metadata/labels", json!({"tier": "web"}));
    stage.apply(&deployment)?;
    stage.apply(&unmeasured(stage, 50, 50)?)?;
    let text = "getSelectorLabel failed: deployment podinfo.test spec.selector.matchLabels must contain one of \
                [app name app.kubernetes.io/name]";
    stage.until_told(text, 30)?;
    shows(stage, "SelectorUnusable", "getSelectorLabel failed: deployment podinfo.")?;
    ensure!(stage.get("deployment", "podinfo-primary").is_err(), "a primary was made");
    Ok(())
}

fn doubled(stage: &Stage<'_>) -> Result<()> {
    begin(stage, &unmeasured(stage, 50, 50)?)?;
    stage.until_phase("Initialized", 60)?;
    let mut second = unmeasured(stage, 50, 50)?;
    set(&mut second, "/metadata/name", json!("second"));
    stage.apply(&second)?;
    let told = stage.until_told("Invalid canary spec: *", 30)?;
    ensure!(told.kind == "Warning", "the event is {}", told.kind);
    stage.until("the condition says so", 10, || {
        let canary = stage.world().feed.canary(stage.namespace(), "second").unwrap_or_default();
        Ok(condition(&canary, "Invalid").is_some())
    })?;
    stage.poll("the gauge says invalid", 15, || {
        Ok(stage.metric_with("burgee_canary_invalid", "canary=\"second\"")? == Some(1.0))
    })?;
    ensure!(stage.phase() == "Initialized", "the first canary is {}", stage.phase());
    Ok(())
}

fn invalid(stage: &Stage<'_>) -> Result<()> {
    let check = |path: &str, value: Value| -> Result<()> {
        let mut canary = unmeasured(stage, 50, 50)?;
        set(&mut canary, path, value);
        let field = path.trim_start_matches('/').replace('/', ".");
        let refusal = stage.apply(&canary).err().with_context(|| format!("a wrong {field} is accepted"))?.to_string();
        ensure!(refusal.contains(&field), "the refusal does not name {field}: {refusal}");
        Ok(())
    };
    check("/spec/analysis/interval", json!("ten"))?;
    check("/spec/analysis/stepWeight", json!("ten"))?;
    check("/spec/provider", json!("nobody"))?;
    check("/spec/targetRef/kind", json!(7))
}
