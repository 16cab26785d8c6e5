//! Operations: the list, and one with its steps as they happen.

use maud::{Markup, html};
use springtide_api::{OperationDetail, OperationPage, OperationState, OperationView, StepView};

use crate::console::frame::{Frame, banners};
use crate::console::parts::{cli, counted};
use crate::console::times::{ago, clock, length, since};
use crate::console::words::{Icon, Tone, icon, operation_state, word};

/// The end of the log of a step's workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The step's number.
    pub step: u64,
    /// Whose log, `prod/web`.
    pub workload: String,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// The workload that the step `title` starts, stops or removes, if it does.
pub fn workload(title: &str) -> Option<&str> {
    let rest = ["run ", "stop ", "remove "].iter().find_map(|verb| title.strip_prefix(verb))?;
    (rest.contains('/') && !rest.contains(' ')).then_some(rest)
}

/// What changes of the page of one operation; `later` are titles of steps that the plan has after those.
pub fn live(frame: &Frame, it: &OperationDetail, excerpts: &[Excerpt], later: &[String]) -> Markup {
    let operation = &it.operation;
    let running = operation.state == OperationState::Running;
    html! {
        (banners(frame))
        div.head {
            div.title {
                p.crumbs { a href="/operations" { "Operations" } " /" }
                h1 { "Operation " (operation.id) }
                span #operation-state { (operation_state(operation.state)) }
            }
            @if running && frame.operate {
                form.inline action={ "/operations/" (operation.id) "/cancel" } method="post" {
                    (frame.token())
                    button.danger type="submit" { "Stop after this step" }
                }
            }
            (cli(&format!("springtide history {}", operation.id)))
            p.facts {
                span { "plan " span.code { (operation.plan) } }
                @if let Some(name) = &operation.environment { span { a href={ "/environments/" (name) } { (name) } } }
                span { "began " (ago(operation.began, frame.now)) @if let Some(by) = &operation.by { " by " b { (by) } } }
                span { b { (operation.steps_done) } " of " (operation.steps_begun) @if running { " steps done so far" } @else { " steps done" } }
                @match operation.ended {
                    Some(ended) => span { "took " b { (length(ended - operation.began)) } },
                    None if running => span { "for " b { (since(operation.began, frame.now)) } },
                    None => {}
                }
            }
        }
        (verdict(operation))
        section.card aria-labelledby="steps-title" {
            header { h2 #steps-title { "Steps" } span.note aria-live="polite" { (counted(operation.steps_done, "step")) " done" } }
            @if it.steps.is_empty() {
                div.empty { @if running { (icon(Icon::Turning)) "The first step begins in a moment." } @else { "It took no step." } }
            } @else {
                ol.steps {
                    @for step in &it.steps { (row(frame, step, running, excerpts.iter().find(|it| it.step == step.number))) }
                    @for title in later.iter().filter(|_| running) {
                        li.step.later { span { (word(Tone::Quiet, Icon::Ring, "to come")) } span.what { (title) } }
                    }
                }
            }
        }
    }
}

fn verdict(operation: &OperationView) -> Markup {
    let outcome = operation.outcome.as_deref().unwrap_or_default();
    let (tone, shape, what) = match operation.state {
        OperationState::Running | OperationState::Done => return html! {},
        OperationState::Failed => (
            Tone::Bad,
            Icon::Cross,
            "A step failed. What was done before stays done; the next plan goes on from what is seen.",
        ),
        OperationState::Stopped => {
            (Tone::Warn, Icon::Pause, "It was stopped between two steps. The next plan goes on from what is seen.")
        }
        OperationState::CutOff => {
            (Tone::Warn, Icon::Triangle, "Its controller went away. The next plan goes on from what is seen.")
        }
    };
    html! {
        section.banner.(tone.class()) aria-label="How it ended" {
            (icon(shape))
            div.say { (what) @if !outcome.is_empty() { pre { (outcome) } } }
            a.button href="/plan" { "See what is left" }
        }
    }
}

fn row(frame: &Frame, it: &StepView, running: bool, excerpt: Option<&Excerpt>) -> Markup {
    let class = match (&it.error, it.ended) {
        (Some(_), _) => "failed",
        (None, None) if running => "running",
        _ => "",
    };
    html! {
        li.step.(class) id={ "step-" (it.number) } {
            span {
                @match (&it.error, it.ended) {
                    (Some(_), _) => (word(Tone::Bad, Icon::Cross, "failed")),
                    (None, Some(_)) => (word(Tone::Good, Icon::Tick, "done")),
                    (None, None) if running => (word(Tone::Info, Icon::Turning, "running")),
                    (None, None) => (word(Tone::Warn, Icon::Triangle, "cut off")),
                }
            }
            span.what {
                @if let Some(of) = it.environment.as_deref().filter(|_| !it.title.contains('/')) { span.of { (of) ": " } }
                (it.title)
            }
            span.took.num {
                (clock(it.began)) " · "
                @match it.ended { Some(ended) => (length(ended - it.began)), None if running => (since(it.began, frame.now)), None => "not ended" }
            }
            @if let Some(error) = &it.error { span.why { (error) } }
            @if let Some(excerpt) = excerpt.filter(|it| !it.lines.is_empty()) {
                details open[it.ended.is_none() || it.error.is_some()] {
                    summary.small { "End of the log of " (excerpt.workload) }
                    pre.log tabindex="0" aria-label={ "End of the log of " (excerpt.workload) } { (excerpt.lines.join("\n")) }
                }
            }
        }
    }
}

/// What changes of the list.
pub fn list(frame: &Frame, page: &OperationPage, cursor: Option<&str>) -> Markup {
    html! {
        (banners(frame))
        div.head {
            div.title { h1 { "Operations" } }
            (cli("springtide history"))
        }
        section.card aria-label="Operations, newest first" {
            @if page.items.is_empty() {
                div.empty.big { (icon(Icon::Ring)) strong { "Nothing was done yet." } "An operation begins when a plan is approved, here or there:" (cli("springtide apply")) }
            } @else {
                table.table.cards {
                    thead {
                        tr {
                            th scope="col" { "Operation" } th scope="col" { "How it is" } th scope="col" { "Of" } th scope="col" { "Plan" }
                            th scope="col" { "Began" } th.num scope="col" { "Took" } th.num scope="col" { "Steps" }
                        }
                    }
                    tbody { @for it in &page.items { (line(frame, it)) } }
                }
            }
            @if page.next.is_some() || cursor.is_some() {
                footer {
                    @if cursor.is_some() { a.button href="/operations" { "Newest" } }
                    @if let Some(next) = &page.next { a.button href={ "/operations?cursor=" (next) } { "Older" } }
                }
            }
        }
    }
}

fn line(frame: &Frame, it: &OperationView) -> Markup {
    let outcome = it.outcome.as_deref().filter(|_| !matches!(it.state, OperationState::Done | OperationState::Running));
    html! {
        tr {
            th scope="row" { a href={ "/operations/" (it.id) } { (it.id) } }
            td { (operation_state(it.state)) @if let Some(outcome) = outcome { p.why { (outcome) } } }
            td data-label="of" { @if let Some(name) = &it.environment { a href={ "/environments/" (name) } { (name) } } @else { "estate" } }
            td data-label="plan" { span.code { (it.plan) } }
            td data-label="began" { (ago(it.began, frame.now)) @if let Some(by) = &it.by { span.muted.small { " by " (by) } } }
            td.num data-label="took" {
                @match it.ended { Some(ended) => (length(ended - it.began)), None if it.state == OperationState::Running => (since(it.began, frame.now)), None => "–" }
            }
            td.num data-label="steps" { (it.steps_done) "/" (it.steps_begun) }
        }
    }
}
