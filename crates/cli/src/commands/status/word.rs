//! An environment in one word, and how the word is coloured.

pub use springtide_api::Health as Word;
pub use springtide_server::health::health as word;

use crate::printer::Tone;

/// How a word is coloured.
pub const fn tone(word: Word) -> Tone {
    match word {
        Word::Up => Tone::Good,
        Word::Starting | Word::Degraded | Word::Unwatched | Word::Unknown => Tone::Warn,
        Word::Down | Word::Broken | Word::Destroying => Tone::Bad,
        Word::Stopped | Word::Planned => Tone::Dim,
    }
}
