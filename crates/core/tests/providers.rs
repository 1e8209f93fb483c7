//! What the docs say of the tables of metric providers and notifiers. `BLESS=1` writes anew what is generated. It must not know
//! any single one of them.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test compares files with the core")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use burgee_api::METRIC_PROVIDERS;
use burgee_core::alert::Chat;
use burgee_core::metric::provider::{row, rows};

fn path(page: &str) -> PathBuf {
    // Not env!: a target folder that checkouts share would hold the path of another one.
    let core = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    Path::new(&core).join("../..").join(page)
}

fn read(page: &str) -> String {
    fs::read_to_string(path(page)).unwrap_or_default()
}

/// The table of providers, and the names of those that are missing.
fn table() -> String {
    let mut text = "| `type` | asks | address | keys of the Secret |\n|---|---|---|---|\n".to_owned();
    for row in rows() {
        let address = row.address.map_or_else(|| "must be given".to_owned(), |default| format!("`{default}`"));
        let _ = writeln!(text, "| `{}` | {} | {address} | {} |", row.name, row.about, row.secret);
    }
    let absent: Vec<String> =
        METRIC_PROVIDERS.into_iter().filter(|name| row(name).is_err()).map(|name| format!("`{name}`")).collect();
    let _ = writeln!(text, "\nNot there yet: {}.", absent.join(", "));
    text
}

#[test]
fn the_docs_have_the_table_of_metric_providers() {
    const PAGE: &str = "docs/metrics.md";
    let page = read(PAGE);
    let (before, rest) = page.split_once("<!-- metric providers -->\n").expect("the page has a table");
    let (_, after) = rest.split_once("<!-- end -->\n").expect("the table has an end");
    let expected = format!("{before}<!-- metric providers -->\n{}<!-- end -->\n{after}", table());
    if std::env::var_os("BLESS").is_some() {
        fs::write(path(PAGE), &expected).expect("the file can be written");
    }
    assert!(read(PAGE) == expected, "{PAGE} is not what the table of providers says: run `cargo xtask bless`");
}

#[test]
fn the_docs_have_a_row_for_every_notifier_and_an_example_of_every_provider() {
    let (alerting, metrics) = (read("docs/alerting.md"), read("docs/metrics.md"));
    for chat in Chat::all() {
        assert!(alerting.contains(&format!("\n| `{}` |", chat.as_str())), "docs/alerting.md lacks {chat:?}");
    }
    for row in rows() {
        assert!(
            metrics.contains(&format!("    type: {}\n", row.name)),
            "docs/metrics.md has no example of {}",
            row.name
        );
    }
}
