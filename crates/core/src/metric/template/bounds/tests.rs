//! Templates that grow in one direction each, far beyond what anybody writes: every one must end, on a small stack.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::metric::template::{Model, render};

/// What a thread of the operator has. Without optimisation, as here, the engine takes four times what it takes of it in a
/// release.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// A direction in which a template can grow.
type Growth = fn(usize) -> String;

/// Every direction, by name.
const GROWTHS: [(&str, Growth); 27] = [
    ("text", |size| "x".repeat(size)),
    ("actions", |size| "{{ name }}".repeat(size)),
    ("nested if", |size| format!("{}{}", "{{ if name }}".repeat(size), "{{ end }}".repeat(size))),
    ("nested with", |size| format!("{}{}", "{{ with name }}".repeat(size), "{{ end }}".repeat(size))),
    ("nested range", |size| format!("{}x{}", "{{ range 9 }}".repeat(size), "{{ end }}".repeat(size))),
    ("else if", |size| format!("{{{{ if name }}}}{}{{{{ end }}}}", "{{ else if name }}".repeat(size))),
    ("else if, never true", |size| {
        format!("{{{{ if not name }}}}{}{{{{ end }}}}", "{{else if not name}}".repeat(size))
    }),
    ("else with", |size| format!("{{{{ with name }}}}{}{{{{ end }}}}", "{{-\telse\n with name }}".repeat(size))),
    ("else if in if", |size| {
        let chain = format!("{{{{ if not name }}}}{}", "{{ else if not name }}".repeat(size / 9));
        format!("{}{}", chain.repeat(9), "{{ end }}".repeat(9))
    }),
    ("parentheses", |size| format!("{{{{ {}name{} }}}}", "(".repeat(size), ")".repeat(size))),
    ("functions in parentheses", |size| format!("{{{{ {}name{} }}}}", "print (".repeat(size), ")".repeat(size))),
    ("fields", |size| format!("{{{{ variables{} }}}}", ".code".repeat(size))),
    ("pipes", |size| format!("{{{{ name {} }}}}", "| print ".repeat(size))),
    ("arguments", |size| format!("{{{{ print {} }}}}", "name ".repeat(size))),
    ("and", |size| format!("{{{{ range 99999 }}}}{{{{ and {} }}}}{{{{ end }}}}", "$ 1 ".repeat(size))),
    ("comparisons", |size| format!("{{{{ range 99999 }}}}{{{{ eq \"a\" {} }}}}{{{{ end }}}}", "\"b\" ".repeat(size))),
    ("turns", |size| format!("{{{{ range {size}000000 }}}}{{{{ print . }}}}{{{{ end }}}}")),
    ("turns in turns", |size| {
        format!("{{{{range {size}}}}}{{{{range {size}}}}}{{{{range {size}}}}}{{{{end}}}}{{{{end}}}}{{{{end}}}}")
    }),
    ("width", |size| format!("{{{{ printf \"%{size}0000d\" 1 }}}}")),
    ("precision", |size| format!("{{{{ printf \"%.{size}0000f\" 1.5 }}}}")),
    ("width from an argument", |size| format!("{{{{ printf \"%*d\" {size} 1 }}}}")),
    ("verbs", |size| format!("{{{{ printf \"{}\" {} }}}}", "%999d".repeat(size), "1 ".repeat(size))),
    ("doubling", |size| format!("{{{{ $x := name }}}}{}{{{{ $x }}}}", "{{ $x = print $x $x }}".repeat(size))),
    ("escapes", |size| format!("{{{{ $x := \"&\" }}}}{}", "{{ $x = html (print $x $x) }}".repeat(size))),
    ("comments", |size| "{{/* {{ else if */}}".repeat(size)),
    ("digits", |size| format!("{{{{ 1{} }}}}", "0".repeat(size))),
    ("broken", |size| "{{ else if (\"%d ".repeat(size)),
];

fn model() -> Model {
    let variables = BTreeMap::from([("code".to_owned(), "5..".to_owned())]);
    Model { name: "podinfo".to_owned(), interval: "1m".to_owned(), variables, ..Model::default() }
}

/// Renders on a small stack: one that is too small ends the process, and with it the tests.
fn rendered(template: String) -> Result<String, String> {
    let render = move || render(&template, &model()).map_err(|error| error.to_string());
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(render);
    thread.expect("a thread").join().expect("no panic")
}

fn check(name: &str, size: usize, expected: &str) {
    let (_, growth) = GROWTHS.iter().find(|(known, _)| *known == name).expect("a known growth");
    let error = rendered(growth(size)).expect_err(name);
    assert!(error.contains(expected), "{name}: {error}");
}

#[test]
fn a_template_of_usual_size_is_far_from_every_bound() {
    for (name, size) in [("else if", 20), ("nested if", 20), ("parentheses", 40), ("actions", 500), ("pipes", 40)] {
        let (_, growth) = GROWTHS.iter().find(|(known, _)| *known == name).expect("a known growth");
        rendered(growth(size)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let table = "{{ range $key, $value := variables }}{{ printf \"%-20s|%5.2f\" $value 1.5 }}{{ end }}";
    assert_eq!(rendered(table.to_owned()), Ok("5..                 | 1.50".to_owned()));
}

#[test]
fn each_bound_says_what_is_too_much() {
    check("text", 100_000, "longer than 65536 bytes");
    check("actions", 3_000, "more than 1000 actions");
    check("actions", 1_001, "more than 1000 actions");
    check("else if", 60, "more than 40 blocks");
    check("else if", 3_000, "more than");
    check("nested if", 41, "more than 40 blocks");
    check("nested range", 400, "more than 40 blocks");
    check("parentheses", 20_000, "nesting depth");
    check("pipes", 5_000, "more than 2000 calls");
    check("turns", 1, "more than 2000 calls");
    check("turns in turns", 100, "range");
    check("width", 100_000, "a width of %1000000000 is not supported");
    check("precision", 1, "a width of %.10000 is not supported");
    check("width from an argument", 9, "a width of %* is not supported");
    check("verbs", 100, "the text is longer than");
    check("doubling", 40, "too long");
    check("escapes", 40, "long");
}

#[test]
fn an_error_that_quotes_a_template_is_short() {
    let error = rendered(format!("{{{{ {} }}}}", "ä".repeat(20_000))).expect_err("no such function");
    assert!(error.len() <= 512, "{} bytes", error.len());
}

#[test]
fn variables_are_bounded_as_well() {
    let with = |count: usize, length: usize| {
        let variables = (0..count).map(|number| (format!("v{number}"), "x".repeat(length))).collect();
        render("{{ variables.v0 }}", &Model { variables, ..model() }).map_err(|error| error.to_string())
    };
    assert_eq!(with(3, 10), Ok("x".repeat(10)));
    assert_eq!(with(1, 20_000), Err("v0 is longer than 16384 bytes".to_owned()));
    assert_eq!(with(10, 10_000), Err("the variables are longer than 65536 bytes together".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_grows_the_process_lives(growth in 0..GROWTHS.len(), size in 1_usize..30_000) {
        if let Ok(query) = rendered(GROWTHS[growth].1(size)) {
            prop_assert!(query.len() <= super::QUERY_LIMIT_BYTES);
        }
    }

    #[test]
    fn whatever_two_grow_within_each_other_the_process_lives(
        (outer, inner) in (0..GROWTHS.len(), 0..GROWTHS.len()),
        (many, few) in (1_usize..3_000, 1_usize..60),
    ) {
        let inner = GROWTHS[inner].1(few);
        let outer = GROWTHS[outer].1(many);
        // In the middle of the outer one, at the end of an action.
        let middle = outer.floor_char_boundary(outer.len() / 2);
        let place = outer[middle..].find("}}").map_or(outer.len(), |place| middle + place + 2);
        let template = format!("{}{inner}{}", &outer[..place], &outer[place..]);
        if let Ok(query) = rendered(template) {
            prop_assert!(query.len() <= super::QUERY_LIMIT_BYTES);
        }
    }
}
