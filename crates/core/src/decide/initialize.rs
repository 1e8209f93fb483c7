//! Bootstrap: the primary is made and takes over the traffic before the target goes to zero (S12).

use burgee_api::Phase;
use serde_json::Value;

use super::ask::Asker;
use super::autoscaler::{self};
use super::builder::PlanBuilder;
use super::copies::known_copies;
use super::facts::Facts;
use super::heard::Heard;
use super::look::settle_seen;
use super::mistake::Obstacle;
use super::odd_services::odd_services;
use super::proposal::{Decision, Proposal};
use super::revision::{generation, record_revision, runs_as_primary, uid};
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{analyse, capacity, reconcile, routes};
use crate::digest::digest;
use crate::kept;
use crate::notice::Notice;
use crate::plan::Step;
use crate::question::{Answer, Ask, ProviderSource};
use crate::scaler::Sync;
use crate::services::Role;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn initialize(tick: &Facts, answers: &Heard) -> Decision<Proposal> {
    if tick.phase() == Phase::Unset || tick.run().is_none_or(|run| run.started_at.is_none()) {
        return Ok(begin(tick));
    }
    let scene = tick.scene()?;
    reconcile::configs(tick)?;
    let mut draft = PlanBuilder::new(tick);
    draft.steps(reconcile::service(tick, scene, Role::Canary)?);
    draft.steps(reconcile::service(tick, scene, Role::Primary)?);
    if scene.primary.is_none() || names_nothing(tick) {
        return make_primary(tick, answers, scene, draft);
    }
    let wait = unready_primary(tick).or_else(|| is_late(tick, scene, &draft).then_some(Readiness::Ready));
    if let Some(wait) = wait {
        return mend_primary(tick, scene, draft, wait);
    }
    autoscaler::source(tick)?;
    draft.steps(autoscaler::primary_scaler(tick, Sync::CreateOnly, None)?);
    draft.steps(reconcile::service(tick, scene, Role::Apex)?);
    let routes = routes::routes_alone(tick, Split::PRIMARY)?;
    let until = tick.drained_at();
    if !routes.is_empty() && draft.run().drain_until.is_some() && until > tick.now {
        // Somebody else led requests to the target meanwhile: it is drained anew. The time first: routes that are back
        // before it could be noted would be drained too early.
        draft.run().drain_until = Some(fraction(until));
        draft.intend(routes);
    } else {
        draft.steps(routes);
    }
    Ok(empty_target(tick, scene, draft))
}

/// Whether a Knative Service names a primary revision that is gone.
fn names_nothing(tick: &Facts) -> bool {
    let named = workload::revision(tick.rollout, tick.world, Side::Primary);
    named.is_some_and(|named| tick.world.look(&named) == Ok(None))
}

/// The first write: the phase, its condition, and the record that names events from now on.
fn begin(tick: &Facts) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.enter(Phase::Initializing);
    let now = fraction(tick.now);
    draft.run().started_at = Some(now);
    draft.finish(Wake::At(tick.now))
}

/// The providers are asked, the revision is recorded, and only then is the primary made from exactly that revision: a
/// crash in between leaves nothing that was not recorded.
fn make_primary(tick: &Facts, answers: &Heard, scene: &Scene, mut draft: PlanBuilder) -> Decision<Proposal> {
    if !draft.run().providers_checked && !tick.rollout.skip_analysis {
        let notice = providers(tick, answers)?;
        draft.tell(notice);
        draft.run().providers_checked = true;
    }
    // A primary that went while the target was drained: the next one has to start before anybody drains again.
    if draft.run().revision != scene.revision || draft.run().drain_until.is_some() {
        return Ok(record_first(tick, scene, draft));
    }
    if have_moved(&draft, scene) {
        note_configs(&mut draft, scene);
        return Ok(draft.finish(Wake::At(tick.now)));
    }
    draft.steps(known_copies(tick, scene)?.into_iter().map(Step::CopyConfig));
    let id = kept::flagger_id(&tick.rollout.uid, &scene.revision, "bootstrap");
    let primary = workload::primary(&scene.recipe(tick, &id), scene.target).map_err(Obstacle::Halt)?;
    draft.step(scene.keep(tick, &scene.revision));
    draft.steps(settle_seen(tick, primary));
    Ok(draft.finish(tick.primary_written()))
}

/// Notes what the configs hold that the primary is about to get. What could not be read stays as it was noted (I11).
fn note_configs(draft: &mut PlanBuilder, scene: &Scene) {
    if scene.checksums.is_some() {
        draft.status.tracked_configs.clone_from(&scene.checksums);
    }
}

/// Whether the configs hold something else than was noted.
fn have_moved(draft: &PlanBuilder, scene: &Scene) -> bool {
    scene.checksums.is_some() && draft.status.tracked_configs != scene.checksums
}

/// Whether the providers answer (contract: metrics §5). It is said and blocks nothing.
fn providers(tick: &Facts, answers: &Heard) -> Decision<Notice> {
    let sources = match analyse::sources(tick.rollout, tick.world) {
        Ok(sources) => sources,
        Err(unready) => return Ok(Notice::ProvidersUnavailable(unready.to_string())),
    };
    let asker = Asker { tick, answers, moment: "bootstrap".to_owned(), phase: Phase::Initializing, before: Vec::new() };
    let online = |(what, source): &(String, ProviderSource)| (what.clone(), Ask::Online { source: source.clone() });
    let answers = asker.all(sources.iter().map(online).collect())?;
    let unready = sources.iter().zip(answers).find_map(|((_, source), answer)| match answer {
        Answer::Measured(Err(error)) => Some(analyse::unready(source, error)),
        Answer::Measured(Ok(_)) | Answer::Hook(_) => None,
    });
    Ok(unready.map_or(Notice::ProvidersAvailable, |unready| Notice::ProvidersUnavailable(unready.to_string())))
}

/// Why the primary is not ready yet; with `skipAnalysis` nobody waits for it (contract: lifecycle §2, 8), but it must
/// have a pod before it gets traffic (I3).
fn unready_primary(tick: &Facts) -> Option<Readiness> {
    let readiness = tick.primary_readiness();
    (readiness != Readiness::Ready).then_some(readiness)
}

/// A first revision that does not start is mended by pushing another one: before the routes stand the primary serves
/// nobody, so it follows the target. The record comes first, as when it was made.
fn mend_primary(tick: &Facts, scene: &Scene, mut draft: PlanBuilder, wait: Readiness) -> Decision<Proposal> {
    let Some(primary) = scene.primary else { return Ok(draft.finish(Wake::OnChange)) };
    let recorded = draft.run().revision.clone();
    if recorded.is_empty() || draft.run().drain_until.is_some() {
        return Ok(wait_for_primary(tick, draft, wait));
    }
    if recorded != scene.revision {
        return Ok(record_first(tick, scene, draft));
    }
    let id = kept::flagger_id(&tick.rollout.uid, &recorded, "bootstrap");
    if workload::is_copy(tick.rollout.target_kind, primary, &id, &recorded) {
        return Ok(wait_for_primary(tick, draft, wait));
    }
    if have_moved(&draft, scene) {
        note_configs(&mut draft, scene);
        return Ok(draft.finish(Wake::At(tick.now)));
    }
    draft.steps(known_copies(tick, scene)?.into_iter().map(Step::CopyConfig));
    draft.step(scene.keep(tick, &scene.revision));
    let mended = workload::promoted(&scene.recipe(tick, &id), scene.target, primary, 0);
    draft.step(Step::Replace(mended.map_err(Obstacle::Halt)?));
    Ok(draft.finish(tick.primary_written()))
}

/// Whether the primary was made from another revision than the one that is recorded: by an operator that stood still on the
/// way, and had lost the lease by then.
fn is_late(tick: &Facts, scene: &Scene, draft: &PlanBuilder) -> bool {
    let Some(run) = draft.status.run.as_ref().filter(|run| run.drain_until.is_none()) else { return false };
    let id = kept::flagger_id(&tick.rollout.uid, &run.revision, "bootstrap");
    let is_made = |primary| workload::is_copy(tick.rollout.target_kind, primary, &id, &run.revision);
    let is_other = scene.primary.is_some_and(|primary| !is_made(primary));
    tick.rollout.target_kind.has_pods() && !run.revision.is_empty() && is_other
}

/// Records the revision that the primary is about to be made from.
fn record_first(tick: &Facts, scene: &Scene, mut draft: PlanBuilder) -> Proposal {
    let (uid, generation) = (uid(scene.target), generation(scene.target));
    let run = draft.run();
    run.revision.clone_from(&scene.revision);
    run.target_uid = uid;
    run.target_generation = Some(generation);
    run.drain_until = None;
    note_configs(&mut draft, scene);
    draft.finish(Wake::At(tick.now))
}

fn wait_for_primary(tick: &Facts, mut draft: PlanBuilder, readiness: Readiness) -> Proposal {
    let (reason, next) = match readiness {
        Readiness::Ready => return draft.finish(Wake::OnChange),
        Readiness::Waiting { reason, deadline } => (reason, deadline.map_or(Wake::OnChange, Wake::At)),
        Readiness::Failed(reason) => (reason, Wake::At(tick.after(tick.rollout.interval))),
    };
    draft.tell(Notice::Problem(reason));
    draft.finish(next)
}

/// The route stands: after the drain delay the target goes to zero, and the canary is initialized.
fn empty_target(tick: &Facts, scene: &Scene, mut draft: PlanBuilder) -> Proposal {
    let scale_down = workload::scale_to_zero(tick.rollout, scene.target);
    if scale_down.is_some() {
        let Some(until) = draft.run().drain_until.as_deref().and_then(time) else {
            let until = tick.drained_at();
            draft.run().drain_until = Some(fraction(until));
            return draft.finish(Wake::At(until));
        };
        if tick.now < until {
            return draft.finish(Wake::At(until));
        }
    }
    let moved = i64::from(scale_down.is_some());
    draft.steps(autoscaler::pause_target(tick));
    draft.steps(scale_down);
    // A primary that was there before may run another revision: then nothing is recorded, and the target's is new.
    if draft.run().revision.is_empty()
        && let Some(template) = running(tick, scene)
    {
        record_revision(&mut draft, scene, 0);
        draft.run().revision = digest(&template);
        draft.step(Step::Keep(kept::object(tick.rollout, &digest(&template), &template, &scene.tracked)));
    }
    let revision = draft.run().revision.clone();
    draft.enter(Phase::Initialized);
    draft.tell(Notice::InitializationDone);
    for notice in odd_services(tick) {
        draft.tell(notice);
    }
    draft.status.canary_weight = 0;
    draft.reset_counters();
    draft.status.last_applied_spec.clone_from(&revision);
    draft.status.last_promoted_spec = revision;
    if draft.status.tracked_configs.is_none() {
        draft.status.tracked_configs.clone_from(&scene.checksums);
    }
    let run = draft.run();
    // A revision that came during the bootstrap stays new: only the recorded one's generation moves with the scale-down.
    if run.target_generation == Some(generation(scene.target)) {
        run.target_generation = Some(generation(scene.target) + moved);
    }
    run.drain_until = None;
    // Until now users may have reached the target: by a Service that was adopted, by another one, or because there was a
    // canary before this one.
    run.foreign_until = Some(fraction(tick.now));
    run.providers_checked = false;
    capacity::remember(tick, &mut draft);
    draft.finish(Wake::At(tick.now))
}

/// What a primary that was there before runs, if anybody knows: a Knative Service says so, another is compared.
fn running(tick: &Facts, scene: &Scene) -> Option<Value> {
    let named = workload::named_revision(tick.rollout.target_kind, scene.primary?);
    named.or_else(|| runs_as_primary(tick, scene).then(|| Value::clone(&scene.template)))
}
