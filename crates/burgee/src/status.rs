//! `burgee status`: where a canary is, on one screen. It reads and decides nothing.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use burgee_api::{AnsweredOrder, Canary, CanaryStatus, Ordered, RunOutcome};
use burgee_core::plain::{plain, plain_json};
use burgee_core::rollout::{Ladder, Rollout, Strategy};
use burgee_core::settings::Settings;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::place::{Outcome, Place};

/// Events that are shown.
const EVENTS: usize = 8;
/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(2);

/// Show where a canary is: phase, traffic, step, what is due when, and what was said last.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Show it again every two seconds, until ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Whether the output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Plain,
    Bright,
}

/// Prints the status.
///
/// # Errors
/// When the cluster cannot be reached, or there is no such canary.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (visit, key) = arguments.place.visit().await?;
    let is_terminal = std::io::stdout().is_terminal();
    let colour = if is_terminal && std::env::var_os("NO_COLOR").is_none() { Colour::Bright } else { Colour::Plain };
    loop {
        let canary = visit.canary(&key).await?;
        let (events, trouble) = match visit.events(&key).await {
            Ok(events) => (events, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let now = Timestamp::now();
        let report = Report { events: said(&events), events_missing: trouble, ..Report::of(&canary, now) };
        let text = match arguments.output {
            Output::Text => report.text(now, colour),
            Output::Json => {
                plain_json(&serde_json::to_string_pretty(&report).context("write the status as json")?).into_owned()
                    + "\n"
            }
        };
        let clear = if arguments.watch && is_terminal { "\x1b[2J\x1b[H" } else { "" };
        std::io::stdout().write_all(format!("{clear}{text}").as_bytes()).context("print the status")?;
        if !arguments.watch {
            return Ok(Outcome::Done);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is shown; its JSON is stable.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    name: String,
    namespace: String,
    phase: String,
    target: String,
    primary_weight: i64,
    canary_weight: i64,
    /// Which step of how many, such as `2 of 5`; none when nothing is analysed.
    step: Option<String>,
    failed_checks: i64,
    threshold: u32,
    revision: String,
    promoted_revision: String,
    /// When the next check is due.
    next_step_at: Option<String>,
    /// Until when a set without traffic keeps its pods.
    drain_until: Option<String>,
    paused_since: Option<String>,
    held_since: Option<String>,
    ordered: Option<Ordered>,
    outcome: Option<RunOutcome>,
    suspended: bool,
    /// `Held`, `Invalid` and `Doubtful`, with what they say.
    conditions: Vec<Said>,
    orders: Vec<AnsweredOrder>,
    events: Vec<Said>,
    /// Why the events are missing, if they are.
    events_missing: Option<String>,
}

/// Something that was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Said {
    at: String,
    kind: String,
    text: String,
}

impl Report {
    fn of(canary: &Canary, now: Timestamp) -> Self {
        let status = canary.status.clone().unwrap_or_default();
        let run = status.run.clone().unwrap_or_default();
        let rollout = Rollout::parse(canary, &Settings::default()).ok();
        let metadata = &canary.metadata;
        let target = &canary.spec.target_ref;
        let is_due = run.paused_since.is_none() && is_analysed(&status);
        let interval = rollout.as_ref().map(|rollout| rollout.interval).filter(|_| is_due);
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            phase: status.phase.to_string(),
            target: format!("{} {}", target.kind, target.name),
            primary_weight: 100 - status.canary_weight,
            canary_weight: status.canary_weight,
            step: rollout.as_ref().and_then(|rollout| step(rollout, &status)),
            failed_checks: status.failed_checks,
            threshold: rollout.as_ref().map_or(0, |rollout| rollout.threshold),
            revision: status.last_applied_spec.clone(),
            promoted_revision: status.last_promoted_spec.clone(),
            next_step_at: interval.and_then(|interval| later(run.step_started_at.as_deref(), interval)),
            drain_until: run.drain_until.filter(|until| until.parse().is_ok_and(|until: Timestamp| until > now)),
            paused_since: run.paused_since,
            held_since: run.held_since,
            ordered: run.ordered,
            outcome: run.outcome,
            suspended: rollout.is_some_and(|rollout| rollout.suspended),
            conditions: conditions(&status),
            orders: run.orders,
            ..Self::default()
        }
    }

    fn text(&self, now: Timestamp, colour: Colour) -> String {
        let title = format!("{}.{}", self.name, self.namespace);
        let mut text = format!("{}  {}\n", plain(&title), painted(&plain(&self.phase), colour));
        let mut row = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(text, "  {:<9} {}", plain(name), plain(value));
            }
        };
        row("target", &self.target);
        row("traffic", &format!("primary {} %, canary {} %", self.primary_weight, self.canary_weight));
        row("step", self.step.as_deref().unwrap_or_default());
        row("next", &self.next(now));
        if self.step.is_some() {
            row("failed", &format!("{} of {} checks", self.failed_checks, self.threshold));
        }
        row("revision", &self.revisions());
        row("ordered", self.ordered.map_or("", Ordered::as_str));
        if self.suspended {
            row("suspended", "nothing is done until spec.suspend is false");
        }
        for condition in &self.conditions {
            row(&condition.kind.to_lowercase(), &format!("{} ({})", condition.text, ago(&condition.at, now)));
        }
        for AnsweredOrder { result, message, .. } in &self.orders {
            row("order", &format!("{}: {message}", result.as_str()));
        }
        for (place, event) in self.events.iter().enumerate() {
            let name = if place == 0 { "events" } else { "" };
            row(name, &format!("{:>8}  {}", ago(&event.at, now), event.text));
        }
        row("events", self.events_missing.as_deref().unwrap_or_default());
        text
    }

    fn next(&self, now: Timestamp) -> String {
        if let Some(since) = &self.paused_since {
            return format!("nothing until it is resumed; paused {}", ago(since, now));
        }
        let (what, at) = match (&self.next_step_at, &self.drain_until) {
            (Some(at), _) => ("check", at),
            (None, Some(at)) => ("scale-down", at),
            (None, None) => return String::new(),
        };
        let seconds = at.parse().map_or(0, |at: Timestamp| at.duration_since(now).as_secs());
        if seconds > 0 { format!("{what} in {seconds} s") } else { format!("{what} now") }
    }

    fn revisions(&self) -> String {
        if self.revision == self.promoted_revision {
            self.revision.clone()
        } else {
            format!("{}, promoted {}", self.revision, self.promoted_revision)
        }
    }
}

fn is_analysed(status: &CanaryStatus) -> bool {
    matches!(status.phase, burgee_api::Phase::Progressing | burgee_api::Phase::WaitingPromotion)
}

/// Which step of how many.
fn step(rollout: &Rollout, status: &CanaryStatus) -> Option<String> {
    if !is_analysed(status) {
        return None;
    }
    match &rollout.strategy {
        Strategy::Canary(ladder) => {
            let weights = weights(ladder);
            let had = status.run.as_ref().map_or(&[][..], |run| &run.weights);
            let done = if ladder.is_listed() {
                ladder.done(had, u8::try_from(status.canary_weight).unwrap_or(100))
            } else {
                weights.iter().filter(|weight| i64::from(**weight) <= status.canary_weight).count()
            };
            let listed: Vec<String> = weights.iter().map(ToString::to_string).collect();
            Some(format!("{done} of {} (weights {})", weights.len(), listed.join(", ")))
        }
        Strategy::BlueGreen(total) | Strategy::AbTesting(total) => {
            Some(format!("iteration {} of {total}", status.iterations))
        }
    }
}

/// The weights that lead to the promotion.
fn weights(ladder: &Ladder) -> Vec<u8> {
    if ladder.is_listed() {
        return ladder.steps.clone();
    }
    let next = |weight: u8| ladder.next(&[], weight).filter(|next| *next > weight);
    std::iter::successors(next(0), |weight| next(*weight)).collect()
}

fn later(start: Option<&str>, interval: SignedDuration) -> Option<String> {
    let start: Timestamp = start?.parse().ok()?;
    Some(format!("{:.0}", start.saturating_add(interval).ok()?))
}

fn conditions(status: &CanaryStatus) -> Vec<Said> {
    let spoken = status.conditions.iter().flatten().filter(|condition| condition.kind != "Promoted");
    let said = spoken.map(|condition| Said {
        at: condition.last_transition_time.clone().unwrap_or_default(),
        kind: condition.kind.clone(),
        text: condition.message.clone().unwrap_or_default(),
    });
    said.collect()
}

/// The last events.
fn said(events: &[Value]) -> Vec<Said> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |event: &Value| Said {
        at: text(&event["lastTimestamp"]),
        kind: text(&event["type"]),
        text: text(&event["message"]),
    };
    events[events.len().saturating_sub(EVENTS)..].iter().map(one).collect()
}

/// How long ago a time was, in its largest unit.
fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return "at an unknown time".to_owned() };
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s ago"),
        120..7200 => format!("{}m ago", seconds / 60),
        _ => format!("{}h ago", seconds / 3600),
    }
}

fn painted(phase: &str, colour: Colour) -> String {
    let code = match (colour, phase) {
        (Colour::Plain, _) => return phase.to_owned(),
        (Colour::Bright, "Succeeded" | "Initialized") => 32,
        (Colour::Bright, "Failed") => 31,
        (Colour::Bright, _) => 33,
    };
    format!("\x1b[{code}m{phase}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(status: &Value) -> String {
        let canary = serde_json::from_value(json!({
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "service": {"port": 9898},
                "analysis": {"interval": "30s", "threshold": 5, "stepWeight": 10, "maxWeight": 50},
            },
            "status": status,
        }))
        .unwrap();
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        Report::of(&canary, now).text(now, Colour::Plain)
    }

    fn check(status: &Value, expected: &str) {
        assert_eq!(report(status), expected);
    }

    #[test]
    fn a_run_shows_its_step_and_when_the_next_check_is_due() {
        let run = json!({"stepStartedAt": "2026-01-01T00:00:50.000000Z", "told": 3});
        let status = json!({
            "phase": "Progressing", "canaryWeight": 20, "failedChecks": 1, "iterations": 0,
            "lastAppliedSpec": "b1-2", "lastPromotedSpec": "b1-1", "run": run,
        });
        let expected = "podinfo.test  Progressing\n  \
             target    Deployment podinfo\n  \
             traffic   primary 80 %, canary 20 %\n  \
             step      2 of 5 (weights 10, 20, 30, 40, 50)\n  \
             next      check in 20 s\n  \
             failed    1 of 5 checks\n  \
             revision  b1-2, promoted b1-1\n";
        check(&status, expected);
    }

    #[test]
    fn a_pause_shows_who_ordered_it_and_that_nothing_is_due() {
        let orders = json!([{"id": "5e1f", "result": "obeyed", "message": "Pausing"}]);
        let run =
            json!({"stepStartedAt": "2026-01-01T00:00:50Z", "pausedSince": "2026-01-01T00:00:55Z", "orders": orders});
        let held = json!({
            "type": "Held", "status": "True", "reason": "Paused", "message": "Paused by jane (5e1f).",
            "lastTransitionTime": "2026-01-01T00:00:55Z",
        });
        let status = json!({
            "phase": "Progressing", "canaryWeight": 20, "failedChecks": 0, "iterations": 0,
            "lastAppliedSpec": "b1-1", "lastPromotedSpec": "b1-1", "conditions": [held], "run": run,
        });
        let text = report(&status);
        assert!(text.contains("next      nothing until it is resumed; paused 5s ago\n"), "{text}");
        assert!(text.contains("held      Paused by jane (5e1f). (5s ago)\n"), "{text}");
        assert!(text.contains("order     obeyed: Pausing\n"), "{text}");
    }

    #[test]
    fn what_others_wrote_commands_no_terminal() {
        let foreign = "no\u{1b}[2J\u{202e}\n  phase     Succeeded";
        let held = json!({"type": foreign, "status": "True", "reason": foreign, "message": foreign});
        let orders = json!([{"id": "1", "result": "refused", "message": foreign}]);
        let run = json!({"orders": orders});
        let text =
            report(&json!({"phase": "Progressing", "conditions": [held], "lastAppliedSpec": foreign, "run": run}));
        let commands = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!text.contains(commands), "{text:?}");
        assert!(!text.lines().any(|line| line == "  phase     Succeeded"), "{text}");
    }

    #[test]
    fn the_last_events_are_shown_and_colours_only_where_they_are_wanted() {
        let events: Vec<Value> = (0..20).map(|number| json!({"message": number.to_string()})).collect();
        let last: Vec<String> = said(&events).into_iter().map(|event| event.text).collect();
        assert_eq!((last.len(), last[0].as_str(), last[7].as_str()), (8, "12", "19"));
        assert_eq!(painted("Failed", Colour::Plain), "Failed");
        assert_eq!(painted("Failed", Colour::Bright), "\x1b[31mFailed\x1b[0m");
    }
}
