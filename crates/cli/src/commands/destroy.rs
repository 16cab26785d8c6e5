//! `springtide destroy`: shows what goes, asks for the name, and carries the plan out.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use springtide_core::plan::destroy::{Proof, destroy as plan_destroy};
use springtide_server::execute::Execution;

use super::apply::carry_out;
use super::show::{refused, show};
use crate::args::{Cli, DestroyOptions};
use crate::context::{clock, epoch, load, lock, no_such, now, observe, open};
use crate::failure::{Failure, code};
use crate::printer;

/// `springtide destroy`
pub async fn destroy(cli: &Cli, options: &DestroyOptions) -> Result<u8, Failure> {
    let estate = open(cli)?;
    let name = &options.environment;
    let checked = load(cli)?;
    let _held = if options.dry_run { None } else { Some(lock(&estate)?) };
    let at = now();
    let seen = observe(&estate, at).await?;
    if !seen.environments.contains_key(name) {
        return Err(no_such(name.as_str(), seen.environments.keys()));
    }
    let proof = proof(options, &estate.state, at)?;
    let declared = checked.environments.iter().find(|it| it.name == *name);
    let planned = plan_destroy(&seen, name, declared.map(|it| it.stage), proof);
    if let Some(note) = springtide_core::lint::lint(&planned).first() {
        let message = format!("the plan does not pass its lint: {note}");
        let next = "this is a bug of Springtide; please report it";
        return Err(Failure::new(code::FAILED, "E0803", message, "Nothing was changed.", next));
    }
    if options.dry_run || !cli.json {
        show(cli, &planned);
    }
    refused(cli, &planned)?;
    if options.dry_run {
        return Ok(code::PENDING);
    }
    confirmed(cli, options)?;
    let epoch = epoch(&estate, "destroy", at)?;
    let (clock, by) = (clock(), "springtide destroy");
    let execution = Execution { estate: &estate, checked: &checked, seen: &seen, now: at, clock, epoch, by };
    let operation = carry_out(&execution, &planned, &format!("destroy {name}")).await?;
    if cli.json {
        let answer = serde_json::json!({ "version": 1, "operation": operation, "plan": planned.id, "environment": name,
            "outcome": "done" });
        printer::json(&answer);
        return Ok(0);
    }
    printer::data(&format!("{name} is destroyed\n"));
    if declared.is_some() {
        let rest = format!(" {name} is still in {}; the next apply makes it anew", cli.file.display());
        printer::note(&printer::yellow("note"), &rest);
    }
    Ok(0)
}

/// What the person gives as proof, with a folder that can be written into the plan.
fn proof(options: &DestroyOptions, state: &Path, at: i64) -> Result<Option<Proof>, Failure> {
    if let Some(text) = &options.reason {
        if text.trim().is_empty() {
            let message = "the reason is empty";
            return Err(Failure::new(code::INVALID, "E0808", message, "Nothing was changed.", "say why in --reason"));
        }
        return Ok(Some(Proof::Reason { text: text.trim().to_owned() }));
    }
    let Some(folder) = &options.final_backup else { return Ok(None) };
    let backups = state.join("final-backups");
    let folder = match folder {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let time = jiff::Timestamp::from_second(at)?.strftime("%Y%m%dT%H%M%SZ");
            backups.join(format!("{}-{time}", options.environment))
        }
    };
    if folder.exists() || (folder.starts_with(state) && !folder.starts_with(&backups)) {
        let message = format!("a last backup cannot be written to {}", folder.display());
        let next = "name a folder that does not exist yet, outside the state folder";
        return Err(Failure::new(code::INVALID, "E0810", message, "Nothing was changed.", next));
    }
    let Some(folder) = folder.to_str() else {
        let message = "the folder's name is not UTF-8";
        return Err(Failure::new(code::INVALID, "E0810", message, "Nothing was changed.", "name another folder"));
    };
    Ok(Some(Proof::FinalBackup { folder: folder.to_owned() }))
}

fn confirmed(cli: &Cli, options: &DestroyOptions) -> Result<(), Failure> {
    let name = &options.environment;
    let typed = match &options.confirm {
        Some(typed) => typed.clone(),
        None if cli.json || !std::io::stdin().is_terminal() => {
            let message = "destroying asks for the name, and there is no terminal to ask on";
            let next = format!("springtide destroy {name} --confirm {name}");
            return Err(Failure::new(code::DENIED, "E0807", message, "Nothing was changed.", next));
        }
        None => {
            printer::talk("type the name of the environment to destroy it: ", "");
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
    };
    if typed == name.as_str() {
        return Ok(());
    }
    let message = format!("{typed:?} is not {name}");
    Err(Failure::new(code::DENIED, "E0807", message, "Nothing was changed.", format!("springtide destroy {name}")))
}
