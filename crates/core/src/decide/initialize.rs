//! Bootstrap: the primary is made and takes over the traffic before the target goes to zero (S12).

use burgee_api::Phase;
use serde_json::Value;

use super::ask::{Asker, halt};
use super::draft::{fraction, time};
use super::revision::{generation, runs_as_primary, uid};
use super::scene::{Scene, kept_template, odd_services, primary_readiness};
use super::settle;
use super::start::record_revision;
use super::{Decision, Draft, Tick, analyse, capacity};
use crate::digest::digest;
use crate::kept;
use crate::notice::Notice;
use crate::plan::{ConfigCopy, Plan, Step};
use crate::question::{Answer, Answers, Ask, ProviderSource};
use crate::scaler::Sync;
use crate::services::Role;
use crate::split::Split;
use crate::timetable::Wake;
use crate::tracked;
use crate::workload::{self, Readiness, Recipe, Side};
use crate::world::ObjectKey;

pub(super) fn initialize(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    if tick.phase() == Phase::Unset || tick.run().is_none_or(|run| run.started_at.is_none()) {
        return Ok(begin(tick));
    }
    let scene = Scene::look(tick)?;
    settle::configs(tick)?;
    let mut draft = Draft::new(tick);
    draft.steps(settle::service(tick, &scene, Role::Canary)?);
    draft.steps(settle::service(tick, &scene, Role::Primary)?);
    if scene.primary.is_none() || names_nothing(tick) {
        return make_primary(tick, answers, &scene, draft);
    }
    let wait = unready_primary(tick).or_else(|| is_late(tick, &scene, &draft).then_some(Readiness::Ready));
    if let Some(wait) = wait {
        return mend_primary(tick, &scene, draft, wait);
    }
    settle::source(tick)?;
    draft.steps(settle::primary_scaler(tick, Sync::CreateOnly, None)?);
    draft.steps(settle::service(tick, &scene, Role::Apex)?);
    let routes = settle::routes_alone(tick, Split::PRIMARY)?;
    let until = tick.drained_at();
    if !routes.is_empty() && draft.run().drain_until.is_some() && until > tick.now {
        // Somebody else led requests to the target meanwhile: it is drained anew. The time first: routes that are back
        // before it could be noted would be drained too early.
        draft.run().drain_until = Some(fraction(until));
        draft.intend(routes);
    } else {
        draft.steps(routes);
    }
    Ok(empty_target(tick, &scene, draft))
}

/// Whether a Knative Service names a primary revision that is gone.
fn names_nothing(tick: &Tick) -> bool {
    let named = workload::revision(tick.rollout, tick.world, Side::Primary);
    named.is_some_and(|named| tick.world.look(&named) == Ok(None))
}

/// The first write: the phase, its condition, and the record that names events from now on.
fn begin(tick: &Tick) -> Plan {
    let mut draft = Draft::new(tick);
    draft.enter(Phase::Initializing);
    let now = fraction(tick.now);
    draft.run().started_at = Some(now);
    draft.finish(Wake::At(tick.now))
}

/// The providers are asked, the revision is recorded, and only then is the primary made from exactly that revision: a
/// crash in between leaves nothing that was not recorded.
fn make_primary(tick: &Tick, answers: &Answers, scene: &Scene, mut draft: Draft) -> Decision<Plan> {
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
    let primary = workload::primary(&scene.recipe(tick, &id), scene.target).map_err(|reason| halt(tick, reason))?;
    draft.step(scene.keep(tick, &scene.revision));
    draft.steps(settle::settle_seen(tick, primary));
    Ok(draft.finish(tick.primary_written()))
}

/// Notes what the configs hold that the primary is about to get. What could not be read stays as it was noted (I11).
fn note_configs(draft: &mut Draft, scene: &Scene) {
    if scene.checksums.is_some() {
        draft.status.tracked_configs.clone_from(&scene.checksums);
    }
}

/// Whether the configs hold something else than was noted.
fn have_moved(draft: &Draft, scene: &Scene) -> bool {
    scene.checksums.is_some() && draft.status.tracked_configs != scene.checksums
}

/// Copies of all tracked configs, with the checksums that hold now. While one of them cannot be read, nothing is copied:
/// the primary would miss it (S15).
pub(super) fn known_copies(tick: &Tick, scene: &Scene) -> Decision<Vec<ConfigCopy>> {
    if scene.checksums.is_none() && tick.settings.config_tracking {
        return Err(halt(tick, "waiting for the ConfigMaps and Secrets of the target to be read".to_owned()));
    }
    Ok(copies(tick, scene))
}

fn copies(tick: &Tick, scene: &Scene) -> Vec<ConfigCopy> {
    let checksum = |key: &ObjectKey| {
        scene.checksums.as_ref().and_then(|all| all.get(&tracked::status_key(key)).cloned()).unwrap_or_default()
    };
    let copy = |key: &ObjectKey| ConfigCopy {
        source: key.clone(),
        checksum: checksum(key),
        name: tracked::copy_name(&key.name),
        owner: tick.rollout.owner_reference(),
        include_label_prefixes: tick.settings.include_label_prefixes.clone(),
    };
    scene.tracked.iter().map(copy).collect()
}

/// Whether the providers answer (contract: metrics §5). It is said and blocks nothing.
fn providers(tick: &Tick, answers: &Answers) -> Decision<Notice> {
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
fn unready_primary(tick: &Tick) -> Option<Readiness> {
    let readiness = primary_readiness(tick);
    (readiness != Readiness::Ready).then_some(readiness)
}

/// A first revision that does not start is mended by pushing another one: before the routes stand the primary serves
/// nobody, so it follows the target. The record comes first, as when it was made.
fn mend_primary(tick: &Tick, scene: &Scene, mut draft: Draft, wait: Readiness) -> Decision<Plan> {
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
    draft.step(Step::Replace(mended.map_err(|reason| halt(tick, reason))?));
    Ok(draft.finish(tick.primary_written()))
}

/// Whether the primary was made from another revision than the one that is recorded: by an operator that stood still on the
/// way, and had lost the lease by then.
fn is_late(tick: &Tick, scene: &Scene, draft: &Draft) -> bool {
    let Some(run) = draft.status.run.as_ref().filter(|run| run.drain_until.is_none()) else { return false };
    let id = kept::flagger_id(&tick.rollout.uid, &run.revision, "bootstrap");
    let is_made = |primary| workload::is_copy(tick.rollout.target_kind, primary, &id, &run.revision);
    let is_other = scene.primary.is_some_and(|primary| !is_made(primary));
    tick.rollout.target_kind.has_pods() && !run.revision.is_empty() && is_other
}

/// Records the revision that the primary is about to be made from.
fn record_first(tick: &Tick, scene: &Scene, mut draft: Draft) -> Plan {
    let (uid, generation) = (uid(scene.target), generation(scene.target));
    let run = draft.run();
    run.revision.clone_from(&scene.revision);
    run.target_uid = uid;
    run.target_generation = Some(generation);
    run.drain_until = None;
    note_configs(&mut draft, scene);
    draft.finish(Wake::At(tick.now))
}

fn wait_for_primary(tick: &Tick, mut draft: Draft, readiness: Readiness) -> Plan {
    let (reason, next) = match readiness {
        Readiness::Ready => return draft.finish(Wake::OnChange),
        Readiness::Waiting { reason, deadline } => (reason, deadline.map_or(Wake::OnChange, Wake::At)),
        Readiness::Failed(reason) => (reason, Wake::At(tick.after(tick.rollout.interval))),
    };
    draft.tell(Notice::Problem(reason));
    draft.finish(next)
}

/// The route stands: after the drain delay the target goes to zero, and the canary is initialized.
fn empty_target(tick: &Tick, scene: &Scene, mut draft: Draft) -> Plan {
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
    draft.steps(settle::pause_target(tick));
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
fn running(tick: &Tick, scene: &Scene) -> Option<Value> {
    let named = workload::named_revision(tick.rollout.target_kind, scene.primary?);
    named.or_else(|| runs_as_primary(tick, scene).then(|| Value::clone(&scene.template)))
}

/// Recreates a primary that was promoted once and is gone: from the kept template, not from the target (I12). While
/// finalising, the revision that was just analysed is the promoted one.
pub(super) fn recreate_primary(tick: &Tick, scene: &Scene) -> Decision<Plan> {
    let status = tick.world.canary.status.clone().unwrap_or_default();
    let revision =
        if tick.phase() == Phase::Finalising { &status.last_applied_spec } else { &status.last_promoted_spec };
    // Of a primary that was there before the canary nobody may know the revision.
    let kept = if revision.is_empty() { None } else { kept_template(tick, revision)? };
    let mut draft = Draft::new(tick);
    let id = kept::flagger_id(&tick.rollout.uid, revision, "recreated");
    let recipe = scene.recipe(tick, &id);
    let primary = if let Some(kept) = kept {
        let tracked = scene.tracked_by(kept);
        workload::restored(&Recipe { tracked: &tracked, ..recipe }, &kept::template(kept), scene.target, None)
    } else {
        draft.tell_of_false(revision);
        draft.tell(Notice::PrimaryRecreatedFromTarget);
        draft.steps(known_copies(tick, scene)?.into_iter().map(Step::CopyConfig));
        workload::primary(&recipe, scene.target)
    };
    let primary = primary.map_err(|reason| halt(tick, reason))?;
    // The target may have no pods, and its autoscaler knows nothing of the primary's.
    let primary = workload::with_replicas(tick.rollout.target_kind, primary, capacity::remembered_pods(tick));
    draft.steps(settle::settle_seen(tick, primary));
    Ok(draft.finish(tick.primary_written()))
}
