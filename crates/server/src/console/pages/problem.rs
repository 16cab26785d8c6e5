//! What cannot be shown or done, told as everywhere: what failed, what is unchanged, what to do next.

use maud::{Markup, html};
use springtide_api::Problem;

use crate::console::frame::{Theme, lone};
use crate::console::parts::{cli, mark};

/// The page.
pub fn page(theme: Theme, problem: &Problem) -> Markup {
    lone(
        theme,
        &format!("{} · Springtide", problem.title),
        &html! {
            p.brand { a.brand href="/" { (mark()) "Springtide" } }
            h1 { (problem.title) }
            p { (problem.detail) }
            @if !problem.unchanged.is_empty() { p.muted { (problem.unchanged) } }
            @if !problem.next.is_empty() { p { b { "Next: " } (problem.next) } }
            (cli(&format!("springtide explain {}", problem.code)))
            p { a.button href="/" { "To the estate" } }
            p.code { (problem.status) " · " (problem.code) @if let Some(request) = &problem.request { " · request " (request) } }
        },
    )
}
