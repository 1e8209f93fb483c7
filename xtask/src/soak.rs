//! `cargo xtask soak`: as many seeds of the simulator as time allows. It plays and reports; what a play is stands in the
//! simulator.
use crate::output::Output;
use anyhow::{Context, Result};
use burgee_sim::soak::{Summary, soak};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often progress is shown: on a terminal, and elsewhere.
const PROGRESS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Plays canaries of every kind under faults, on all cores.
///
/// Each seed chooses a kind of canary (weights, A/B, blue/green, mirroring, session affinity, DaemonSet, KEDA, the
/// kubernetes provider, revertOnDeletion), which faults there are, and how often they come. After each step every
/// invariant is checked; in the end there is peace, and the run must come to its end and rest. The first play in which
/// something is wrong ends the soak (or the last of `--failures`): it is told with its seed, the checker's words and the
/// film.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask soak --minutes 10\n  cargo xtask soak --seed 4711 --minutes 0   one seed, \
                        with its film if it fails\n\nExit codes: 0 nothing was wrong, 1 something was."
)]
pub(crate) struct Arguments {
    /// How long to play; with 0 the first seed alone.
    #[arg(long, default_value_t = 5, value_name = "N")]
    minutes: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 0, value_name = "FROM")]
    seed: u64,
    /// How many plays may be wrong before the soak ends; each is told.
    #[arg(long, default_value_t = 1, value_name = "N")]
    failures: usize,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Plays, and answers whether nothing was wrong.
///
/// # Errors
/// When the report cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let started = Instant::now();
    let time = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let shown = Mutex::new(started);
    let most = if arguments.minutes == 0 { arguments.seed + 1 } else { u64::MAX };
    let summary = soak(arguments.seed..most, arguments.failures, |plays| {
        show_progress(&shown, plays, started);
        arguments.minutes == 0 || started.elapsed() < time
    });
    finish_progress();
    match arguments.output {
        Output::Text => print_text(&summary, started.elapsed()),
        Output::Json => print_json(&summary, started.elapsed())?,
    }
    Ok(summary.failures.is_empty())
}

fn rate(plays: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits than a double has")]
    let plays = plays as f64;
    plays / took.as_secs_f64().max(0.001)
}

/// One line that is written over on a terminal; elsewhere a line now and then.
fn show_progress(shown: &Mutex<Instant>, plays: u64, started: Instant) {
    let is_terminal = std::io::stderr().is_terminal();
    let pause = if is_terminal { PROGRESS.0 } else { PROGRESS.1 };
    let Ok(mut shown) = shown.try_lock() else { return };
    if shown.elapsed() < pause {
        return;
    }
    *shown = Instant::now();
    let took = started.elapsed();
    let line = format!("{plays} plays in {} s, {:.0} a second", took.as_secs(), rate(plays, took));
    if is_terminal {
        eprint!("\r{line}\x1b[K");
    } else {
        eprintln!("{line}");
    }
}

fn finish_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn print_text(summary: &Summary, took: Duration) {
    println!("{}", summary.coverage);
    println!(
        "{} plays in {:.1} s, {:.0} a second; {} of them wrong",
        summary.plays,
        took.as_secs_f64(),
        rate(summary.plays, took),
        summary.failures.len()
    );
    for failure in &summary.failures {
        println!("\nseed {} ({}): {}", failure.seed, failure.kind, failure.told);
        println!("again: cargo xtask soak --minutes 0 --seed {}", failure.seed);
    }
}

fn print_json(summary: &Summary, took: Duration) -> Result<()> {
    let failures = summary.failures.iter();
    let failures: Vec<_> =
        failures.map(|failure| json!({"seed": failure.seed, "kind": failure.kind, "told": failure.told})).collect();
    let report = json!({
        "plays": summary.plays,
        "seconds": took.as_secs_f64(),
        "playsPerSecond": rate(summary.plays, took),
        "coverage": summary.coverage.rows().map(|(fault, phase, times)| {
            json!({"fault": fault.name(), "phase": phase.as_str(), "times": times})
        }).collect::<Vec<_>>(),
        "failures": failures,
    });
    println!("{}", serde_json::to_string_pretty(&report).context("write the report as json")?);
    Ok(())
}
