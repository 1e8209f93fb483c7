//! Two canaries on one cluster, each with an operator's memory, an outside and a film of its own: what the one makes of its
//! objects must not show in the film of the other (I15). It decides nothing.

use std::collections::BTreeSet;

use burgee_core::world::ObjectKey;
use jiff::{SignedDuration, Timestamp};

use crate::cluster::Cluster;
use crate::process::later;
use crate::stage::Stage;

/// How often both may act at one instant: more is a loop.
const MOST_TURNS_AT_ONCE: usize = 50;
/// How long an operator is left alone that goes round in circles.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// Two stages with one cluster, its pods and its autoscalers.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// The one with the odd objects. It has the cluster between two calls, and may go round in circles.
    pub odd: Stage,
    /// The one that must not notice.
    pub bystander: Stage,
    /// The cluster as each of the two saw it last.
    seen: [Cluster; 2],
}

impl Neighbours {
    /// A second canary on a stage, to which nothing has happened yet.
    pub fn new(odd: Stage, bystander: ObjectKey) -> Self {
        let seen = [odd.cluster.clone(), odd.cluster.clone()];
        let mut bystander = Stage::new(Cluster::default(), bystander);
        bystander.settings = odd.settings.clone();
        Self { odd, bystander, seen }
    }

    /// Plays both until `second`. The error is the bystander's.
    pub fn play_until(&mut self, second: i64) -> Result<(), String> {
        let end = Timestamp::from_second(self.odd.start.as_second() + second).map_err(|error| error.to_string())?;
        self.settle()?;
        while let Some(now) = self.next_time().filter(|now| *now <= end) {
            self.go_to(now);
            self.settle()?;
        }
        self.go_to(end);
        self.settle()
    }

    fn next_time(&self) -> Option<Timestamp> {
        self.odd.next_time().into_iter().chain(self.bystander.next_time()).min()
    }

    fn go_to(&mut self, now: Timestamp) {
        for stage in [&mut self.odd, &mut self.bystander] {
            stage.now = now.max(stage.now);
        }
    }

    /// Lets both act until nothing moves at this instant.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MOST_TURNS_AT_ONCE {
            let version = self.odd.cluster.version();
            tell_news(&mut self.odd, &self.seen[0]);
            if self.odd.settle().is_err() {
                self.odd.pause(PAUSE);
            }
            self.seen[0] = self.odd.cluster.clone();
            lend(&mut self.odd, &mut self.bystander);
            tell_news(&mut self.bystander, &self.seen[1]);
            let settled = self.bystander.settle();
            self.seen[1] = self.bystander.cluster.clone();
            lend(&mut self.bystander, &mut self.odd);
            settled?;
            if self.odd.cluster.version() == version {
                return Ok(());
            }
        }
        Err(format!("at {}s the two keep each other busy\n{}", self.odd.second(), self.odd.film))
    }
}

/// What both share goes from one to the other.
fn lend(from: &mut Stage, to: &mut Stage) {
    std::mem::swap(&mut from.cluster, &mut to.cluster);
    std::mem::swap(&mut from.workloads, &mut to.workloads);
    std::mem::swap(&mut from.scalers, &mut to.scalers);
}

/// The watches of a stage's operators show what the other one has changed.
fn tell_news(stage: &mut Stage, seen: &Cluster) {
    let keys: BTreeSet<&ObjectKey> = seen.iter().chain(stage.cluster.iter()).map(|(key, _)| key).collect();
    let changed = keys.into_iter().filter(|key| !seen.has_the_same(&stage.cluster, key));
    let at = later(stage.now, stage.debounce);
    for key in changed {
        stage.processes.iter_mut().for_each(|process| process.notice(key, &stage.canary, at));
    }
}
