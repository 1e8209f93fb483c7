//! Which fault was met in which phase, and how often. It only counts.

use std::collections::BTreeMap;
use std::fmt;

use burgee_api::Phase;

use crate::fault::Fault;

/// Phases that are stored at some time. `Terminated` is never written: the object goes instead.
pub const PHASES: [Phase; 11] = [
    Phase::Unset,
    Phase::Initializing,
    Phase::Initialized,
    Phase::Waiting,
    Phase::Progressing,
    Phase::WaitingPromotion,
    Phase::Promoting,
    Phase::Finalising,
    Phase::Succeeded,
    Phase::Failed,
    Phase::Terminating,
];

/// How often each fault was met in each phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<(Fault, Phase), u64>,
}

impl Coverage {
    /// A fault was met in a phase.
    pub fn note(&mut self, fault: Fault, phase: Phase) {
        *self.met.entry((fault, phase)).or_default() += 1;
    }

    /// Adds what was met elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (pair, times) in &other.met {
            *self.met.entry(*pair).or_default() += times;
        }
    }

    /// How often a fault was met in a phase.
    pub fn times(&self, fault: Fault, phase: Phase) -> u64 {
        self.met.get(&(fault, phase)).copied().unwrap_or(0)
    }

    /// Every pair that was met, with how often.
    pub fn rows(&self) -> impl Iterator<Item = (Fault, Phase, u64)> {
        self.met.iter().map(|((fault, phase), times)| (*fault, *phase, *times))
    }

    /// Pairs that can be met and were not.
    pub fn missing(&self) -> Vec<(Fault, Phase)> {
        let pairs = Fault::ALL.into_iter().flat_map(|fault| PHASES.map(|phase| (fault, phase)));
        pairs
            .filter(|(fault, phase)| unreachable(*fault, *phase).is_none() && self.times(*fault, *phase) == 0)
            .collect()
    }
}

/// Why a fault cannot be met in a phase; none if it can.
pub fn unreachable(fault: Fault, phase: Phase) -> Option<&'static str> {
    match (fault, phase) {
        (Fault::PrimaryDeleted | Fault::PrimaryScaler, Phase::Unset) => Some("there is no primary yet"),
        (Fault::Reapplied, _) if phase != Phase::Unset => Some("a canary that is applied anew has no status"),
        _ => None,
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<18}", "fault")?;
        for phase in PHASES {
            let name = if phase == Phase::Unset { "(unset)" } else { phase.as_str() };
            write!(formatter, "{:>9}", &name[..name.len().min(8)])?;
        }
        writeln!(formatter)?;
        for fault in Fault::ALL {
            write!(formatter, "{:<18}", fault.name())?;
            for phase in PHASES {
                let times = self.times(fault, phase);
                let cell =
                    if times == 0 && unreachable(fault, phase).is_some() { "-".to_owned() } else { times.to_string() };
                write!(formatter, "{cell:>9}")?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
