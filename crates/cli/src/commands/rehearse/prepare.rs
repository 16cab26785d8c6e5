//! `springtide rehearse prepare`: a distributor's data, once.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_rehearse::distributor::{self, LoadError, Loaded, Size};
use springtide_rehearse::odoo::{Rpc, Target, Wire};

use super::alone::alone;
use super::failures;
use super::target::{permit, subject};
use super::watch::unless_asked;
use crate::args::Cli;
use crate::context::{load as load_file, no_such, now};
use crate::failure::Failure;
use crate::printer;

/// `springtide rehearse prepare`
pub async fn prepare(
    cli: &Cli,
    name: &EnvironmentName,
    size: &str,
    seed: u64,
    i_know: bool,
    dry_run: bool,
) -> Result<u8, Failure> {
    let size: Size = size.parse().map_err(failures::size)?;
    let checked = load_file(cli)?;
    let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
        return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
    };
    permit(declared, i_know)?;
    let subject = subject(cli, name).await?;
    let loaded = if dry_run {
        None
    } else {
        let _alone = alone(&subject, "rehearse-prepare")?;
        let command = format!("rehearse prepare {name}");
        let operation = subject.estate.store.begin_command(&command, "springtide rehearse", now())?;
        let loaded = unless_asked(load(&subject.target, size, seed)).await;
        let outcome = if loaded.is_ok() { "done" } else { "failed" };
        subject.estate.store.end_command(operation, outcome, now())?;
        Some(loaded?)
    };
    if cli.json {
        let (made, left_out) = loaded.map(|it| (it.made, it.left_out)).unzip();
        printer::json(&json!({
            "version": 1, "environment": name, "size": size.to_string(), "seed": seed,
            "made": made, "left_out": left_out,
        }));
        return Ok(0);
    }
    match loaded {
        None => printer::say(&format!("would load the distributor of size {size} and seed {seed} into {name}")),
        Some(loaded) if loaded.made.is_empty() => printer::say(&format!("the distributor is in {name} already")),
        Some(loaded) => {
            let made: Vec<_> = loaded.made.iter().map(|(what, count)| format!("{count} {what}")).collect();
            printer::say(&format!("loaded into {name}: {}", made.join(", ")));
            loaded.left_out.iter().for_each(|what| printer::note(&printer::yellow("left out"), &format!(" {what}")));
        }
    }
    Ok(0)
}

/// Loads a distributor where there is none; one that is there is taken as it is.
pub async fn load_if_none(target: &Target, size: Size) -> Result<(), Failure> {
    let wire = Wire::new(target).map_err(|error| failures::load(error.into()))?;
    let signed = Rpc::sign_in(wire, &target.database, &target.admin, target.password.clone()).await;
    let odoo = signed.map_err(|cause| failures::load(LoadError::Odoo { what: "signing in".to_owned(), cause }))?;
    let there = distributor::loaded_plan(&odoo).await.map_err(failures::load)?;
    if there.is_none() {
        load(target, size, 1).await?;
    }
    Ok(())
}

/// Loads the distributor, showing how far it is.
pub async fn load(target: &Target, size: Size, seed: u64) -> Result<Loaded, Failure> {
    let bar = printer::live().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    });
    // Without a terminal one line for each kind of record.
    let last = Mutex::new(String::new());
    let tell = |what: &str, done: usize, of: usize| match &bar {
        Some(bar) => bar.set_message(format!("loading {what}: {done} of {of}")),
        None => {
            let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *last != what {
                what.clone_into(&mut last);
                printer::note("", &format!("loading {what}: {of}"));
            }
        }
    };
    let loaded = distributor::load(target, size, seed, &tell).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    loaded.map_err(failures::load)
}
