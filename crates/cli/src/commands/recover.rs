//! `springtide recover`: the newest copy of the store that is whole, in the place of one that is not.

use serde_json::json;
use springtide_server::locks;
use springtide_server::store::{backups, check_file, restore};

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
    let mut kept = None;
    if !dry_run {
        let _held = lock_at(&state)?;
        kept = restore(&path, &copy.path, now())?;
    }
    if cli.json {
        let kept = kept.map(|path| path.display().to_string());
        printer::json(&json!({ "version": 1, "recovered": !dry_run, "copy": copy.path.display().to_string(),
            "made": times::utc(copy.at), "kept": kept }));
        return Ok(0);
    }
    let copy = copy.path.display();
    if dry_run {
        printer::say(&format!("would put back {copy}, made {made}"));
        return Ok(0);
    }
    printer::say(&format!("put back {copy}, made {made}"));
    if let Some(kept) = kept {
        printer::note(&printer::yellow("note"), &format!(" the damaged store is kept as {}", kept.display()));
    }
    printer::note(
        &printer::yellow("note"),
        " what was recorded since then is lost; compare springtide status and plan",
    );
    Ok(0)
}
