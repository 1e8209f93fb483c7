//! What is committed is what the binary prints. It must not need a cluster.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]

use std::path::Path;
use std::process::{Command, Stdio};

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee")).args(arguments).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

#[test]
fn the_chart_carries_the_generated_definitions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/burgee/crds/crd.yaml");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == printed(&["crds"]),
        "charts/burgee/crds/crd.yaml is not what the types say: run `cargo xtask bless`"
    );
}

#[test]
fn both_forms_say_the_same() {
    let yaml = printed(&["crds", "-o", "yaml"]);
    let documents: Vec<serde_json::Value> = yaml
        .split("\n---\n")
        .skip(1)
        .map(|document| yaml_serde::from_str(document).expect("each document is yaml"))
        .collect();
    let list: serde_json::Value = serde_json::from_str(&printed(&["crds", "--output", "json"])).expect("json");
    assert_eq!(list["items"], serde_json::Value::Array(documents));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burgee"));
    let mut child = command.arg("crds").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The definitions do not fit into a pipe, so the rest of them has no reader.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
