//! Spec: the estate file as people write it, read and not yet believed.
//!
//! [`parse`] turns text into [`RawEstate`] and [`Spans`] or tells, at a place in the text, why it
//! cannot. [`crate::check`] decides what of it may travel.

mod place;
mod raw;
mod refusal;
pub mod suggest;

pub use place::Spans;
pub use raw::*;

use crate::check::Diagnostic;

/// Most bytes of an estate file.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of mappings and lists.
pub const MAX_DEPTH: usize = 24;
/// Most values that aliases may add in all.
pub const MAX_ALIAS_EVENTS: usize = 50_000;

/// The text is not an estate file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}", .diagnostic.message)]
pub struct SpecError {
    /// Name of the file, for messages.
    pub file: String,
    diagnostic: Box<Diagnostic>,
}

impl SpecError {
    /// The problem with its place.
    pub fn into_diagnostic(self) -> Diagnostic {
        *self.diagnostic
    }
    /// The problem's code, such as `E0101`.
    pub fn code(&self) -> &'static str {
        self.diagnostic.code
    }
}

/// Reads an estate file. `file_name` is only a name for messages.
pub fn parse<'t>(file_name: &str, text: &'t str) -> Result<(RawEstate, Spans<'t>), SpecError> {
    let refuse = |diagnostic| SpecError { file: file_name.to_owned(), diagnostic: Box::new(diagnostic) };
    if text.len() > MAX_BYTES {
        return Err(refuse(Diagnostic::new(
            "E0001",
            format!("the file has {} bytes; the limit is {MAX_BYTES}", text.len()),
            "an estate file is written by people; keep data elsewhere",
            None,
        )));
    }
    let raw = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| refuse(refusal::diagnostic(text, &error)))?;
    Ok((raw, Spans::of(text)))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: 5_000,
            max_anchors: 5_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIAS_EVENTS,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// JSON Schema of the estate file, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RawEstate).to_value()
}
