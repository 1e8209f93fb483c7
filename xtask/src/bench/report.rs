//! The figures beside their budgets, as a table and as JSON. It measures nothing.
use super::machine::Machine;
use super::measure::{Idle, Rollouts, percentile};
use super::objects::TRACKED_CONFIGS;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One figure.
struct Row {
    /// Name in JSON.
    key: &'static str,
    /// Name in the table.
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// The most that it may be; nothing where nothing was promised.
    budget: Option<f64>,
}

/// All that was measured.
pub(super) struct Report<'a> {
    pub canaries: u32,
    pub machine: &'a Machine,
    /// Another binary than the checkout's own.
    pub burgee: Option<String>,
    pub idle_seconds: u64,
    pub idle: &'a Idle,
    pub rollouts: &'a Rollouts,
    /// Size of the binary in bytes.
    pub binary: u64,
}

impl Report<'_> {
    /// The table, the machine, and what the requests were.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{} canaries; {}", self.canaries, self.machine.text())];
        lines.extend(self.burgee.as_ref().map(|file| format!("the operator is {file}, not built from this commit")));
        lines.push(String::new());
        lines.push(line("", "figure", "budget", "met"));
        let rows = self.rows();
        lines.extend(rows.iter().map(|row| {
            let budget = row.budget.map_or_else(|| "-".to_owned(), |budget| format!("<= {}", shown(budget, row.unit)));
            line(
                row.name,
                &shown(row.value, row.unit),
                &budget,
                row.is_met().map_or("-", |met| if met { "yes" } else { "NO" }),
            )
        }));
        lines.push(String::new());
        lines.push("requests of all rollouts together:".to_owned());
        lines.extend(self.rollouts.table.iter().map(|(name, count)| format!("{count:8} {name}")));
        lines.join("\n")
    }

    /// The same as one object.
    pub(super) fn json(&self) -> Value {
        let figures: BTreeMap<&str, Value> = self.rows().iter().map(|row| (row.key, row.json())).collect();
        json!({
            "canaries": self.canaries,
            "machine": self.machine.json(),
            "burgee": self.burgee,
            "idleSeconds": self.idle_seconds,
            "figures": figures,
            "requests": self.rollouts.table,
        })
    }

    fn rows(&self) -> Vec<Row> {
        let Self { idle, rollouts, .. } = self;
        let of = |at_200, at_1000| budget(self.canaries, at_200, at_1000);
        let row = |key, name, value, unit, budget| Row { key, name, value, unit, budget };
        let memory = of(30.0, 70.0).or((self.canaries <= 5000).then_some(200.0));
        let noticed = |percent| percentile(&rollouts.noticed, percent);
        let reads = 1.0 + f64::from(TRACKED_CONFIGS);
        vec![
            row("idleRequests", "idle, API requests besides lease and watches", idle.requests, "/s", of(0.0, 0.0)),
            row("idleRenewals", "idle, renewals of the lease", idle.renewals, "/s", Some(0.2)),
            row("idleWatches", "idle, watches opened again", idle.watches, "/s", None),
            row("idleProcessor", "idle, CPU of one core", idle.processor, "%", of(0.03, 0.1)),
            row("idleMemory", "resident memory, idle", megabytes(idle.memory), "MB", memory),
            row("memoryAfterRollouts", "resident memory, after the rollouts", megabytes(rollouts.memory), "MB", None),
            row("changes", "all deployments changed within", rollouts.changes, "s", None),
            row("noticedMedian", "new revision noticed, p50", noticed(50), "s", None),
            row("noticed99", "new revision noticed, p99", noticed(99), "s", of(1.0, 1.0)),
            row("pace", "all roll out at once, last one done / pace", rollouts.pace, "", of(1.15, 1.5)),
            row("requestsPerRollout", "requests per rollout", rollouts.requests, "", Some(30.0)),
            row("readsPerRollout", "reads per rollout", rollouts.reads, "", Some(reads)),
            row(
                "rolloutProcessor",
                "CPU of one core while all roll out",
                rollouts.processor,
                "%",
                of_200(self.canaries, 5.0),
            ),
            row("binary", "binary", megabytes(self.binary), "MB", Some(20.0)),
        ]
    }
}

impl Row {
    /// Whether the budget is kept; nothing where there is none.
    fn is_met(&self) -> Option<bool> {
        self.budget.map(|budget| self.value <= budget + 1e-9)
    }

    fn json(&self) -> Value {
        json!({"value": self.value, "unit": self.unit, "budget": self.budget, "met": self.is_met()})
    }
}

/// What was promised for 200 canaries and for 1,000: the larger number's promise holds for what lies between.
fn budget(canaries: u32, at_200: f64, at_1000: f64) -> Option<f64> {
    match canaries {
        0..=200 => Some(at_200),
        201..=1000 => Some(at_1000),
        _ => None,
    }
}

fn of_200(canaries: u32, at_200: f64) -> Option<f64> {
    (canaries <= 200).then_some(at_200)
}

#[expect(clippy::cast_precision_loss, reason = "no process has so many bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn line(name: &str, figure: &str, budget: &str, met: &str) -> String {
    format!("{name:46} {figure:>10}  {budget:>10}  {met}").trim_end().to_owned()
}

/// Rates and shares of a core are small; sizes and times are not.
fn shown(value: f64, unit: &str) -> String {
    let digits = match unit {
        "MB" => 1,
        "%" if value < 1.0 => 3,
        _ => 2,
    };
    let separator = if unit.is_empty() || unit == "/s" { "" } else { " " };
    format!("{value:.digits$}{separator}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_belongs_to_a_number_of_canaries() {
        let at = |canaries| budget(canaries, 0.03, 0.1);
        assert_eq!(
            (at(20), at(200), at(201), at(1000), at(1001)),
            (Some(0.03), Some(0.03), Some(0.1), Some(0.1), None)
        );
    }

    #[test]
    fn a_row_without_a_budget_is_neither_met_nor_missed() {
        let row = |value, budget| Row { key: "key", name: "name", value, unit: "s", budget };
        assert_eq!(row(2.0, None).is_met(), None);
        assert_eq!(row(2.0, Some(2.0)).is_met(), Some(true));
        assert_eq!(row(2.1, Some(2.0)).is_met(), Some(false));
    }

    #[test]
    fn figures_are_shown_with_their_unit() {
        assert_eq!(shown(0.0166, "%"), "0.017 %");
        assert_eq!(shown(4.25, "%"), "4.25 %");
        assert_eq!(shown(13.21, "MB"), "13.2 MB");
        assert_eq!(shown(0.2, "/s"), "0.20/s");
        assert_eq!(shown(1.104, ""), "1.10");
    }
}
