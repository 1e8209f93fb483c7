//! Tests of queries that are pointed at the primary: values of labels are changed, and nothing else.

use serde_json::json;

use super::*;
use crate::settings::Settings;
use crate::workload::selector;

fn selected(value: &str) -> Selector {
    let target = json!({"spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": value}}}});
    selector(&crate::fixtures::rollout(&json!({})), &Settings::default(), &target, None).unwrap()
}

fn pointed(kind: &str, query: &str) -> Option<String> {
    let selector = selected("mail-api");
    Names { target: "api", selector: Some(&selector) }.pointed(kind, query)
}

/// What becomes of a query of Prometheus when the target is `api` and its label `mail-api`.
#[track_caller]
fn check(query: &str, expected: &str) {
    assert_eq!(pointed("prometheus", query).as_deref(), Some(expected));
}

#[track_caller]
fn check_refused(query: &str) {
    assert_eq!(pointed("prometheus", query), None);
}

#[test]
fn a_label_value_is_changed_and_no_other_text_that_holds_it() {
    check(
        r#"sum(rate(api_requests_total{app="api"}[1m])) / count(api_up{job="my-api"})"#,
        r#"sum(rate(api_requests_total{app="api-primary"}[1m])) / count(api_up{job="my-api"})"#,
    );
    check(r#"up{svc="api-canary", old='api-primary'}"#, r#"up{svc="api-primary", old='api-primary'}"#);
    check(r"sum by (api) (up{app=`api`}) # of api", r"sum by (api) (up{app=`api-primary`}) # of api");
    check(r#"up{host="api.test.svc.cluster.local"}"#, r#"up{host="api-primary.test.svc.cluster.local"}"#);
    check(r#"up{a="x",b!="api"}"#, r#"up{a="x",b!="api-primary"}"#);
    check(r#"{"api.up", app="api"}"#, r#"{"api.up", app="api-primary"}"#);
}

#[test]
fn patterns_of_pods_are_changed_where_they_name_the_target_as_a_whole() {
    check(r#"up{pod=~"api-[0-9a-z]+-.*"}"#, r#"up{pod=~"api-primary-[0-9a-z]+-.*"}"#);
    check(r#"up{pod=~"api-.*"}"#, r#"up{pod=~"api-primary-.*"}"#);
    check(r#"up{pod=~"^(web|api)-.+$"}"#, r#"up{pod=~"^(web|api-primary)-.+$"}"#);
    check(r#"up{pod=~"api-canary-.*"}"#, r#"up{pod=~"api-primary-.*"}"#);
    check(r#"up{pod=~".*api.*"}"#, r#"up{pod=~".*api-primary.*"}"#);
    check(r#"up{pod=~"api-\\w+"}"#, r#"up{pod=~"api-primary-\\w+"}"#);
    check(r#"up{host=~"api\\.test", x=~"other\\.api"}"#, r#"up{host=~"api-primary\\.test", x=~"other\\.api"}"#);
    check(r#"up{pod=~"api-gateway-.*"}"#, r#"up{pod=~"api-gateway-.*"}"#);
}

#[test]
fn the_value_of_the_selecting_label_is_known_too() {
    check(r#"up{app_kubernetes_io_name="mail-api"}"#, r#"up{app_kubernetes_io_name="mail-api-primary"}"#);
    check(r#"up{label_app_kubernetes_io_name=~"mail-api"}"#, r#"up{label_app_kubernetes_io_name=~"mail-api-primary"}"#);
    check(r#"up{team="mail-api"}"#, r#"up{team="mail-api"}"#);
}

#[test]
fn a_query_that_is_not_about_the_target_stays() {
    check("rabbitmq_queue_messages{queue=\"orders\"}", "rabbitmq_queue_messages{queue=\"orders\"}");
    check("sum(rate(apiserver_requests[1m]))", "sum(rate(apiserver_requests[1m]))");
    check(r#"up{job="my-api"}"#, r#"up{job="my-api"}"#);
    check(r#"up{namespace="api", kube_cluster="api"}"#, r#"up{namespace="api", kube_cluster="api"}"#);
    check(r#"up{namespace="api", app="api"}"#, r#"up{namespace="api", app="api-primary"}"#);
    check(r#"up{container="api", pod=~"api-.*"}"#, r#"up{container="api", pod=~"api-primary-.*"}"#);
}

#[test]
fn a_query_that_names_the_target_where_nothing_tells_the_two_apart_is_refused() {
    check_refused("sum(rate(api_requests_total[1m]))");
    check_refused(r#"up{container="api"}"#);
    check_refused(r#"up{__name__="api"}"#);
    check_refused(r#"up{pod=~"[api]+"}"#);
    check_refused(r#"up{pod=~"api-.*", pod!~"api-primary-.*"}"#);
    check_refused(r#"up{app="api"#);
    check_refused(r#"up{app="api""#);
    check_refused(r#"up{{app="api"}}"#);
}

#[test]
fn queries_in_another_language_are_never_changed() {
    assert_eq!(pointed("loki", r#"rate({app="api"}[1m])"#).as_deref(), Some(r#"rate({app="api-primary"}[1m])"#));
    assert_eq!(pointed("postgresql", "SELECT count(*) FROM jobs").as_deref(), Some("SELECT count(*) FROM jobs"));
    assert_eq!(pointed("postgresql", "SELECT 1 FROM jobs WHERE app = 'api'"), None);
}

#[test]
fn any_text_is_read_without_a_panic() {
    for query in
        ["", "{", "}", "\"", "{=\"\"}", "{a=~\"\\\\", "é{é=\"é\"}", "{a=~\"[\"}", "{a=~\"\\\"}", "{a=~\"\\é\"}"]
    {
        for kind in ["prometheus", "other"] {
            let _ = pointed(kind, query);
        }
        let nobody = Names { target: "", selector: None };
        assert!(nobody.pointed("mysql", query).is_some(), "{query}");
    }
}

#[test]
fn a_pod_selector_means_the_primarys_pods() {
    let check = |text: &str, expected: &str| assert_eq!(pod_selector(text, &selected("api")), expected);
    check("app.kubernetes.io/name=api", "app.kubernetes.io/name=api-primary");
    check("tier=api, app.kubernetes.io/name == api,x!=api", "tier=api, app.kubernetes.io/name == api-primary,x!=api");
    check("app.kubernetes.io/name in (web, api),a in (api)", "app.kubernetes.io/name in (web, api-primary),a in (api)");
    check("app.kubernetes.io/name=my-api", "app.kubernetes.io/name=my-api");
    check("app=api", "app=api");
    check("", "");
}
