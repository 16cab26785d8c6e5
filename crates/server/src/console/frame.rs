//! What every page shows around itself: skip link, estate, navigation, search, theme, what is held.
//!
//! The part of a page that changes by itself is its `live` region. The server sends that region anew when
//! what it shows has changed, made by the same function that made the page; nothing else is ever patched.

use maud::{DOCTYPE, Markup, html};
use springtide_api::HeldView;

use super::assets::asset;
use super::parts::{cli, counted, mark};
use super::times::ago;
use super::words::{Icon, Tone, icon, word};

/// Light, dark, or as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the system says.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The word in the cookie and in the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// Reads the word; anything else is the system's.
    pub fn parse(word: &str) -> Self {
        match word {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        }
    }

    const fn next(self) -> Self {
        match self {
            Theme::System => Theme::Dark,
            Theme::Dark => Theme::Light,
            Theme::Light => Theme::System,
        }
    }
}

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The estate and its environments.
    Estate,
    /// What is left to do.
    Plan,
    /// What was done.
    Operations,
}

/// What every page shows around itself.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Name of the estate.
    pub estate: String,
    /// Seconds since 1970, as the server sees it.
    pub now: i64,
    /// Sent back by every form.
    pub csrf: String,
    /// Whether this session may approve, cancel, hold and release.
    pub operate: bool,
    /// Light or dark.
    pub theme: Theme,
    /// Path of this page, where forms that change only the look return to.
    pub path: String,
    /// What is searched for.
    pub search: String,
    /// Set while nothing is begun.
    pub held: Option<HeldView>,
    /// Why the estate file as it is now is not valid.
    pub refusal: Option<String>,
    /// Steps that wait.
    pub waiting: u64,
}

impl Frame {
    /// The hidden field of every form.
    pub fn token(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }
}

/// A whole page. `stream` is where the live region's changes come from, if it has any.
pub fn page(frame: &Frame, section: Section, title: &str, stream: Option<&str>, live: &Markup) -> Markup {
    document(
        frame.theme,
        Some(frame.now),
        &format!("{title} · {}", frame.estate),
        &html! {
            a.skip href="#main" { "Skip to the content" }
            header.top { div.wrap { (bar(frame, section)) } }
            div.offline #offline role="status" hidden { "Not connected to the server. What is shown may be old; trying again." }
            main.wrap #main tabindex="-1" {
                @if let Some(stream) = stream {
                    div.stack #live hx-sse:connect=(stream) hx-swap="innerMorph" { (live) }
                } @else {
                    div.stack #live { (live) }
                }
            }
            footer.foot { div.wrap { (foot(frame)) } }
            div.sr #announce role="status" aria-live="polite" {}
        },
    )
}

/// A page without the frame: log-in, and what cannot be shown.
pub fn lone(theme: Theme, title: &str, content: &Markup) -> Markup {
    document(theme, None, title, &html! { main.lone #main { div.card { (content) } } })
}

fn document(theme: Theme, now: Option<i64>, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html.no-js lang="en" data-theme=(theme.as_str()) data-now=[now] {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="same-origin";
                meta name="htmx-config" content=r#"{"history":false,"includeIndicatorCSS":false,"noSwap":[204,304,"4xx","5xx"],"morphIgnore":["data-htmx-powered","open"]}"#;
                link rel="icon" type="image/svg+xml" href=(asset("mark.svg"));
                link rel="stylesheet" href=(asset("vendor/uplot.min.css"));
                link rel="stylesheet" href=(asset("console.css"));
                script defer src=(asset("vendor/htmx.min.js")) {}
                script defer src=(asset("vendor/hx-sse.min.js")) {}
                script defer src=(asset("vendor/uplot.min.js")) {}
                script defer src=(asset("console.js")) {}
            }
            body { (body) }
        }
    }
}

fn bar(frame: &Frame, section: Section) -> Markup {
    let entry = |of: Section, href: &str, key: &str, text: &str| {
        let current = (of == section).then_some("page");
        html! { a href=(href) data-key=(key) aria-current=[current] { (text) } }
    };
    html! {
        a.brand href="/" { (mark()) span { "Springtide" span.of { " · " (frame.estate) } } }
        nav.nav aria-label="Pages" {
            (entry(Section::Estate, "/", "e", "Estate"))
            (plan_entry(section, frame.waiting, false))
            (entry(Section::Operations, "/operations", "o", "Operations"))
        }
        div.grow {}
        form.search action="/" method="get" role="search" {
            label.sr for="q" { "Find an environment" }
            @if frame.path == "/" || frame.path.starts_with("/?") {
                // The stream of the new region keeps to the search too.
                input #q type="search" name="q" placeholder="Find…" value=(frame.search) autocomplete="off" maxlength="80"
                    hx-get="/" hx-trigger="input changed delay:150ms" hx-target="#live" hx-select="#live" hx-swap="outerHTML";
            } @else {
                input #q type="search" name="q" placeholder="Find…" autocomplete="off" maxlength="80";
            }
            kbd aria-hidden="true" { "/" }
        }
    }
}

/// The plan's entry in the navigation; a live region sends it along, so that the number stays right.
pub fn plan_entry(section: Section, waiting: u64, along: bool) -> Markup {
    let current = (section == Section::Plan).then_some("page");
    let swap = along.then_some("outerHTML");
    html! {
        a #nav-plan href="/plan" data-key="p" aria-current=[current] hx-swap-oob=[swap] {
            "Plan" @if waiting > 0 { span.count { (waiting) span.sr { " steps wait" } } }
        }
    }
}

fn foot(frame: &Frame) -> Markup {
    html! {
        span { "Springtide " (env!("CARGO_PKG_VERSION")) }
        div.keys {
            span { kbd { "/" } " find" }
            span { kbd { "g" } " " kbd { "e" } " estate" }
            span { kbd { "g" } " " kbd { "p" } " plan" }
            span { kbd { "g" } " " kbd { "o" } " operations" }
        }
        span.grow {}
        form.inline action="/theme" method="post" {
            (frame.token())
            input type="hidden" name="theme" value=(frame.theme.next().as_str());
            input type="hidden" name="back" value=(frame.path);
            button.plain.small type="submit" { "Theme: " (frame.theme.as_str()) }
        }
        form.inline action="/logout" method="post" { (frame.token()) button.plain.small type="submit" { "Log out" } }
    }
}

/// What every page must say first: held, or a file that is not valid.
pub fn banners(frame: &Frame) -> Markup {
    html! {
        @if let Some(held) = &frame.held {
            section.banner.warn aria-label="Held" {
                (icon(Icon::Pause))
                div.say {
                    strong { "Held." } " Nothing is begun until it is released. "
                    span { (held.reason) } " "
                    span.muted { "By " (held.by) ", " (ago(held.since, frame.now)) "." }
                }
                @if frame.operate {
                    form.inline action="/release" method="post" {
                        (frame.token())
                        input type="hidden" name="back" value=(frame.path);
                        button type="submit" { "Release" }
                    }
                } @else { (cli("springtide release")) }
            }
        }
        @if let Some(refusal) = &frame.refusal {
            section.banner.bad aria-label="The estate file is not valid" {
                (icon(Icon::Triangle))
                div.say {
                    strong { "The estate file is not valid." } " The last valid one is in force; nothing is changed for this one."
                    pre { (refusal) }
                }
                (cli("springtide check"))
            }
        }
    }
}

/// The stop switch, for those who may use it.
pub fn stop_switch(frame: &Frame) -> Markup {
    html! {
        section.card aria-labelledby="hold-title" {
            header {
                h2 #hold-title { "Stop switch" }
                @if frame.held.is_some() { (word(Tone::Warn, Icon::Pause, "held")) } @else { span.note { "released" } }
            }
            div.body {
                @if frame.held.is_some() {
                    p.muted { "Nothing is begun, and a running operation stops before its next step. What runs keeps running." }
                    (cli("springtide release"))
                } @else {
                    p.muted { "Holding stops all changes, also the healing of drift. What runs keeps running." }
                    @if frame.operate {
                        form.inline action="/hold" method="post" hx-morph-skip="" {
                            (frame.token())
                            input type="hidden" name="back" value=(frame.path);
                            label.sr for="reason" { "Why it is held" }
                            input #reason type="text" name="reason" required maxlength="500" placeholder="Why, for those who find it held" size="30";
                            button.danger type="submit" { "Hold" }
                        }
                    }
                    (cli("springtide hold 'stock count until 18:00'"))
                }
            }
        }
    }
}

/// `3 steps wait` as a line with a link, for the pages that show a plan in short.
pub fn waiting_line(steps: u64) -> Markup {
    html! { a href="/plan" { (counted(steps, "step")) " to review" } }
}
