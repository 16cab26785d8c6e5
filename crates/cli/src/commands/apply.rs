//! Verbs that plan and change.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use springtide_core::names::EnvironmentName;
use springtide_core::plan::{Plan, Risk};
use springtide_server::execute::{ExecuteError, Execution, Progress, execute};

use crate::args::Cli;
use crate::context::{lock, look, now, open};
use crate::failure::{Failure, code};
use crate::printer;

/// `springtide plan`
pub async fn plan(cli: &Cli, out: Option<&Path>) -> Result<u8, Failure> {
    let estate = open(cli)?;
    let (_, _, planned) = look(cli, &estate, now()).await?;
    if let Some(out) = out {
        std::fs::write(out, serde_json::to_vec_pretty(&planned)?)?;
    }
    show(cli, &planned)?;
    refused(cli, &planned)?;
    Ok(if planned.is_empty() { 0 } else { code::PENDING })
}

pub(super) fn show(cli: &Cli, planned: &Plan) -> Result<(), Failure> {
    if cli.json {
        // A refused plan is told by the failure, which carries the refusals.
        if !planned.refusals.is_empty() {
            return Ok(());
        }
        printer::data(&format!("{}\n", serde_json::json!({ "version": 1, "plan": planned })));
        return Ok(());
    }
    let mut text = String::new();
    if planned.is_empty() {
        text.push_str("no changes\n");
    } else {
        text.push_str(&format!("plan {}  inputs {}\n", planned.id, planned.inputs.short()));
    }
    for part in &planned.environments {
        let name = part.environment.as_ref().map_or("estate", EnvironmentName::as_str);
        text.push_str(&format!("{name}\n"));
        // What removes or interrupts comes first.
        for risks in [Risk::Destructive..=Risk::Destructive, Risk::Restart..=Risk::Restart, Risk::None..=Risk::Rolling]
        {
            for step in part.steps.iter().filter(|step| risks.contains(&step.risk)) {
                let head = match step.risk {
                    Risk::Destructive => "DESTROY".to_owned(),
                    Risk::Restart if step.interruption_s == 0 => "STOP".to_owned(),
                    Risk::Restart => format!("RESTART ~{} s", step.interruption_s),
                    _ => "change".to_owned(),
                };
                text.push_str(&format!("  {head:<13} {:<48} {}\n", step.action.title(), step.reason));
            }
        }
        for wait in &part.waits {
            text.push_str(&format!("  FROZEN        {wait}\n"));
        }
    }
    for name in &planned.undeclared {
        text.push_str(&format!("{name}\n  not declared, left alone\n"));
    }
    printer::data(&text);
    Ok(())
}

pub(super) fn refused(cli: &Cli, planned: &Plan) -> Result<(), Failure> {
    let Some(first) = planned.refusals.first() else { return Ok(()) };
    if !cli.json {
        for refusal in &planned.refusals {
            let rest = format!(" {} {}: {}\n  {}", refusal.code, refusal.environment, refusal.text, refusal.hint);
            printer::talk(&printer::red("refused"), &rest);
        }
    }
    let message = format!("{} of the plan refused, first: {}", planned.refusals.len(), first.text);
    let next = format!("springtide explain {}", first.code);
    Err(Failure::new(code::INVALID, "E0700", message, "Nothing was changed.", next)
        .with_details(serde_json::json!(planned.refusals)))
}

struct Terminal {
    started: std::sync::Mutex<Instant>,
    cancelled: Arc<AtomicBool>,
    quiet: bool,
}

impl Terminal {
    fn say(&self, head: &str, rest: &str) {
        if !self.quiet {
            printer::talk(head, rest);
        }
    }
}

impl Progress for Terminal {
    fn begin(&self, number: usize, of: usize, environment: Option<&EnvironmentName>, title: &str) {
        *self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        let name = environment.map_or("estate", EnvironmentName::as_str);
        self.say(&printer::dim(&format!("[{:>2}/{of}] ", number + 1)), &format!("{name}: {title}"));
    }
    fn note(&self, text: &str) {
        self.say("        ", text);
    }
    fn end(&self, _: usize, error: Option<&str>) {
        let seconds = self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed().as_secs_f64();
        match error {
            None if seconds >= 1.0 => self.say(&printer::green("        ok "), &format!("{seconds:.1} s")),
            None => {}
            Some(_) => self.say(&printer::red("        failed "), &format!("after {seconds:.1} s")),
        }
    }
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// `springtide apply`
pub async fn apply(cli: &Cli, reviewed: Option<&Path>, yes: bool, dry_run: bool) -> Result<u8, Failure> {
    if dry_run {
        return plan(cli, None).await;
    }
    let estate = open(cli)?;
    let _held = lock(&estate)?;
    if let Some((operation, step)) = estate.store.interrupted()? {
        printer::talk(
            &printer::yellow("note"),
            &format!(" operation {operation} was cut off at `{step}`; going on from what is seen"),
        );
        estate.store.end(operation, "cut off", now())?;
    }
    let at = now();
    let (checked, seen, planned) = look(cli, &estate, at).await?;
    if let Some(path) = reviewed {
        let saved: Plan = serde_json::from_slice(&std::fs::read(path)?)?;
        if saved.inputs != planned.inputs || saved.id != planned.id {
            let message = format!("plan {} is stale: the estate file or the machine changed since", saved.id);
            return Err(Failure::new(code::CONFLICT, "E0801", message, "Nothing was changed.", "springtide plan"));
        }
    }
    if !cli.json {
        show(cli, &planned)?;
    }
    refused(cli, &planned)?;
    if planned.is_empty() {
        if cli.json {
            show(cli, &planned)?;
        }
        return Ok(0);
    }
    if !yes && reviewed.is_none() && !approved(cli)? {
        return Err(Failure::new(code::CANCELLED, "E0804", "not approved", "Nothing was changed.", "springtide apply"));
    }
    let operation = carry_out(
        cli,
        &Execution { estate: &estate, checked: &checked, seen: &seen, now: at, clock: now },
        &planned,
        "apply",
    )
    .await?;
    if cli.json {
        let answer = serde_json::json!({ "version": 1, "operation": operation, "plan": planned.id, "outcome": "done" });
        printer::data(&format!("{answer}\n"));
        return Ok(0);
    }
    for environment in &checked.environments {
        super::look::login(cli, &estate, &checked, &environment.name)?;
    }
    Ok(0)
}

/// Executes a plan with its progress on the terminal; `verb` is what goes on after a failure.
pub(super) async fn carry_out(
    cli: &Cli,
    execution: &Execution<'_>,
    planned: &Plan,
    verb: &str,
) -> Result<u64, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
            printer::talk("", "stopping after this step; press Ctrl-C again to leave it where it is");
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(code::CANCELLED.into());
        }
    });
    let progress = Terminal { started: std::sync::Mutex::new(Instant::now()), cancelled, quiet: cli.quiet };
    match execute(execution, planned, &progress).await {
        Ok(operation) => Ok(operation),
        Err(error @ ExecuteError::Cancelled(_)) => {
            let done = "What was done stays done and is safe.";
            let next = format!("springtide {verb} goes on");
            Err(Failure::new(code::CANCELLED, "E0805", error.to_string(), done, next))
        }
        Err(error) => {
            let message = springtide_server::execute::chain(&error);
            let done = "Steps before it stay done; nothing after it was begun.";
            let next = format!("mend the cause, then springtide {verb} goes on");
            Err(Failure::new(code::FAILED, "E0806", message, done, next))
        }
    }
}

fn approved(cli: &Cli) -> Result<bool, Failure> {
    if cli.json || !std::io::stdin().is_terminal() {
        let message = "a plan needs approval and there is no terminal to ask on";
        return Err(Failure::new(code::DENIED, "E0804", message, "Nothing was changed.", "springtide apply --yes"));
    }
    printer::talk("apply this plan? ", "[y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// `springtide stop`
pub async fn stop(cli: &Cli) -> Result<u8, Failure> {
    let estate = open(cli)?;
    let _held = lock(&estate)?;
    crate::context::driver(cli)?.shutdown().await?;
    if cli.json {
        printer::data("{\"version\":1,\"stopped\":true}\n");
    } else {
        printer::data("all workloads are stopped; data stays\n");
    }
    Ok(0)
}
