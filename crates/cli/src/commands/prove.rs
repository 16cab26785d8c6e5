//! `springtide prove`: shows that an environment can be restored, stage by stage, and signs what was seen.

use std::collections::BTreeSet;

use serde_json::json;
use springtide_core::proof::{Outcome, Stage, Verdict};
use springtide_server::recovery::prove::{Proved, Wish};
use springtide_server::recovery::word;

use super::backup::{Ground, failure, has_place, place};
use super::restore::moment;
use crate::args::{Cli, ProveOptions};
use crate::context::clock;
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, Tone, field};

/// `springtide prove`
pub async fn prove(cli: &Cli, options: &ProveOptions) -> Result<u8, Failure> {
    let name = &options.environment;
    let without = options.without.iter().map(|word| stage(word)).collect::<Result<BTreeSet<Stage>, _>>()?;
    let wish = Wish { repo: place(options.far), asked: moment(&options.to)?, whole: options.whole, without };
    let ground = Ground::of(cli, name).await?;
    let subject = ground.subject(name)?;
    has_place(&subject, wish.repo)?;
    if options.dry_run {
        if cli.json {
            printer::json(&json!({ "version": 1, "environment": name, "place": word(wish.repo), "verdict": null }));
        } else {
            printer::say(&format!(
                "would restore {name} from its {} place aside, look at it and throw it away",
                word(wish.repo)
            ));
        }
        return Ok(0);
    }
    let tell = |stage: Stage| printer::note("", &format!("{stage} …"));
    let proved = subject.prove(&wish, &clock(), &tell).await;
    let proved = proved.map_err(|error| failure(&error, "nothing was proven", NOTHING))?;
    show(cli, &proved);
    Ok(if proved.record.verdict == Verdict::Proven { 0 } else { code::PENDING })
}

fn stage(text: &str) -> Result<Stage, Failure> {
    let found = Stage::ALL.into_iter().find(|stage| stage.as_str() == text);
    found.ok_or_else(|| {
        let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
        let message = format!("there is no stage {text:?}");
        Failure::new(code::INVALID, "E1057", message, NOTHING, format!("one of {}", known.join(", ")))
    })
}

fn show(cli: &Cli, proved: &Proved) {
    let record = &proved.record;
    if cli.json {
        printer::json(&json!({
            "version": 1, "proof": proved.id, "record": record, "seconds": proved.took.as_secs_f64(), "not_kept": proved.not_kept,
        }));
        return;
    }
    let rows = Stage::ALL.iter().filter_map(|stage| Some((stage, record.stages.get(stage)?))).map(|(stage, result)| {
        let (tone, word, more) = match &result.outcome {
            Outcome::Passed => (Tone::Good, "passed", figures(result)),
            Outcome::Failed { found } => {
                (Tone::Bad, "failed", found.iter().take(5).cloned().collect::<Vec<_>>().join("; "))
            }
            Outcome::NotRun { why } => (Tone::Warn, "not run", why.clone()),
        };
        let seconds = format!("{:.1} s", result.ms as f64 / 1000.0);
        vec![field(stage.as_str()), (tone, word.to_owned()), field(seconds), field(more)]
    });
    printer::data(&printer::table(&["STAGE", "RESULT", "TOOK", "WHAT"], rows.collect()));
    let tone = match record.verdict {
        Verdict::Proven => Tone::Good,
        Verdict::Failed => Tone::Bad,
        Verdict::Inconclusive => Tone::Warn,
    };
    let what = format!(
        "{} up to {} from set {}: {}, {:.0} s, signed as proof {}",
        record.environment,
        record.target_lsn,
        record.set,
        printer::paint_data(tone, &record.summary()),
        proved.took.as_secs_f64(),
        proved.id
    );
    printer::data(&format!("{what}\n"));
    for place in &proved.not_kept {
        printer::note(&printer::yellow("note"), &format!(": the record could not be put beside the backups, {place}"));
    }
}

fn figures(result: &springtide_core::proof::StageResult) -> String {
    let counted: Vec<String> = result.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
    counted.join(", ")
}
