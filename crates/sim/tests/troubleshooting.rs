//! Every warning of a canary is explained in `docs/troubleshooting.md`: each sentence of `Notice`, and whatever else the films
//! tell. It does not judge the explanations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burgee_core::notice::{EventType, Gate, Left, Names, Notice, Voice};
use burgee_core::order::Word;
use regex::{Regex, RegexSet};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The names by which the pages speak.
fn names() -> Names {
    Names { canary: "C".to_owned(), namespace: "N".to_owned(), target: "T".to_owned(), target_kind: "KIND".to_owned() }
}

fn word(text: &str) -> String {
    text.to_owned()
}

/// Warnings with the words that the page has for what differs.
fn warnings() -> Vec<Notice> {
    vec![
        Notice::NewRunsPaused,
        Notice::ProvidersUnavailable(word("ERROR")),
        Notice::Problem(word("T.N has no ready pod, the primary takes the traffic")),
        Notice::OperatorFault(word("FAULT")),
        Notice::NotPermitted(word("list and watch of KINDS is not permitted: ERROR")),
        Notice::GatePassed(Gate::Rollback, word("HOOK")),
        Notice::WaitingForApproval(word("HOOK"), Voice::Loud),
        Notice::WaitingForTrafficIncrease(word("HOOK"), Voice::Loud),
        Notice::WaitingForPromotion(word("HOOK"), Voice::Loud),
        Notice::RoutesLeft(Left::Service, word("NEW"), word("OLD")),
        Notice::RoutesLeft(Left::Provider, word("NEW"), word("OLD")),
        Notice::PreRolloutFailed(word("HOOK"), word("ERROR")),
        Notice::ExternalCheckFailed(word("HOOK"), word("ERROR")),
        Notice::MetricHalt(word("Halt C.N advancement success rate 69.17% < 99%")),
        Notice::RoutesFought,
        Notice::ProviderSilent(word("Prometheus query failed: ERROR")),
        Notice::RevisionPending(word("REASON")),
        Notice::WaitingForCapacity(1, 3),
        Notice::RollbackWaits,
        Notice::RestoringOverdue(word("REASON")),
        Notice::ManualRollback,
        Notice::ThresholdReached(5),
        Notice::DeadlineExceeded(word("ERROR")),
        Notice::CanaryFailed,
        Notice::PromotionFailed(word("ERROR")),
        Notice::PostRolloutFailed(word("HOOK"), word("ERROR")),
        Notice::RestoringPrimary,
        Notice::PrimaryRecreatedFromTarget,
        Notice::Invalid(word("REASON")),
        Notice::Doubtful(word("REASON")),
        Notice::Ordered(Word::Abort, word("WHO")),
        Notice::OrderRefused(word("WORD by WHO"), word("REASON")),
    ]
}

/// What goes as it should.
fn good_news() -> Vec<Notice> {
    let gates = [
        Gate::ConfirmRollout,
        Gate::PreRollout,
        Gate::ConfirmTrafficIncrease,
        Gate::ConfirmPromotion,
        Gate::PostRollout,
    ];
    let orders = [Word::Promote, Word::Retry, Word::Pause, Word::Resume];
    let plain = [
        Notice::Suspended,
        Notice::ProvidersAvailable,
        Notice::InitializationDone,
        Notice::NewRevision,
        Notice::RestartingAnalysis,
        Notice::StrategyChanged,
        Notice::StartingAnalysis,
        Notice::ProviderAnswersAgain,
        Notice::WindowUnclean(word("METRIC")),
        Notice::CanaryAdvanced(10),
        Notice::CanaryAdvancedAgain(10, 2, 3),
        Notice::IterationAdvanced(1, 10),
        Notice::PrimaryAdvanced(60),
        Notice::Copying,
        Notice::RoutingToPrimary,
        Notice::RoutingToCanary,
        Notice::MirroringStopped,
        Notice::PromotionCompleted,
        Notice::AnalysisSkipped,
        Notice::RollbackNotSignaled(word("HOOK")),
        Notice::Adopted(word("OBJECT")),
        Notice::Terminating,
        Notice::Terminated,
    ];
    let gates = gates.map(|gate| Notice::GatePassed(gate, word("HOOK")));
    plain.into_iter().chain(gates).chain(orders.map(|order| Notice::Ordered(order, word("WHO")))).collect()
}

/// What stands between single ticks on a page.
fn shown(page: &str) -> Vec<String> {
    let Ok(code) = Regex::new("`([^`\n]+)`") else { return Vec::new() };
    code.captures_iter(page).map(|found| found[1].to_owned()).collect()
}

/// An expression for all sentences that are like this one: words in capitals and numbers differ.
fn pattern(sentence: &str) -> Option<String> {
    let parts = Regex::new(r"[0-9][0-9A-Za-z.]*|\w+|.").ok()?;
    let mut expression = "^".to_owned();
    for part in parts.find_iter(sentence).map(|part| part.as_str()) {
        let is_capital = part.chars().all(|letter| letter.is_ascii_uppercase());
        expression.push_str(&match part {
            "…" => ".*".to_owned(),
            _ if part.starts_with(|letter: char| letter.is_ascii_digit()) => "[0-9a-z.]+".to_owned(),
            _ if is_capital => ".+".to_owned(),
            _ => regex::escape(part),
        });
    }
    Some(format!("{expression}$"))
}

/// Every sentence that is told in a film.
fn told() -> BTreeSet<String> {
    let folder = root().join("crates/sim/scenarios");
    let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let films = paths.filter(|path| path.extension().is_some_and(|ending| ending == "film"));
    films.filter_map(|path| read(&path).ok()).flat_map(|film| sentences(&film)).collect()
}

fn sentences(film: &str) -> Vec<String> {
    let Some(column) = film.lines().next().and_then(|header| header.find("told")) else { return Vec::new() };
    let rows = film.lines().skip(1).take_while(|row| !row.is_empty());
    let is_from_outside = |row: &&str| row.trim_start().split_once("  > ").is_some_and(|(time, _)| !time.contains(' '));
    let rows = rows.filter(|row| !is_from_outside(row));
    let told = rows.filter_map(|row| row.char_indices().nth(column).map(|(place, _)| row[place..].trim().to_owned()));
    told.filter(|text| !text.is_empty()).collect()
}

#[test]
fn every_warning_is_explained() -> Result<(), String> {
    let page = read(&root().join("docs/troubleshooting.md"))?;
    let entries = shown(&page);
    let texts = warnings().iter().map(|notice| notice.text(&names())).collect::<Vec<_>>();
    let missing: Vec<&String> = texts.iter().filter(|text| !entries.contains(text)).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks {missing:#?}");
    Ok(())
}

#[test]
fn every_sentence_of_a_notice_is_looked_at_here() -> Result<(), String> {
    assert!(warnings().iter().all(|notice| notice.event_type() == EventType::Warning));
    assert!(good_news().iter().all(|notice| notice.event_type() == EventType::Normal));
    let name = |notice: &Notice| format!("{notice:?}").split('(').next().unwrap_or_default().to_owned();
    let known: BTreeSet<String> = warnings().iter().chain(&good_news()).map(name).collect();
    let source = read(&root().join("crates/core/src/notice.rs"))?;
    let of_enum =
        source.split("pub enum Notice {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap_or_default();
    let lines = of_enum.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let variants = lines.filter_map(|line| line.split(['(', ',']).next()).filter(|name| !name.is_empty());
    let missing: Vec<&str> = variants.filter(|variant| !known.contains(*variant)).collect();
    assert!(missing.is_empty(), "add to this test, and a warning to docs/troubleshooting.md: {missing:?}");
    Ok(())
}

#[test]
fn whatever_a_film_tells_is_good_news_or_explained() -> Result<(), String> {
    let page = read(&root().join("docs/troubleshooting.md"))?;
    let entries = shown(&page).into_iter().filter(|entry| entry.len() > 8);
    let good = good_news().into_iter().map(|notice| notice.text(&names()));
    let patterns = RegexSet::new(entries.chain(good).filter_map(|sentence| pattern(&sentence)));
    let patterns = patterns.map_err(|error| error.to_string())?;
    let told = told();
    assert!(told.len() > 200, "{} sentences are told", told.len());
    let unknown: Vec<&String> = told.iter().filter(|text| !patterns.is_match(text)).collect();
    assert!(unknown.is_empty(), "docs/troubleshooting.md does not explain {unknown:#?}");
    Ok(())
}
