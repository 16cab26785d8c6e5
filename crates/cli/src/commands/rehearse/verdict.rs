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
    let findings = judge(&subject.target, ledger).await?;
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": name, "ledger": ledger, "clean": findings.clean(), "findings": findings,
        }));
    } else {
        printer::data(&format!("ledger: {}\n{}", findings.summary(), told(&findings)));
    }
    Ok(if findings.clean() { 0 } else { code::PENDING })
}

/// Compares a ledger with the database, as it is when jobs that were accepted had their time.
pub async fn judge(target: &Target, ledger: &Path) -> Result<Findings, Failure> {
    let entries = Ledger::read(ledger).map_err(failures::ledger)?;
    let Some(prefix) = prefix_of(&entries) else {
        return Ok(compare(&entries, &Facts::default(), &Rules::default()));
    };
    let rules = Rules { prefix: Some(prefix.clone()), ..Rules::default() };
    loop {
        let facts = facts::read(target, &prefix).await.map_err(|error| {
            let next = "springtide status, then springtide rehearse check LEDGER --env ENV";
            Failure::new(code::UNREACHABLE, error.code(), chain(&error), NOTHING, next)
        })?;
        // What is pending turns into lost when its time is over, so this ends.
        let findings = compare(&entries, &facts, &rules);
        if findings.pending.is_empty() {
            return Ok(findings);
        }
        tokio::time::sleep(PAUSE).await;
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
