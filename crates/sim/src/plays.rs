//! One seed, one play: a canary of some kind, faults for a while, then peace. No invariant may break, and in peace every
//! run comes to its end and rests.

use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::world::{Kind, ObjectKey};
use jiff::SignedDuration;

use crate::coverage::Coverage;
use crate::disturb;
use crate::faults::Faults;
use crate::kinds::{self, BROKEN, Kindred, NAMESPACE, ROLLBACK};
use crate::mutations::Mutation;
use crate::scenario::Scenario;
use crate::stage::Stage;

/// As the operator's own.
const DEBOUNCE: SignedDuration = SignedDuration::from_millis(200);
/// Seconds of disturbance.
const UNKIND_SECONDS: i64 = 400;
/// In peace a run ends within this time, in seconds: deadlines, gates, steps, and a clock that was set back.
const PEACE_SECONDS: i64 = 7_200;
/// How long nothing may happen once it rests.
const REST_SECONDS: i64 = 3_600;

/// How a play ended.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was met in which phase.
    pub coverage: Coverage,
    /// What was wrong, if something was, with the film.
    pub failure: Option<String>,
}

/// Plays one seed of one kind.
pub fn play(kind: Kindred, seed: u64) -> Played {
    play_with(kind, Faults::new(seed), None)
}

/// Plays one kind with these faults, and with a rule that is broken on purpose, if there is one to break.
pub fn play_with(kind: Kindred, mut faults: Faults, mutation: Option<Mutation>) -> Played {
    let mut stage = match set_up(kind) {
        Ok(stage) => stage,
        Err(failure) => return Played { coverage: Coverage::default(), failure: Some(failure) },
    };
    stage.mutation = mutation;
    let outcome = disturbed(&mut stage, &mut faults).and_then(|()| in_peace(&mut stage, &mut faults));
    let broken = stage.broken.take().map_or(outcome, Err);
    Played { coverage: faults.coverage, failure: broken.err().map(|broken| report(&stage, &broken)) }
}

fn report(stage: &Stage, broken: &str) -> String {
    let film = &stage.film;
    if broken.contains('\n') { broken.to_owned() } else { format!("{broken}\n{film}\n{}", stage.aside.join("\n")) }
}

/// The kind's objects on a stage.
pub fn set_up(kind: Kindred) -> Result<Stage, String> {
    let mut objects = (kind.objects)();
    let canary = kinds::canary((kind.spec)());
    objects.push(canary.clone());
    let mut stage = Scenario::of(objects).set_up()?;
    stage.manifest = Some(canary);
    stage.debounce = DEBOUNCE;
    stage.scalers.are_at_work = true;
    stage.outside.set_hook(ROLLBACK, Err("no".to_owned()));
    for name in ["podinfo", "podinfo-primary"] {
        stage.workloads.behaviour.stuck.insert((name.to_owned(), BROKEN.to_owned()));
    }
    Ok(stage)
}

fn disturbed(stage: &mut Stage, faults: &mut Faults) -> Result<(), String> {
    let mut second = faults.chance.choice([0, 0, 30]).unwrap_or(0);
    if second > 0 {
        stage.play_until(second)?;
    }
    while second < UNKIND_SECONDS {
        disturb::disturb(faults, stage)?;
        second += faults.next_pause_seconds();
        stage.faults = Some(faults.clone());
        let played = stage.play_until(second);
        if let Some(met) = stage.faults.take() {
            *faults = met;
        }
        played?;
    }
    Ok(())
}

fn in_peace(stage: &mut Stage, faults: &mut Faults) -> Result<(), String> {
    disturb::end(faults, stage)?;
    let end = stage.second() + PEACE_SECONDS;
    let mut second = stage.second() + 1;
    stage.play_until(second)?;
    while !stage.rests() && second < end {
        second += 20;
        stage.play_until(second)?;
        if stage.cluster.get(&stage.canary).is_none() || stage.status()["run"]["pausedSince"].is_string() {
            // What was asked for before the peace was carried out in it.
            disturb::end(faults, stage)?;
        }
    }
    if !stage.rests() {
        return Err(format!("the run never ends, it is {}", stage.phase()));
    }
    rests_well(stage)
}

/// I5, I10, I18: nothing is left to do, no revision is lost, and nothing is written any more.
fn rests_well(stage: &mut Stage) -> Result<(), String> {
    let taken = stage.taken;
    stage.play_until(stage.second() + REST_SECONDS)?;
    if stage.taken != taken {
        return Err("something is written or told although nothing happens (I18)".to_owned());
    }
    let Some(reading) = stage.reading() else { return Ok(()) };
    let Ok(rollout) = &reading.rollout else { return Ok(()) };
    let status = reading.canary.status.clone().unwrap_or_default();
    debug_assert!(status.phase.is_terminal(), "whoever rests has come to an end");
    has_one_autoscaler(stage)?;
    let Some(target) = stage.cluster.get(&rollout.target_key()) else { return Ok(()) };
    let template = burgee_core::workload::template(rollout.target_kind, target);
    let revision = burgee_core::digest::digest(&template);
    let is_known = [&status.last_applied_spec, &status.last_promoted_spec].contains(&&revision);
    if !is_known && !is_foreign(&status.last_applied_spec) {
        return Err(format!("revision {revision} was never analysed (I10)"));
    }
    if stage.workloads.ready(&rollout.primary_key(), stage.now) == 0 && status.canary_weight == 0 {
        return Err("all traffic is on a primary without pods".to_owned());
    }
    Ok(())
}

/// Two autoscalers would fight over the primary's pods.
fn has_one_autoscaler(stage: &Stage) -> Result<(), String> {
    let kinds = [Kind::HorizontalPodAutoscaler, Kind::ScaledObject];
    let copies = kinds.map(|kind| stage.cluster.get(&ObjectKey::new(kind, NAMESPACE, "podinfo-primary")));
    if copies.iter().all(Option::is_some) {
        return Err("two autoscalers scale the primary".to_owned());
    }
    Ok(())
}
