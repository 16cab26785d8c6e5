//! `springtide recover`: the newest copy of the store that is whole, in the place of one that is not.

use std::path::Path;

use serde_json::json;
use springtide_server::http::credentials::LOCAL;
use springtide_server::locks;
use springtide_server::store::{Restored, backups, check_file, recorded, restore};

use crate::args::Cli;
use crate::context::{guard, lock_at, need_root, now, state};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// `springtide recover`
pub fn recover(cli: &Cli, dry_run: bool) -> Result<u8, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    let nothing = |message: String, next: &str| Failure::new(code::FAILED, "E0926", message, NOTHING, next);
    let path = state.join("springtide.db");
    if let Some(server) = locks::server(&state) {
        return Err(super::serve::runs_already(&server));
    }
    let whole = path.exists() && check_file(&path).is_ok();
    if whole {
        let message = "the store is whole";
        return Err(nothing(message.to_owned(), "springtide status"));
    }
    let folder = state.join("backups");
    let Some(copy) = backups(&folder).into_iter().rev().find(|it| check_file(&it.path).is_ok()) else {
        let message = format!("there is no copy of the store in {}", folder.display());
        return Err(nothing(message, "put a copy of springtide.db back by hand, if there is one elsewhere"));
    };
    let made = times::person(copy.at, now());
    let unknown = unknown(&state, &recorded(&copy.path)?);
    let mut done = Restored { kept: None, revoked: Vec::new() };
    if !dry_run {
        let _held = lock_at(&state)?;
        let reason = format!("the store was put back from a copy made {}", times::utc(copy.at));
        done = restore(&path, &copy.path, &reason, "springtide recover", now())?;
        // The server leaves the command line a new one by itself.
        done.revoked.retain(|name| name != LOCAL);
    }
    let Restored { kept, revoked } = done;
    if cli.json {
        let kept = kept.map(|path| path.display().to_string());
        printer::json(&json!({ "version": 1, "recovered": !dry_run, "copy": copy.path.display().to_string(),
            "made": times::utc(copy.at), "kept": kept, "held": !dry_run, "revoked": revoked, "unknown": unknown }));
        return Ok(0);
    }
    let note = |text: &str| printer::note(&printer::yellow("note"), &format!(" {text}"));
    let copy = copy.path.display();
    if dry_run {
        printer::say(&format!("would put back {copy}, made {made}"));
    } else {
        printer::say(&format!("put back {copy}, made {made}"));
        if let Some(kept) = kept {
            note(&format!("the damaged store is kept as {}", kept.display()));
        }
        note("what was recorded since then is lost; compare springtide status and plan");
        note("everything is held until you say springtide release");
        if !revoked.is_empty() {
            let names = revoked.join(", ");
            note(&format!("tokens are revoked, since one may have been after the copy; make new ones: {names}"));
        }
        note("console sessions have ended; springtide open logs in");
    }
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        note(&format!(
            "has data here and is not in the copy, so its slot is lost: {names}; do not release before you know why"
        ));
    }
    Ok(0)
}

/// Environments whose data lies in the state folder and that the copy does not know. Without their record a
/// plan would give them a slot anew, and with it perhaps other ports and Unix ids.
fn unknown(state: &Path, recorded: &[String]) -> Vec<String> {
    let folders = std::fs::read_dir(state.join("environments")).into_iter().flatten().flatten();
    let mut names: Vec<String> = folders.filter_map(|it| it.file_name().into_string().ok()).collect();
    names.retain(|name| !recorded.contains(name));
    names.sort();
    names
}
