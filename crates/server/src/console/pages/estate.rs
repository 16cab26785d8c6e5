//! The first page: a tile per environment, what is held, what drifts, and the estate's own parts.

use maud::{Markup, html};
use springtide_api::{DriftRule, DriftView, EnvironmentSummary, EstateView, Health, PeakView};

use crate::console::budget::budget_bar;
use crate::console::frame::{Frame, banners, stop_switch, waiting_line};
use crate::console::parts::{bytes, cli, counted, operation_line};
use crate::console::times::{ago, until};
use crate::console::words::{Icon, Tone, health, health_parts, icon, state, state_parts, word};

/// The most tiles on one page; the search finds the rest.
pub const MOST: usize = 200;

/// What a server shows that has not looked yet.
pub fn not_yet(frame: &Frame) -> Markup {
    html! {
        (banners(frame))
        div.card.empty.big { (icon(Icon::Turning)) strong { "Looking for the first time." } p { "This page fills itself in a moment. " a href=(frame.path) { "Load it again" } } (cli("springtide status")) }
    }
}

/// What changes of the page.
pub fn live(frame: &Frame, estate: &EstateView) -> Markup {
    let search = frame.search.trim().to_lowercase();
    let found: Vec<_> = estate.environments.iter().filter(|it| matches(it, &search)).collect();
    html! {
        (banners(frame))
        div.head {
            div.title { h1 { (estate.name) } }
            (cli("springtide status"))
            p.facts { (sum(frame, estate)) }
        }
        div.stack #tiles {
            @if estate.environments.is_empty() {
                div.card.empty.big {
                    (icon(Icon::Peak))
                    strong { "No environment is declared yet." }
                    "Write one into the estate file; the server sees it within a second and shows the plan."
                    (cli("springtide init"))
                }
            } @else if found.is_empty() {
                div.card.empty { strong { "No environment matches “" (frame.search.trim()) "”." } a href="/" { "Show all " (estate.environments.len()) } }
            } @else {
                ul.tiles { @for environment in found.iter().take(MOST) { (tile(environment, frame)) } }
                @if found.len() > MOST {
                    p.muted { "The first " (MOST) " of " (found.len()) ". Search for the others by name, stage, series or health." }
                }
            }
        }
        div.columns {
            div { (parts(frame, estate)) }
            div {
                @if !estate.drift.is_empty() { (drift(&estate.drift, frame.now)) }
                @if !estate.notes.is_empty() { (notes(estate)) }
                (stop_switch(frame))
            }
        }
    }
}

fn matches(environment: &EnvironmentSummary, search: &str) -> bool {
    let texts = [
        Some(environment.name.as_str()),
        environment.stage.as_deref(),
        environment.series.as_deref(),
        environment.url.as_deref(),
        Some(environment.health.as_str()),
    ];
    search.split_whitespace().all(|part| texts.iter().flatten().any(|text| text.to_lowercase().contains(part)))
}

fn sum(frame: &Frame, estate: &EstateView) -> Markup {
    let all = estate.environments.len() as u64;
    let up = estate.environments.iter().filter(|it| it.health == Health::Up).count() as u64;
    html! {
        span { b { (up) } " of " b { (all) } " up" }
        span {
            @if frame.waiting > 0 { (waiting_line(frame.waiting)) }
            @else if estate.plan.steps > 0 { (counted(estate.plan.steps, "step")) " left, nothing to review" }
            @else { "nothing to review" }
         }
        span { b { (estate.host.cpus) } @if estate.host.cpus == 1 { " core" } @else { " cores" } }
        span { b { (bytes(estate.host.memory_bytes)) } " memory" }
        span { b { (bytes(estate.host.free_disk_bytes)) } " free on disk" }
        span { "seen " (ago(estate.at, estate.at)) }
    }
}

/// The whole tile is a link to the environment, so nothing in it is one.
fn tile(it: &EnvironmentSummary, frame: &Frame) -> Markup {
    let (tone, _) = health_parts(it.health);
    html! {
        li.card.tile.(tone.class()) {
            div.line {
                h2.name { a href={ "/environments/" (it.name) } { (it.name) } }
                (health(it.health))
            }
            p.where {
                @if let Some(stage) = &it.stage { (stage) " · " }
                @if let Some(series) = &it.series { "Odoo " (series) } @else { "series unknown" }
                @if let Some(url) = &it.url { " · " (url.trim_start_matches("https://")) }
            }
            @if it.roles.is_empty() { p.muted.small { "Nothing runs in it yet." } }
            @else {
                ul.roles-mini aria-label="Roles" {
                    @for role in &it.roles {
                        @let (tone, shape, text) = state_parts(role.state);
                        li.(tone.class()) title={ (role.role) ": " (text) } { (icon(shape)) span { (role.role) } span.sr { ": " (text) } }
                    }
                }
            }
            @if let Some(budget) = &it.budget { (budget_bar(budget)) }
            @let badges = badges(it, frame);
            @if let Some(badges) = badges { div.badges { (badges) } }
            p.last { @if let Some(last) = &it.last_operation { (operation_line(last, frame.now, false)) } @else { "no operation yet" } }
        }
    }
}

fn badges(it: &EnvironmentSummary, frame: &Frame) -> Option<Markup> {
    let frozen = it.peak.as_ref().filter(|peak| peak.active && peak.freeze);
    let any = frame.held.is_some() || it.peak.is_some() || it.steps_left > 0 || it.drifted > 0 || !it.declared;
    any.then(|| html! {
        @if frame.held.is_some() { (word(Tone::Warn, Icon::Pause, "held")) }
        @if frozen.is_some() { (word(Tone::Info, Icon::Frost, "frozen")) }
        @if let Some(peak) = &it.peak { (peak_word(peak, frame.now)) }
        @if it.steps_left > 0 { (word(Tone::Warn, Icon::Ring, &format!("{} left", counted(it.steps_left, "step")))) }
        @if it.drifted > 0 { (word(Tone::Warn, Icon::Triangle, &format!("{} drifted", it.drifted))) }
        @if !it.declared { (word(Tone::Quiet, Icon::Question, "not declared, left alone")) }
    })
}

/// The peak that is on, or the next.
pub fn peak_word(peak: &PeakView, now: i64) -> Markup {
    let (tone, when) = if peak.active { (Tone::Info, "ends ") } else { (Tone::Quiet, "begins ") };
    let at = if peak.active { peak.to } else { peak.from };
    html! { span.state.(tone.class()) { (icon(Icon::Peak)) "peak " (peak.name) " ×" (peak.multiplier) " " (when) (until(at, now)) } }
}

fn parts(frame: &Frame, estate: &EstateView) -> Markup {
    html! {
        section.card aria-labelledby="parts-title" {
            header {
                h2 #parts-title { "The estate's own parts" }
                @if let Some(last) = &estate.last_operation { span.note { "last: " (operation_line(last, frame.now, true)) } }
            }
            @if estate.parts.is_empty() {
                div.empty { "Nothing runs yet." (cli("springtide apply")) }
            } @else {
                table.table.cards {
                    thead { tr { th scope="col" { "Role" } th scope="col" { "State" } th.num scope="col" { "Memory" } th.num scope="col" { "Restarts" } } }
                    tbody {
                        @for role in &estate.parts {
                            tr {
                                th scope="row" { (role.role) }
                                td { (state(role.state)) @if role.state != springtide_api::State::Ready { p.why { (role.why) } } }
                                td.num data-label="memory" { @if let Some(size) = role.resident_bytes { (bytes(size)) } @else { "unknown" } }
                                td.num data-label="restarts" { (role.restarts) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What differs from what was applied, and what is done about it.
pub fn drift(drift: &[DriftView], now: i64) -> Markup {
    html! {
        section.card aria-labelledby="drift-title" {
            header { h2 #drift-title { "Drift" } span.note { (counted(drift.len() as u64, "difference")) } }
            @if drift.is_empty() {
                div.empty { "Everything runs as it was applied." }
            } @else {
                ul.list {
                    @for it in drift {
                        li {
                            div.line {
                                span.grow { (it.what) }
                                @match it.rule {
                                    DriftRule::Heal => (word(Tone::Info, Icon::Turning, "is healed")),
                                    DriftRule::Report => (word(Tone::Warn, Icon::Triangle, "is left, by rule")),
                                }
                            }
                            p.muted.small { "seen since " (ago(it.since, now)) }
                        }
                    }
                }
            }
        }
    }
}

fn notes(estate: &EstateView) -> Markup {
    html! {
        section.card aria-labelledby="notes-title" {
            header { h2 #notes-title { "Worth knowing" } }
            ul.list { @for note in &estate.notes { li { span.code { (note.code) } " " (note.text) } } }
        }
    }
}
