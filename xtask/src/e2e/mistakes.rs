//! Wrong input: each mistake is told where its maker looks, and hurts nobody else.
use super::edits::{ask, end_at_first_failure, refer_to_autoscaler, small, unmeasured};
use super::objects::{SHORT, revision, set};
use super::receiver::Answer;
use super::stage::{Stage, beside};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
        name: "a_canary_that_only_the_operator_can_refuse_is_invalid_until_it_is_mended",
        space: "aimless",
        group: Group::Parallel,
        limit: LIMIT,
        run: aimless,
    },
    Test {
        name: "the_api_server_drops_fields_that_no_canary_has",
        space: "pruned",
        group: Group::Parallel,
        limit: LIMIT,
        run: pruned,
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

/// A Canary that asks a hook without an answer before its first weight, and tells a chat that does not answer either.
fn unanswered(stage: &Stage<'_>) -> Result<Value> {
    let chat = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"},
        "spec": {"type": "slack", "channel": "team", "username": "burgee", "address": stage.hook_url("chat")},
    });
    stage.apply(&chat)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    let slow = json!({"name": "slow", "type": "pre-rollout", "url": stage.hook_url("slow"), "timeout": "3s"});
    ask(&mut canary, &[slow]);
    set(&mut canary, "/spec/analysis/threshold", json!(100));
    let alerts = json!([{"name": "team", "severity": "info", "providerRef": {"name": "chat"}}]);
    set(&mut canary, "/spec/analysis/alerts", alerts);
    stage.answer("slow", Answer::Never);
    stage.answer("chat", Answer::Never);
    Ok(canary)
}

/// What is told of a check that this hook has failed.
const SLOW_FAILED: &str = "Halt podinfo.test advancement pre-rollout check slow failed ";

fn endless(stage: &Stage<'_>) -> Result<()> {
    let bystander = beside(stage, "endless-beside")?;
    begin(&bystander, &unmeasured(&bystander, 50, 50)?)?;
    begin(stage, &unanswered(stage)?)?;
    stage.until_phase("Initialized", 90)?;
    bystander.until_phase("Initialized", 90)?;
    stage.release("deployment", "6.0.1")?;
    stage.until("the hook is asked", 60, || Ok(!stage.calls("slow").is_empty()))?;
    bystander.release("deployment", "6.0.1")?;
    let url = stage.hooks_at();
    let failure = format!("POST {url} giving up after 1 attempt(s): *");
    stage.until_told(&format!("{SLOW_FAILED}{failure}"), 60)?;
    shows(stage, "WebhookNotAnswering", &format!("pre-rollout webhook slow: {}", failure.trim_end_matches('*')))?;
    counts(stage, "unanswered")?;
    bystander.until_promoted(120)?;
    ensure!(condition(&bystander.canary(), "Invalid").is_none(), "the bystander is blamed: {}", bystander.canary());
    ensure!(stage.phase() == "Progressing", "beside the bystander the canary is {}", stage.phase());
    ensure!(!stage.calls("chat").is_empty(), "the chat that does not answer was not asked");
    roll_back_while_asked(stage)?;
    answer_much(stage)
}

/// The run that has failed too many checks is rolled back while its hook and its chat are still being waited for (I22, S17).
fn roll_back_while_asked(stage: &Stage<'_>) -> Result<()> {
    let minute = json!([
        {"op": "replace", "path": "/spec/analysis/webhooks/0/timeout", "value": "1m"},
        {"op": "replace", "path": "/spec/analysis/webhooks/0/url", "value": stage.hook_url("slower")},
    ]);
    stage.answer("slower", Answer::Never);
    stage.kubectl(&["patch", "canary/podinfo", "--type=json", "-p", &minute.to_string()])?;
    stage.until("the hook is asked for a minute", 60, || Ok(!stage.calls("slower").is_empty()))?;
    let asked = stage.calls("slower").first().map_or_else(Instant::now, |call| call.at);
    stage.patch("canary/podinfo", &json!({"spec": {"analysis": {"threshold": 1}}}))?;
    stage.until_phase("Failed", 30)?;
    let hung = asked.elapsed();
    ensure!(hung < Duration::from_secs(50), "the rollback came {hung:?} after the hook was asked");
    shows(stage, "WebhookNotAnswering", "pre-rollout webhook slow: ")
}

/// A refusal that is far too long: its event and status say so, and quote nothing of it.
fn answer_much(stage: &Stage<'_>) -> Result<()> {
    stage.answer("chat", Answer::Status(200, "OK"));
    stage.answer("slower", Answer::Bulk(400, 10 << 20));
    stage.release("deployment", "6.0.2")?;
    stage.until_phase("Progressing", 30)?;
    stage.until_phase("Failed", 60)?;
    shows(stage, "WebhookAnswerTooLong", "pre-rollout webhook slow: 400 Bad Request, answer longer than 64 KiB")?;
    counts(stage, "too-long")?;
    let halt = SLOW_FAILED.replace(".test", &format!(".{}", stage.namespace()));
    let expected = format!("{halt}400 Bad Request, answer longer than 64 KiB");
    let events = stage.list("events")?;
    let messages = events["items"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
    let long: Vec<&str> = messages.filter(|text| text.contains("answer longer")).collect();
    ensure!(long == [expected.as_str()], "the events of the long answer are {long:?}");
    let status = stage.canary_now()?["status"]["run"]["lastFailure"].clone();
    ensure!(status == expected.as_str(), "the status says {status}");
    Ok(())
}

/// The counter of the hook has this reason.
fn counts(stage: &Stage<'_>, reason: &str) -> Result<()> {
    let label = format!("reason=\"{reason}\",type=\"pre-rollout\",webhook=\"slow\"");
    stage.poll("the counter says why", 15, || {
        Ok(stage.metric_with("burgee_webhook_failures_total", &label)?.is_some_and(|times| times >= 1.0))
    })
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
    let told = stage
        .until_told("Metric query failed for orders: *answer longer than 256 KiB, a query must give one number", 60)?
        .text;
    stage.until("the condition says so", 10, || {
        let held = condition(&stage.canary(), "Held").unwrap_or_default();
        Ok(held["reason"] == "ProviderNotAnswering" && held["message"] == told.as_str())
    })?;
    let unanswered = || stage.metric_with("burgee_provider_failures_total", "metric=\"orders\",reason=\"unanswered\"");
    let much = unanswered()?.context("the counter has not counted the long answer")?;
    stage.answer(query, Answer::Never);
    stage.poll("the counter counts the silence too", 60, || Ok(unanswered()?.is_some_and(|times| times > much)))?;
    stage.poll("the gauge says held", 15, || {
        Ok(stage.metric("burgee_canary_held_seconds")?.is_some_and(|held| held > 0.0))
    })?;
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
    stage.until_told("Rolling back podinfo.test failed checks threshold reached 2", 10)?;
    let halts = stage.times_told("Metric template nothing.test error: *");
    ensure!(halts == 2, "the missing template was told {halts} times");
    Ok(())
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

/// Steps of 0 are numbers to the API server, and a run without an end to the operator.
fn aimless(stage: &Stage<'_>) -> Result<()> {
    begin(stage, &unmeasured(stage, 0, 50)?)?;
    let reason = "the analysis has no step, set stepWeight, stepWeights or iterations to more than 0";
    let told = stage.until_told(&format!("Invalid canary spec: {reason}"), 30)?;
    ensure!(told.kind == "Warning", "the event is {}", told.kind);
    shows(stage, "InvalidSpec", reason)?;
    ensure!(stage.get("deployment", "podinfo-primary").is_err(), "a primary was made");
    stage.patch("canary/podinfo", &json!({"spec": {"analysis": {"stepWeight": 50}}}))?;
    stage.until_phase("Initialized", 60)?;
    shows_none(stage)
}

/// kubectl refuses them before they are dropped, unless it is told not to look; other clients do not look.
fn pruned(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 50, 50)?;
    set(&mut canary, "/spec/analysis/patience", json!("much"));
    set(&mut canary, "/spec/color", json!({"of": "money"}));
    let refusal = stage.apply(&canary).err().context("unknown fields are accepted")?.to_string();
    for field in ["spec.analysis.patience", "spec.color"] {
        ensure!(refusal.contains(field), "the refusal does not name {field}: {refusal}");
    }
    let arguments = ["-n", stage.namespace(), "create", "--validate=ignore", "-f", "-"];
    stage.world().cluster.feed(&arguments, &canary.to_string())?;
    let stored = stage.canary_now()?["spec"].clone();
    ensure!(stored["analysis"]["stepWeight"] == 50, "the canary lost what it has: {stored}");
    ensure!(stored["color"].is_null() && stored["analysis"]["patience"].is_null(), "it was kept: {stored}");
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
