//! Any text either is refused with a report that can be shown, or is an estate that can be planned.
//!
//! `cargo +nightly fuzz run estate fuzz/corpus/estate examples -- -dict=fuzz/estate.dict`

#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_core::check::parse_and_check;
use springtide_core::layout::Slot;
use springtide_core::lint::lint;
use springtide_core::observe::{HostFacts, Observation};
use springtide_core::plan::plan;
use springtide_core::role::Role;
use springtide_core::roles::{route, workload};
use springtide_core::sizing::size;

/// Inside most peaks that a file made from the examples declares.
const NOW: i64 = 1_795_800_000;

fuzz_target!(|text: &str| {
    let estate = match parse_and_check("estate.yaml", text) {
        Ok(estate) => estate,
        Err(report) => {
            assert!(!report.diagnostics().is_empty());
            report.render(80, true, true);
            report.to_json();
            return;
        }
    };
    let odoo_roots = ["14.0", "19.0"].map(|series| (series.parse().expect("a series"), String::new())).into();
    let host =
        HostFacts { cpus: 8, memory_bytes: 32 << 30, postgres_major: Some(17), odoo_roots, ..HostFacts::default() };
    let seen = Observation { host, ..Observation::default() };
    let planned = plan(&estate, &seen, NOW);
    assert_eq!(lint(&planned), Vec::<String>::new());
    assert!(planned.refusals.is_empty() || planned.steps().next().is_none());
    for environment in estate.environments.iter().take(3) {
        let sized = size(environment, &estate.peaks, Slot(1), &seen.host, estate.environments.len(), NOW);
        for role in Role::ENVIRONMENT {
            workload(&sized, role);
        }
        route::route(&sized);
    }
});
