//! A revision whose run does not begin: since when it waits is remembered, and the reason told once it is overdue.

use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;

const LATE: &str = "The new revision of podinfo.test waits longer than the progress deadline: ";

fn play(script: &str) -> Result<Stage, String> {
    Scenario::parse(&format!("use podinfo\n{script}"))?.play()
}

/// When it was told that the revision of second 30 waits, and why.
fn told(stage: &Stage) -> Vec<(i64, &str)> {
    stage.film.told().filter_map(|frame| Some((frame.second, frame.text.strip_prefix(LATE)?))).collect()
}

fn check(obstacle: &str, reason: &str) -> Result<(), String> {
    let stage = play(&format!("{obstacle}\nat 30s image podinfo:6.0.1\nat 200s end\n"))?;
    assert_eq!(told(&stage), [(90, reason)], "{}", stage.film);
    assert!(stage.status()["run"]["pendingSince"].is_string(), "{}", stage.film);
    Ok(())
}

#[test]
fn a_revision_that_waits_longer_than_the_progress_deadline_is_told_with_the_reason() -> Result<(), String> {
    let gate = "---\nkind: Canary\nspec: {analysis: {webhooks: [{name: start, type: confirm-rollout, url: \"http://tester.test/\"}]}}";
    check("at 20s brake on", "new runs are paused")?;
    check("at 20s set canary /spec/suspend true", "the canary is suspended")?;
    check(&format!("{gate}\nat 20s hook start fails no"), "a gate before the run is closed")?;
    check(
        "at 20s pods podinfo-primary crash 2",
        "podinfo-primary.test not ready: waiting for rollout to finish: 0 of 2 (readyThreshold 100%) updated replicas are available",
    )
}

#[test]
fn whoever_begins_in_time_or_goes_back_is_not_told_of_and_waits_no_more() -> Result<(), String> {
    let brake = "at 20s brake on\nat 30s image podinfo:6.0.1\n";
    for end in [
        "at 80s brake off",
        "at 80s image podinfo:6.0.0",
        "at 80s set canary /spec/skipAnalysis true\nat 81s brake off",
    ] {
        let stage = play(&format!("{brake}{end}\nat 300s end\n"))?;
        assert_eq!(told(&stage), [], "{end}\n{}", stage.film);
        assert!(stage.status()["run"]["pendingSince"].is_null(), "{end}\n{}", stage.film);
    }
    Ok(())
}

#[test]
fn a_restarted_operator_tells_it_at_the_same_time_and_once() -> Result<(), String> {
    let stage = play("at 20s brake on\nat 30s image podinfo:6.0.1\nat 60s restart\nat 150s restart\nat 300s end\n")?;
    assert_eq!(told(&stage), [(90, "new runs are paused")], "{}", stage.film);
    Ok(())
}
