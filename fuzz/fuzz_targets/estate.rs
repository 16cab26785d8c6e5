//! Any text either is an estate or is refused with a report that can be shown.
//!
//! Run with `cargo +nightly fuzz run estate fuzz/corpus/estate examples`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(report) = springtide_core::check::parse_and_check("estate.yaml", text) {
        assert!(!report.diagnostics().is_empty());
        report.render(80, true, true);
        report.to_json();
    }
});
