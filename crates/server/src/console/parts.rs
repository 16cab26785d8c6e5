//! Small parts that pages are made of: commands to copy, sizes, a line about an operation, the mark.

use maud::{Markup, PreEscaped, html};
use springtide_api::OperationView;

use super::times::ago;
use super::words::operation_state;

/// A command to copy.
pub fn cli(command: &str) -> Markup {
    html! {
        div.cli { code { (command) } button.copy type="button" aria-label={ "copy the command " (command) } { "copy" } }
    }
}

/// A size.
pub fn bytes(size: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match size {
        0 => "0 MiB".into(),
        1..MIB => "under 1 MiB".into(),
        MIB..GIB => format!("{} MiB", size / MIB),
        _ if size < 10 * GIB => format!("{:.1} GiB", size as f64 / GIB as f64),
        _ => format!("{} GiB", size / GIB),
    }
}

/// `1 step`, `2 steps`.
pub fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
}

/// One line about an operation; with a link to it where the line is not part of another.
pub fn operation_line(operation: &OperationView, now: i64, link: bool) -> Markup {
    let title = format!("operation {}", operation.id);
    html! {
        span.line-of {
            @if link { a href={ "/operations/" (operation.id) } { (title) } } @else { span { (title) } }
            (operation_state(operation.state))
            span.muted.nowrap { (ago(operation.ended.unwrap_or(operation.began), now)) }
        }
    }
}

/// Markup of the mark, two waves and the moon that pulls them.
pub fn mark() -> Markup {
    PreEscaped(include_str!("assets/mark.svg").trim().replacen(
        "<svg ",
        "<svg aria-hidden=\"true\" focusable=\"false\" ",
        1,
    ))
}
