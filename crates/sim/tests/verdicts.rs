//! S25: a verdict looks at the requests of this revision alone. The metrics server of a play remembers what the version
//! before did, so whoever forgets that asks about it.

use std::path::Path;

use burgee_sim::mutations::worlds::FOREIGN_REQUESTS_ARE_FORGOTTEN;
use burgee_sim::scenario::Scenario;

fn scenario(name: &str) -> Result<Scenario, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.txt"));
    Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
}

#[test]
fn whoever_forgets_the_requests_of_before_asks_about_them() -> Result<(), String> {
    for name in ["fix-of-a-bad-version", "bad-version-after-a-good-one", "unclean-window-hides-nothing"] {
        let stage = scenario(name)?.play_mutated(FOREIGN_REQUESTS_ARE_FORGOTTEN)?;
        let found = stage.broken.unwrap_or_default();
        assert!(found.starts_with("S25 "), "{name}: {found}\n{}", stage.film);
        assert_eq!(scenario(name)?.play()?.broken, None, "{name}: found although nothing is forgotten");
    }
    Ok(())
}

#[test]
fn a_run_is_at_most_one_metric_interval_longer() -> Result<(), String> {
    let seconds = |text: &str| -> Result<Vec<i64>, String> {
        let stage = Scenario::parse(text)?.play()?;
        let told = stage.film.told();
        Ok(told.filter(|frame| frame.text.starts_with("Copying")).map(|frame| frame.second).collect())
    };
    let canary =
        "---\nkind: Canary\nspec: {analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]}}\n";
    let script = |second: &str| {
        let images =
            format!("at 30s image podinfo:6.0.1\nat 200s image podinfo:6.0.2\nat {second} image podinfo:6.0.3\n");
        format!("use podinfo\n{canary}{images}at 900s end\n")
    };
    let (soon, late) = (seconds(&script("300s"))?, seconds(&script("600s"))?);
    assert_eq!(soon[..2], late[..2], "the runs before are alike");
    let (soon, late) = (soon[2] - 300, late[2] - 600);
    assert!(soon > late && soon <= late + 60, "{soon} s after the push instead of {late} s");
    Ok(())
}

/// When a run ended that is bad, after so many seconds with traffic that nobody could judge.
fn failed_at(script: &str) -> Result<i64, String> {
    let canary = "---\nkind: Canary\nspec: {analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}]}}\n";
    let stage = Scenario::parse(&format!("use podinfo\n{canary}{script}"))?.play()?;
    assert_eq!(stage.broken, None, "{}", stage.film);
    let ended = stage.film.told().find(|frame| frame.text.starts_with("Canary failed!"));
    ended.map(|frame| frame.second).ok_or_else(|| format!("it never ended\n{}", stage.film))
}

#[test]
fn pods_of_before_that_never_go_put_no_verdict_off_for_ever() -> Result<(), String> {
    // The primary has a pod again, and one of the canary's pods never gets ready, so nobody knows which version answers.
    let script = "at 120s image podinfo:6.0.1\nat 155s pods podinfo-primary crash 2\nat 156s image podinfo:6.0.2\n\
                  at 157s pods podinfo crash 1\nat 158s success-rate 50\nat 190s pods podinfo-primary crash 1\nat 1200s end\n";
    let ended = failed_at(script)?;
    assert!(ended <= 156 + 120 + 60, "{ended} s: two windows, and the checks that fail");
    Ok(())
}

#[test]
fn a_time_that_somebody_wrote_into_the_status_puts_no_verdict_off_for_ever() -> Result<(), String> {
    let script = "at 120s image podinfo:6.0.1\nat 137s set canary /status/run/foreignUntil \"2099-01-01T00:00:00.000000Z\"\n\
                  at 140s success-rate 50\nat 900s end\n";
    let ended = failed_at(script)?;
    assert!(ended <= 120 + 120 + 60, "{ended} s");
    Ok(())
}
