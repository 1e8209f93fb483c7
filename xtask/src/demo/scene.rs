//! What is known of the release while it goes on: reports come in, the scene changes, lines to tell come out. It asks
//! nothing and draws nothing.
use burgee_lab::Counters;
use std::collections::BTreeSet;

/// Which of the two workloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// The one that serves.
    Primary,
    /// The one that is being tried.
    Canary,
}

/// How a workload's answers look to Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Health {
    /// Percent of the answers that are not 5xx; nothing without traffic.
    pub success_percent: Option<f64>,
    /// 99th percentile of the time to answer, in milliseconds; nothing without traffic.
    pub p99_milliseconds: Option<f64>,
}

/// Something that was seen of the cluster.
#[derive(Clone, Debug)]
pub(super) enum Report {
    /// The Canary's status.
    Canary {
        /// Phase, such as `Progressing`.
        phase: String,
        /// Percent of the traffic that goes to the canary.
        weight: u64,
    },
    /// A Deployment.
    Workload {
        /// Which.
        role: Role,
        /// Tag of its image.
        version: String,
        /// Ready pods of those wanted.
        pods: (u64, u64),
    },
    /// An event of the Canary.
    Event {
        /// The event's name and how often it has happened, which tell one telling from another.
        id: (String, u64),
        /// Its message.
        text: String,
        /// Whether its type is Warning.
        is_warning: bool,
    },
    /// Both workloads in Prometheus.
    Health {
        /// The primary's.
        primary: Health,
        /// The canary's.
        canary: Health,
    },
    /// The gateway's counters.
    Traffic(Counters),
}

/// A workload as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    /// Tag of its image; empty while it does not exist.
    pub version: String,
    /// Ready pods of those wanted.
    pub pods: (u64, u64),
    /// How its answers look.
    pub health: Health,
}

/// A line to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// An event of type Normal.
    Event(String),
    /// An event of type Warning.
    Warning(String),
    /// The phase or the weights have changed.
    Change,
}

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    /// What is going on, such as `1 of 2  a good version, 6.0.1`.
    pub title: String,
    /// The Canary's phase; empty before it has one.
    pub phase: String,
    /// Percent of the traffic that goes to the canary.
    pub weight: u64,
    /// Highest weight since the part began, in percent.
    pub peak_weight: u64,
    /// The primary.
    pub primary: Side,
    /// The canary.
    pub canary: Side,
    /// What the gateway has counted since the part began.
    pub traffic: Traffic,
    has_moved: bool,
    start: Counters,
    seen: BTreeSet<(String, u64)>,
}

/// Requests by the gateway's counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Traffic {
    /// Requests that the primary answered, and how many of these with something else than 200.
    pub primary: (u64, u64),
    /// The same of the canary.
    pub canary: (u64, u64),
    /// Requests that were tried again.
    pub retried: u64,
}

impl Traffic {
    /// What counters say about podinfo.
    pub(super) fn of(counters: &Counters) -> Self {
        let side = |service: &str| {
            let all = counters.requests("test", service, None);
            (all, all - counters.requests("test", service, Some(200)))
        };
        let retried = counters.retries("test", "podinfo-primary") + counters.retries("test", "podinfo-canary");
        Self { primary: side("podinfo-primary"), canary: side("podinfo-canary"), retried }
    }
}

impl Scene {
    /// Begins a part: counts from here on.
    pub(super) fn begin(&mut self, title: &str, start: Counters) {
        title.clone_into(&mut self.title);
        self.start = start;
        self.traffic = Traffic::default();
        self.peak_weight = 0;
        self.has_moved = false;
    }

    /// Takes a report in; answers what is to be told about it.
    pub(super) fn take(&mut self, report: Report) -> Option<Told> {
        match report {
            Report::Canary { phase, weight } => return self.move_to(phase, weight),
            Report::Workload { role, version, pods } => {
                let side = self.side(role);
                side.version = version;
                side.pods = pods;
            }
            Report::Event { id, text, is_warning } => {
                if self.seen.insert(id) {
                    return Some(if is_warning { Told::Warning(text) } else { Told::Event(text) });
                }
            }
            Report::Health { primary, canary } => {
                self.primary.health = primary;
                self.canary.health = canary;
            }
            Report::Traffic(counters) => self.traffic = Traffic::of(&counters.since(&self.start)),
        }
        None
    }

    /// Whether a run has begun and ended since the part began.
    pub(super) fn has_ended(&self) -> bool {
        self.has_moved && ["Succeeded", "Failed"].contains(&self.phase.as_str())
    }

    fn move_to(&mut self, phase: String, weight: u64) -> Option<Told> {
        let is_new = phase != self.phase || weight != self.weight;
        self.has_moved |= !matches!(phase.as_str(), "Initialized" | "Succeeded" | "Failed");
        self.phase = phase;
        self.weight = weight;
        self.peak_weight = self.peak_weight.max(weight);
        is_new.then_some(Told::Change)
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Primary => &mut self.primary,
            Role::Canary => &mut self.canary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(count: u64) -> Report {
        Report::Event { id: ("podinfo.1".to_owned(), count), text: "Halt".to_owned(), is_warning: true }
    }

    fn status(phase: &str, weight: u64) -> Report {
        Report::Canary { phase: phase.to_owned(), weight }
    }

    #[test]
    fn an_event_is_told_each_time_it_happens_and_never_twice() {
        let mut scene = Scene::default();
        let told: Vec<_> = [event(1), event(1), event(2)].map(|report| scene.take(report)).into();
        let halt = Some(Told::Warning("Halt".to_owned()));
        assert_eq!(told, vec![halt.clone(), None, halt]);
    }

    #[test]
    fn a_change_is_told_when_the_phase_or_the_weight_is_another() {
        let mut scene = Scene::default();
        let reports = [status("Progressing", 0), status("Progressing", 10), status("Progressing", 10)];
        let told: Vec<_> = reports.map(|report| scene.take(report).is_some()).into();
        assert_eq!(told, vec![true, true, false]);
    }

    #[test]
    fn a_part_ends_with_the_end_of_a_run_that_began_in_it() {
        let mut scene = Scene::default();
        scene.take(status("Succeeded", 0));
        assert!(!scene.has_ended());
        scene.take(status("Progressing", 30));
        assert!(!scene.has_ended());
        scene.take(status("Failed", 0));
        assert!(scene.has_ended());
        assert_eq!(scene.peak_weight, 30);
        scene.begin("next", Counters::default());
        assert!(!scene.has_ended());
    }

    #[test]
    fn failures_are_counted_by_workload_since_the_part_began() {
        let line = |service: &str, code: u16, count: u64| {
            format!(
                "envoy_cluster_upstream_rq{{envoy_response_code=\"{code}\",\
                 envoy_cluster_name=\"outbound|9898||{service}.test.svc.cluster.local\"}} {count}\n"
            )
        };
        let counters = |scale: u64| {
            let text = line("podinfo-primary", 200, 90 * scale) + &line("podinfo-canary", 200, 7 * scale);
            Counters::parse(&(text + &line("podinfo-canary", 500, 2 * scale) + &line("podinfo-canary", 409, scale)))
        };
        let mut scene = Scene::default();
        scene.begin("part", counters(1));
        scene.take(Report::Traffic(counters(3)));
        assert_eq!(scene.traffic, Traffic { primary: (180, 0), canary: (20, 6), retried: 0 });
    }
}
