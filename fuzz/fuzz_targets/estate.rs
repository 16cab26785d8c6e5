//! Any text either is refused with a report that can be shown, or is an estate that can be planned.
//!
//! `cargo +nightly fuzz run estate fuzz/corpus/estate examples -- -dict=fuzz/estate.dict`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../judge.rs"]
mod judge;

fuzz_target!(|text: &str| {
    judge::judge(text);
});
