//! What the operator asks and uses: at rest, and while all canaries roll out. It compares nothing with budgets.
use super::objects::{DRAIN_SECONDS, INTERVAL_SECONDS, NAMESPACE, STEPS};
use super::progress::Progress;
use super::stage::Stage;
use crate::audit::{Asked, Audit};
use anyhow::{Context, Result, bail};
use burgee_lab::Identity;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Clock ticks of `/proc` in a second, on every Linux.
const TICKS: f64 = 100.0;
/// How long the operator must have asked nothing before it counts as being at rest, and how long that may take.
const CALM: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(5));
/// The operator renews its lease every five seconds.
const RENEWAL: Duration = Duration::from_secs(20);

/// What was measured at rest.
pub(super) struct Idle {
    /// Requests per second, besides those of the lease and those that open watches.
    pub requests: f64,
    /// Renewals of the lease per second.
    pub renewals: f64,
    /// Watches that were opened again, per second.
    pub watches: f64,
    /// Percent of one core.
    pub processor: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// What was measured while all canaries rolled out.
pub(super) struct Rollouts {
    /// Seconds that the API server took for all changes of Deployments.
    pub changes: f64,
    /// Seconds from each change of a Deployment to its canary's phase Progressing, the shortest first.
    pub noticed: Vec<f64>,
    /// Time from the first change to the last promotion, divided by the least that a rollout takes.
    pub pace: f64,
    /// Requests of one rollout: without those of the lease, watches, repeated events and the autoscaler's floor.
    pub requests: f64,
    /// How many of those are reads.
    pub reads: f64,
    /// Percent of one core, over all of it.
    pub processor: f64,
    /// Resident memory at the end, in bytes.
    pub memory: u64,
    /// All requests by verb and resource, also those that do not count.
    pub table: BTreeMap<String, usize>,
}

/// Processor time of a process between two looks.
struct Processor {
    process: Identity,
    ticks: u64,
    since: Instant,
}

impl Processor {
    fn begin(process: Identity) -> Result<Self> {
        let ticks = process.processor_ticks().context("the operator has ended")?;
        Ok(Self { process, ticks, since: Instant::now() })
    }

    /// Percent of one core since then.
    fn percent(&self) -> Result<f64> {
        let ticks = self.process.processor_ticks().context("the operator has ended")?;
        Ok(100.0 * number(ticks - self.ticks) / TICKS / self.since.elapsed().as_secs_f64())
    }
}

/// Waits until the operator is at rest, and watches it do nothing.
///
/// # Errors
/// When it does not come to rest, or ends.
pub(super) fn idle(stage: &Stage<'_>, time: Duration) -> Result<Idle> {
    wait_for_calm(stage)?;
    // From just after a renewal on, so that no renewal more falls on the end of the time.
    wait_for_renewal(stage)?;
    let (audit, processor) = (Audit::begin(stage.lab)?, Processor::begin(stage.operator()?)?);
    let progress = Progress::begin("watching the operator at rest");
    let begun = Instant::now();
    while begun.elapsed() < time {
        stage.operator()?;
        progress.show(&format!("{} of {} s", begun.elapsed().as_secs(), time.as_secs()));
        std::thread::sleep(time.saturating_sub(begun.elapsed()).min(Duration::from_millis(500)));
    }
    let requests = audit.requests()?;
    let memory = stage.operator()?.resident_bytes().context("the operator has ended")?;
    let processor = processor.percent()?;
    progress.finish();
    let per_second = |is_wanted: fn(&Asked) -> bool| {
        number(requests.iter().filter(|asked| is_wanted(asked)).count()) / time.as_secs_f64()
    };
    Ok(Idle {
        requests: per_second(|asked| !asked.is_lease() && asked.verb != "watch"),
        renewals: per_second(Asked::is_lease),
        watches: per_second(|asked| asked.verb == "watch"),
        processor,
        memory,
    })
}

/// Gives every canary a new revision at once, and waits until all are promoted.
///
/// # Errors
/// When one is not promoted.
pub(super) fn rollouts(stage: &Stage<'_>) -> Result<Rollouts> {
    let (audit, processor) = (Audit::begin(stage.lab)?, Processor::begin(stage.operator()?)?);
    let begun = Instant::now();
    let sent = stage.release()?;
    let changes = begun.elapsed().as_secs_f64();
    stage.wait_for("Succeeded", begun)?;
    let processor = processor.percent()?;
    let last = stage.phases.reached("Succeeded", begun).into_values().max().context("no canary was promoted")?;
    let memory = stage.operator()?.resident_bytes().context("the operator has ended")?;
    let requests = audit.requests()?;
    let own: Vec<&Asked> = requests.iter().filter(|asked| asked.namespace == NAMESPACE).collect();
    let counted = own.iter().filter(|asked| counts(asked));
    let canaries = f64::from(stage.canaries);
    Ok(Rollouts {
        changes,
        noticed: noticed(stage, sent, begun)?,
        pace: (last - begun).as_secs_f64() / number(STEPS * INTERVAL_SECONDS + DRAIN_SECONDS),
        requests: number(counted.clone().count()) / canaries,
        reads: number(counted.filter(|asked| !asked.is_write()).count()) / canaries,
        processor,
        memory,
        table: table(&own),
    })
}

/// Whether a request is one that every rollout needs: no event that is told again, and no move of the floor under the
/// primary's autoscaler, of which there are as many as somebody scales.
fn counts(asked: &Asked) -> bool {
    let is_repeated = asked.resource == "events" && asked.verb == "patch";
    let is_floor = asked.resource == "horizontalpodautoscalers" && asked.name.ends_with("-primary") && asked.is_write();
    asked.verb != "watch" && !asked.is_lease() && !is_repeated && !is_floor
}

fn noticed(stage: &Stage<'_>, sent: Vec<(String, Instant)>, begun: Instant) -> Result<Vec<f64>> {
    let progressing = stage.phases.reached("Progressing", begun);
    let after = |(name, sent): (String, Instant)| {
        let seen = progressing.get(&name).with_context(|| format!("{name} was never seen in the phase Progressing"))?;
        Ok(seen.duration_since(sent).as_secs_f64())
    };
    let mut noticed = sent.into_iter().map(after).collect::<Result<Vec<f64>>>()?;
    noticed.sort_by(f64::total_cmp);
    Ok(noticed)
}

fn table(requests: &[&Asked]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for asked in requests {
        let refused = if asked.code >= 400 { format!(" ({})", asked.code) } else { String::new() };
        *counts.entry(format!("{} {}{refused}", asked.verb, asked.resource)).or_default() += 1;
    }
    counts
}

fn wait_for_calm(stage: &Stage<'_>) -> Result<()> {
    let progress = Progress::begin("waiting until the operator is at rest");
    let begun = Instant::now();
    let is_work = |asked: &Asked| !asked.is_lease() && asked.verb != "watch";
    let mut last = Timestamp::now();
    while begun.elapsed() < CALM.1 {
        stage.operator()?;
        let audit = Audit::begin(stage.lab)?;
        std::thread::sleep(Duration::from_secs(1));
        last = audit.requests()?.iter().filter(|asked| is_work(asked)).map(|asked| asked.at).fold(last, Timestamp::max);
        let calm = Duration::try_from(Timestamp::now().duration_since(last)).unwrap_or_default();
        progress.show(&format!("no request for {} s", calm.as_secs()));
        if calm >= CALM.0 {
            progress.finish();
            return Ok(());
        }
    }
    bail!("the operator was not at rest for {} s within {} s", CALM.0.as_secs(), CALM.1.as_secs())
}

fn wait_for_renewal(stage: &Stage<'_>) -> Result<()> {
    let audit = Audit::begin(stage.lab)?;
    stage.lab.cluster().wait("the renewal of the operator's lease", RENEWAL, |_| {
        Ok(audit.requests()?.iter().any(|asked| asked.is_lease() && asked.code == 200))
    })
}

/// The value below which so many of 100 lie; the values are sorted.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// A count to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no figure needs more digits than a double has")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().map_or(f64::MAX, |count| count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: &str, resource: &str, name: &str) -> Asked {
        Asked {
            at: Timestamp::UNIX_EPOCH,
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
            pod: String::new(),
            code: 200,
        }
    }

    #[test]
    fn what_does_not_belong_to_every_rollout_does_not_count() {
        let check = |verb, resource, name, expected| assert_eq!(counts(&asked(verb, resource, name)), expected);
        check("create", "events", "", true);
        check("patch", "events", "app.1", false);
        check("update", "horizontalpodautoscalers", "app-primary", false);
        check("get", "horizontalpodautoscalers", "app-primary", true);
        check("update", "leases", "flagger-leader-election", false);
        check("watch", "canaries", "", false);
        check("patch", "canaries/status", "app", true);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)), (100.0, 198.0, 200.0));
        assert_eq!((percentile(&[7.0], 50), percentile(&[7.0], 99), percentile(&[], 99)), (7.0, 7.0, 0.0));
    }

    #[test]
    fn requests_are_told_by_verb_and_resource_and_refusal() {
        let (created, mut refused) = (asked("create", "events", ""), asked("create", "events", ""));
        refused.code = 409;
        let told = table(&[&created, &created, &refused]);
        assert_eq!(told, BTreeMap::from([("create events".to_owned(), 2), ("create events (409)".to_owned(), 1)]));
    }
}
