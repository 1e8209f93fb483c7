//! Getting an answer or leaving with the question. It never calls anything itself.

use burgee_api::{Condition, PassedHook, Phase, Webhook, WebhookType};
use jiff::Timestamp;

use super::builder::{PlanBuilder, telling};
use super::facts::Facts;
use super::heard::Heard;
use super::mistake::{Mistake, is_of_webhooks};
use super::proposal::{Decision, Proposal, Stop};
use super::tick::Tick;
use crate::notice::{Gate, Notice, Voice, cut};
use crate::plain::plain;
use crate::plan::{Plan, Step};
use crate::question::{Answer, Ask, AskKey, HookError, Question};
use crate::timetable::Wake;
use crate::webhook::{self, Payload, kind_name};

/// What asking needs to know.
pub(super) struct Asker<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) answers: &'a Heard<'a>,
    /// Names the revision and step, so that an answer is never used for another.
    pub(super) moment: String,
    /// The phase that webhooks see.
    pub(super) phase: Phase,
    /// What is told before the first question.
    pub(super) before: Vec<Notice>,
}

/// What became of a row of gates.
pub(super) enum Gates {
    /// All passed; these had not passed before.
    Open(Vec<String>),
    /// This one did not, with its answer; those before it passed.
    Closed { passed: Vec<String>, hook: Webhook, error: String },
}

impl Asker<'_> {
    /// Asks the hooks of one type in order until one fails. Those in `known` passed already (S18).
    pub(super) fn gates(&self, kinds: &[WebhookType], known: &[PassedHook]) -> Decision<Gates> {
        let mut passed = Vec::new();
        for kind in kinds {
            for hook in self.facts.rollout.webhooks(*kind) {
                if known.contains(&remembered(hook)) || is_message(hook) {
                    continue;
                }
                match self.hook(hook)? {
                    Ok(()) => passed.push(hook.name.clone()),
                    Err(error) => {
                        return Ok(Gates::Closed { passed, hook: hook.clone(), error: error.to_string() });
                    }
                }
            }
        }
        Ok(Gates::Open(passed))
    }

    /// The answer of one hook.
    pub(super) fn hook(&self, hook: &Webhook) -> Decision<Result<(), HookError>> {
        let key = self.hook_key(hook);
        // Whoever did not want a rollback is asked again, however long another hook takes (I22).
        let is_rollback = hook.kind == WebhookType::Rollback;
        match if is_rollback { self.fresh(&key) } else { self.answers.needed(&key) } {
            Some(Answer::Hook(answer)) => Ok(answer.clone()),
            Some(Answer::Measured(_)) | None => {
                let ask = Ask::Hook { webhook: hook.clone(), payload: self.payload(hook) };
                Err(self.leave(vec![(key, ask)]))
            }
        }
    }

    /// Every hook that did not pass at this moment, and why.
    pub(super) fn failed_hooks(&self) -> impl Iterator<Item = (&Webhook, &HookError)> {
        let hooks = self.facts.rollout.analysis.iter().flat_map(|analysis| &analysis.webhooks);
        hooks.filter_map(|hook| match self.answers.known(&self.hook_key(hook))? {
            Answer::Hook(Err(error)) => Some((hook, error)),
            Answer::Hook(Ok(())) | Answer::Measured(_) => None,
        })
    }

    fn hook_key(&self, hook: &Webhook) -> AskKey {
        self.key(format!("webhook {} {}", kind_name(hook.kind), hook.name))
    }

    /// The answers to several questions, which go out together.
    pub(super) fn all(&self, asks: Vec<(String, Ask)>) -> Decision<Vec<Answer>> {
        let keyed: Vec<(AskKey, Ask)> = asks.into_iter().map(|(what, ask)| (self.key(what), ask)).collect();
        let answers: Vec<Option<&Answer>> = keyed.iter().map(|(key, _)| self.fresh(key)).collect();
        if answers.iter().all(Option::is_some) {
            return Ok(answers.into_iter().flatten().cloned().collect());
        }
        let open = keyed.into_iter().filter(|(key, _)| self.fresh(key).is_none()).collect();
        Err(self.leave(open))
    }

    fn payload(&self, hook: &Webhook) -> serde_json::Value {
        let status = self.facts.world.canary.status.as_ref();
        let checksum = webhook::checksum(
            status.and_then(|status| status.tracked_configs.as_ref()),
            status.map_or("", |status| status.last_applied_spec.as_str()),
        );
        let facts = self.facts;
        // Whoever is asked to roll back hears where the canary is (contract: webhooks §2).
        let phase = if hook.kind == WebhookType::Rollback { facts.phase() } else { self.phase }.as_str();
        Payload { name: &facts.rollout.name, namespace: &facts.rollout.namespace, phase, checksum: &checksum }
            .body(&hook.metadata)
    }

    /// An answer that is not older than an interval.
    fn fresh(&self, key: &AskKey) -> Option<&Answer> {
        let Tick { now, rollout, .. } = **self.facts;
        self.answers.needed_since(key, now.saturating_sub(rollout.interval).unwrap_or(Timestamp::MIN))
    }

    /// Whether everything that a question asks has been asked for longer than an interval already.
    pub(super) fn is_late(&self, question: &Question) -> bool {
        let Tick { now, rollout, .. } = **self.facts;
        let since = now.saturating_sub(rollout.interval).unwrap_or(Timestamp::MIN);
        question.asks.iter().all(|(key, _)| self.answers.is_awaited_longer(key, since))
    }

    fn key(&self, what: String) -> AskKey {
        AskKey { what, moment: self.moment.clone() }
    }

    /// Leaves with the question, or waits if it was answered less than an interval ago.
    fn leave(&self, asks: Vec<(AskKey, Ask)>) -> Stop {
        if let Some(until) = self.answers.quiet_until(self.facts.now) {
            return Proposal::from(Plan { next: Wake::At(until), ..Plan::idle() }).into();
        }
        let tellings = (0..).zip(&self.before);
        let first = tellings.map(|(place, notice)| Step::Tell(telling(self.facts, notice.clone(), place, self.phase)));
        Stop::Ask(Question { repairs: Vec::new(), first: first.collect(), asks })
    }
}

/// How a hook that passed is remembered.
fn remembered(hook: &Webhook) -> PassedHook {
    PassedHook { kind: hook.kind, name: hook.name.clone() }
}

/// An untyped hook to a chat is a message, never a check.
fn is_message(hook: &Webhook) -> bool {
    hook.kind == WebhookType::Untyped && webhook::chat::destination(hook).is_some()
}

/// Whether what is said of a gate is an alert as well.
pub(super) fn voice(hook: &Webhook) -> Voice {
    if hook.mute_alert { Voice::Muted } else { Voice::Loud }
}

/// Notes and tells the gates that passed. One that is asked only once in a run is not asked again (S18).
pub(super) fn note_passed(builder: &mut PlanBuilder, gate: Gate, passed: Vec<String>) {
    let once = match gate {
        Gate::PreRollout => Some(WebhookType::PreRollout),
        Gate::ConfirmPromotion => Some(WebhookType::ConfirmPromotion),
        Gate::ConfirmRollout | Gate::ConfirmTrafficIncrease | Gate::PostRollout | Gate::Rollback => None,
    };
    for name in passed {
        builder.run().hooks_passed.extend(once.map(|kind| PassedHook { kind, name: name.clone() }));
        builder.tell(Notice::GatePassed(gate, name));
    }
}

impl PlanBuilder<'_> {
    /// Shows the first webhook of a moment that could not be asked as it should; takes the blame from one that answers.
    /// The words stay those of the first time, so that a gate without an answer costs one write, however often it is
    /// asked (I18).
    pub(super) fn blame_webhooks(&mut self, asker: &Asker) {
        let silent = asker.failed_hooks().find_map(|(hook, error)| Some((mistake(error)?, hook, error)));
        let Some((mistake, hook, error)) = silent else { return self.clear_webhooks() };
        let subject = format!("{} webhook {}: ", kind_name(hook.kind), hook.name);
        let is_known = |blamed: &Condition| {
            let message = blamed.message.as_deref().unwrap_or_default();
            blamed.reason == mistake.reason() && message.starts_with(&subject)
        };
        let is_outranked = self.blamed().is_some_and(|blamed| !is_of_webhooks(blamed));
        if !is_outranked && !self.blamed().is_some_and(is_known) {
            self.blame(mistake, cut(&plain(&format!("{subject}{error}"))));
        }
    }
}

/// What is wrong with a webhook, unless it has simply said no.
const fn mistake(error: &HookError) -> Option<Mistake> {
    match error {
        HookError::Refused(_) => None,
        HookError::Unanswered(_) => Some(Mistake::WebhookNotAnswering),
        HookError::TooLong(_) => Some(Mistake::WebhookAnswerTooLong),
    }
}
