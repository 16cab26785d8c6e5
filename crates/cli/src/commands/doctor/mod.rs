//! `springtide doctor`: looks at this machine and at the state, and says what to mend.
//!
//! `look` gathers facts, `judge` grades them without looking, this module prints. Half of it may be
//! missing; then that half is unknown.

mod facts;
mod judge;
mod look;

use serde_json::json;

use self::judge::{Finding, Verdict, judge};
use crate::args::Cli;
use crate::failure::{Failure, code};
use crate::printer::{self, Field, Tone, field};

/// `springtide doctor`
pub async fn doctor(cli: &Cli) -> Result<u8, Failure> {
    let findings = judge(&look::look(cli).await?);
    let healthy = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
    if cli.json {
        let list: Vec<_> = findings
            .iter()
            .map(|it| json!({ "id": it.id, "verdict": it.verdict.as_str(), "seen": it.seen, "fix": it.fix }))
            .collect();
        printer::json(&json!({ "version": 1, "healthy": healthy, "findings": list }));
    } else {
        // What is fine is left out when little is wanted.
        let shown = findings.iter().filter(|it| !cli.quiet || it.verdict != Verdict::Ok);
        let rows: Vec<_> = shown.map(row).collect();
        if !rows.is_empty() {
            printer::data(&printer::table(&["", "what", "seen", "to mend it"], rows));
        }
        printer::data(&format!("{}\n", summary(&findings)));
    }
    Ok(if healthy { 0 } else { code::PENDING })
}

fn row(finding: &Finding) -> Vec<Field> {
    let tone = match finding.verdict {
        Verdict::Ok => Tone::Good,
        Verdict::Warn => Tone::Warn,
        Verdict::Fail => Tone::Bad,
        Verdict::Unknown => Tone::Dim,
    };
    vec![
        (tone, finding.verdict.as_str().to_owned()),
        field(&finding.id),
        field(&finding.seen),
        field(finding.fix.as_deref().unwrap_or_default()),
    ]
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let words: Vec<_> = [Verdict::Fail, Verdict::Warn, Verdict::Unknown, Verdict::Ok]
        .into_iter()
        .filter(|verdict| count(*verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), verdict.as_str()))
        .collect();
    words.join(", ")
}
