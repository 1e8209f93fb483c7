//! Whom the requests reach: those of users by the routes, those of load tests by the canary's own Service. It answers none.

use std::sync::Arc;

use burgee_api::{CanaryStatus, Phase, PrimaryState, Run};
use burgee_core::digest::digest;
use burgee_core::question::Ask;
use burgee_core::rollout::{Rollout, TargetKind};
use burgee_core::split::Mirror;
use burgee_core::workload;
use jiff::Timestamp;

use super::Stage;
use crate::process::Process;
use crate::prometheus::Load;

/// Requests of users per second, for each percent of the traffic.
const USERS: f64 = 1.0;
/// Requests of load tests and acceptance tests per second, which go to the canary from its first hook on.
const TESTS: f64 = 1.0;

impl Stage {
    /// The requests of the time until now are counted, and go where they go from now on.
    pub(super) fn send_requests(&mut self) {
        let load = self.load().unwrap_or_default();
        self.outside.pass(self.now, load);
        if self.cluster.get(&self.canary).is_none() {
            // With the canary goes all that anybody knows of its requests.
            self.outside.prometheus.restart();
        }
    }

    /// Whether whoever leads can see what others change.
    fn is_looked_at(&self) -> bool {
        let leader = &self.processes[self.leader];
        leader.frozen.is_none() && leader.blurs.is_empty()
    }

    /// S25: whoever sees everything asks no metric whose window holds requests of another version than the target's.
    pub(super) fn looks_back_too_far(&self, ask: &Ask, process: &Process) -> Option<String> {
        let (Ask::Measure { metric, .. }, true) = (ask, process.blurs.is_empty()) else { return None };
        let status = self.status();
        let begun = status["run"]["startedAt"].as_str().and_then(|text| text.parse().ok()).unwrap_or(self.now);
        let foreign = self.outside.foreign(ask, self.now, begun);
        (foreign > 0.0).then(|| {
            let second = self.second();
            format!("S25 a verdict looks at this revision alone: of what {metric} looks back on at {second}s, {foreign:.0} requests reached another version")
        })
    }

    fn load(&mut self) -> Option<Load> {
        let reading = self.reading()?;
        let rollout = reading.rollout.as_ref().ok()?;
        let status = reading.canary.status.as_ref();
        let (version, mut versions) = self.versions(rollout);
        if let Some(known) = status.filter(|_| rollout.suspended || !self.is_looked_at()) {
            // What comes and goes while nobody looks is nobody's to know of.
            let known: Arc<str> = known.last_applied_spec.as_str().into();
            for (version, _) in &mut versions {
                version.clone_from(&known);
            }
        }
        let pods: f64 = versions.iter().map(|(_, pods)| pods).sum();
        let split = self.live.split(&reading, &self.cluster);
        let percent = split.map_or(0, |split| if split.mirror() == Mirror::On { 100 } else { split.canary() });
        let is_analysed = |phase| matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
        let has_tests = |status: &CanaryStatus| {
            let is_fix = |run: &Run| run.primary == PrimaryState::Broken;
            let was_asked = |run: &Run| run.strategy.is_some() || !run.hooks_passed.is_empty() || is_fix(run);
            is_analysed(status.phase) && (status.failed_checks > 0 || status.run.as_ref().is_none_or(was_asked))
        };
        let is_tested = status.is_some_and(has_tests) && !rollout.skip_analysis;
        let tests = if is_tested { TESTS } else { 0.0 };
        // Nobody knows of users that somebody sends to the target before there is a primary, or between runs while nobody
        // looks.
        let is_seen = !rollout.suspended && self.is_looked_at();
        let is_known = status.is_some_and(|status| match status.phase {
            Phase::Unset | Phase::Initializing => false,
            Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed => is_seen,
            Phase::Progressing
            | Phase::WaitingPromotion
            | Phase::Promoting
            | Phase::Finalising
            | Phase::Terminating
            | Phase::Terminated => true,
        });
        let users = if is_known { USERS * f64::from(percent) } else { 0.0 };
        let requests = users + tests;
        let rates = versions.into_iter().map(|(version, of_it)| (version, requests * of_it / pods));
        Some(Load { version, rates: rates.filter(|(_, rate)| *rate > 0.0).collect() })
    }

    /// The version that the target is meant to run, and how many pods answer for each. Of pods that are nobody's here, one
    /// answers for the newest version at once.
    fn versions(&self, rollout: &Rollout) -> (Arc<str>, Vec<(Arc<str>, f64)>) {
        let key = rollout.target_key();
        match rollout.target_kind {
            TargetKind::Deployment | TargetKind::DaemonSet => {
                // What is under way when the play begins has been so for long.
                let when = if self.now == self.start { Timestamp::MAX } else { self.now };
                let versions = self.workloads.versions(&key, when);
                let pods =
                    versions.into_iter().map(|(version, pods)| (version, f64::from(u32::try_from(pods).unwrap_or(0))));
                (self.workloads.version(&key), pods.collect())
            }
            TargetKind::Service | TargetKind::Knative => {
                let Some(target) = self.cluster.get(&key) else { return (Arc::from(""), Vec::new()) };
                let version: Arc<str> = digest(&workload::template(rollout.target_kind, target)).into();
                (Arc::clone(&version), vec![(version, 1.0)])
            }
        }
    }
}
