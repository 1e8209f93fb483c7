//! `burgee simulate` as its user sees it: the film of the example, and errors that say where.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Result<Output, std::io::Error> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Command::new(env!("CARGO_BIN_EXE_burgee")).arg("simulate").args(arguments).current_dir(root).output()
}

#[test]
fn the_example_is_promoted_step_by_step() -> Result<(), std::io::Error> {
    let output = simulate(&["-f", "crates/burgee/tests/canary.yaml"])?;
    let film = String::from_utf8_lossy(&output.stdout);
    for weight in [10, 20, 30, 40, 50] {
        assert!(film.contains(&format!("Advance podinfo.test canary weight {weight}")), "{film}");
    }
    assert!(film.contains("Promotion completed! Scaling down podinfo.test"), "{film}");
    assert!(film.contains("promoted after 5m19s at best; needs 2 + 2 pods (primary + canary)"), "{film}");
    assert!(film.contains("assumed: Deployment podinfo with 2 replicas"), "{film}");
    Ok(())
}

#[test]
fn a_row_for_programs_says_what_was_asked_and_answered() -> Result<(), Box<dyn std::error::Error>> {
    let output = simulate(&["-f", "crates/burgee/tests/canary.yaml", "-o", "json"])?;
    let film: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let row = film["frames"].as_array().and_then(|rows| rows.iter().find(|row| row["second"] == 123));
    let asked = row.map(|row| row["asked"].clone()).unwrap_or_default();
    assert!(asked.as_array().is_some_and(|asked| asked.contains(&"success-rate=100".into())), "{film}");
    Ok(())
}

#[test]
fn a_script_that_is_not_understood_is_named_with_its_line() -> Result<(), std::io::Error> {
    let script = std::env::temp_dir().join(format!("burgee-script-{}", std::process::id()));
    std::fs::write(&script, "at 60s new-revision\nat 70s dance\n")?;
    let output = simulate(&["-f", "crates/burgee/tests/canary.yaml", "--script", &script.to_string_lossy()])?;
    std::fs::remove_file(&script)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("dance") && errors.contains("not a command"), "{errors}");
    Ok(())
}

#[test]
fn a_file_that_is_no_yaml_is_named_with_its_document() -> Result<(), std::io::Error> {
    let file = std::env::temp_dir().join(format!("burgee-canary-{}", std::process::id()));
    std::fs::write(&file, "kind: Canary\nmetadata: {name: x}\n---\n{ not yaml")?;
    let output = simulate(&["-f", &file.to_string_lossy()])?;
    std::fs::remove_file(&file)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("document 2 at line 4"), "{errors}");
    Ok(())
}

/// The commands of a page, each with what it prints: lines after `$ burgee simulate …` in a `console` block.
fn renewed(page: &str) -> Result<String, std::io::Error> {
    let mut renewed = String::new();
    let mut is_output = false;
    for line in page.lines() {
        if line == "```" {
            is_output = false;
        }
        if is_output {
            continue;
        }
        renewed.push_str(line);
        renewed.push('\n');
        if let Some(command) = line.strip_prefix("$ burgee simulate ") {
            let arguments: Vec<&str> = command.split_whitespace().collect();
            renewed.push_str(&String::from_utf8_lossy(&simulate(&arguments)?.stdout));
            is_output = true;
        }
    }
    Ok(renewed)
}

#[test]
fn the_commands_of_the_page_print_what_it_shows() -> Result<(), std::io::Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/simulate.md");
    let page = std::fs::read_to_string(path)?;
    let expected = renewed(&page)?;
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, expected);
    }
    assert!(page == expected, "docs/reference/simulate.md shows something else: run `cargo xtask bless`");
    Ok(())
}

#[test]
fn a_refused_canary_fails_the_command() -> Result<(), std::io::Error> {
    let file = std::env::temp_dir().join(format!("burgee-refused-{}.yaml", std::process::id()));
    std::fs::write(
        &file,
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: x}\nspec:\n  targetRef: {apiVersion: apps/v1, \
         kind: Deployment, name: x}\n  service: {port: 80}\n  analysis: {interval: 10s, threshold: 1, stepWeight: 10, \
         sessionAffinity: {cookieName: a, primaryCookieName: a}}\n",
    )?;
    let output = simulate(&["-f", &file.to_string_lossy()])?;
    std::fs::remove_file(&file)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("the canary would be refused: can't use the same cookie name"), "{errors}");
    Ok(())
}

const CANARY: &str = "apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis:
    interval: 10s
    threshold: 2
    stepWeight: 25
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]
";

/// What the program prints as errors, for a file and a script of these contents in the directory of the test `name`.
fn check_error(name: &str, (yaml, script): (&str, &str), expected: &[&str]) -> Result<(), std::io::Error> {
    let directory = std::env::temp_dir().join(format!("burgee-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let (file, play) = (directory.join("canary.yaml"), directory.join("play.txt"));
    std::fs::write(&file, yaml)?;
    std::fs::write(&play, script)?;
    let output = simulate(&["-f", &file.to_string_lossy(), "--script", &play.to_string_lossy()])?;
    std::fs::remove_dir_all(&directory)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for expected in expected {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    Ok(())
}

#[test]
fn a_field_that_the_api_server_would_not_take_is_named_with_its_line() -> Result<(), std::io::Error> {
    let yaml = CANARY.replace("stepWeight: 25", "stepWeight: 25\n    stepWeigth: 25").replace("10s", "10 seconds");
    let yaml = format!("kind: ConfigMap\nmetadata: {{name: x}}\n---\n{yaml}");
    let expected = [
        "canary.yaml: document 2 at line 4: ",
        "spec.analysis.stepWeigth at line 14: there is no such field",
        "spec.analysis.interval at line 11: \"10 seconds\" does not match",
    ];
    check_error("fields", (&yaml, "at 60s end"), &expected)?;
    let yaml = CANARY.replace("threshold: 2", "threshold: two");
    check_error("types", (&yaml, "at 60s end"), &["spec.analysis.threshold at line 9: \"two\" is not a number"])?;
    let yaml = CANARY.replace("kind: Canary", "kind: Canry");
    check_error(
        "kinds",
        (&yaml, "at 60s end"),
        &["kind at line 2: \"Canry\" is no kind of flagger.app; there are Canary"],
    )
}

#[test]
fn two_canaries_of_one_name_are_named_with_their_files() -> Result<(), std::io::Error> {
    let yaml = format!("{CANARY}---\n{CANARY}");
    check_error(
        "twins",
        (&yaml, "at 60s end"),
        &["Canary test/podinfo is there 2 times: test/podinfo in ", "canary.yaml"],
    )
}

#[test]
fn a_canary_that_never_begins_fails_the_command() -> Result<(), std::io::Error> {
    let target = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: podinfo, namespace: test}\nspec:\n  selector: \
                  {matchLabels: {k8s-app: podinfo}}\n  template: {metadata: {labels: {k8s-app: podinfo}}, spec: {containers: \
                  [{name: a, image: a}]}}\n---\n";
    let selector = format!("{target}{CANARY}");
    check_error("selector", (&selector, "at 60s end"), &["the canary would never begin: ", "selector"])?;
    let daemonset = target.replace("Deployment", "DaemonSet").replace("k8s-app", "app");
    let daemonset = daemonset.replace("spec:\n  selector", "spec:\n  updateStrategy: {type: OnDelete}\n  selector");
    let daemonset = format!("{daemonset}{}", CANARY.replace("Deployment", "DaemonSet"));
    check_error("daemonset", (&daemonset, "at 60s end"), &["the canary would never begin: ", "OnDelete"])
}

#[test]
fn what_kubernetes_would_refuse_fails_the_command() -> Result<(), std::io::Error> {
    for (name, from, to, expected) in [
        ("port", "port: 9898", "port: 70000", "spec.service.port at line 6: 70000 is above its maximum of 65535"),
        ("ready", "threshold: 2", "threshold: 2\n    primaryReadyThreshold: 150", "150 is above its maximum of 100"),
        (
            "portname",
            "port: 9898",
            "port: 9898, portName: http_web",
            "refused: spec.service.portName: Kubernetes takes no",
        ),
        (
            "capitals",
            "name: podinfo}",
            "name: Podinfo}",
            "refused: targetRef.name \"Podinfo\" is no name that Kubernetes takes",
        ),
        ("name", "{name: podinfo,", "{name: Podinfo,", "metadata.name at line 3: \"Podinfo\" is no name"),
        (
            "hook",
            "    metrics",
            "    webhooks: [{name: gate, url: gate.test}]\n    metrics",
            "webhooks[0].url: that of gate",
        ),
        ("rate", "{min: 99}", "{max: 100}", "refused: spec.analysis.metrics[0]: request-success-rate passes at 0 %"),
    ] {
        check_error(name, (&CANARY.replacen(from, to, 1), "at 60s end"), &[expected])?;
    }
    let long = CANARY.replace("name: podinfo}", &format!("name: {}}}", "a".repeat(56)));
    check_error("long", (&long, "at 60s end"), &["refused: spec.targetRef.name: Kubernetes takes no Service named aaa"])
}

#[test]
fn several_canaries_play_with_the_others_there() -> Result<(), std::io::Error> {
    let other = CANARY.replace("name: podinfo, namespace", "name: second, namespace");
    let yaml = format!("{CANARY}---\n{other}");
    let expected = "test/second: the canary would be refused: target Deployment/podinfo is claimed by canary podinfo";
    check_error("rivals", (&yaml, "at 60s end"), &[expected])?;
    let directory = std::env::temp_dir().join(format!("burgee-several-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("canaries.yaml");
    std::fs::write(&file, format!("{CANARY}---\n{}", CANARY.replace("name: podinfo", "name: second")))?;
    let output = simulate(&["-f", &file.to_string_lossy()])?;
    std::fs::remove_dir_all(&directory)?;
    let played = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(played.starts_with("== test/podinfo\n") && played.contains("\n== test/second\n"), "{played}");
    assert_eq!(played.matches("promoted after").count(), 2, "{played}");
    Ok(())
}

/// An item of what `kubectl get -o yaml` prints.
fn item(object: &str, uid: &str, owner: &str) -> String {
    let kept =
        format!("resourceVersion: \"7\", generation: 3, creationTimestamp: 2026-01-01T00:00:00Z, uid: {uid}, {owner}");
    let object = object.replacen("namespace: test", &format!("namespace: test, {kept}"), 1);
    format!("- {}\n", object.trim_end().replace('\n', "\n  "))
}

#[test]
fn what_a_cluster_holds_is_played_as_its_users_wrote_it() -> Result<(), std::io::Error> {
    let deployment = |name: &str, replicas: u8| {
        let labels = format!("{{app: {name}}}");
        let template = format!("{{metadata: {{labels: {labels}}}, spec: {{containers: [{{name: app, image: app}}]}}}}");
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: test}}\nspec: {{replicas: \
             {replicas}, selector: {{matchLabels: {labels}}}, template: {template}}}"
        )
    };
    let owner = |kind: &str, uid: &str| {
        format!("ownerReferences: [{{apiVersion: {kind}, name: podinfo, uid: {uid}, controller: true}}]")
    };
    let canary = format!("{CANARY}status: {{phase: Succeeded, canaryWeight: 0, failedChecks: 0, iterations: 0}}\n");
    let items = [
        item(&canary, "c-1", ""),
        item(&deployment("podinfo", 0), "d-1", &owner("argoproj.io/v1, kind: Application", "a-1")),
        item(&deployment("podinfo-primary", 2), "d-2", &owner("flagger.app/v1beta1, kind: Canary", "c-1")),
    ];
    let file = std::env::temp_dir().join(format!("burgee-dump-{}.yaml", std::process::id()));
    let list = |items: &[String]| format!("apiVersion: v1\nitems:\n{}kind: List\nmetadata: {{}}\n", items.concat());
    for items in [&items[..], &items[..1]] {
        std::fs::write(&file, list(items))?;
        let output = simulate(&["-f", &file.to_string_lossy()])?;
        let played = String::from_utf8_lossy(&output.stdout);
        assert!(played.contains("promoted after"), "{played}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(played.contains("assumed: Deployment podinfo with"), items.len() == 1, "{played}");
    }
    std::fs::remove_file(&file)?;
    let wrong = items[0].replace("threshold: 2", "threshold: two");
    let second = wrong.replace("name: podinfo,", "name: second,");
    check_error(
        "dump",
        (&list(&[wrong, second]), ""),
        &["threshold at line 11: \"two\"", "threshold at line 23: \"two\""],
    )
}

#[test]
fn a_metric_with_a_space_in_its_name_is_played() -> Result<(), std::io::Error> {
    let metric = "metrics: [{name: error rate, query: errors, thresholdRange: {max: 1}}, {";
    let yaml = CANARY.replace("metrics: [{", metric);
    let script = "at 60s new-revision\nat 64s metric \"error rate\" many";
    check_error("spaces", (&yaml, script), &["line 2", "many is no number"])?;
    let script = "at 60s new-revision\nat 64s metric \"error rate\" 5\nat 65s metric \"other rate\" 5";
    check_error("other", (&yaml, script), &["line 3", "the canary has no metric other rate"])
}

#[test]
fn what_a_script_cannot_do_is_named_with_its_line() -> Result<(), std::io::Error> {
    for (name, script, expected) in [
        ("hook", "hook gate fails", "the canary has no hook gate; there is none"),
        ("metric", "metric errors 1", "the canary has no metric errors; there are request-success-rate"),
        ("latency", "latency 500", "the canary has no metric latency; there are request-success-rate"),
        ("pods", "pods podinf stuck app", "the canary has no workload podinf; there are podinfo, podinfo-primary"),
        ("create", "create Secret s", "no document is Secret s"),
        ("delete", "delete ConfigMap nothere", "there is no such object"),
        ("pointer", "set canary /spec/nope/deeper 5", "Canary podinfo.test has no /spec/nope"),
        ("replicas", "set target /spec/replicas abc", "/spec/replicas: \"abc\" is not a whole number"),
        ("type", "set canary /spec/analysis/threshold abc", "spec.analysis.threshold: \"abc\" is not a number"),
    ] {
        let script = format!("# why\nat 40s {script}\n");
        let line = format!("play.txt: line 2: `{}`: {expected}", script.lines().nth(1).unwrap_or_default());
        check_error(name, (CANARY, &script), &[&line])?;
    }
    Ok(())
}

#[test]
fn a_knative_canary_needs_no_other_file() -> Result<(), std::io::Error> {
    let path = std::env::temp_dir().join(format!("burgee-knative-{}.yaml", std::process::id()));
    std::fs::write(
        &path,
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: hello}\nspec:\n  provider: knative\n  targetRef: \
         {apiVersion: serving.knative.dev/v1, kind: Service, name: hello}\n  analysis: {interval: 10s, threshold: 2, \
         maxWeight: 50, stepWeight: 25}\n",
    )?;
    let output = simulate(&["-f", &path.to_string_lossy()])?;
    std::fs::remove_file(&path)?;
    let film = String::from_utf8_lossy(&output.stdout);
    assert!(film.contains("promoted after"), "{film}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The texts that are told, each once, without those that only say that pods are not ready.
fn story(film: &str) -> Vec<&str> {
    let rows = film.lines().filter(|row| !row.contains("  > ") && !row.contains("not ready: waiting"));
    let texts = rows.filter_map(|row| row.rsplit_once("  ")).map(|(_, text)| text);
    texts.filter(|text| text.contains("podinfo.test") || text.contains("all traffic")).collect()
}

#[test]
fn chance_changes_no_story_and_is_shown() -> Result<(), std::io::Error> {
    let quiet = simulate(&["-f", "crates/burgee/tests/canary.yaml"])?;
    let quiet = String::from_utf8_lossy(&quiet.stdout).into_owned();
    let mut marks = 0;
    for seed in 1..=6 {
        let output = simulate(&["-f", "crates/burgee/tests/canary.yaml", "--seed", &seed.to_string()])?;
        let film = String::from_utf8_lossy(&output.stdout);
        assert_eq!(story(&film), story(&quiet), "{film}");
        marks += film.matches("  > a write is refused").count() + film.matches("  > the operator dies").count();
    }
    assert!(marks > 6, "{marks}");
    Ok(())
}
