//! Log-in by a code that is good once.
//!
//! Opening the link shows a form and uses nothing up: whatever looks at links ahead of people must not spend
//! the code, and a cookie for this site alone would not be kept when the link came from elsewhere.

use maud::{Markup, html};

use crate::console::frame::{Theme, lone};
use crate::console::parts::{cli, mark};
use crate::console::words::{Icon, icon};

/// The page; `code` as it stood in the link, `trouble` when the last one was refused.
pub fn page(theme: Theme, code: &str, trouble: Option<&str>) -> Markup {
    lone(
        theme,
        "Log in · Springtide",
        &html! {
            p.brand { (mark()) "Springtide" }
            h1 { "Log in" }
            @if let Some(trouble) = trouble {
                div.banner.bad role="alert" { (icon(Icon::Cross)) div.say { (trouble) } }
            }
            @if code.is_empty() {
                p { "A log-in link is good once, for ten minutes. On the machine of the estate, this prints one:" }
                (cli("springtide open --console"))
            } @else {
                p.muted { "Your code is filled in. It is good once." }
            }
            form action="/login" method="post" {
                label.field for="code" { "Code" }
                input #code type="text" name="code" value=(code) required autocomplete="off" spellcheck="false" maxlength="200" autofocus[code.is_empty()];
                button.primary type="submit" autofocus[!code.is_empty()] { "Log in" }
            }
        },
    )
}
