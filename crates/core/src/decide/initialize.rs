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
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{analyse, capacity, reconcile, routes};
use crate::digest::digest;
use crate::notice::Notice;
use crate::plan::Step;
use crate::question::{Answer, Ask, ProviderSource};
use crate::scaler::Sync;
use crate::services::Role;
use crate::snapshot;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn initialize(facts: &Facts, answers: &Heard) -> Decision<Proposal> {
    if facts.phase() == Phase::Unset || facts.run().is_none_or(|run| run.started_at.is_none()) {
        return Ok(begin(facts));
    }
    let workloads = facts.workloads()?;
    reconcile::configs(facts)?;
    let mut builder = PlanBuilder::new(facts);
    builder.steps(reconcile::service(facts, workloads, Role::Canary)?);
    builder.steps(reconcile::service(facts, workloads, Role::Primary)?);
    if workloads.primary.is_none() || names_nothing(facts) {
        return make_primary(facts, answers, workloads, builder);
    }
    let wait = unready_primary(facts).or_else(|| is_late(facts, workloads, &builder).then_some(Readiness::Ready));
    if let Some(wait) = wait {
        return mend_primary(facts, workloads, builder, wait);
    }
    autoscaler::source(facts)?;
    builder.steps(autoscaler::primary_scaler(facts, Sync::CreateOnly, None)?);
    builder.steps(reconcile::service(facts, workloads, Role::Apex)?);
    let routes = routes::routes_alone(facts, Split::PRIMARY)?;
    let until = facts.drained_at();
    if !routes.is_empty() && builder.run().drain_until.is_some() && until > facts.now {
        // Somebody else led requests to the target meanwhile: it is drained anew. The time first: routes that are back
        // before it could be noted would be drained too early.
        builder.run().drain_until = Some(fraction(until));
        builder.intend(routes);
    } else {
        builder.steps(routes);
    }
    Ok(empty_target(facts, workloads, builder))
}

/// Whether a Knative Service names a primary revision that is gone.
fn names_nothing(facts: &Facts) -> bool {
    let named = workload::revision(facts.rollout, facts.world, Side::Primary);
    named.is_some_and(|named| facts.world.look(&named) == Ok(None))
}

/// The first write: the phase, its condition, and the record that names events from now on.
fn begin(facts: &Facts) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.enter(Phase::Initializing);
    let now = fraction(facts.now);
    builder.run().started_at = Some(now);
    builder.finish(Wake::At(facts.now))
}

/// The providers are asked, the revision is recorded, and only then is the primary made from exactly that revision: a
/// crash in between leaves nothing that was not recorded.
fn make_primary(facts: &Facts, answers: &Heard, workloads: &Workloads, mut builder: PlanBuilder) -> Decision<Proposal> {
    if !builder.run().providers_checked && !facts.rollout.skip_analysis {
        let notice = providers(facts, answers)?;
        builder.tell(notice);
        builder.run().providers_checked = true;
    }
    // A primary that went while the target was drained: the next one has to start before anybody drains again.
    if builder.run().revision != workloads.revision || builder.run().drain_until.is_some() {
        return Ok(record_first(facts, workloads, builder));
    }
    if have_moved(&builder, workloads) {
        note_configs(&mut builder, workloads);
        return Ok(builder.finish(Wake::At(facts.now)));
    }
    builder.steps(known_copies(facts, workloads)?.into_iter().map(Step::CopyConfig));
    let id = snapshot::flagger_id(&facts.rollout.uid, &workloads.revision, "bootstrap");
    let primary = workload::primary(&workloads.recipe(facts, &id), workloads.target).map_err(Obstacle::Halt)?;
    builder.step(workloads.keep(facts, &workloads.revision));
    builder.steps(settle_seen(facts, primary));
    Ok(builder.finish(facts.primary_written()))
}

/// Notes what the configs hold that the primary is about to get. What could not be read stays as it was noted (I11).
fn note_configs(builder: &mut PlanBuilder, workloads: &Workloads) {
    if workloads.checksums.is_some() {
        builder.status.tracked_configs.clone_from(&workloads.checksums);
    }
}

/// Whether the configs hold something else than was noted.
fn have_moved(builder: &PlanBuilder, workloads: &Workloads) -> bool {
    workloads.checksums.is_some() && builder.status.tracked_configs != workloads.checksums
}

/// Whether the providers answer (contract: metrics §5). It is said and blocks nothing.
fn providers(facts: &Facts, answers: &Heard) -> Decision<Notice> {
    let sources = match analyse::sources(facts.rollout, facts.world) {
        Ok(sources) => sources,
        Err(unready) => return Ok(Notice::ProvidersUnavailable(unready.to_string())),
    };
    let asker =
        Asker { facts, answers, moment: "bootstrap".to_owned(), phase: Phase::Initializing, before: Vec::new() };
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
fn unready_primary(facts: &Facts) -> Option<Readiness> {
    let readiness = facts.primary_readiness();
    (readiness != Readiness::Ready).then_some(readiness)
}

/// A first revision that does not start is mended by pushing another one: before the routes stand the primary serves
/// nobody, so it follows the target. The record comes first, as when it was made.
fn mend_primary(facts: &Facts, workloads: &Workloads, mut builder: PlanBuilder, wait: Readiness) -> Decision<Proposal> {
    let Some(primary) = workloads.primary else { return Ok(builder.finish(Wake::OnChange)) };
    let recorded = builder.run().revision.clone();
    if recorded.is_empty() || builder.run().drain_until.is_some() {
        return Ok(wait_for_primary(facts, builder, wait));
    }
    if recorded != workloads.revision {
        return Ok(record_first(facts, workloads, builder));
    }
    let id = snapshot::flagger_id(&facts.rollout.uid, &recorded, "bootstrap");
    if workload::is_copy(facts.rollout.target_kind, primary, &id, &recorded) {
        return Ok(wait_for_primary(facts, builder, wait));
    }
    if have_moved(&builder, workloads) {
        note_configs(&mut builder, workloads);
        return Ok(builder.finish(Wake::At(facts.now)));
    }
    builder.steps(known_copies(facts, workloads)?.into_iter().map(Step::CopyConfig));
    builder.step(workloads.keep(facts, &workloads.revision));
    let mended = workload::promoted(&workloads.recipe(facts, &id), workloads.target, primary, 0);
    builder.step(Step::Replace(mended.map_err(Obstacle::Halt)?));
    Ok(builder.finish(facts.primary_written()))
}

/// Whether the primary was made from another revision than the one that is recorded: by an operator that stood still on the
/// way, and had lost the lease by then.
fn is_late(facts: &Facts, workloads: &Workloads, builder: &PlanBuilder) -> bool {
    let Some(run) = builder.status.run.as_ref().filter(|run| run.drain_until.is_none()) else { return false };
    let id = snapshot::flagger_id(&facts.rollout.uid, &run.revision, "bootstrap");
    let is_made = |primary| workload::is_copy(facts.rollout.target_kind, primary, &id, &run.revision);
    let is_other = workloads.primary.is_some_and(|primary| !is_made(primary));
    facts.rollout.target_kind.has_pods() && !run.revision.is_empty() && is_other
}

/// Records the revision that the primary is about to be made from.
fn record_first(facts: &Facts, workloads: &Workloads, mut builder: PlanBuilder) -> Proposal {
    let (uid, generation) = (uid(workloads.target), generation(workloads.target));
    let run = builder.run();
    run.revision.clone_from(&workloads.revision);
    run.target_uid = uid;
    run.target_generation = Some(generation);
    run.drain_until = None;
    note_configs(&mut builder, workloads);
    builder.finish(Wake::At(facts.now))
}

fn wait_for_primary(facts: &Facts, mut builder: PlanBuilder, readiness: Readiness) -> Proposal {
    let (reason, next) = match readiness {
        Readiness::Ready => return builder.finish(Wake::OnChange),
        Readiness::Waiting { reason, deadline } => (reason, deadline.map_or(Wake::OnChange, Wake::At)),
        Readiness::Failed(reason) => (reason, Wake::At(facts.after(facts.rollout.interval))),
    };
    builder.tell(Notice::Problem(reason));
    builder.finish(next)
}

/// The route stands: after the drain delay the target goes to zero, and the canary is initialized.
fn empty_target(facts: &Facts, workloads: &Workloads, mut builder: PlanBuilder) -> Proposal {
    let scale_down = workload::scale_to_zero(facts.rollout, workloads.target);
    if scale_down.is_some() {
        let Some(until) = builder.run().drain_until.as_deref().and_then(time) else {
            let until = facts.drained_at();
            builder.run().drain_until = Some(fraction(until));
            return builder.finish(Wake::At(until));
        };
        if facts.now < until {
            return builder.finish(Wake::At(until));
        }
    }
    let moved = i64::from(scale_down.is_some());
    builder.steps(autoscaler::pause_target(facts));
    builder.steps(scale_down);
    // A primary that was there before may run another revision: then nothing is recorded, and the target's is new.
    if builder.run().revision.is_empty()
        && let Some(template) = running(facts, workloads)
    {
        record_revision(&mut builder, workloads, 0);
        builder.run().revision = digest(&template);
        builder.step(Step::Keep(snapshot::object(facts.rollout, &digest(&template), &template, &workloads.tracked)));
    }
    let revision = builder.run().revision.clone();
    builder.enter(Phase::Initialized);
    builder.tell(Notice::InitializationDone);
    for notice in odd_services(facts) {
        builder.tell(notice);
    }
    builder.status.canary_weight = 0;
    builder.reset_counters();
    builder.status.last_applied_spec.clone_from(&revision);
    builder.status.last_promoted_spec = revision;
    if builder.status.tracked_configs.is_none() {
        builder.status.tracked_configs.clone_from(&workloads.checksums);
    }
    let run = builder.run();
    // A revision that came during the bootstrap stays new: only the recorded one's generation moves with the scale-down.
    if run.target_generation == Some(generation(workloads.target)) {
        run.target_generation = Some(generation(workloads.target) + moved);
    }
    run.drain_until = None;
    // Until now users may have reached the target: by a Service that was adopted, by another one, or because there was a
    // canary before this one.
    run.foreign_until = Some(fraction(facts.now));
    run.providers_checked = false;
    capacity::remember(facts, &mut builder);
    builder.finish(Wake::At(facts.now))
}

/// What a primary that was there before runs, if anybody knows: a Knative Service says so, another is compared.
fn running(facts: &Facts, workloads: &Workloads) -> Option<Value> {
    let named = workload::named_revision(facts.rollout.target_kind, workloads.primary?);
    named.or_else(|| runs_as_primary(facts, workloads).then(|| Value::clone(&workloads.template)))
}
