//! The plan, to be read before it is approved: what is removed or interrupts people first, over all
//! environments; then the rest by environment.
//!
//! What is approved is what was shown: the form names the plan, and the server refuses it once the world has
//! moved. The page itself does not change under the reader; it only tells, by [`along`], that there is a newer
//! plan, and whether anything can be begun now.

use maud::{Markup, html};
use springtide_api::{EnvironmentPlanView, PlanStepView, PlanView, Risk, Verdict};

use crate::console::assets::version;
use crate::console::frame::{Frame, banners};
use crate::console::parts::{cli, counted};
use crate::console::times::ago;
use crate::console::words::{Icon, Tone, icon, risk, verdict, word};

/// The page of a plan made at `at`, with only one environment chosen if `only` names one.
pub fn content(frame: &Frame, plan: &PlanView, at: i64, only: Option<&str>) -> Markup {
    let empty = plan.environments.iter().all(|it| it.steps.is_empty() && it.waits.is_empty());
    html! {
        (notices(frame, None))
        div.head {
            div.title {
                h1 { "Plan" }
                span.code { (plan.id) }
                @if !plan.refusals.is_empty() { (word(Tone::Bad, Icon::Cross, "refused")) }
                @else if empty { (word(Tone::Good, Icon::Tick, "no changes")) }
            }
            (cli("springtide plan"))
            p.facts { (sum(plan)) span { "made " (ago(at, frame.now)) } }
        }
        div #stale aria-live="polite" hx-sse:connect={ "/live/plan?seen=" (plan.id) "&v=" (version()) } hx-swap="innerHTML" {}
        @if !plan.refusals.is_empty() { (refusals(plan)) }
        @else if empty { (nothing(plan)) }
        @else { (steps(frame, plan, only)) }
        @if !plan.undeclared.is_empty() {
            section.card aria-labelledby="undeclared-title" {
                header { h2 #undeclared-title { "Not declared, left alone" } }
                ul.list { @for name in &plan.undeclared { li { a href={ "/environments/" (name) } { (name) } " is there and the file does not declare it. " (cli(&format!("springtide destroy {name}"))) } } }
            }
        }
    }
}

/// What changes on the page while plan `seen` is read and `plan` is the one that would be made now: whether
/// that is another, and whether anything can be begun. The page's own functions make it, and it takes the place
/// of what they made.
pub fn along(frame: &Frame, plan: &PlanView, seen: &str) -> Markup {
    html! {
        @if plan.id != seen { (stale(&plan.id)) }
        (notices(frame, Some("outerMorph")))
        @if plan.id == seen { (outlook(frame, plan, Some("outerMorph"))) }
        (begin(frame, plan.id == seen && plan.summary.destructive > 0, Some("outerMorph")))
    }
}

/// What must be said first, in an element that can be sent anew.
fn notices(frame: &Frame, swap: Option<&str>) -> Markup {
    html! { div.stack #notices hx-swap-oob=[swap] { (banners(frame)) } }
}

/// What is sent when another plan would be made now than the one that is shown.
pub fn stale(now: &str) -> Markup {
    html! {
        section.banner.warn {
            (icon(Icon::Triangle))
            div.say { strong { "The world has moved on." } " The plan below is no longer the one that would be made now (" (now) "), and would be refused." }
            a.button href="/plan" { "Show the new plan" }
        }
    }
}

fn sum(plan: &PlanView) -> Markup {
    let it = &plan.summary;
    html! {
        span { b { (counted(it.steps, "step")) } }
        @if it.destructive > 0 { span { (word(Tone::Bad, Icon::Cross, &format!("{} for good", counted(it.destructive, "removal")))) } }
        @if it.interrupting > 0 { span { b { (it.interrupting) } " interrupt people, about " b { (it.interruption_s) " s" } " in all" } }
        @else if it.steps > 0 { span { "nobody is interrupted" } }
    }
}

fn nothing(plan: &PlanView) -> Markup {
    html! {
        div.card.empty.big {
            (icon(Icon::Tick))
            strong { "Everything is as the file declares it." }
            "Change the estate file; the server sees it within a second and the plan stands here."
            @if plan.undeclared.is_empty() { (cli("springtide plan --detail")) }
        }
    }
}

fn refusals(plan: &PlanView) -> Markup {
    html! {
        section.card aria-labelledby="refused-title" {
            header { h2 #refused-title { "Refused, so nothing is applied" } }
            ul.list {
                @for it in &plan.refusals {
                    li {
                        p { b { (it.environment) } ": " (it.text) }
                        p.muted { (it.hint) }
                        (cli(&format!("springtide explain {}", it.code)))
                    }
                }
            }
        }
    }
}

fn name(part: &EnvironmentPlanView) -> &str {
    part.environment.as_deref().unwrap_or("estate")
}

fn disturbs(step: &PlanStepView) -> bool {
    step.risk >= Risk::Restart
}

fn steps(frame: &Frame, plan: &PlanView, only: Option<&str>) -> Markup {
    let mut disturbing: Vec<_> = plan
        .environments
        .iter()
        .flat_map(|part| part.steps.iter().filter(|it| disturbs(it)).map(move |it| (part, it)))
        .collect();
    disturbing.sort_by_key(|(_, it)| std::cmp::Reverse((it.risk, it.interruption_s)));
    let quiet: Vec<_> = plan.environments.iter().filter(|part| part.steps.iter().any(|it| !disturbs(it))).collect();
    html! {
        form.stack action="/plan/approve" method="post" {
            (frame.token())
            input type="hidden" name="plan" value=(plan.id);
            @if !disturbing.is_empty() {
                section.card aria-labelledby="disturbing-title" {
                    header { h2 #disturbing-title { "Interrupts people" } span.note { (counted(disturbing.len() as u64, "step")) } }
                    ol.steps { @for (part, it) in &disturbing { (row(it, Some(name(part)))) } }
                }
            }
            @for part in &quiet {
                section.card aria-label={ "Steps of " (name(part)) " that nobody notices" } {
                    header {
                        h2 { (name(part)) }
                        span.note { "nobody notices" }
                        @if let Some(of) = part.verdict { (verdict(of)) }
                    }
                    ol.steps { @for it in part.steps.iter().filter(|it| !disturbs(it)) { (row(it, None)) } }
                }
            }
            @for part in plan.environments.iter().filter(|part| !part.waits.is_empty()) {
                section.card aria-label={ "What waits in " (name(part)) } {
                    header { h2 { (name(part)) } (word(Tone::Info, Icon::Frost, "waits")) }
                    ul.list { @for wait in &part.waits { li { (wait) } } }
                }
            }
            (approval(frame, plan, only))
        }
    }
}

fn approval(frame: &Frame, plan: &PlanView, only: Option<&str>) -> Markup {
    let names: Vec<&str> =
        plan.environments.iter().filter(|it| !it.steps.is_empty()).filter_map(|it| it.environment.as_deref()).collect();
    let by_itself = |it: &EnvironmentPlanView| {
        matches!(it.verdict, Some(Verdict::GoOn | Verdict::Heal | Verdict::Running | Verdict::Finish))
    };
    if plan.environments.iter().filter(|it| !it.steps.is_empty()).all(by_itself) {
        return html! {
            section.card { div.empty { strong { "Nothing to approve." } "What is left is done without asking: it was approved before." a href="/operations" { "Operations" } } }
        };
    }
    html! {
        section.card aria-labelledby="approve-title" {
            header { h2 #approve-title { "Approve" } span.note { "exactly this plan, " (plan.id) } }
            div.body {
                @if names.len() > 1 {
                    input type="hidden" name="choice" value="yes";
                    fieldset {
                        legend.muted.small { "Environments; the estate's own parts go with them" }
                        @for name in &names {
                            label.check { input type="checkbox" name="environment" value=(name) checked[only.is_none_or(|only| only == *name)]; (name) }
                        }
                    }
                }
                @if plan.summary.destructive > 0 {
                    label.check { input type="checkbox" name="destructive" value="yes" required; "I have read what is removed for good." }
                }
                (outlook(frame, plan, None))
            }
            footer {
                (begin(frame, plan.summary.destructive > 0, None))
                (cli("springtide apply"))
            }
        }
    }
}

/// What approving would do to people, or why nothing can be approved.
fn outlook(frame: &Frame, plan: &PlanView, swap: Option<&str>) -> Markup {
    html! {
        p #outlook hx-swap-oob=[swap] {
            @if !frame.operate {
                (word(Tone::Quiet, Icon::Question, "read only")) " This session may look and not approve."
            } @else if frame.held.is_some() {
                (word(Tone::Warn, Icon::Pause, "held")) " Nothing can be begun until it is released."
            } @else if plan.summary.interrupting > 0 {
                span.muted { "People are interrupted for about " (plan.summary.interruption_s) " s in all. It can be stopped between two steps." }
            } @else {
                span.muted { "Nobody is interrupted. It can be stopped between two steps." }
            }
        }
    }
}

/// The button, for those who may press it; while the estate is held nobody can.
fn begin(frame: &Frame, destructive: bool, swap: Option<&str>) -> Markup {
    html! {
        @if frame.operate {
            button.primary.danger[destructive] #begin type="submit" disabled[frame.held.is_some()]
                aria-describedby="outlook" hx-swap-oob=[swap] { "Approve and begin" }
        }
    }
}

fn row(it: &PlanStepView, of: Option<&str>) -> Markup {
    html! {
        li.step {
            span { (risk(it.risk, it.interruption_s)) }
            span.what {
                @if let Some(of) = of.filter(|_| !it.title.contains('/')) { span.of { (of) ": " } }
                (step(&it.title))
            }
            span.took {}
            span.why { (it.reason) }
        }
    }
}

/// A step's title.
pub fn step(title: &str) -> Markup {
    html! { (title) }
}
