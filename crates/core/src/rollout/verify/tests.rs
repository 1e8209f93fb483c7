//! What is refused when a spec is read, what is told, and what is neither.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::canary;
use crate::settings::Settings;

/// The spec with these fields in its analysis.
fn analysed(fields: &Value) -> Value {
    let mut analysis = json!({"interval": "30s", "threshold": 5, "stepWeight": 10});
    for (field, value) in entries(fields) {
        analysis[field] = value.clone();
    }
    json!({"analysis": analysis})
}

#[track_caller]
fn check(spec: &Value, expected: &str) {
    let refused = Rollout::parse(&canary(spec), &Settings::default()).err();
    assert_eq!(refused.unwrap_or_default(), expected, "{spec}");
}

#[track_caller]
fn check_doubts(fields: &Value, expected: &[&str]) {
    let rollout = Rollout::parse(&canary(&analysed(fields)), &Settings::default());
    assert_eq!(
        rollout.map(|rollout| rollout.doubts),
        Ok(expected.iter().map(ToString::to_string).collect()),
        "{fields}"
    );
}

#[test]
fn what_is_no_duration_becomes_no_default() {
    let interval = |text: &str| analysed(&json!({"interval": text}));
    check(&interval("1h"), "");
    check(&interval("1h30m"), "");
    let unit =
        |unit: &str, text: &str| format!("spec.analysis.interval: time: unknown unit {unit:?} in duration {text:?}");
    check(&interval("1m 30s"), &unit("m ", "1m 30s"));
    check(&interval("1min"), &unit("min", "1min"));
    check(&interval("1m "), &unit("m ", "1m "));
    check(&interval("1m30"), "spec.analysis.interval: time: missing unit in duration \"1m30\"");
    check(&interval("99999999999h"), "spec.analysis.interval: time: invalid duration \"99999999999h\"");
    check(&interval("0s"), "spec.analysis.interval: 0s is not longer than nothing");
    let hook = |timeout: &str| analysed(&json!({"webhooks": [{"name": "a", "url": "http://a/", "timeout": timeout}]}));
    check(&hook("15s"), "");
    check(&hook("5"), "spec.analysis.webhooks[0].timeout: time: missing unit in duration \"5\"");
    let service = |field: &str, value: Value| json!({"service": {"port": 80, field: value}});
    check(&service("timeout", json!("15s")), "");
    check(&service("timeout", json!("")), "");
    check(&service("timeout", json!("15")), "spec.service.timeout: time: missing unit in duration \"15\"");
    let retries = service("retries", json!({"attempts": 3, "perTryTimeout": "1 s"}));
    check(&retries, "spec.service.retries.perTryTimeout: time: unknown unit \" s\" in duration \"1 s\"");
}

#[test]
fn the_window_of_a_metric_can_stand_in_a_query() {
    let window = |text: &str| {
        let metric = json!({"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": text});
        analysed(&json!({"metrics": [metric]}))
    };
    for text in ["30s", "1m", "1m30s", "1h", "1h30m10s", "500ms", "1s500ms"] {
        check(&window(text), "");
    }
    let field = "spec.analysis.metrics[0].interval: ";
    check(&window("1min"), &format!("{field}time: unknown unit \"min\" in duration \"1min\""));
    for text in ["1.5m", "30s1m", "1m1m", "+5s", "10us"] {
        check(&window(text), &format!("{field}{text} cannot stand in a query, write whole numbers such as 1m30s"));
    }
}

#[test]
fn a_share_is_a_percentage() {
    check(&analysed(&json!({"stepWeight": -5})), "spec.analysis.stepWeight: -5 is no percentage");
    let listed = analysed(&json!({"stepWeight": null, "stepWeights": [10, -1]}));
    check(&listed, "spec.analysis.stepWeights[1]: -1 is no percentage");
    check(
        &analysed(&json!({"primaryReadyThreshold": 150})),
        "spec.analysis.primaryReadyThreshold: 150 is no percentage",
    );
    check(&analysed(&json!({"mirror": true, "mirrorWeight": 150})), "spec.analysis.mirrorWeight: 150 is no percentage");
    check(&analysed(&json!({"mirror": true, "mirrorWeight": 0.5})), "");
    let deadline = "spec.progressDeadlineSeconds: set at least 1, or leave it out for 600";
    check(&json!({"progressDeadlineSeconds": 0}), deadline);
    check(&json!({"progressDeadlineSeconds": 60}), "");
}

#[test]
fn a_metric_that_no_value_fails_is_refused() {
    let metric = |name: &str, fields: &Value| {
        let mut metric = json!({"name": name});
        for (field, value) in entries(fields) {
            metric[field] = value.clone();
        }
        analysed(&json!({"metrics": [metric]}))
    };
    let rate = "spec.analysis.metrics[0]: request-success-rate passes at 0 %, set thresholdRange.min";
    for fields in [
        json!({}),
        json!({"thresholdRange": {}}),
        json!({"thresholdRange": {"min": 0}}),
        json!({"thresholdRange": {"max": 100}}),
        json!({"threshold": 0}),
    ] {
        check(&metric("request-success-rate", &fields), rate);
    }
    check(&metric("request-success-rate", &json!({"thresholdRange": {"min": 99}})), "");
    check(&metric("request-success-rate", &json!({"threshold": 99})), "");
    let range = "spec.analysis.metrics[0].thresholdRange: ";
    check(
        &metric("errors", &json!({"query": "errors", "thresholdRange": {}})),
        &format!("{range}no value fails, set min or max"),
    );
    let crossed = json!({"thresholdRange": {"min": 5, "max": 1}});
    check(&metric("request-duration", &crossed), &format!("{range}no value passes, min 5 is above max 1"));
    check(&metric("errors", &json!({"query": "errors"})), "");
}

#[test]
fn an_address_is_one_of_http() {
    let hook = |url: &str| analysed(&json!({"webhooks": [{"name": "gate", "url": url}]}));
    for url in ["http://gate.test/", "https://gate.test:8443/open?x=1", "http://10.0.0.1"] {
        check(&hook(url), "");
    }
    for url in ["", "gate.test", "/open", "ftp://gate.test/", "http://", "mailto:gate@test"] {
        check(&hook(url), "spec.analysis.webhooks[0].url: that of gate is no http or https address");
    }
    check(&json!({"metricsServer": "prometheus:9090"}), "spec.metricsServer: it is no http or https address");
    check(&json!({"metricsServer": "http://prometheus:9090"}), "");
}

#[test]
fn an_ab_test_is_for_some_of_the_requests() {
    let conditions = |matches: Value| analysed(&json!({"stepWeight": null, "iterations": 3, "match": matches}));
    let all = "spec.analysis.match[0]: it matches every request, name a header or another part of some";
    for condition in [
        json!({}),
        json!({"headers": {}}),
        json!({"uri": {"prefix": "/"}}),
        json!({"uri": {"regex": ".*"}, "ignoreUriCase": true}),
        json!({"sourceLabels": {}, "gateways": []}),
        json!({"uri": {"regex": "/.*"}}),
        json!({"uri": {"regex": ".+"}, "method": {"regex": "[A-Z]+"}}),
        json!({"uri": {"regex": "(.*)"}, "authority": {"regex": r"^[^/]*(:\d+)?$"}}),
        json!({"uri": {"regex": "(?i)/[^?]*"}}),
        json!({"scheme": {"regex": "https?"}}),
        json!({"scheme": {"prefix": "http"}}),
    ] {
        check(&conditions(json!([condition])), all);
    }
    let second = all.replace("[0]", "[1]");
    check(&conditions(json!([{"headers": {"x-canary": {"exact": "insider"}}}, {}])), &second);
    for condition in [
        json!({"headers": {"x-canary": {"exact": "insider"}}}),
        json!({"uri": {"prefix": "/beta"}}),
        json!({"uri": {"regex": "/beta.*"}}),
        json!({"uri": {"regex": "/"}}),
        json!({"uri": {"regex": "/|/beta/.*"}}),
        json!({"method": {"exact": "GET"}}),
        json!({"method": {"regex": "GET|POST"}}),
        json!({"scheme": {"regex": "https"}}),
        json!({"authority": {"regex": r".+\.example\.com(:\d+)?"}}),
        json!({"authority": {"exact": "beta.test"}}),
        json!({"port": 8080}),
        json!({"uri": {"prefix": "/"}, "port": 8080}),
        json!({"withoutHeaders": {"x-robot": {"exact": "1"}}}),
    ] {
        check(&conditions(json!([condition])), "");
    }
    let mut tcp = conditions(json!([{"port": 8080}]));
    tcp["service"] = json!({"port": 80, "appProtocol": "TCP"});
    check(&tcp, "A/B testing is not supported when using appProtocol tcp");
    let mut both = conditions(json!([{"uri": {"prefix": "/beta"}}]));
    both["service"] = json!({"port": 80, "match": [{"uri": {"prefix": "/api"}}]});
    check(&both, "spec.analysis.match[0].uri: spec.service.match[0] has another one, leave one out");
}

#[test]
fn a_condition_that_requests_meet_by_sending_nothing_is_doubtful() {
    let told = |condition: Value, expected: &[&str]| {
        check_doubts(&json!({"stepWeight": null, "iterations": 3, "match": [condition]}), expected);
    };
    let doubt = "spec.analysis.match[0]: it may hold for every request, name a header or another part of some";
    for condition in [
        json!({"gateways": ["mesh"]}),
        json!({"withoutHeaders": {"x-robot": {"exact": "1"}}}),
        json!({"withoutHeaders": {"cookie": {"regex": ".*a=b.*"}}, "gateways": ["mesh"], "uri": {"prefix": "/"}}),
    ] {
        told(condition, &[doubt]);
    }
    for condition in [
        json!({"port": 8080}),
        json!({"withoutHeaders": {":authority": {"exact": "a.test"}}}),
        json!({"withoutHeaders": {"x-robot": {"exact": "1"}}, "uri": {"prefix": "/beta"}}),
        json!({"gateways": ["mesh"], "sourceLabels": {"app": "a"}}),
    ] {
        told(condition, &[]);
    }
}

#[test]
fn a_window_much_longer_than_the_interval_is_doubtful() {
    let told = |interval: &str, window: Value, expected: &[&str]| {
        let metric = json!({"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": window});
        check_doubts(&json!({"interval": interval, "metrics": [metric]}), expected);
    };
    told("30s", json!("5m"), &[]);
    told("30s", json!(null), &[]);
    let doubt = "spec.analysis.metrics[0].interval: after another run the metric is not asked for";
    told("30s", json!("5m1s"), &[&format!("{doubt} 5m1s")]);
    told("10s", json!("1h"), &[&format!("{doubt} 1h")]);
}

#[test]
fn what_is_only_doubtful_is_told() {
    check_doubts(&json!({}), &[]);
    check_doubts(
        &json!({"interval": "5s"}),
        &["spec.analysis.interval: 5s is shorter than 10s, which is taken instead"],
    );
    let all = "spec.analysis.mirrorWeight: 0 is the default, all requests are copied";
    check_doubts(&json!({"mirror": true, "mirrorWeight": 0}), &[all]);
    let weights = |weights: &[i64]| json!({"stepWeight": null, "stepWeights": weights});
    check_doubts(&weights(&[1, 10, 50]), &[]);
    let field = "spec.analysis.stepWeights: ";
    check_doubts(
        &weights(&[50, 10, 10]),
        &[
            &format!("{field}50 is followed by 10, the canary gives traffic back"),
            &format!("{field}10 repeats, it is held for an interval each time"),
        ],
    );
    check_doubts(&weights(&[10, 101]), &["spec.analysis.stepWeights[1]: 101 is cut at 100"]);
    check_doubts(&json!({"maxWeight": 150}), &["spec.analysis.maxWeight: 150 is cut at 100"]);
    check_doubts(&weights(&[0, 10]), &[&format!("{field}0 is no step, it is left out")]);
    let metrics = json!({"metrics": [{"name": "request-duration"}]});
    check_doubts(
        &metrics,
        &["spec.analysis.metrics[0]: request-duration has no thresholdRange, any value above 0 fails"],
    );
}
