//! `burgee why`: what the controller would do with a live canary now, and why, by its own decision. It does none of it.

mod words;

use std::io::Write as _;

use anyhow::Context as _;
use burgee_core::decide::{self, Tick};
use burgee_core::plain::{plain, plain_json};
use burgee_core::plan::Plan;
use burgee_core::question::{Answers, Question};
use burgee_core::rollout::Rollout;
use burgee_core::settings::Settings;
use burgee_core::times::CanaryClock;
use burgee_core::world::World;
use burgee_operator::visit;
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

use crate::place::{Outcome, Place};

/// Show what the controller would do with a canary now, and why. Nothing is done, and nobody is asked.
///
/// The canary's objects are read with your own permissions; what you may not read is named.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The controller, whose flags and brake are taken into account; its default flags when left out.
    #[arg(long, value_name = "NAMESPACE/DEPLOYMENT")]
    operator: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Prints the plan or the question.
///
/// # Errors
/// When the cluster cannot be reached, or there is no such canary or controller.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (visit, key) = arguments.place.visit().await?;
    let canary = visit.canary(&key).await?;
    let settings = match &arguments.operator {
        Some(operator) => visit.settings(operator).await.with_context(|| format!("--operator {operator}"))?,
        None => Settings::default(),
    };
    let mut answer = match Rollout::parse(&canary, &settings) {
        Ok(rollout) => {
            let world = visit.world(canary, &rollout, &settings).await;
            let clock = Timestamp::now();
            let now = CanaryClock::default().now(clock, clock, world.canary.status.as_ref(), &mut Answers::default());
            Why::of(&Tick { world: &world, rollout: &rollout, settings: &settings, now, clock })
        }
        Err(reason) => Why::refused(&World::new(canary), &reason),
    };
    if arguments.operator.is_none() {
        answer.assumed =
            Some("the controller's default flags, and no brake; --operator NAMESPACE/DEPLOYMENT looks".into());
    }
    let text = match arguments.output {
        Output::Text => answer.text(),
        Output::Json => {
            plain_json(&serde_json::to_string_pretty(&answer).context("write the answer as json")?).into_owned() + "\n"
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the answer")?;
    Ok(Outcome::Done)
}

/// What would be done, and why; its JSON is stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Why {
    canary: String,
    phase: String,
    /// What is not known of the controller.
    assumed: Option<String>,
    /// What could not be read.
    unseen: Vec<String>,
    /// What would be asked first; what follows depends on the answers.
    asks: Vec<String>,
    /// What would be done, in order.
    steps: Vec<String>,
    /// When it would be looked at again if nothing changes.
    next: Option<String>,
    /// Why nothing more happens now.
    reason: String,
}

impl Why {
    fn of(tick: &Tick) -> Self {
        let decided = decide::decide(tick, &Answers::default());
        let blank = Self { unseen: visit::unseen(tick.world), ..Self::blank(tick.world) };
        let names = tick.rollout.names();
        match decided {
            Ok(plan) => {
                let reason = words::reason(tick, &plan);
                let next = words::next(plan.next, tick.now);
                Self { steps: steps(&plan, &names), next, reason, ..blank }
            }
            Err(Question { first, asks, repairs: _ }) => {
                let first = Plan { steps: first, ..Plan::idle() };
                let asks = asks.iter().map(|(_, ask)| words::ask(ask)).collect();
                let mut reason = "what comes next depends on the answers".to_owned();
                let waiting = decide::waiting_metrics(tick);
                if !waiting.is_empty() {
                    reason = format!("{reason}; {}", words::unclean(&waiting));
                }
                Self { steps: steps(&first, &names), asks, reason, ..blank }
            }
        }
    }

    /// A canary whose spec cannot be meant.
    fn refused(world: &World, reason: &str) -> Self {
        let reason = format!("its spec is refused, and it is left alone: {reason}");
        Self { reason, ..Self::blank(world) }
    }

    fn blank(world: &World) -> Self {
        let metadata = &world.canary.metadata;
        let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
        let phase = world.canary.status.as_ref().map(|status| status.phase.to_string());
        Self {
            canary: format!("{}.{}", name.unwrap_or_default(), namespace.unwrap_or_default()),
            phase: phase.filter(|phase| !phase.is_empty()).unwrap_or_else(|| "not begun".to_owned()),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        let Self { canary, phase, assumed, unseen, asks, steps, next, reason } = self;
        let mut lines = vec![format!("{canary} is {phase}")];
        lines.extend(assumed.iter().map(|text| format!("assumed: {text}")));
        lines.extend(unseen.iter().map(|text| format!("not seen: {text}")));
        let numbered = steps.iter().enumerate().map(|(place, step)| format!("  {}. {step}", place + 1));
        if steps.is_empty() && asks.is_empty() {
            lines.push("nothing would be done now".to_owned());
        } else if !steps.is_empty() {
            lines.push(if asks.is_empty() { "would be done:" } else { "would be done first:" }.to_owned());
            lines.extend(numbered);
        }
        if !asks.is_empty() {
            lines.push("would be asked:".to_owned());
            lines.extend(asks.iter().map(|ask| format!("  - {ask}")));
        }
        lines.push(format!("why: {reason}"));
        lines.extend(next.iter().map(|next| format!("looked at again {next}, or when something changes")));
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n") + "\n"
    }
}

fn steps(plan: &Plan, names: &burgee_core::notice::Names) -> Vec<String> {
    plan.steps.iter().map(|step| words::step(step, names)).collect()
}
