//! The simulation: the server's own code over a machine in memory, with people, faults and crashes that all
//! follow from one number. See docs/simulation.md.
//!
//! `SPRINGTIDE_SEEDS` says how many seeds are run, `SPRINGTIDE_SEED` runs that one alone and prints it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so best by panicking")]

mod acts;
mod bugs;
mod chance;
mod checks;
mod hand;
mod machine;
mod sim;
mod story;
mod torn;

use std::time::Instant;

use acts::whole;
use bugs::{BUGS, Bug, Place};
use sim::{Options, Outcome};

/// Seeds without a word from outside.
const SEEDS: u64 = 80;
/// Seeds within which a planted bug must be caught: the rarest one needs some hundred.
const SEEDS_OF_A_BUG: u64 = 600;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Seconds that this thread has had a core, as the kernel counts them.
fn busy() -> f64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    counted.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn tell(seed: u64, outcome: &Outcome) -> String {
    let lines: Vec<String> =
        outcome.trace.iter().map(|(ms, text)| format!("{:>9.3} {text}", *ms as f64 / 1e3)).collect();
    let end = match &outcome.violation {
        Some(it) => format!("seed {seed}: {:?} at {} ms: {}", it.check, it.at_ms, it.what),
        None => format!("seed {seed}: nothing is wrong"),
    };
    format!(
        "{}\n{end}\nreplay: SPRINGTIDE_SEED={seed} cargo test -p springtide-server --test simulation -- every_seed --nocapture",
        lines.join("\n")
    )
}

#[test]
fn every_seed_holds() {
    if let Some(seed) = number("SPRINGTIDE_SEED") {
        let outcome = whole(&Options { seed, ..Options::default() });
        eprintln!("{}", tell(seed, &outcome));
        assert_eq!(outcome.violation, None);
        return;
    }
    let seeds = number("SPRINGTIDE_SEEDS").unwrap_or(SEEDS);
    let (began, busy_before) = (Instant::now(), busy());
    let mut wrong = Vec::new();
    for seed in 0..seeds {
        let outcome = whole(&Options { seed, ..Options::default() });
        if let Some(it) = &outcome.violation {
            eprintln!("seed {seed}: {:?}: {}", it.check, it.what.chars().take(300).collect::<String>());
            wrong.push(seed);
        }
    }
    let (seconds, busy) = (began.elapsed().as_secs_f64(), busy() - busy_before);
    eprintln!(
        "{seeds} seeds in {seconds:.1} s, {busy:.1} s of a core: {:.0} a minute of it",
        seeds as f64 / busy * 60.0
    );
    assert_eq!(wrong, Vec::<u64>::new(), "seeds with a violation; replay one with SPRINGTIDE_SEED");
}

/// The first seed that catches a bug, with what was caught.
fn caught(bug: &Bug) -> Option<(u64, Outcome)> {
    (0..SEEDS_OF_A_BUG).find_map(|seed| {
        let outcome = whole(&Options { seed, bug: bug.name, off: Vec::new() });
        outcome.violation.is_some().then_some((seed, outcome))
    })
}

#[test]
fn every_planted_bug_is_caught_by_its_check_and_by_no_other() {
    let mut missed = Vec::new();
    for bug in BUGS.iter().filter(|bug| cfg!(debug_assertions) || !matches!(bug.place, Place::Code)) {
        let Some((seed, outcome)) = caught(bug) else {
            missed.push(format!("{} is not caught", bug.name));
            continue;
        };
        let Some(violation) = outcome.violation else { continue };
        eprintln!("{}: {:?} after {} seeds: {}", bug.name, violation.check, seed + 1, violation.what);
        if !bug.caught_by.contains(&violation.check) {
            missed.push(format!("{} is caught by {:?} at seed {seed}", bug.name, violation.check));
        }
        // Without its checks the same run finds nothing, and nor do some others.
        for seed in seed..seed + 4 {
            let unchecked = whole(&Options { seed, bug: bug.name, off: bug.caught_by.to_vec() });
            if let Some(it) = unchecked.violation {
                let (name, check, what) = (bug.name, it.check, it.what);
                missed.push(format!("{name} without its checks is caught by {check:?} at seed {seed}: {what}"));
            }
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..12 {
        let run = || {
            let mut trace = whole(&Options { seed, ..Options::default() }).trace;
            // Tasks that one event wakes at the same moment have no order.
            trace.sort();
            trace
        };
        let (once, again) = (run(), run());
        let differs = once.iter().zip(&again).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}
