//! Verbs that plan and change.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use springtide_core::check::CheckedEstate;
use springtide_core::plan::Plan;
use springtide_driver::Driver as _;
use springtide_server::Estate;
use springtide_server::execute::{ExecuteError, Execution, chain, execute};
use springtide_server::locks::{self, ActLock};
use springtide_server::store::{Held, StoreError};

use super::show::{refused, show};
use crate::args::Cli;
use crate::context::{clock, driver, epoch, guard, lock, lock_at, look, need_root, now, open, room_to_act, state};
use crate::failure::{Failure, NOTHING, code, trouble};
use crate::progress::{Terminal, watch_for_stop};
use crate::{plan_file, printer, times};

/// `springtide plan`
pub async fn plan(cli: &Cli, out: Option<&Path>) -> Result<u8, Failure> {
    let estate = open(cli)?;
    let at = now();
    let (_, _, planned) = look(cli, &estate, at).await?;
    refused(cli, &planned)?;
    if let Some(out) = out {
        plan_file::write(out, &planned, at)?;
    }
    show(cli, &planned);
    Ok(if planned.is_empty() { 0 } else { code::PENDING })
}

/// A reviewed plan must be exactly the one that would be made now.
pub(super) fn fresh(saved: &Plan, planned: &Plan) -> Result<(), Failure> {
    if saved.inputs == planned.inputs && saved.id == planned.id && saved == planned {
        return Ok(());
    }
    let message = format!("plan {} is stale: the estate file or the machine changed since", saved.id);
    Err(Failure::new(code::CONFLICT, "E0801", message, NOTHING, "springtide plan"))
}

/// `springtide apply`
pub async fn apply(cli: &Cli, reviewed: Option<&Path>, yes: bool, dry_run: bool) -> Result<u8, Failure> {
    let saved = reviewed.map(plan_file::read).transpose()?;
    if !dry_run {
        need_root()?;
        guard(&state(cli)?)?;
        if let Some(server) = locks::server(&state(cli)?) {
            return super::through_server::apply(cli, &server, saved.as_ref(), yes).await;
        }
    }
    let estate = open(cli)?;
    let _held = if dry_run { None } else { Some(lock(&estate)?) };
    let at = now();
    if !dry_run {
        room_to_act(&estate)?;
    }
    let epoch = if dry_run { None } else { Some(epoch(&estate, "apply", at)?) };
    let (checked, seen, planned) = look(cli, &estate, at).await?;
    refused(cli, &planned)?;
    if let Some(saved) = &saved {
        fresh(saved, &planned)?;
    }
    // Who said yes beforehand and wants little is not shown what to approve.
    let shown = !cli.json && !(cli.quiet && (yes || reviewed.is_some()));
    if dry_run || shown {
        show(cli, &planned);
    }
    if dry_run {
        return Ok(if planned.is_empty() { 0 } else { code::PENDING });
    }
    if planned.is_empty() {
        match cli.json {
            true => answer(None, &planned),
            false => where_it_is(cli, &estate, &checked)?,
        }
        return Ok(0);
    }
    if !yes && reviewed.is_none() && !approved(cli)? {
        return Err(Failure::new(code::CANCELLED, "E0804", "not approved", NOTHING, "springtide apply"));
    }
    let Some(epoch) = epoch else { return Ok(0) };
    let (clock, by) = (clock(), "springtide apply");
    let execution = Execution { estate: &estate, checked: &checked, seen: &seen, now: at, clock, epoch, by };
    let operation = carry_out(&execution, &planned, "apply").await?;
    match cli.json {
        true => answer(Some(operation), &planned),
        false => where_it_is(cli, &estate, &checked)?,
    }
    Ok(0)
}

/// Tells people where each environment is, and how to log in.
pub(super) fn where_it_is(cli: &Cli, estate: &Estate, checked: &CheckedEstate) -> Result<(), Failure> {
    for environment in &checked.environments {
        super::open::login(cli, estate, checked, &environment.name)?;
    }
    Ok(())
}

fn answer(operation: Option<u64>, planned: &Plan) {
    let outcome = if operation.is_some() { "done" } else { "no changes" };
    printer::json(&json!({ "version": 1, "operation": operation, "plan": planned.id, "outcome": outcome }));
}

/// Executes a plan with its progress on the terminal; `verb` is what goes on after a failure.
pub(super) async fn carry_out(execution: &Execution<'_>, planned: &Plan, verb: &str) -> Result<u64, Failure> {
    let progress = Terminal::new(planned, watch_for_stop(verb)?);
    let done = execute(execution, planned, &progress).await;
    // The bar goes before the failure is told.
    drop(progress);
    done.map_err(|error| failed(&error, verb))
}

fn failed(error: &ExecuteError, verb: &str) -> Failure {
    if let ExecuteError::Held { held, .. } | ExecuteError::Journal(StoreError::Held(held)) = error {
        return held_back(held);
    }
    if let ExecuteError::Cancelled(_) = error {
        let done = "What was done stays done and is safe.";
        let next = format!("springtide {verb} goes on");
        return Failure::new(code::CANCELLED, "E0805", error.to_string(), done, next);
    }
    let (exit, id, next) =
        trouble(error).unwrap_or((code::FAILED, "E0806", format!("mend the cause, then springtide {verb} goes on")));
    Failure::new(exit, id, chain(error), "Steps before it stay done; nothing after it was begun.", next)
}

/// The failure of what is not done because of the stop switch.
pub(super) fn held_back(held: &Held) -> Failure {
    let message = format!("held by {} since {}: {}", held.by, times::person(held.since, now()), held.reason);
    let done = "What was done before stays done; nothing was begun after it.";
    Failure::new(code::CONFLICT, "E0922", message, done, "springtide release")
}

pub(super) fn approved(cli: &Cli) -> Result<bool, Failure> {
    if cli.json || !std::io::stdin().is_terminal() {
        let message = "a plan needs approval and there is no terminal to ask on";
        return Err(Failure::new(code::DENIED, "E0804", message, NOTHING, "springtide apply --yes"));
    }
    printer::talk("apply this plan? ", "[y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Longest wait of `stop` for a step that a server has under way.
const STEP: Duration = Duration::from_secs(300);

/// The operation lock, waited for.
async fn lock_within(state: &Path, most: Duration) -> Result<ActLock, Failure> {
    let begun = Instant::now();
    loop {
        match lock_at(state) {
            Err(failure) if failure.is("E0802") && begun.elapsed() < most => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            done => return done,
        }
    }
}

/// `springtide stop`
pub async fn stop(cli: &Cli, dry_run: bool) -> Result<u8, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    let driver = driver(cli)?;
    let running: Vec<String> = driver
        .observe()
        .await?
        .workloads
        .iter()
        .filter(|(_, seen)| seen.pid.is_some())
        .map(|(id, _)| id.to_string())
        .collect();
    // A folder that is not there runs nothing, and stopping makes none. The store is not needed: what
    // runs must be stoppable also when it is broken.
    let server = locks::server(&state);
    if !dry_run && state.join("workloads").exists() {
        // A server would start again what is stopped: it is held first, and steps under way come to their end.
        let _held = match &server {
            Some(_) => {
                open(cli)?.store.hold("springtide stop", "springtide stop", now())?;
                lock_within(&state, STEP).await?
            }
            None => lock_at(&state)?,
        };
        driver.shutdown().await?;
    }
    if cli.json {
        let held = server.is_some() && !dry_run;
        printer::json(&json!({ "version": 1, "stopped": !dry_run, "held": held, "workloads": running }));
    } else if dry_run {
        printer::data(&match running.is_empty() {
            true => "nothing runs\n".to_owned(),
            false => format!("would stop\n  {}\n", running.join("\n  ")),
        });
    } else {
        printer::data("all workloads are stopped; data stays\n");
        if let Some(server) = server {
            let text = format!(" the server (pid {}) is held; springtide release lets it start them again", server.pid);
            printer::note(&printer::yellow("note"), &text);
        }
    }
    Ok(0)
}
