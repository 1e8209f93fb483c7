//! What the demo says at the end, and whether it went as it must. Pure: from outcomes to lines.
use super::picture::{Line, Tint, grouped};
use super::scene::Traffic;
use burgee_lab::{Answers, seconds};
use std::time::Duration;

/// How one part went.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The version that was released.
    pub version: &'static str,
    /// From the release to the last phase.
    pub took: Duration,
    /// The canary's highest share, in percent.
    pub peak_weight: u64,
    /// What the users got, by the load generator.
    pub answers: Answers,
    /// Who answered, by the gateway's counters.
    pub traffic: Traffic,
}

impl Outcome {
    /// Failures that neither workload has given.
    fn elsewhere(&self) -> u64 {
        self.answers.failed().saturating_sub(self.traffic.primary.1 + self.traffic.canary.1)
    }
}

/// Everything that the summary tells.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// How the good version went.
    pub promotion: Outcome,
    /// How the bad version went.
    pub rollback: Outcome,
    /// How long the preparations took, by name.
    pub preparations: Vec<(&'static str, Duration)>,
    /// From the start to the end.
    pub in_all: Duration,
}

impl Summary {
    /// What is not as it must be; nothing when all is well.
    pub(super) fn faults(&self) -> Vec<String> {
        let (promotion, rollback) = (&self.promotion, &self.rollback);
        let mut faults = Vec::new();
        if promotion.answers.failed() > 0 {
            faults.push(format!("{} requests failed during the promotion", grouped(promotion.answers.failed())));
        }
        let others = rollback.traffic.primary.1 + rollback.elsewhere();
        if others > 0 {
            faults
                .push(format!("{} requests failed during the rollback elsewhere than at the canary", grouped(others)));
        }
        faults
    }

    /// The lines to tell.
    pub(super) fn lines(&self) -> Vec<Line> {
        let Self { promotion, rollback, preparations, in_all } = self;
        let verdict = |is_well: bool| if is_well { Tint::Good } else { Tint::Bad };
        let steps: Vec<String> = preparations
            .iter()
            .chain([&("in all", *in_all)])
            .map(|(name, took)| format!("{name} {}", seconds(*took)))
            .collect();
        let headline = |outcome: &Outcome, what: &str| {
            let text = format!(" in {}: {} requests, ", seconds(outcome.took), grouped(outcome.answers.sent()));
            Line::of(Tint::Strong, format!("  {} was {what}", outcome.version)).and(Tint::Plain, text)
        };
        let failed = promotion.answers.failed();
        let mut lines = vec![
            headline(promotion, "promoted")
                .and(verdict(failed == 0), format!("{} failed", grouped(failed)))
                .and(Tint::Plain, format!(", {} tried again", grouped(promotion.traffic.retried))),
            headline(rollback, "rolled back")
                .and(Tint::Plain, format!("{} failed", grouped(rollback.answers.failed()))),
        ];
        lines.extend(blame(rollback));
        lines.push(Line::of(Tint::Dim, format!("  It took: {}", steps.join(", "))));
        lines
    }
}

/// Who gave the failures during the rollback.
fn blame(outcome: &Outcome) -> Vec<Line> {
    let Traffic { primary, canary, .. } = outcome.traffic;
    let side = |who: &str, (all, failed): (u64, u64)| {
        Line::of(Tint::Plain, format!("    at {who}: {} requests, {} failed", grouped(all), grouped(failed)))
    };
    let share = format!("the canary (at most {} % of the traffic)", outcome.peak_weight);
    let mut lines = vec![side(&share, canary), side("the primary", primary)];
    let others = outcome.elsewhere();
    if others > 0 {
        lines.push(Line::of(Tint::Bad, format!("    at neither: {} failed", grouped(others))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(version: &'static str, primary: (u64, u64), canary: (u64, u64)) -> Outcome {
        let failed = primary.1 + canary.1;
        let codes = [(200, primary.0 + canary.0 - failed), (500, failed)];
        Outcome {
            version,
            took: Duration::from_secs(82),
            peak_weight: 50,
            answers: Answers { codes: codes.into(), unanswered: 0 },
            traffic: Traffic { primary, canary, retried: 0 },
        }
    }

    fn summary(promotion: Outcome, rollback: Outcome) -> Summary {
        let preparations = vec![("cluster", Duration::from_secs(31)), ("operator", Duration::from_secs(5))];
        Summary { promotion, rollback, preparations, in_all: Duration::from_secs(181) }
    }

    #[test]
    fn the_summary_tells_who_failed_and_how_long_it_took() {
        let summary = summary(outcome("6.0.1", (6000, 0), (2000, 0)), outcome("6.0.2", (3600, 0), (400, 130)));
        let lines: Vec<String> = summary.lines().iter().map(Line::text).collect();
        assert_eq!(
            lines,
            [
                "  6.0.1 was promoted in 1 min 22 s: 8,000 requests, 0 failed, 0 tried again",
                "  6.0.2 was rolled back in 1 min 22 s: 4,000 requests, 130 failed",
                "    at the canary (at most 50 % of the traffic): 400 requests, 130 failed",
                "    at the primary: 3,600 requests, 0 failed",
                "  It took: cluster 31.0 s, operator 5.0 s, in all 3 min 1 s",
            ]
        );
        assert!(summary.faults().is_empty());
    }

    #[test]
    fn a_failure_during_the_promotion_is_a_fault_whoever_gave_it() {
        let summary = summary(outcome("6.0.1", (6000, 1), (2000, 2)), outcome("6.0.2", (3600, 0), (400, 130)));
        assert_eq!(summary.faults(), ["3 requests failed during the promotion"]);
    }

    #[test]
    fn a_failure_during_the_rollback_is_a_fault_unless_the_canary_gave_it() {
        let mut rollback = outcome("6.0.2", (3600, 2), (400, 130));
        rollback.answers.unanswered = 3;
        let summary = summary(outcome("6.0.1", (6000, 0), (2000, 0)), rollback);
        assert_eq!(summary.faults(), ["5 requests failed during the rollback elsewhere than at the canary"]);
        assert!(summary.lines().iter().any(|line| line.text().ends_with("at neither: 3 failed")));
    }
}
