//! `springtide rehearse`: load on an environment, and what came of it.
//!
//! - [`target`]: which environment, whether it may be loaded, how it is reached. `alone`: one at a time.
//! - [`prepare`]: the distributor's data.
//! - [`run`]: a profile driven, watched and judged. [`watch`]: what is seen of it meanwhile.
//! - [`verdict`]: ledger and database compared, and how it is printed.
//! - [`calibrate`]: what each kind of work costs on this machine.
//!
//! Rule: what is asked is checked before anything is written to the environment.

pub mod alone;
mod calibrate;
mod failures;
mod prepare;
mod run;
pub mod target;
mod verdict;
mod watch;

use serde_json::json;
use springtide_rehearse::profile::Profile;

use crate::args::{Cli, RehearseCommand};
use crate::failure::Failure;
use crate::printer::{self, field};

/// `springtide rehearse`
pub async fn rehearse(cli: &Cli, what: Option<&RehearseCommand>, dry_run: bool) -> Result<u8, Failure> {
    match what {
        None => profiles(cli),
        Some(RehearseCommand::Prepare { environment, size, seed, i_know }) => {
            prepare::prepare(cli, environment, size, *seed, *i_know, dry_run).await
        }
        Some(RehearseCommand::Run { profile, environment, minutes, size, seed, pin, i_know }) => {
            let wishes = run::Wishes { minutes: *minutes, size, seed: *seed, pin: *pin, i_know: *i_know, dry_run };
            run::run(cli, profile, environment, &wishes).await
        }
        Some(RehearseCommand::Check { ledger, environment }) => verdict::check(cli, ledger, environment).await,
        Some(RehearseCommand::Calibrate { environment, out, report, requests, seconds, i_know }) => {
            let report = report.as_deref();
            let wishes =
                calibrate::Wishes { out, report, requests: *requests, seconds: *seconds, i_know: *i_know, dry_run };
            calibrate::calibrate(cli, environment, &wishes).await
        }
    }
}

/// The built-in profiles.
fn profiles(cli: &Cli) -> Result<u8, Failure> {
    let all = Profile::built_in().map(Profile::open).collect::<Result<Vec<_>, _>>().map_err(failures::profile)?;
    if cli.json {
        let all: Vec<_> =
            all.iter().map(|it| json!({ "name": it.name, "about": it.about, "per_minute": it.per_minute() })).collect();
        printer::json(&json!({ "version": 1, "profiles": all }));
        return Ok(0);
    }
    let rows = all
        .iter()
        .map(|it| vec![field(it.name.clone()), field(format!("{:.0}", it.per_minute())), field(it.about.clone())]);
    printer::data(&printer::table(&["profile", "a minute", "about"], rows.collect()));
    Ok(0)
}
