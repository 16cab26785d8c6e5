//! Refusals: what the YAML reader says, in words for people.

use std::ops::Range;

use serde_saphyr::Error;

use super::place::range_of;
use super::suggest::{listed, nearest};
use crate::check::Diagnostic;

/// The diagnostic of a reading error.
pub(super) fn diagnostic(text: &str, error: &Error) -> Diagnostic {
    let error = inner(error);
    let at = error.location().and_then(|location| range_of(text, &location)).map(|range| widen(text, range));
    match error {
        Error::Eof { .. } => eof(text, at),
        Error::SerdeUnknownField { field, expected, .. } => Diagnostic::new(
            "E0101",
            format!("unknown key {}", shown(field)),
            with_meant(field, expected, format!("valid keys here: {}", listed(expected.iter().copied()))),
            at,
        ),
        Error::SerdeUnknownVariant { variant, expected, .. } => Diagnostic::new(
            "E0102",
            format!("unknown word {}", shown(variant)),
            with_meant(variant, expected, format!("valid words here: {}", listed(expected.iter().copied()))),
            at,
        ),
        Error::SerdeMissingField { field, .. } => Diagnostic::new(
            "E0104",
            format!("the key `{field}` is missing"),
            format!("write `{field}:` in this mapping; `springtide explain E0104` shows an example"),
            at,
        ),
        Error::DuplicateMappingKey { key, .. } => Diagnostic::new(
            "E0005",
            match key {
                Some(key) => format!("the key {} is written twice", shown(key)),
                None => "a key is written twice".to_owned(),
            },
            "keep one of the two",
            at,
        ),
        Error::MultipleDocuments { .. } => Diagnostic::new(
            "E0004",
            "the file holds more than one YAML document",
            "remove the `---` line and what follows; one file is one estate",
            at,
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => Diagnostic::new(
            "E0003",
            "an alias stands inside the very value it names",
            "an anchor (`&name`) may not hold its own alias (`*name`)",
            at,
        ),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => Diagnostic::new(
            "E0003",
            "the file asks for too much: too many values, aliases or levels",
            "use fewer aliases (`*name`) and less nesting",
            at,
        ),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => Diagnostic::new(
            "E0103",
            format!("expected {}, found {}", human(expected), human(&clean(unexpected))),
            "see the example in `springtide explain E0103`",
            at,
        ),
        Error::InvalidScalar { ty, .. } => wrong_scalar(text, ty, at),
        Error::InvalidBooleanStrict { .. } => wrong_scalar(text, "boolean", at),
        Error::NullIntoString { .. } => Diagnostic::new(
            "E0103",
            "expected a text, found nothing",
            "write a value after the colon, or remove the key",
            at,
        ),
        Error::Unexpected { expected, .. } => Diagnostic::new(
            "E0103",
            format!("expected {}", human(expected)),
            "check the indentation and whether a `-` is missing or too many",
            at,
        ),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
        | Error::ExpectedStringKeyForExternallyTaggedEnum { .. }
        | Error::UnexpectedValueForUnitEnumVariant { .. }
        | Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. }
        | Error::SerdeInvalidLength { .. }
        | Error::TaggedEnumMismatch { .. } => {
            Diagnostic::new("E0103", plain(error), "check the indentation and the kind of value", at)
        }
        _ => Diagnostic::new(
            "E0002",
            format!("this is not YAML that can be read: {}", plain(error)),
            "check the quotes, the brackets and the indentation (spaces, no tabs)",
            at,
        ),
    }
}

fn inner(mut error: &Error) -> &Error {
    while let Error::WithSnippet { error: within, .. } | Error::AliasError { error: within, .. } = error {
        error = within;
    }
    error
}

fn eof(text: &str, at: Option<Range<usize>>) -> Diagnostic {
    let blank = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    match blank {
        true => Diagnostic::new(
            "E0104",
            "the file is empty",
            "the shortest estate: `estate: acme` and below it `environments: [{ name: dev }]`",
            at,
        ),
        false => Diagnostic::new("E0002", "the file ends too early", "a bracket or quote is not closed", at),
    }
}

fn wrong_scalar(text: &str, kind: &str, at: Option<Range<usize>>) -> Diagnostic {
    let found = at.clone().and_then(|range| text.get(range)).filter(|found| !found.is_empty());
    let hint = match kind {
        k if k.contains("bool") => "write true or false",
        k if k.starts_with('u') => "write a whole number without quotes, sign or unit",
        k if k.starts_with('f') => "write a number such as 2 or 2.5",
        _ => "see the example in `springtide explain E0103`",
    };
    let message = match found {
        Some(found) => format!("expected {}, found {}", human(kind), shown(found)),
        None => format!("expected {}", human(kind)),
    };
    Diagnostic::new("E0103", message, hint, at)
}

/// A caret of at least one token, if the reader only gave its start.
fn widen(text: &str, range: Range<usize>) -> Range<usize> {
    if !range.is_empty() {
        return range;
    }
    let rest = &text[range.start..];
    let length = rest.find(|c: char| c.is_whitespace() || ",:]}[{".contains(c)).unwrap_or(rest.len());
    range.start..range.start + length
}

fn with_meant(found: &str, known: &[&'static str], valid: String) -> String {
    match nearest(found, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? {valid}"),
        None => valid,
    }
}

/// A text that somebody wrote, harmless and short.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}

fn clean(text: &str) -> String {
    text.chars()
        .take(80)
        .flat_map(|c| {
            if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// The reader's own words, without its place and on one line.
fn plain(error: &Error) -> String {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.split(" at line ").next().unwrap_or_default();
    clean(text.lines().next().unwrap_or_default())
}

/// Names of Rust's types in words for people.
fn human(kind: &str) -> String {
    let words = match kind {
        "u8" | "u16" | "u32" | "u64" | "i64" | "integer" | "invalid u32" | "invalid u16" => "a whole number",
        "f64" | "f32" | "float" => "a number",
        "bool" | "boolean" => "true or false",
        "string" | "a string" | "String" => "a text",
        "a sequence" | "sequence" | "sequence start" => "a list (`- item` or `[item, item]`)",
        "map" | "mapping" | "mapping start" | "a map" => "a mapping (`key: value`)",
        "scalar" => "a single value",
        "string scalar" => "a text",
        other if other.starts_with("struct ") => "a mapping (`key: value`)",
        other => return clean(other),
    };
    words.to_owned()
}
