//! What sinks counted: calls by sink, method, path and answer, and effects by idempotency key.
//!
//! A *call* is what arrived; an *effect* is what the partner did because of it. A repeat of a key is a
//! call without a second effect, as with a partner that keeps keys; effects without a key are counted
//! and cannot be told apart.
//!
//! Rule: an effect is counted before its answer is sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Sink;

/// Distinct paths and keys that are kept for each sink; beyond that calls are only summed.
const DISTINCT: usize = 200_000;
/// Longest path or key that is kept, in bytes; longer ones are cut.
const LONGEST: usize = 200;

/// One line of counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// HTTP method, or the SMTP command that ended a message (`DATA`).
    pub method: String,
    /// Path without query; for SMTP the first recipient's domain.
    pub path: String,
    /// How often it was called.
    pub calls: u64,
}

/// What one sink counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkCounts {
    /// Every call that arrived.
    pub calls: u64,
    /// What was done: calls that were taken, without repeats of a key.
    pub effects: u64,
    /// Calls that were taken and whose key had had its effect already.
    pub repeats: u64,
    /// Calls by what became of them: `ok`, `fail`, `stall`, `throttle`, `drop`, `lose-answer`, `refused`.
    pub outcomes: BTreeMap<String, u64>,
    /// Calls by method and path, in order.
    pub lines: Vec<Line>,
    /// How often each idempotency key was called.
    pub keys: BTreeMap<String, u64>,
    /// Calls whose path or key is not in the lists, because there were too many.
    pub unlisted: u64,
}

/// What every sink counted.
pub type Counts = BTreeMap<Sink, SinkCounts>;

/// The book in which sinks write.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<BTreeMap<Sink, Page>>,
}

#[derive(Debug, Default)]
struct Page {
    counts: SinkCounts,
    lines: BTreeMap<(String, String), u64>,
    done: BTreeMap<String, ()>,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, BTreeMap<Sink, Page>> {
        // Nothing below panics half way through a change.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that arrived and gives its number at this sink, from 1.
    pub fn call(&self, sink: Sink, method: &str, path: &str, key: Option<&str>) -> u64 {
        let mut pages = self.pages();
        let page = pages.entry(sink).or_default();
        page.counts.calls += 1;
        let line = (cut(method), cut(path));
        let mut listed = true;
        if page.lines.len() < DISTINCT || page.lines.contains_key(&line) {
            *page.lines.entry(line).or_default() += 1;
        } else {
            listed = false;
        }
        if let Some(key) = key.map(cut) {
            if page.counts.keys.len() < DISTINCT || page.counts.keys.contains_key(&key) {
                *page.counts.keys.entry(key).or_default() += 1;
            } else {
                listed = false;
            }
        }
        page.counts.unlisted += u64::from(!listed);
        page.counts.calls
    }

    /// Counts that a call took effect; whether it was the first with this key.
    pub fn effect(&self, sink: Sink, key: Option<&str>) -> bool {
        let mut pages = self.pages();
        let page = pages.entry(sink).or_default();
        let first = match key.map(cut) {
            // A key beyond the list cannot be known again: it counts as an effect, which shows.
            Some(key) if page.done.contains_key(&key) => false,
            Some(key) => {
                if page.done.len() < DISTINCT {
                    page.done.insert(key, ());
                }
                true
            }
            None => true,
        };
        *(if first { &mut page.counts.effects } else { &mut page.counts.repeats }) += 1;
        first
    }

    /// Counts what became of a call.
    pub fn outcome(&self, sink: Sink, outcome: &'static str) {
        *self.pages().entry(sink).or_default().counts.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Everything so far.
    pub fn counts(&self) -> Counts {
        let pages = self.pages();
        let counts = |sink: Sink| {
            let Some(page) = pages.get(&sink) else { return SinkCounts::default() };
            let mut counts = page.counts.clone();
            let line = |((method, path), calls): (&(String, String), &u64)| Line {
                method: method.clone(),
                path: path.clone(),
                calls: *calls,
            };
            counts.lines = page.lines.iter().map(line).collect();
            counts
        };
        Sink::ALL.into_iter().map(|sink| (sink, counts(sink))).collect()
    }
}

/// Long texts are cut and say so by their length, so that two of them may fall together.
fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == text.len() { text.to_owned() } else { format!("{}… ({} bytes)", &text[..end], text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_two_calls_and_one_effect() {
        let book = Book::default();
        for _ in 0..2 {
            book.call(Sink::Payment, "POST", "/payments", Some("A-1"));
            book.effect(Sink::Payment, Some("A-1"));
        }
        book.call(Sink::Payment, "POST", "/payments", None);
        book.effect(Sink::Payment, None);
        let counts = &book.counts()[&Sink::Payment];
        assert_eq!((counts.calls, counts.effects, counts.repeats), (3, 2, 1));
        assert_eq!(counts.keys["A-1"], 2);
        assert_eq!(counts.lines, [Line { method: "POST".into(), path: "/payments".into(), calls: 3 }]);
        assert_eq!(book.counts()[&Sink::Carrier], SinkCounts::default());
    }

    #[test]
    fn more_keys_than_the_list_holds_are_said() {
        let book = Book::default();
        for key in 0..DISTINCT + 5 {
            book.call(Sink::Webhook, "POST", "/", Some(&key.to_string()));
        }
        let counts = &book.counts()[&Sink::Webhook];
        assert_eq!((counts.keys.len(), counts.unlisted), (DISTINCT, 5));
        assert_eq!(counts.calls as usize, DISTINCT + 5);
        assert!(cut(&"é".repeat(300)).ends_with("(600 bytes)"));
    }
}
