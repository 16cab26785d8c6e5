//! `springtide history`: what was done, from the journal.

use serde_json::{Value, json};
use springtide_core::names::EnvironmentName;
use springtide_data::mask::Mask;
use springtide_server::store::{OperationRecord, StepRecord};

use crate::args::Cli;
use crate::context::{load, no_such, now, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, Field, Tone, field};
use crate::times;

/// Operations shown at most.
const MOST: u32 = 50;

/// `springtide history`
pub fn history(cli: &Cli, environment: Option<&EnvironmentName>, operation: Option<u64>) -> Result<u8, Failure> {
    let Some(estate) = open_there(cli)? else {
        return match (environment, operation) {
            (_, Some(number)) => Err(unknown(number)),
            _ => Ok(list(cli, &[])),
        };
    };
    // Most that the journal ever tells: all operations, to find one or those of one environment.
    let most = if environment.is_some() || operation.is_some() { u32::MAX } else { MOST };
    let mut operations = estate.store.operations(most)?;
    if let Some(number) = operation {
        let one = operations.into_iter().find(|one| one.id == number).ok_or_else(|| unknown(number))?;
        let mut steps = estate.store.steps(number)?;
        let mask = Mask::new(&estate.secrets);
        for step in &mut steps {
            step.error = step.error.as_deref().map(|error| mask.apply(error));
        }
        return Ok(detail(cli, &one, &steps));
    }
    if let Some(wanted) = environment {
        let recorded: Vec<_> = estate.store.environments()?.into_iter().map(|it| it.name).collect();
        let mut touched = Vec::new();
        for one in operations {
            if estate.store.steps(one.id)?.iter().any(|step| step.environment.as_deref() == Some(wanted.as_str())) {
                touched.push(one);
            }
            if touched.len() == MOST as usize {
                break;
            }
        }
        operations = touched;
        if operations.is_empty() && !recorded.contains(wanted) {
            let declared: Vec<_> =
                load(cli).map(|it| it.environments.into_iter().map(|it| it.name).collect()).unwrap_or_default();
            if !declared.contains(wanted) {
                return Err(no_such(wanted.as_str(), recorded.iter().chain(&declared)));
            }
        }
    }
    Ok(list(cli, &operations))
}

fn unknown(number: u64) -> Failure {
    let message = format!("there is no operation {number}");
    Failure::new(code::INVALID, "E0908", message, NOTHING, "springtide history")
}

fn record(one: &OperationRecord) -> Value {
    json!({
        "id": one.id,
        "plan": one.plan,
        "began": times::utc(one.began),
        "ended": times::utc_json(one.ended),
        "outcome": one.outcome,
        "steps": { "begun": one.steps.0, "done": one.steps.1 },
    })
}

fn outcome(one: &OperationRecord) -> Field {
    match one.outcome.as_deref() {
        Some("done") => (Tone::Good, "done".into()),
        Some(other) => (Tone::Bad, other.into()),
        None => (Tone::Warn, "under way or cut off".into()),
    }
}

fn took(began: i64, ended: Option<i64>) -> String {
    ended.map_or_else(|| "-".to_owned(), |ended| format!("{} s", ended - began))
}

fn list(cli: &Cli, operations: &[OperationRecord]) -> u8 {
    if cli.json {
        let operations: Vec<Value> = operations.iter().map(record).collect();
        printer::json(&json!({ "version": 1, "operations": operations }));
        return 0;
    }
    if operations.is_empty() {
        printer::data("no operation yet\n");
        return 0;
    }
    let at = now();
    let rows = operations.iter().map(|one| {
        let steps = format!("{}/{}", one.steps.1, one.steps.0);
        let began = times::person(one.began, at);
        vec![
            field(one.id.to_string()),
            field(&one.plan),
            field(began),
            field(took(one.began, one.ended)),
            field(steps),
            outcome(one),
        ]
    });
    printer::data(&printer::table(&["operation", "plan", "began", "took", "steps", "outcome"], rows.collect()));
    0
}

fn detail(cli: &Cli, one: &OperationRecord, steps: &[StepRecord]) -> u8 {
    if cli.json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({
                    "number": step.number, "environment": step.environment, "title": step.title,
                    "began": times::utc(step.began), "ended": times::utc_json(step.ended), "error": step.error,
                })
            })
            .collect();
        let mut operation = record(one);
        operation["list"] = steps.into();
        printer::json(&json!({ "version": 1, "operation": operation }));
        return 0;
    }
    let (tone, words) = outcome(one);
    let head = format!("operation {}, plan {}, began {}\n", one.id, one.plan, times::person(one.began, now()));
    let end = printer::paint_data(tone, &printer::wrap(&words, printer::width(), 2));
    printer::data(&format!("{}{end}\n", printer::wrap(&head, printer::width(), 2)));
    let rows = steps.iter().map(|step| {
        let (tone, end) = match (&step.error, step.ended) {
            (Some(error), _) => (Tone::Bad, format!("failed: {error}")),
            (None, Some(_)) => (Tone::Good, "done".to_owned()),
            (None, None) => (Tone::Warn, "under way or cut off".to_owned()),
        };
        let whose = step.environment.as_deref().unwrap_or("estate");
        let number = (step.number + 1).to_string();
        vec![field(number), field(whose), field(&step.title), field(took(step.began, step.ended)), (tone, end)]
    });
    printer::data(&printer::table(&["step", "of", "what", "took", "outcome"], rows.collect()));
    0
}
