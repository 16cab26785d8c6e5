//! Hostile files: nothing that people can write reaches a shell, a path, SQL or a terminal.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Report, explanation, parse_and_check};

const NASTY: [&str; 14] = [
    "a'b",
    "a\"b",
    "a;b",
    "../a",
    "a/b",
    "a\nb",
    "a\tb",
    "{{a}}",
    "${a}",
    "$(a)",
    "`a`",
    "a b",
    "a\u{1b}[31mb",
    "a\u{202e}b",
];

fn quoted(text: &str) -> String {
    // A JSON string is a YAML double-quoted scalar.
    serde_json::to_string(text).unwrap()
}

fn refused(text: &str) -> Report {
    match parse_and_check("estate.yaml", text) {
        Err(report) => report,
        Ok(_) => panic!("accepted:\n{text}"),
    }
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.diagnostics().iter().map(|one| one.code).collect()
}

#[test]
fn nasty_names_are_refused_wherever_a_name_stands() {
    for nasty in NASTY {
        let nasty = quoted(nasty);
        let peak = "from: 2026-01-01, to: 2026-01-02";
        for (code, text) in [
            ("E0201", format!("estate: {nasty}\nenvironments: [{{ name: a }}]\n")),
            ("E0201", format!("estate: a\nenvironments: [{{ name: {nasty} }}]\n")),
            ("E0204", format!("estate: a\nenvironments: [{{ name: a, host: {nasty} }}]\n")),
            ("E0205", format!("estate: a\nenvironments: [{{ name: a, odoo: {{ modules: [stock, {nasty}] }} }}]\n")),
            ("E0303", format!("estate: a\nenvironments: [{{ name: a, odoo: {{ source: {nasty} }} }}]\n")),
            ("E0304", format!("estate: a\nenvironments: [{{ name: a, odoo: {{ series: {nasty} }} }}]\n")),
            ("E0206", format!("estate: a\nenvironments: [{{ name: a, backup: {{ far: {nasty} }} }}]\n")),
            ("E0206", format!("estate: a\nenvironments: [{{ name: a, backup: {{ near: {nasty} }} }}]\n")),
            ("E0206", format!("estate: a\nenvironments: [{{ name: a, backup: {{ full: {nasty} }} }}]\n")),
            ("E0206", format!("estate: a\nenvironments: [{{ name: a, backup: {{ bandwidth: {nasty} }} }}]\n")),
            (
                "E1040",
                format!(
                    "estate: a\nenvironments: [{{ name: a, backup: {{ far: s3://abc/x }} }}]\nstores: [{{ name: {nasty}, endpoint: \"https://a\", credentials: /a }}]\n"
                ),
            ),
            (
                "E1044",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\nstores: [{{ name: abc, endpoint: {nasty}, credentials: /a }}]\n"
                ),
            ),
            (
                "E1045",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\nstores: [{{ name: abc, endpoint: \"https://a\", credentials: {nasty} }}]\n"
                ),
            ),
            (
                "E1045",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\nstores: [{{ name: abc, endpoint: \"https://a\", credentials: /a, authority: {nasty} }}]\n"
                ),
            ),
            (
                "E1046",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\nstores: [{{ name: {nasty}, endpoint: \"https://a\", credentials: /a }}]\n"
                ),
            ),
            (
                "E1046",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\nstores: [{{ name: abc, endpoint: \"https://a\", credentials: /a, region: {nasty} }}]\n"
                ),
            ),
            ("E0206", format!("estate: a\nenvironments: [{{ name: a, resources: {{ memory: {nasty} }} }}]\n")),
            (
                "E0209",
                format!("estate: a\nplatform: {{ ingress: {{ bind: {nasty} }} }}\nenvironments: [{{ name: a }}]\n"),
            ),
            (
                "E0401",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\npeaks: [{{ name: b, kind: holiday, environments: [{nasty}], {peak} }}]\n"
                ),
            ),
            (
                "E0403",
                format!(
                    "estate: a\nenvironments: [{{ name: a }}]\npeaks: [{{ name: b, kind: holiday, environments: [a], {peak}, timezone: {nasty} }}]\n"
                ),
            ),
        ] {
            let report = refused(&text);
            assert!(codes(&report).contains(&code), "{code} missing in {:?} for\n{text}", codes(&report));
            assert!(report.diagnostics().iter().all(|one| one.span.is_some()), "a problem without place for\n{text}");
            let shown = report.render(80, false, true);
            assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        }
    }
}

#[test]
fn terminal_codes_in_the_text_itself_are_not_shown() {
    for text in ["estate: a\u{1b}[2J\n", "estate: a # \u{202e}\nx: 1\n", "\u{9b}31m: a\n"] {
        let report = Report::new("a\u{1b}[2J\n.yaml", text, refused(text).diagnostics().to_vec());
        let shown = report.render(80, false, true);
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{shown:?}");
        assert!(!report.to_json().to_string().contains('\u{1b}'));
    }
}

#[test]
fn aliases_that_unfold_and_deep_nesting_are_refused() {
    let mut laughs = "estate: a\nbaseline: &a0 { odoo: { modules: [stock] } }\n".to_owned();
    laughs.push_str("environments:\n  - &a1 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 2..12 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("  - &a{level} [{inner}]\n"));
    }
    refused(&laughs);
    let mut modules = "estate: a\nenvironments:\n  - name: a\n    odoo: &o { modules: [".to_owned();
    modules.push_str(&"m, ".repeat(2_000));
    modules.push_str("] }\n");
    for index in 0..200 {
        modules.push_str(&format!("  - {{ name: a{index}, odoo: *o }}\n"));
    }
    assert_eq!(codes(&refused(&modules)), ["E0003"]);
    let recursive = "estate: a\nenvironments: &a [ *a ]\n";
    assert_eq!(codes(&refused(recursive)), ["E0003"]);
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        refused(&format!("estate: {}{}\n", open.repeat(50_000), close.repeat(50_000)));
        refused(&format!("estate: {}\n", open.repeat(50_000)));
    }
    refused(&"- ".repeat(50_000));
    assert_eq!(codes(&refused(&"#".repeat(crate::spec::MAX_BYTES + 1))), ["E0001"]);
}

#[test]
fn files_full_of_mistakes_are_answered() {
    let mut text = "estate: a\nenvironments:\n".to_owned();
    (0..20_000).for_each(|_| text.push_str("  - { name: A, host: B }\n"));
    let report = refused(&text);
    assert!(report.render(100, true, true).contains("more"));
    assert!(report.to_json().as_array().is_some_and(|rows| rows.len() == 500));
}

#[test]
fn every_code_used_is_explained_once() {
    let sources = [
        include_str!("rules.rs"),
        include_str!("environment.rs"),
        include_str!("backup.rs"),
        include_str!("peak.rs"),
        include_str!("../spec/mod.rs"),
        include_str!("../spec/refusal.rs"),
    ];
    let used = |code: &str| sources.iter().any(|text| text.contains(&format!("\"{code}\"")));
    for (one, next) in super::EXPLANATIONS.iter().zip(&super::EXPLANATIONS[1..]) {
        assert!(one.code < next.code, "{} stands before {}", one.code, next.code);
    }
    for one in super::EXPLANATIONS {
        assert!(used(one.code), "{} is explained and never used", one.code);
        assert_eq!(explanation(&one.code.to_lowercase()), Some(one));
    }
}

fn exercise(text: &str) {
    match parse_and_check("estate.yaml", text) {
        Ok(estate) => assert!(!estate.environments.is_empty()),
        Err(report) => {
            assert!(!report.diagnostics().is_empty());
            let shown = report.render(80, false, false);
            for one in report.diagnostics() {
                assert!(explanation(one.code).is_some());
                if let Some(span) = &one.span {
                    assert!(text.get(span.clone()).is_some(), "{span:?} is no part of {text:?}");
                }
            }
            assert!(shown.contains(&format!("[{}]", report.diagnostics()[0].code)), "{shown}");
            report.to_json();
        }
    }
}

/// Words and signs that mean something to YAML or to us.
const PIECES: [&str; 34] = [
    "estate",
    ":",
    " ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a",
    "*a",
    "<<",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "!!int",
    "---",
    "\t",
    "\r",
    "é",
    "\u{202e}",
    "\0",
    "environments",
    "name",
    "peaks",
    "odoo",
    ",",
    "a",
    "99999999999999999999",
    "~",
    "🦀",
];

const EXAMPLES: [&str; 3] = [
    include_str!("../../../../examples/minimal.yaml"),
    include_str!("../../../../examples/distributor.yaml"),
    include_str!("../../../../examples/both.yaml"),
];

/// One edit of a text: where, how far, and what is put there.
type Edit = (Index, usize, String);

fn pieces() -> impl Strategy<Value = String> {
    vec(select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.concat())
}

/// An example with a few places cut out or written over.
fn mutated() -> impl Strategy<Value = String> {
    let put = prop_oneof![select(&PIECES[..]).prop_map(str::to_owned), ".{0,3}"];
    (select(&EXAMPLES[..]), vec((any::<Index>(), 0_usize..30, put), 1..5)).prop_map(|(example, edits)| {
        let edit = |text: String, (at, cut, put): Edit| {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len() + 1);
            chars.splice(at..(at + cut).min(chars.len()), put.chars());
            chars.into_iter().collect()
        };
        edits.into_iter().fold(example.to_owned(), edit)
    })
}

fn cases(number: u32) -> Config {
    Config { cases: number, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        exercise(&text);
        exercise(&format!("estate: {text}\nenvironments: [{{ name: {text} }}]\n"));
    }

    #[test]
    fn yaml_in_pieces_never_panics(text in pieces()) {
        exercise(&text);
        exercise(&format!("estate: a\nenvironments:\n{text}"));
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn mutated_examples_never_panic(text in mutated()) {
        exercise(&text);
    }
}

/// The values above reach far into the reader and the check, or none of that would say much.
#[test]
fn arbitrary_files_are_refused_for_many_reasons_and_some_are_accepted() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut seen, mut accepted) = (BTreeSet::new(), 0);
    for turn in 0..3_000 {
        let strategy = if turn % 2 == 0 { pieces().boxed() } else { mutated().boxed() };
        let text = strategy.new_tree(&mut runner).unwrap().current();
        match parse_and_check("estate.yaml", &text) {
            Ok(_) => accepted += 1,
            Err(report) => seen.extend(codes(&report)),
        }
    }
    assert!(accepted > 50, "{accepted} of 3000");
    for code in ["E0002", "E0101", "E0103", "E0104", "E0201"] {
        assert!(seen.contains(code), "{code} is not among {seen:?}");
    }
}
