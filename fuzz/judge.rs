//! What must hold for any text: it is refused with a report that can be shown, or it is an estate that can
//! be planned, linted and rendered. The fuzz target and a test of `springtide-core` both call this, so that it
//! is compiled and run with every test, also where nobody fuzzes.

use springtide_core::check::parse_and_check;
use springtide_core::layout::Slot;
use springtide_core::lint::lint;
use springtide_core::observe::{HostFacts, Observation};
use springtide_core::plan::environment::new_certificate_until;
use springtide_core::plan::plan;
use springtide_core::role::Role;
use springtide_core::roles::{route, workload};
use springtide_core::sizing::size;

/// Inside most peaks that a file made from the examples declares.
const NOW: i64 = 1_795_800_000;

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// No valid estate; the report says why.
    Invalid,
    /// A valid estate that this machine cannot run.
    Refused,
    /// A valid estate with steps to do.
    Planned,
}

/// Takes `text` through check, plan, lint and rendering.
///
/// # Panics
/// If anything that must hold for every text does not hold for this one.
pub fn judge(text: &str) -> Judged {
    let estate = match parse_and_check("estate.yaml", text) {
        Ok(estate) => estate,
        Err(report) => {
            assert!(!report.diagnostics().is_empty());
            report.render(80, true, true);
            report.to_json();
            return Judged::Invalid;
        }
    };
    let odoo_roots = ["14.0", "19.0"].map(|series| (series.parse().expect("a series"), String::new())).into();
    let host =
        HostFacts { cpus: 8, memory_bytes: 32 << 30, postgres_major: Some(17), odoo_roots, ..HostFacts::default() };
    let seen = Observation { host, ..Observation::default() };
    let planned = plan(&estate, &seen, NOW);
    assert_eq!(lint(&planned), Vec::<String>::new());
    assert!(planned.refusals.is_empty() || planned.steps().next().is_none());
    let sharing = estate.environments.len();
    for environment in estate.environments.iter().take(3) {
        let until = new_certificate_until(NOW);
        let sized = size(environment, &estate.peaks, Slot(1), &seen.host, sharing, NOW, until);
        for role in Role::ENVIRONMENT {
            workload(&sized, role);
        }
        route::route(&sized);
    }
    if planned.refusals.is_empty() { Judged::Planned } else { Judged::Refused }
}
