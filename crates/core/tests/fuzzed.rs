//! The body of the fuzz target, on the examples and on what simple damage makes of them. It finds less than
//! a fuzzer; it keeps the target compiling and true.

use std::path::Path;

#[path = "../../../fuzz/judge.rs"]
mod judge;
use judge::{Judged, judge};

/// Every example, with its name.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "yaml"))
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    all.sort();
    assert!(all.len() >= 4, "{} examples", all.len());
    all
}

#[test]
fn every_example_is_planned() {
    for (name, text) in examples() {
        assert_eq!(judge(&text), Judged::Planned, "{name}");
    }
}

#[test]
fn all_three_judgements_are_reached() {
    let estate = |environment: &str| format!("estate: acme\nenvironments: [{{ {environment} }}]\n");
    assert_eq!(judge(&estate("name: prod")), Judged::Planned);
    assert_eq!(judge(&estate("name: prod, workers: { web: 64 }")), Judged::Refused);
    assert_eq!(judge(&estate("name: \"../prod\"")), Judged::Invalid);
    assert_eq!(judge(""), Judged::Invalid);
}

#[test]
fn damaged_examples_are_judged_without_a_panic() {
    let words: Vec<String> = include_str!("../../../fuzz/estate.dict")
        .lines()
        .filter_map(|line| Some(line.split_once('"')?.1.strip_suffix('"')?.replace("\\n", "\n").replace("\\\"", "\"")))
        .collect();
    assert!(words.len() > 20, "the dictionary has {} words", words.len());
    let mut seen = std::collections::BTreeMap::new();
    let mut count = |judged: Judged| *seen.entry(format!("{judged:?}")).or_insert(0) += 1;
    for (_, text) in examples() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, word) in (0..lines.len()).zip(words.iter().cycle()) {
            // Without a line, cut off in the middle of one, and with a word of the dictionary in the place of a value.
            let without = [&lines[..at], &lines[at + 1..]].concat().join("\n");
            count(judge(&without));
            let half: String = lines[at].chars().take(lines[at].chars().count() / 2).collect();
            count(judge(&format!("{}\n{half}", lines[..at].join("\n"))));
            let key = lines[at].split_once(':').map_or(lines[at], |(key, _)| key);
            let strange = format!("{key}: {word}");
            count(judge(&[&lines[..at], &[strange.as_str()], &lines[at + 1..]].concat().join("\n")));
        }
    }
    assert!(seen["Invalid"] > 30 && seen["Planned"] > 30, "{seen:?}");
}
