//! An unkind outside, chosen by a seed: which faults there are, and how often. The same seed is the same play.

use crate::outside::Reply;
use crate::stage::Stage;

/// What may go wrong with one step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    None,
    /// It is refused before it takes effect.
    Conflict,
    /// It takes effect, and the operator dies.
    Crash,
}

/// Faults to come.
#[derive(Clone, Debug)]
pub struct Faults {
    chance: fastrand::Rng,
    conflicts_per_mille: u32,
    crashes_per_mille: u32,
}

impl Faults {
    /// The faults of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let rates = [0, 0, 20, 100, 300];
        let conflicts_per_mille = chance.choice(rates).unwrap_or(0);
        let crashes_per_mille = chance.choice(rates).unwrap_or(0);
        Self { chance, conflicts_per_mille, crashes_per_mille }
    }

    /// What happens to the next step.
    pub fn next_step(&mut self) -> Mishap {
        if self.chance.u32(..1000) < self.conflicts_per_mille {
            return Mishap::Conflict;
        }
        if self.chance.u32(..1000) < self.crashes_per_mille { Mishap::Crash } else { Mishap::None }
    }

    /// Seconds until somebody does something next.
    pub fn next_pause_seconds(&mut self) -> i64 {
        self.chance.i64(1..60)
    }

    /// Somebody does something: a user edits, a provider or hook changes its mind.
    pub fn disturb(&mut self, stage: &mut Stage) -> Result<String, String> {
        let version = self.chance.u32(0..4);
        let what = self.chance.u32(..9);
        match what {
            0 | 1 => {
                let image = serde_json::json!(format!("podinfo:6.0.{version}"));
                stage.edit("/spec/template/spec/containers/0/image", &image)?;
                return Ok(format!("image {image}"));
            }
            2 => stage.outside.silence(),
            3 | 4 => stage.outside.speak(),
            5 => stage.outside.set_metric("istio_requests_total", Reply::Value(69.0)),
            6 => stage.outside.set_metric("istio_requests_total", Reply::Value(100.0)),
            7 => stage.outside.set_hook("acceptance", Err("no token".to_owned())),
            _ => stage.outside.set_hook("acceptance", Ok(())),
        }
        Ok(format!("disturbance {what}"))
    }

    /// From now on nothing goes wrong any more.
    pub fn end(&mut self, stage: &mut Stage) {
        self.conflicts_per_mille = 0;
        self.crashes_per_mille = 0;
        stage.outside.speak();
        stage.outside.set_metric("istio_requests_total", Reply::Value(100.0));
        stage.outside.set_hook("acceptance", Ok(()));
    }
}
