//! `springtide hold` and `springtide release`: the stop switch. They write the store, so they work with a
//! server and without one, and also when it hangs.

use serde_json::json;

use crate::args::Cli;
use crate::context::{now, open, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// Who sets or releases it, as others are told.
const BY: &str = "springtide hold";

/// `springtide hold`
pub fn hold(cli: &Cli, reason: &str, dry_run: bool) -> Result<u8, Failure> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) || reason.len() > 500 {
        let message = "the reason must be one line of 1 to 500 bytes";
        return Err(Failure::new(code::INVALID, "E0911", message, NOTHING, "say why in a few words"));
    }
    if !dry_run {
        open(cli)?.store.hold(reason, BY, now())?;
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "held": !dry_run, "reason": reason }));
    } else {
        let verb = if dry_run { "would hold" } else { "held" };
        printer::say(&format!("{verb}: no operation begins, one that runs stops before its next step"));
    }
    Ok(0)
}

/// `springtide release`
pub fn release(cli: &Cli, dry_run: bool) -> Result<u8, Failure> {
    let estate = open_there(cli)?;
    let held = estate.as_ref().map(|it| it.store.held()).transpose()?.flatten();
    if let (Some(estate), false) = (&estate, dry_run) {
        estate.store.release("springtide release", now())?;
    }
    if cli.json {
        let held = held.map(|it| json!({ "reason": it.reason, "by": it.by, "since": times::utc(it.since) }));
        printer::json(&json!({ "version": 1, "released": held.is_some() && !dry_run, "was": held }));
        return Ok(0);
    }
    let text = match (held, dry_run) {
        (None, _) => "nothing was held".to_owned(),
        (Some(it), true) => format!("would release: {} ({})", it.reason, times::person(it.since, now())),
        (Some(it), false) => format!("released: {} ({})", it.reason, times::person(it.since, now())),
    };
    printer::say(&text);
    Ok(0)
}
