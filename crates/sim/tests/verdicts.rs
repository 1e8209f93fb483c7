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
