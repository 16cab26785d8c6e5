//! Every code that Springtide can print has a text for `springtide explain`, and only one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use springtide_core::{check, plan};

/// Every Rust source below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Codes that stand as whole string literals in `text`: a letter and four digits between quotes.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|word| {
        word.len() == 5 && word.starts_with(['E', 'W']) && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn explained(code: &str) -> bool {
    check::explanation(code).or_else(|| plan::explanation(code)).is_some()
}

#[test]
fn every_code_in_any_crate_is_explained() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in one folder");
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for one in std::fs::read_dir(crates).expect("the folder can be read").flatten() {
        let mut files = Vec::new();
        sources(&one.path().join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source is text");
            used.extend(literals(&text).map(|code| (code.to_owned(), file.clone())));
        }
    }
    assert!(used.len() > 50 && used.keys().any(|code| code == "E0802"), "the walk found only {used:?}");
    let silent: Vec<_> = used.iter().filter(|(code, _)| !explained(code)).collect();
    assert!(silent.is_empty(), "codes without explanation: {silent:?}");
}

#[test]
fn the_walk_sees_a_code_that_nobody_explains() {
    let found: Vec<&str> = literals(r#"Failure::new(code::INVALID, "E9999", "E12", "no E0001 here")"#).collect();
    assert_eq!(found, ["E9999"]);
    assert!(!explained("E9999"));
}

#[test]
fn explanations_are_unique_and_whole() {
    let all = || check::EXPLANATIONS.iter().chain(plan::EXPLANATIONS).chain(plan::COMMANDS);
    let mut seen = BTreeSet::new();
    for one in all() {
        assert!(seen.insert(one.code), "{} is explained twice", one.code);
        assert!(one.title.len() > 5 && one.text.ends_with('.'), "{}: {} / {}", one.code, one.title, one.text);
        assert!(!one.text.contains("  "), "{}: a line break left its indentation in {:?}", one.code, one.text);
    }
    for list in [plan::EXPLANATIONS, plan::COMMANDS] {
        assert!(list.is_sorted_by(|one, next| one.code < next.code), "out of order");
    }
}
