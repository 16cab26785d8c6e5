//! What the ledger says of a run, and how a judged run is printed.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_rehearse::facts;
use springtide_rehearse::ledger::{Entry, Facts, Findings, Ledger, Rules, compare};
use springtide_rehearse::odoo::Target;
use springtide_server::execute::chain;

use super::failures;
use super::target::subject;
use super::watch::word;
use crate::args::Cli;
use crate::failure::{Failure, NOTHING, code};
use crate::printer;

/// Findings of one kind that people are shown; scripts get all.
const SHOWN: usize = 5;
/// Between two looks at jobs that still have time.
const PAUSE: Duration = Duration::from_secs(2);

/// `springtide rehearse check`
pub async fn check(cli: &Cli, ledger: &Path, name: &EnvironmentName) -> Result<u8, Failure> {
    // What cannot be read is refused before anything is asked.
    Ledger::read(ledger).map_err(failures::ledger)?;
    let subject = subject(cli, name).await?;
    let judged = judge(&subject.target, ledger, None, word()?).await?;
    let Some(findings) = judged else {
        let message = "stopped before anything was compared";
        return Err(Failure::new(code::CANCELLED, "E0805", message, NOTHING, "the same command"));
    };
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "ledger": ledger, "clean": findings.clean(), "findings": findings,
        }));
    } else {
        printer::data(&format!("ledger: {}\n{}", findings.summary(), told(&findings)));
    }
    Ok(if findings.clean() { 0 } else { code::PENDING })
}

/// Compares a ledger with the database, as it is when jobs that were accepted and acts without an answer had their
/// time. When `asked` comes earlier, what was found by then; None if that was nothing yet. `ended` says when the run
/// ended, in microseconds since 1970.
pub async fn judge(
    target: &Target,
    ledger: &Path,
    ended: Option<i64>,
    asked: impl Future<Output = ()>,
) -> Result<Option<Findings>, Failure> {
    let entries = Ledger::read(ledger).map_err(failures::ledger)?;
    let Some(prefix) = prefix_of(&entries) else {
        return Ok(Some(compare(&entries, &Facts::default(), &Rules::default())));
    };
    let rules = Rules { prefix: Some(prefix.clone()), ended, ..Rules::default() };
    let mut found: Option<Findings> = None;
    tokio::pin!(asked);
    loop {
        let read = tokio::select! {
            biased;
            () = &mut asked => return Ok(found),
            read = facts::read(target, &prefix) => read,
        };
        let facts = read.map_err(|error| {
            let next = "springtide status, then springtide rehearse check LEDGER --env ENV";
            Failure::new(code::UNREACHABLE, error.code(), chain(&error), NOTHING, next)
        })?;
        // What is pending turns into lost when its time is over, and what is open into not happened: this ends.
        let findings = compare(&entries, &facts, &rules);
        let (jobs, acts) = (findings.pending.len(), findings.unknown_open);
        if jobs == 0 && acts == 0 {
            return Ok(Some(findings));
        }
        if found.is_none() {
            let jobs = (jobs > 0).then(|| printer::counted(jobs, "job"));
            let acts = (acts > 0).then(|| {
                let acts = printer::counted(usize::try_from(acts).unwrap_or(usize::MAX), "act");
                format!("{acts} without an answer at which Odoo may still be")
            });
            let what: Vec<String> = jobs.into_iter().chain(acts).collect();
            let text = format!("waiting for {}; Ctrl-C judges now", what.join(" and "));
            printer::note("", &text);
        }
        found = Some(findings);
        tokio::select! {
            () = &mut asked => return Ok(found),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// How the keys of the run begin: all of a ledger are of one run.
fn prefix_of(entries: &[Entry]) -> Option<String> {
    let mut parts = entries.first()?.key.splitn(3, '-');
    Some(format!("{}-{}-", parts.next()?, parts.next()?))
}

/// Findings for people, the first few of each kind.
pub fn told(findings: &Findings) -> String {
    let mut text = String::new();
    for (kind, found) in findings.kinds() {
        for one in found.iter().take(SHOWN) {
            text.push_str(&format!("  {kind}: {}: {}\n", one.key, one.what));
        }
        if found.len() > SHOWN {
            text.push_str(&format!("  {kind}: and {} more\n", found.len() - SHOWN));
        }
    }
    text
}
