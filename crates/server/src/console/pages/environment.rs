//! One environment: its roles and why, its connections, its memory, what is planned, what drifts, what
//! was done, and the end of a log.

use maud::{Markup, html};
use springtide_api::{EnvironmentView, LogView, NumberView, RoleView, State};

use super::estate::{drift, peak_word};
use super::plan::step;
use crate::console::budget::budget;
use crate::console::frame::{Frame, banners};
use crate::console::parts::{bytes, cli, counted, operation_line};
use crate::console::times::{ago, since, until, utc};
use crate::console::words::{Icon, Tone, health, icon, state, verdict, word};

/// Days before the end of a certificate from which on it is marked.
const CERTIFICATE_SOON: i64 = 14 * 86_400;

/// What the page shows beside the environment itself.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Whose log is shown.
    pub log_role: String,
    /// The end of that log, or why there is none.
    pub log: Option<Result<LogView, String>>,
    /// Memory by role over the last minutes, as the chart takes it; none while there are too few samples.
    pub memory: Option<Memory>,
}

/// Samples of memory: a time, and MiB per role or nothing where it was not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Roles, in starting order.
    pub roles: Vec<String>,
    /// Seconds since 1970.
    pub at: Vec<i64>,
    /// Per role, per time: MiB.
    pub mib: Vec<Vec<Option<u32>>>,
}

/// What changes of the page.
pub fn live(frame: &Frame, it: &EnvironmentView, beside: &Beside) -> Markup {
    let short = &it.summary;
    html! {
        (banners(frame))
        (head(frame, it))
        div.columns {
            div {
                (roles(frame, it))
                @if let Some(memory) = &beside.memory { (chart(memory, &it.roles)) }
                (log(it, beside))
            }
            div {
                (planned(it))
                @if !it.drift.is_empty() { (drift(&it.drift, frame.now)) }
                (connections(it))
                (now(it))
                (numbers(&it.numbers, &short.name))
                (changes(frame, it))
            }
        }
    }
}

fn head(frame: &Frame, it: &EnvironmentView) -> Markup {
    let short = &it.summary;
    html! {
        div.head {
            div.title {
                p.crumbs { a href="/" { (frame.estate) } " /" }
                h1 { (short.name) }
                (health(short.health))
                @if frame.held.is_some() { (word(Tone::Warn, Icon::Pause, "held")) }
                @if short.peak.as_ref().is_some_and(|peak| peak.active && peak.freeze) { (word(Tone::Info, Icon::Frost, "frozen")) }
                @if let Some(peak) = &short.peak { (peak_word(peak, frame.now)) }
                @if !short.declared { (word(Tone::Quiet, Icon::Question, "not declared, left alone")) }
            }
            (cli(&format!("springtide status {}", short.name)))
            p.facts {
                @if let Some(url) = &short.url { span { a href=(url) rel="noopener noreferrer" { (url) } } }
                @if let Some(series) = &short.series { span { "Odoo " b { (series) } } }
                @if let Some(stage) = &short.stage { span { b { (stage) } } }
                @match it.routed {
                    Some(true) => span { "users are routed to it" },
                    Some(false) => span { (word(Tone::Warn, Icon::Triangle, "no route to it")) },
                    None => span { (word(Tone::Warn, Icon::Question, "route unknown")) },
                }
                @if let Some(certificate) = &it.certificate {
                    span title={ (certificate.host) ", " (utc(certificate.until)) } {
                        @if certificate.until - frame.now < CERTIFICATE_SOON { (icon(Icon::Triangle)) " " }
                        "certificate ends " b { (until(certificate.until, frame.now)) }
                    }
                }
                @if let Some(unknown) = &it.database.unknown { span title=(unknown) { "database cannot be seen" } }
                @else { span { b { (it.database.modules.len()) } " modules" } }
                span { "seen " (ago(it.at, it.at)) }
            }
        }
        @if let Some(why) = &it.destroying {
            section.banner.bad aria-label="Being destroyed" {
                (icon(Icon::Cross))
                div.say { strong { "It is being destroyed." } " Past the point of no return: " (why) }
                (cli(&format!("springtide destroy {}", short.name)))
            }
        }
        @if !it.database.half.is_empty() {
            section.banner.warn aria-label="Half installed" {
                (icon(Icon::Triangle))
                div.say { strong { "Modules were left half installed: " } (it.database.half.join(", ")) ". Odoo runs no scheduled action meanwhile." }
            }
        }
    }
}

fn roles(frame: &Frame, it: &EnvironmentView) -> Markup {
    html! {
        section.card aria-labelledby="roles-title" {
            header { h2 #roles-title { "Roles" } span.note { (ready(&it.roles)) } }
            @if it.roles.is_empty() {
                div.empty { strong { "Nothing runs in it yet." } "The plan makes it." (cli("springtide plan")) }
            } @else {
                table.table.cards {
                    thead {
                        tr {
                            th scope="col" { "Role" } th scope="col" { "State" } th.num scope="col" { "Up" }
                            th.num scope="col" { "Memory" } th.num scope="col" { "Restarts" } th.num scope="col" { "PID" }
                        }
                    }
                    tbody {
                        @for role in &it.roles {
                            tr {
                                th scope="row" { (role.role) }
                                td { (state(role.state)) @if role.state != State::Ready && !role.why.is_empty() { p.why { (role.why) } } }
                                td.num data-label="up" { @if let Some(up) = role.up_s { (since(it.at - up as i64, frame.now)) } @else { "–" } }
                                td.num data-label="memory" { @if let Some(size) = role.resident_bytes { (bytes(size)) } @else { "–" } }
                                td.num data-label="restarts" { (role.restarts) }
                                td.num data-label="PID" { @if let Some(pid) = role.pid { (pid) } @else { "–" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn ready(roles: &[RoleView]) -> String {
    let ready = roles.iter().filter(|role| role.state == State::Ready).count();
    let memory: u64 = roles.iter().filter_map(|role| role.resident_bytes).sum();
    format!("{ready} of {} ready, {} in all", roles.len(), bytes(memory))
}

fn chart(memory: &Memory, roles: &[RoleView]) -> Markup {
    let series: Vec<serde_json::Value> = std::iter::once(serde_json::json!(memory.at))
        .chain(memory.mib.iter().map(|one| serde_json::json!(one)))
        .collect();
    let data = serde_json::json!({ "roles": memory.roles, "data": series }).to_string();
    let span = memory.at.last().zip(memory.at.first()).map_or(0, |(last, first)| last - first);
    html! {
        section.card aria-labelledby="memory-title" {
            header { h2 #memory-title { "Memory" } span.note { "last " (crate::console::times::length(span)) ", since the server started, by role" } }
            div.body {
                figure {
                    div.chart data-chart="memory-data" hx-morph-skip="" role="img" aria-label="Memory by role over time; the numbers of now stand below" {}
                    figcaption.legend {
                        @for role in &memory.roles {
                            span {
                                span.line-key.{ "key-" (role) } {} (role) " "
                                @if let Some(size) = roles.iter().find(|it| it.role == *role).and_then(|it| it.resident_bytes) { b { (bytes(size)) } }
                            }
                        }
                    }
                }
                div #memory-data hidden { (data) }
            }
        }
    }
}

fn log(it: &EnvironmentView, beside: &Beside) -> Markup {
    let name = &it.summary.name;
    html! {
        section.card aria-labelledby="log-title" {
            header {
                h2 #log-title { "Log" }
                nav.tabs aria-label="Whose log" {
                    @for role in &it.roles {
                        a href={ "/environments/" (name) "?log=" (role.role) "#log-title" } aria-current=[(role.role == beside.log_role).then_some("true")] { (role.role) }
                    }
                }
            }
            @match &beside.log {
                Some(Ok(log)) if !log.lines.is_empty() => {
                    pre.log tabindex="0" aria-label={ "End of the log of " (log.workload) } { (log.lines.join("\n")) }
                }
                Some(Ok(_)) => div.empty { "Nothing was written yet." },
                Some(Err(why)) => div.empty { strong { "The log cannot be read." } (why) },
                None => div.empty { "Nothing has run in it yet, so nothing was written." },
            }
            @if beside.log.is_some() { footer { (cli(&format!("springtide logs -f {name}/{}", beside.log_role))) } }
        }
    }
}

fn planned(it: &EnvironmentView) -> Markup {
    let (name, declared) = (&it.summary.name, it.summary.declared);
    let plan = it.plan.as_ref().filter(|plan| !plan.steps.is_empty() || !plan.waits.is_empty());
    html! {
        section.card aria-labelledby="planned-title" {
            header {
                h2 #planned-title { "Planned" }
                @if let Some(plan) = plan {
                    span.note { (counted(plan.steps.len() as u64, "step")) }
                    @if let Some(of) = plan.verdict { (verdict(of)) }
                }
            }
            @if let Some(plan) = plan {
                ol.list {
                    @for it in plan.steps.iter().take(8) {
                        li { div.line { span.grow { (step(&it.title)) } (crate::console::words::risk(it.risk, it.interruption_s)) } p.muted.small { (it.reason) } }
                    }
                    @if plan.steps.len() > 8 { li.muted { "and " (plan.steps.len() - 8) " more" } }
                    @for wait in &plan.waits { li { (word(Tone::Info, Icon::Frost, "waits")) " " (wait) } }
                }
                footer { a.button.primary href={ "/plan?environment=" (name) } { "Review the plan" } }
            } @else if it.destroying.is_some() {
                div.empty { "Only the rest of its destruction is left." }
            } @else if declared {
                div.empty { "It is as the file declares it. Change the file, and the plan stands here within a second." }
            } @else {
                div.empty { "It is not declared any more, and left alone." (cli(&format!("springtide destroy {name}"))) }
            }
        }
    }
}

fn connections(it: &EnvironmentView) -> Markup {
    html! {
        section.card aria-labelledby="budget-title" {
            header {
                h2 #budget-title { "Connection budget" }
                @if let Some(budget) = &it.budget {
                    @if budget.fits { (word(Tone::Good, Icon::Tick, "fits")) } @else { (word(Tone::Bad, Icon::Cross, "does not fit")) }
                }
            }
            @if let Some(it) = &it.budget { div.body { (budget(it)) } }
            @else { div.empty { "Only what is declared has a budget." } }
        }
    }
}

/// The place of [`super::signals`], which is filled in when the page is there.
fn now(it: &EnvironmentView) -> Markup {
    let address = format!("/environments/{}/signals", it.summary.name);
    html! {
        @if it.slot.is_some() {
            section.card aria-labelledby="now-title" {
                header { h2 #now-title { "Right now" } }
                div.body #signals hx-get=(address) hx-trigger="load, every 10s" hx-swap="innerHTML" hx-morph-skip="" {
                    p.muted { a href=(address) { "Connections, pools, sessions and services" } }
                }
            }
        }
    }
}

fn numbers(numbers: &[NumberView], name: &str) -> Markup {
    html! {
        @if !numbers.is_empty() {
            section.card aria-labelledby="numbers-title" {
                header { h2 #numbers-title { "Why these numbers" } }
                table.table.compact {
                    caption.sr { "Each number and the rule it follows from" }
                    tbody {
                        @for number in numbers {
                            tr {
                                th scope="row" { (number.what) p.why { (number.why) } }
                                td.num { @if number.unit == "bytes" { (bytes(number.value)) } @else { (number.value) " " (number.unit) } }
                            }
                        }
                    }
                }
                footer { (cli(&format!("springtide explain {name}"))) }
            }
        }
    }
}

fn changes(frame: &Frame, it: &EnvironmentView) -> Markup {
    html! {
        section.card aria-labelledby="changes-title" {
            header { h2 #changes-title { "Last changes" } }
            @if it.operations.is_empty() {
                div.empty { "Nothing was done to it yet." (cli("springtide history")) }
            } @else {
                ul.list {
                    @for operation in &it.operations {
                        li { (operation_line(operation, frame.now, true)) @if let Some(outcome) = operation.outcome.as_deref().filter(|it| *it != "done") { p.muted.small { (outcome) } } }
                    }
                }
            }
        }
    }
}
