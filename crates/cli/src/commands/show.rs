//! How a plan is shown: what interrupts people first, over all environments, then the rest by
//! environment; then what waits and what is left alone.

use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{EnvironmentPlan, Plan, Refusal, Risk, Step};

use crate::args::Cli;
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, Field, Tone, counted, field, paint_data, wrap};
use crate::progress::details;

/// Shows a plan; a refused one is told by [`refused`].
pub fn show(cli: &Cli, planned: &Plan) {
    if cli.json {
        if planned.refusals.is_empty() {
            printer::json(&json!({ "version": 1, "plan": with_undo(planned) }));
        }
        return;
    }
    let mut text = String::new();
    if planned.is_empty() {
        text.push_str("no changes\n");
    } else {
        text.push_str(&head(planned));
    }
    text.push_str(&section("interrupts people", disturbing(planned).map(|(part, step)| row(Some(part), step))));
    for part in &planned.environments {
        let quiet = part.steps.iter().filter(|step| !disturbs(step)).map(|step| row(None, step));
        text.push_str(&section(name(part), quiet));
        for wait in &part.waits {
            let line = format!("  FROZEN  {}: {wait}", name(part));
            text.push_str(&paint_data(Tone::Warn, &wrap(&line, printer::width(), 10)));
            text.push('\n');
        }
    }
    for name in &planned.undeclared {
        text.push_str(&format!("{name}\n  not declared, left alone\n"));
    }
    printer::data(&text);
}

/// The plan for scripts, where every step also says what takes it back. It is no part of the plan itself: plans
/// are compared by all they hold.
fn with_undo(planned: &Plan) -> serde_json::Value {
    let mut told = json!(planned);
    for (part, planned) in planned.environments.iter().enumerate() {
        for (number, step) in planned.steps.iter().enumerate() {
            told["environments"][part]["steps"][number]["undo"] = json!(step.action.undo());
        }
    }
    told
}

fn head(planned: &Plan) -> String {
    let steps = planned.steps().count();
    let seconds: u32 = planned.steps().map(|step| step.interruption_s).sum();
    let harm = match disturbing(planned).count() {
        0 => "nobody is interrupted".to_owned(),
        1 => format!("1 interrupts people, about {seconds} s"),
        many => format!("{many} interrupt people, about {seconds} s in all"),
    };
    wrap(
        &format!("plan {}  inputs {}  {}, {harm}\n", planned.id, planned.inputs.short(), counted(steps, "step")),
        printer::width(),
        2,
    )
}

fn name(part: &EnvironmentPlan) -> &str {
    part.environment.as_ref().map_or("estate", EnvironmentName::as_str)
}

fn disturbs(step: &Step) -> bool {
    step.risk >= Risk::Restart
}

/// What is removed, then what interrupts longest.
fn disturbing(planned: &Plan) -> impl Iterator<Item = (&EnvironmentPlan, &Step)> {
    let mut steps: Vec<_> = planned
        .environments
        .iter()
        .flat_map(|part| part.steps.iter().filter(|step| disturbs(step)).map(move |step| (part, step)))
        .collect();
    steps.sort_by_key(|(_, step)| std::cmp::Reverse((step.risk, step.interruption_s)));
    steps.into_iter()
}

fn row(part: Option<&EnvironmentPlan>, step: &Step) -> Vec<Field> {
    let mut title = step.action.title();
    if let Some(part) = part {
        // A workload says itself whose it is.
        if !title.contains('/') {
            title = format!("{}: {title}", name(part));
        }
    }
    let kind = match step.risk {
        Risk::Destructive => (Tone::Bad, "DESTROY".to_owned()),
        Risk::Restart if step.interruption_s == 0 => (Tone::Warn, "STOP".to_owned()),
        Risk::Restart => (Tone::Warn, format!("RESTART ~{} s", step.interruption_s)),
        Risk::Rolling => (Tone::Plain, "replace".to_owned()),
        Risk::Reload => (Tone::Plain, "reload".to_owned()),
        Risk::None => (Tone::Good, "change".to_owned()),
    };
    let mut reason = step.reason.clone().into_owned();
    if printer::verbose() {
        // The reason is the first of the details and stands here already.
        for line in details(step).iter().skip(1) {
            reason.push_str(&format!("\n{line}"));
        }
    }
    vec![kind, field(title), (Tone::Dim, reason)]
}

fn section(title: &str, rows: impl Iterator<Item = Vec<Field>>) -> String {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("{}\n{}", paint_data(Tone::Strong, title), printer::table(&[], rows))
}

/// The failure of a plan that is refused.
pub fn refused(cli: &Cli, planned: &Plan) -> Result<(), Failure> {
    let Some(first) = planned.refusals.first() else { return Ok(()) };
    if !cli.json {
        for Refusal { code, environment, text, hint } in &planned.refusals {
            let told = wrap(&format!("refused {code} {environment}: {text}\n  {hint}"), printer::width(), 4);
            printer::talk(&printer::red("refused"), told.strip_prefix("refused").unwrap_or(&told));
        }
    }
    let message = format!("{} of the plan refused, first: {}", planned.refusals.len(), first.text);
    let next = format!("springtide explain {}", first.code);
    Err(Failure::new(code::INVALID, "E0700", message, NOTHING, next).with_details(json!(planned.refusals)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::digest::Digest;
    use springtide_core::plan::Action;
    use springtide_core::role::Role;
    use springtide_core::workload::WorkloadId;

    #[test]
    fn what_removes_comes_before_what_interrupts_longest() {
        let name: EnvironmentName = "prod".parse().unwrap();
        let run = |role| Action::EnsureWorkload { id: WorkloadId::of(&name, role), digest: Digest::of_bytes(b"x") };
        let step = |action, risk, interruption_s| Step { action, risk, interruption_s, reason: "because".into() };
        let part = EnvironmentPlan {
            environment: Some(name.clone()),
            steps: vec![
                step(run(Role::Cron), Risk::Rolling, 0),
                step(run(Role::Live), Risk::Restart, 5),
                step(run(Role::Postgres), Risk::Restart, 15),
                step(Action::RemoveVolumes { environment: name.clone() }, Risk::Destructive, 0),
            ],
            waits: Vec::new(),
        };
        let planned = Plan {
            id: "p-1".into(),
            inputs: Digest::of_bytes(b"x"),
            environments: vec![part],
            refusals: Vec::new(),
            undeclared: Vec::new(),
        };
        let kinds: Vec<String> = disturbing(&planned).map(|(part, step)| row(Some(part), step)[0].1.clone()).collect();
        assert_eq!(kinds, ["DESTROY", "RESTART ~15 s", "RESTART ~5 s"]);
        assert!(head(&planned).contains("4 steps, 3 interrupt people, about 20 s in all"));
        let told = with_undo(&planned);
        let undo = |number: usize| told["environments"][0]["steps"][number]["undo"].clone();
        assert_eq!(undo(0), json!({ "is": "by", "by": "the estate file as it was, applied" }));
        assert_eq!(undo(3), json!({ "is": "point-of-no-return" }));
        assert_eq!(serde_json::from_value::<Plan>(told).unwrap(), planned, "the rest is the plan");
        let lines = details(&planned.environments[0].steps[3]);
        assert_eq!(lines.last().map(String::as_str), Some("taking it back: not possible"));
    }
}
