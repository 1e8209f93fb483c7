//! The dashboards: every query of every panel is asked of Prometheus while canaries are promoted and rolled back.
use super::edits::{ask, hook};
use super::objects::{SHORT, revision};
use super::receiver::Answer;
use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::query;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "every_query_of_every_panel_has_data_while_canaries_are_promoted_and_rolled_back",
    space: "panels",
    group: Group::Loaded,
    limit: Duration::from_mins(5),
    run: panels,
}];

/// Requests per second.
const RATE: u32 = 50;

/// The dashboards that must have data, and what stands for the namespace in them.
const BOARDS: [(&str, &str); 3] = [("istio", "panels"), ("envoy", ".*"), ("controller", "panels")];

/// What the run cannot have data for: a part of the query, and why.
const EXCEPTIONS: [(&str, &str); 5] = [
    ("connection_security_policy=\"mutual_tls\"", "the lab's pods have no sidecars, and so no mTLS"),
    ("reporter=\"source\"", "the lab's pods have no sidecars that tell what they ask"),
    ("burgee_write_conflicts_total", "nobody else writes what the operator writes"),
    ("> 0) unless on (namespace, name)", "a note of holds: nobody holds a run"),
    ("(burgee_leader == 1) unless", "a note of a new leader: there is none"),
];

/// One query of a panel.
struct Query {
    shown: String,
    text: String,
}

/// The text of a dashboard.
fn board(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../charts/grafana/dashboards/{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// The panels of a dashboard that show something.
fn shown(board: &Value) -> impl Iterator<Item = &Value> {
    board["panels"].as_array().into_iter().flatten().filter(|panel| panel["type"] != "row")
}

/// The queries of a dashboard: those of its panels, of its variables, and of its notes at any time of the run.
fn queries(name: &str, namespace: &str) -> Result<Vec<Query>> {
    let board = board(name)?;
    let list = |at: &str| board.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found = Vec::new();
    for panel in shown(&board) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].clone(), text(&target["expr"]).context("a target has no query")?));
        }
    }
    for note in list("/annotations/list").iter().filter(|note| note["expr"].is_string()) {
        found.push((
            note["name"].clone(),
            format!("count_over_time(({})[5m:1s])", text(&note["expr"]).unwrap_or_default()),
        ));
    }
    for variable in list("/templating/list").iter().filter(|one| one["type"] == "query") {
        let asked = text(&variable["definition"]).context("a variable has no query")?;
        let inner = asked.split_once('(').and_then(|(kind, rest)| {
            let rest = rest.strip_suffix(')')?;
            if kind == "label_values" { rest.rsplit_once(", ").map(|(series, _)| series) } else { Some(rest) }
        });
        found.push((variable["name"].clone(), inner.with_context(|| format!("{asked} is no query"))?.to_owned()));
    }
    let fill =
        |(title, text): (Value, String)| Query { shown: format!("{name}, {title}"), text: filled(&text, namespace) };
    let queries: Vec<Query> = found.into_iter().map(fill).collect();
    let left: Vec<&str> = queries.iter().map(|one| one.text.as_str()).filter(|text| is_unfilled(text)).collect();
    ensure!(
        left.is_empty() && queries.len() > 20,
        "{name}: {} queries, of which {left:?} have variables",
        queries.len()
    );
    Ok(queries)
}

/// A query with the dashboard's variables filled in.
fn filled(text: &str, namespace: &str) -> String {
    let values = [
        ("$__rate_interval", "1m"),
        ("$namespace", namespace),
        ("$primary", "podinfo-primary"),
        ("$canary", "podinfo"),
        ("$target", "podinfo"),
    ];
    values.iter().fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

/// Whether a variable is left; `$1` is one of a regular expression.
fn is_unfilled(text: &str) -> bool {
    text.replace("\"$1\"", "").contains('$')
}

fn panels(stage: &Stage<'_>) -> Result<()> {
    if stage.world().lab.is_none() {
        stage.note("not run: the Prometheus of a cluster that exists may scrape neither the operator nor cAdvisor");
        return Ok(());
    }
    let mut all = Vec::new();
    for (name, namespace) in BOARDS {
        all.extend(queries(name, namespace)?);
    }
    let asked = all.len();
    all.retain(|query| !EXCEPTIONS.iter().any(|(part, _)| query.text.contains(part)));
    let excepted = asked - all.len();
    let mut without = all;
    let mut canary = stage.object(SHORT)?;
    ask(&mut canary, &[hook(stage, "gate", "rollout")]);
    stage.answer("gate", Answer::Status(200, "OK"));
    stage.initialize(&canary)?;
    stage.until_open()?;
    let load = stage.load(RATE)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    look_until(stage, &mut without, "Succeeded")?;
    // A question without an answer, and a hook that does not pass: the next version is rolled back.
    let silent = json!([{"name": "silent", "interval": "10s", "thresholdRange": {"min": 1}, "query": "absent_series"}]);
    set_metrics(stage, &silent)?;
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_told("Halt advancement no values found *", 60)?;
    stage.answer("gate", Answer::Status(500, "no"));
    look_until(stage, &mut without, "Failed")?;
    // What was counted last is read by Prometheus a little later.
    for _ in 0..5 {
        look(stage, &mut without);
    }
    load.stop()?;
    let missing: Vec<_> = without.iter().map(|query| format!("{}: {}", query.shown, query.text)).collect();
    ensure!(missing.is_empty(), "{} queries had no data:\n{}", missing.len(), missing.join("\n"));
    stage.note(&format!("{} queries had data, {excepted} were excepted", asked - excepted));
    Ok(())
}

fn set_metrics(stage: &Stage<'_>, metrics: &Value) -> Result<()> {
    stage.patch("canary/podinfo", &json!({"spec": {"analysis": {"metrics": metrics}}}))
}

/// Asks what had no data yet, again and again until the canary is in this phase.
fn look_until(stage: &Stage<'_>, without: &mut Vec<Query>, phase: &str) -> Result<()> {
    stage.until(&format!("phase {phase}"), 150, || {
        look(stage, without);
        Ok(stage.phase() == phase)
    })
}

/// Asks what had no data yet. A query that cannot be asked has none.
fn look(stage: &Stage<'_>, without: &mut Vec<Query>) {
    let has_data =
        |one: &Query| matches!(query(&stage.world().cluster, &one.text), Ok(Some(value)) if value.is_finite());
    without.retain(|one| !has_data(one));
    std::thread::sleep(Duration::from_secs(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [(&str, &str, &str, &[&str]); 4] = [
        ("istio", "flagger-istio", "Istio Canary", &["datasource", "namespace", "primary", "canary"]),
        ("envoy", "flagger-envoy", "Envoy Canary", &["datasource", "namespace", "target"]),
        ("appmesh", "flagger-appmesh", "AppMesh Canary", &["datasource", "namespace", "primary", "canary"]),
        ("controller", "burgee-controller", "Burgee", &["datasource", "namespace"]),
    ];

    #[test]
    fn dashboards_have_the_addresses_that_runbooks_link_to() {
        for (name, uid, title, variables) in ADDRESSES {
            let board = board(name).unwrap();
            assert_eq!((&board["uid"], &board["title"]), (&json!(uid), &json!(title)));
            let named: Vec<_> =
                board["templating"]["list"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
            assert_eq!(named, variables, "{name}");
        }
    }

    #[test]
    fn every_panel_says_what_it_shows_and_in_which_unit() {
        for (name, ..) in ADDRESSES {
            let board = board(name).unwrap();
            let titles: Vec<_> = shown(&board).map(|panel| &panel["title"]).collect();
            assert!(titles.len() > 20, "{name} has {} panels", titles.len());
            for panel in shown(&board) {
                let title = &panel["title"];
                assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{name}: {title}");
                assert!(panel.pointer("/fieldConfig/defaults/unit").is_some(), "{name}: {title}");
                assert!(panel["targets"].as_array().is_some_and(|list| !list.is_empty()), "{name}: {title}");
            }
        }
    }

    #[test]
    fn every_variable_of_a_query_is_one_of_the_dashboards() {
        for (name, ..) in ADDRESSES {
            assert!(queries(name, "test").is_ok_and(|found| found.len() > 20), "{name}");
        }
    }
}
