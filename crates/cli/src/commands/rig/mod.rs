//! `springtide rig`: faults, sinks and the rig's check of itself.
//!
//! - [`fault`]: puts a fault on a workload for a time; a watchdog of its own undoes it whatever happens here.
//! - [`sinks`]: answers as the partners outside and counts.
//! - [`selftest`]: plants what must be found.
//!
//! Rule: nothing is broken that is not in the journal of faults first, `rig/faults` in the state folder.

mod fault;
mod selftest;
mod sinks;

use std::path::PathBuf;

use serde_json::json;
use springtide_rehearse::faults::{CATALOGUE, FaultError, Journal};

use crate::args::{Cli, RigCommand};
use crate::context::{guard, need_root, state};
use crate::failure::{Failure, code};
use crate::printer::{self, field};

pub use fault::{WATCHDOG, watchdog};

/// `springtide rig`
pub async fn rig(cli: &Cli, what: Option<&RigCommand>, dry_run: bool) -> Result<u8, Failure> {
    match what {
        None => catalogue(cli),
        Some(RigCommand::Selftest { environment, without }) => {
            selftest::selftest(cli, environment.as_ref(), without.as_deref(), dry_run).await
        }
        Some(RigCommand::Sinks) => sinks::sinks(cli, dry_run).await,
        Some(RigCommand::Fault { id, workload, time, strength, i_know }) => {
            let wishes = fault::Wishes { time, strength: *strength, i_know: *i_know, dry_run };
            fault::fault(cli, id, workload, &wishes).await
        }
        Some(RigCommand::Undo) => undo(cli, dry_run),
    }
}

/// The faults that there are, and how many are in place.
fn catalogue(cli: &Cli) -> Result<u8, Failure> {
    if cli.json {
        printer::json(&json!({ "version": 1, "faults": CATALOGUE }));
        return Ok(0);
    }
    let rows = CATALOGUE.iter().map(|it| {
        let undo = if it.undo.is_empty() { "nothing is to undo" } else { it.undo };
        vec![field(it.id.as_str()), field(it.what), field(undo)]
    });
    printer::data(&printer::table(&["fault", "what happens", "how it is undone"], rows.collect()));
    Ok(0)
}

/// Where the journal of faults is.
fn folder(cli: &Cli) -> Result<PathBuf, Failure> {
    Ok(own(cli)?.join("faults"))
}

/// The rig's own folder; what is in it is believed, so the state folder is looked at first.
fn own(cli: &Cli) -> Result<PathBuf, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    Ok(state.join("rig"))
}

fn undo(cli: &Cli, dry_run: bool) -> Result<u8, Failure> {
    let folder = folder(cli)?;
    // Looking makes no folder.
    let (mut there, mut undone) = (0, 0);
    if folder.exists() {
        let journal = Journal::open(folder).map_err(broken)?;
        let (records, failed) = journal.records();
        if let Some(error) = failed.into_iter().next() {
            return Err(broken(error));
        }
        there = records.len();
        if !dry_run {
            let result = journal.undo_all();
            undone = there - result.failed.len();
            if let Some(error) = result.failed.into_iter().next() {
                return Err(broken(error));
            }
        }
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "in_place": there, "undone": undone }));
    } else if dry_run {
        printer::say(&format!("would undo {}", printer::counted(there, "fault")));
    } else {
        printer::say(&format!("{} undone", printer::counted(undone, "fault")));
    }
    Ok(0)
}

/// A fault that did not go in, or not out.
fn broken(error: FaultError) -> Failure {
    let (unchanged, next) = match error {
        FaultError::Undo { .. } => ("The fault's record is kept.", "springtide rig undo"),
        _ => ("The fault is not in place.", "springtide status"),
    };
    Failure::new(code::FAILED, error.code(), error.to_string(), unchanged, next)
}
