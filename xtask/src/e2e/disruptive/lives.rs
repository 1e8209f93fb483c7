//! The operator's lives between two kills: what each one logged, when it began, and whether it kept the pace. It kills
//! nothing.
use super::super::stage::Stage;
use super::super::story::{self, is_waiting};
use super::audit::{Asked, Audit};
use super::operators::{Operators, Pod, logged};
use super::story::{Recorded, recorded};
use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Interval of every canary of the suite.
const INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// How much sooner than its interval a step may seem to come, by clocks that are read in different places.
const EARLY: SignedDuration = SignedDuration::from_millis(500);
/// What an operator logs when it leads.
const LED: &str = "Leadership acquired";
/// How soon a process acts on what is due.
const PROMPT: SignedDuration = SignedDuration::from_secs(3);

/// Of so many lives one may end before it has written a line: it was killed while it started.
const LINELESS: usize = 4;

/// The lines of each life, by the time of its first one, and when lives were ended.
pub(super) struct Lives {
    pod: Pod,
    lines: BTreeMap<Timestamp, Vec<Value>>,
    kills: Vec<Timestamp>,
}

impl Lives {
    /// From the life on that the only pod lives now.
    ///
    /// # Errors
    /// When there is not one pod, or its logs cannot be read.
    pub(super) fn begin(operators: &Operators<'_>) -> Result<Self> {
        let mut lives = Self { pod: operators.pod()?, lines: BTreeMap::new(), kills: Vec::new() };
        lives.collect(operators)?;
        let (began, last) = lives.lines.pop_last().context("the operator has logged nothing")?;
        lives.lines = BTreeMap::from([(began, last)]);
        Ok(lives)
    }

    /// The pod that lives them.
    pub(super) const fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Takes what the kubelet keeps of the pod's logs; it keeps only the last containers, so this is called at each kill.
    pub(super) fn collect(&mut self, operators: &Operators<'_>) -> Result<()> {
        let first = self.lines.keys().next().copied();
        for lines in operators.logs(&self.pod)? {
            if let Some(began) =
                logged(&lines, "Starting flagger version").filter(|began| first.is_none_or(|first| *began >= first))
            {
                self.lines.insert(began, lines);
            }
        }
        Ok(())
    }

    /// Notes that a life was just ended.
    pub(super) fn end(&mut self) {
        self.kills.push(Timestamp::now());
    }

    /// Whether the life after the last kill leads.
    pub(super) fn leads(&self) -> bool {
        let last = self.lines.last_key_value();
        last.is_some_and(|(began, lines)| self.end_of(*began).is_none() && logged(lines, LED).is_some())
    }

    /// When a life was ended; none if it has not been.
    fn end_of(&self, began: Timestamp) -> Option<Timestamp> {
        self.kills.iter().copied().find(|killed| *killed > began)
    }

    /// The longest time from a start to the lease. Of every life something is known: when it led, or that it was killed
    /// before it had to.
    ///
    /// # Errors
    /// When one took too long, or lives are not accounted for.
    pub(super) fn check_starts(&self) -> Result<SignedDuration> {
        let lineless = (self.kills.len() + 1).saturating_sub(self.count());
        let may_be = self.kills.len() / LINELESS;
        ensure!(lineless <= may_be, "{lineless} of {} operators have logged nothing", self.kills.len() + 1);
        let mut longest = SignedDuration::ZERO;
        for (began, lines) in &self.lines {
            let led = logged(lines, LED).or_else(|| self.end_of(*began));
            let led = led.with_context(|| format!("the operator that began at {began} does not lead"))?;
            let waited = led.duration_since(*began);
            ensure!(waited < PROMPT, "an operator did not lead {waited:#} after its start");
            longest = longest.max(waited);
        }
        Ok(longest)
    }

    /// How many lives there were that logged something.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// The messages about a test's canary, over all lives.
    fn told(&self, stage: &Stage<'_>) -> Vec<String> {
        let title = format!("podinfo.{}", stage.namespace());
        let lines = self.lines.values().flatten().filter(|line| line["canary"] == title.as_str());
        let lines = lines.filter(|line| line["level"] != "debug");
        let texts = lines.filter_map(|line| line["msg"].as_str());
        texts.map(|text| story::neutral(text, stage.namespace())).collect()
    }

    /// Checks one canary: its events by the API server are exactly these; log and event hook tell them in this order and none
    /// twice, the chat all that are alerts; steps keep their pace. Returns the longest delay of a step.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn check(&self, stage: &Stage<'_>, audit: &Audit<'_>, expected: &[&str]) -> Result<SignedDuration> {
        super::story::check(stage, expected)?;
        let kills = self.count();
        let missing_lines = within(&self.told(stage), expected).context("in the log")?;
        let heard: Vec<String> = stage.told().into_iter().map(|told| told.text).collect();
        let missing_calls = within(&heard, expected).context("at the event hook")?;
        ensure!(missing_lines.max(missing_calls) <= kills, "{missing_lines} lines and {missing_calls} calls are lost");
        let again = repeated(&stage.alerts(), &alerts(expected)).context("in the chat")?;
        ensure!(again <= kills, "{again} alerts came again after {kills} kills");
        let steps = expected.iter().filter(|text| text.starts_with("Advance ")).count();
        let delay = self.check_pace(&moments(&recorded(stage)?, &audit.requests()?)?, steps)?;
        let lost = format!("{missing_lines} log lines and {missing_calls} calls of the hook died with a process");
        let again = format!("{again} alerts were sent again");
        stage.note(&format!("{} events, {lost}, {again}; latest step {delay:#}", expected.len()));
        Ok(delay)
    }

    /// After a weight the next event comes one interval later: never sooner, and not later than a process needs that
    /// was started by then. There must be so many weights.
    fn check_pace(&self, moments: &[(String, Timestamp)], steps: usize) -> Result<SignedDuration> {
        let mut latest = SignedDuration::ZERO;
        let pairs: Vec<_> = moments.windows(2).filter(|pair| pair[0].0.starts_with("Advance ")).collect();
        ensure!(pairs.len() == steps, "of {steps} weights {} are followed by an event", pairs.len());
        for pair in pairs {
            let ((_, weighed), (text, at)) = (&pair[0], &pair[1]);
            let due = weighed.saturating_add(INTERVAL).context("add an interval")?;
            ensure!(at.duration_since(due) > -EARLY, "{text:?} came {:#} early", due.duration_since(*at));
            let (began, _) = self.lines.range(..*at).next_back().context("no operator ran by then")?;
            let delay = at.duration_since(due.max(*began));
            ensure!(delay < PROMPT, "{text:?} came {delay:#} late");
            latest = latest.max(delay);
        }
        Ok(latest)
    }
}

/// The alerts that go with events, in their order.
fn alerts<'a>(events: &[&str]) -> Vec<&'a str> {
    let alert = |event: &&str| match *event {
        text if text.starts_with("Initialization done! ") => Some("New Deployment detected, initialization completed."),
        text if text.starts_with("New revision detected! ") => {
            Some("New revision detected, progressing canary analysis.")
        }
        text if text.contains(" waiting for approval ") => Some("Canary is waiting for approval."),
        text if text.contains(" waiting for promotion approval ") => Some("Canary promotion is waiting for approval."),
        text if text.starts_with("Rolling back ") => Some("Failed checks threshold reached 1"),
        text if text.starts_with("Promotion completed! ") => {
            Some("Canary analysis completed successfully, promotion finished.")
        }
        _ => None,
    };
    events.iter().filter_map(alert).collect()
}

/// When each event was written, without the waiting.
///
/// # Errors
/// When the audit log does not know of one.
fn moments(events: &[Recorded], requests: &[Asked]) -> Result<Vec<(String, Timestamp)>> {
    let created = |event: &Recorded| {
        let is_it = |asked: &&Asked| asked.resource == "events" && asked.verb == "create" && asked.name == event.name;
        // Of a process that is killed meanwhile nobody waits for the answer; the next one finds the event there already.
        let asked = requests.iter().filter(is_it).min_by_key(|asked| (asked.code != 201, asked.at));
        let asked = asked.with_context(|| format!("nobody wrote event {}", event.name))?;
        Ok((event.told.text.clone(), asked.at))
    };
    events.iter().filter(|event| !is_waiting(&event.told.text)).map(created).collect()
}

/// Checks that texts are expected ones in their order, none twice, and returns how many are missing.
fn within(told: &[String], expected: &[&str]) -> Result<usize> {
    let mut rest = expected.iter();
    for text in told.iter().filter(|text| !is_waiting(text)) {
        let found = rest.any(|pattern| story::matches(text, pattern));
        ensure!(found, "{text:?} was told twice or out of turn: {told:#?}");
    }
    let known = told.iter().filter(|text| !is_waiting(text)).count();
    Ok(expected.len() - known)
}

/// Checks that every expected text has arrived, and nothing else. Returns how many came once more: of one that was sent before
/// that could be noted, a killed process knows nothing.
fn repeated(told: &[String], expected: &[&str]) -> Result<usize> {
    for text in expected {
        let times = |texts: &mut dyn Iterator<Item = &str>| texts.filter(|told| told == text).count();
        let (arrived, wanted) = (times(&mut told.iter().map(String::as_str)), times(&mut expected.iter().copied()));
        ensure!(arrived >= wanted, "{text:?} came {arrived} times, not {wanted}: {told:#?}");
    }
    let odd = told.iter().find(|text| !expected.contains(&text.as_str()));
    ensure!(odd.is_none(), "{odd:?} was not expected: {told:#?}");
    Ok(told.len() - expected.len())
}

/// The texts of what was told, for the failure of a test with several canaries.
pub(super) fn report<'a>(stages: impl IntoIterator<Item = &'a Stage<'a>>) -> String {
    stages.into_iter().map(Stage::report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(told: &[&str], expected: &[&str]) -> Option<usize> {
        within(&told.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), expected).ok()
    }

    #[test]
    fn all_alerts_arrive_and_those_that_came_again_are_counted() {
        let check = |told: &[&str], expected: &[&str]| {
            repeated(&told.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), expected).ok()
        };
        assert_eq!(check(&["a", "b"], &["a", "b"]), Some(0));
        assert_eq!(check(&["a", "a", "b"], &["a", "b"]), Some(1));
        assert_eq!(check(&["a"], &["a", "b"]), None);
        assert_eq!(check(&["a", "b"], &["a", "b", "b"]), None);
        assert_eq!(check(&["a", "c"], &["a"]), None);
    }

    #[test]
    fn what_is_missing_is_counted_and_what_is_doubled_or_out_of_turn_is_refused() {
        assert_eq!(check(&["a", "b", "c"], &["a", "b", "c"]), Some(0));
        assert_eq!(check(&["a", "c"], &["a", "b", "c"]), Some(1));
        assert_eq!(check(&["a", "a", "c"], &["a", "b", "c"]), None);
        assert_eq!(check(&["b", "a"], &["a", "b"]), None);
        assert_eq!(check(&["a", "x not ready: waiting for rollout to finish", "b"], &["a", "b"]), Some(0));
    }
}
