//! What a load found, as `hey` prints it, letter by letter: scripts read it. It counts nothing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::hey::tally::{Answered, Histogram, Span, Tally};

const PERCENTS: [u64; 7] = [10, 25, 50, 75, 90, 95, 99];
const BARS: u64 = 40;
const STEPS: u32 = 10;
const PARTS: [&str; 5] = ["DNS+dialup", "DNS-lookup", "req write", "resp wait", "resp read"];

/// The first line of `-o csv`.
pub(crate) const HEADINGS: &str =
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n";

#[expect(clippy::cast_precision_loss, reason = "what is shown has four digits")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A number as Go prints it with `%4.4f`.
fn number(value: f64) -> String {
    if value.is_nan() { " NaN".to_owned() } else { format!("{value:.4}") }
}

/// A line of `-o csv`: when it began is counted from the beginning of the load.
pub(crate) fn row(answered: &Answered, offset: Duration) -> String {
    let Answered { status, length: _, total, parts } = answered;
    let times: Vec<String> = [*total].iter().chain(parts).map(|time| number(seconds(*time))).collect();
    format!("{},{status},{}\n", times.join(","), number(offset.as_secs_f64()))
}

/// The summary.
#[expect(clippy::cast_precision_loss, reason = "what is shown has four digits")]
pub(crate) fn summary(tally: &Tally, time: Duration) -> String {
    let count = tally.answered as f64;
    let fastest = tally.total.least.unwrap_or_default();
    let mut text = format!(
        "\nSummary:\n  Total:\t{} secs\n  Slowest:\t{} secs\n  Fastest:\t{} secs\n  Average:\t{} secs\n  Requests/sec:\t{}\n  ",
        number(time.as_secs_f64()),
        number(seconds(tally.total.most)),
        number(seconds(fastest)),
        number(seconds(tally.total.sum) / count),
        number(tally.requests() as f64 / time.as_secs_f64()),
    );
    // Writing to a `String` cannot fail, here and below.
    if let Some(each) = tally.bytes.checked_div(tally.answered).filter(|_| tally.bytes > 0) {
        let _ = write!(text, "\n  Total data:\t{} bytes\n  Size/request:\t{each} bytes", tally.bytes);
    }
    text += "\n\nResponse time histogram:\n";
    text += &histogram(tally);
    text += "\n\nLatency distribution:";
    for (percent, time) in distribution(tally) {
        // Twice, as hey prints it.
        let _ = write!(text, "\n  {percent}%% in {} secs", number(seconds(time)));
    }
    text += "\n\nDetails (average, fastest, slowest):";
    for (name, Span { sum, least, most }) in PARTS.iter().zip(tally.parts) {
        let times = [seconds(sum) / count, seconds(least.unwrap_or_default()), seconds(most)].map(number);
        let _ = write!(text, "\n  {name}:\t{} secs", times.join(" secs, "));
    }
    text += "\n\nStatus code distribution:";
    for (status, count) in &tally.statuses {
        let _ = write!(text, "\n  [{status}]\t{count} responses");
    }
    text += "\n\n";
    text += &errors(tally);
    text + "\n\n"
}

/// The errors under their heading, or nothing.
fn errors(tally: &Tally) -> String {
    let mut text = String::new();
    if !tally.errors.is_empty() {
        text += "Error distribution:";
    }
    for (error, count) in &tally.errors {
        let _ = write!(text, "\n  [{count}]\t{error}");
    }
    text
}

/// Eleven bars: the fastest alone, and ten steps to the slowest.
fn histogram(tally: &Tally) -> String {
    let Some(least) = tally.total.least else { return String::new() };
    let (fastest, slowest) = (seconds(least), seconds(tally.total.most));
    let step = (slowest - fastest) / f64::from(STEPS);
    let mut marks: Vec<f64> = (0..STEPS).map(|number| step.mul_add(f64::from(number), fastest)).collect();
    marks.push(slowest);
    let mut counts = vec![0; marks.len()];
    for (time, count) in tally.latencies.times() {
        // Of a time only its bucket is known; the ends are known better.
        let time = match time {
            time if time == Histogram::known(least) => fastest,
            time => seconds(time).clamp(fastest, slowest),
        };
        let place = marks.iter().position(|mark| time <= *mark).unwrap_or(marks.len() - 1);
        counts[place] += count;
    }
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let line = |(mark, count): (f64, u64)| {
        let bar = "■".repeat(usize::try_from((count * BARS + most / 2) / most).unwrap_or_default());
        format!("  {mark:.3} [{count}]\t|{bar}\n")
    };
    marks.into_iter().zip(counts).map(line).collect()
}

/// The percentiles and their times; those that so few requests do not reach are zero, as in `hey`.
fn distribution(tally: &Tally) -> Vec<(u64, u64)> {
    if tally.answered == 0 {
        return Vec::new();
    }
    let mut next = 0;
    let reached = |percent: u64| {
        let rank = (percent * tally.answered).div_ceil(100).max(next);
        next = rank + 1;
        let slowest = tally.total.most;
        tally.latencies.at(rank).map_or((0, 0), |time| (percent, time.min(slowest)))
    };
    PERCENTS.into_iter().map(reached).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(totals: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for total in totals {
            tally.add(&Answered { status: 200, length: 5, total: *total, parts: [1_000_000, 0, 0, 0, *total] });
        }
        tally
    }

    /// What `hey` printed of twenty requests, but for the parts.
    const EXPECTED: &str = "
Summary:
  Total:\t0.3958 secs
  Slowest:\t0.0440 secs
  Fastest:\t0.0010 secs
  Average:\t0.0399 secs
  Requests/sec:\t50.5306
  
  Total data:\t100 bytes
  Size/request:\t5 bytes

Response time histogram:
  0.001 [1]\t|■■
  0.005 [1]\t|■■
  0.010 [0]\t|
  0.014 [0]\t|
  0.018 [0]\t|
  0.022 [0]\t|
  0.027 [0]\t|
  0.031 [0]\t|
  0.035 [0]\t|
  0.040 [0]\t|
  0.044 [18]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■


Latency distribution:
  10%% in 0.0440 secs
  25%% in 0.0440 secs
  50%% in 0.0440 secs
  75%% in 0.0440 secs
  90%% in 0.0440 secs
  95%% in 0.0440 secs
  0%% in 0.0000 secs

Details (average, fastest, slowest):
  DNS+dialup:\t0.0010 secs, 0.0010 secs, 0.0010 secs
  DNS-lookup:\t0.0000 secs, 0.0000 secs, 0.0000 secs
  req write:\t0.0000 secs, 0.0000 secs, 0.0000 secs
  resp wait:\t0.0000 secs, 0.0000 secs, 0.0000 secs
  resp read:\t0.0399 secs, 0.0010 secs, 0.0440 secs

Status code distribution:
  [200]\t20 responses



";

    #[test]
    fn a_summary_is_that_of_hey_letter_by_letter() {
        let totals: Vec<u64> = [1_000_000, 5_000_000].into_iter().chain([44_000_000; 18]).collect();
        assert_eq!(summary(&of(&totals), Duration::from_micros(395_800)), EXPECTED);
    }

    #[test]
    fn a_load_without_an_answer_shows_its_errors() {
        let mut tally = Tally::default();
        let error = "Get \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused";
        (0..2).for_each(|_| tally.fail(error.to_owned()));
        let text = summary(&tally, Duration::from_secs(1));
        let start = "\nSummary:\n  Total:\t1.0000 secs\n  Slowest:\t0.0000 secs\n  Fastest:\t0.0000 secs\n  Average:\t NaN secs\n  Requests/sec:\t2.0000\n  \n\nResponse time histogram:\n\n\nLatency distribution:\n\nDetails (average, fastest, slowest):\n  DNS+dialup:\t NaN secs, 0.0000 secs, 0.0000 secs\n";
        assert!(text.starts_with(start), "{text}");
        let end = format!("\n\nStatus code distribution:\n\nError distribution:\n  [2]\t{error}\n\n");
        assert!(text.ends_with(&end), "{text}");
    }

    #[test]
    fn a_row_has_the_times_of_one_request() {
        let answered = Answered { status: 200, length: 5, total: 1_400_000, parts: [700_000, 0, 0, 300_000, 300_000] };
        assert_eq!(
            row(&answered, Duration::from_micros(1_100)),
            "0.0014,0.0007,0.0000,0.0000,0.0003,0.0003,200,0.0011\n"
        );
    }
}
