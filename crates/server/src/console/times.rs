//! Moments and lengths of time. The server writes them; the browser goes on counting between two messages.

use maud::{Markup, html};

/// Moment `at` as UTC, `2026-11-23 14:27:09 UTC`.
pub fn utc(at: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at) {
        Ok(moment) => {
            let (date, clock) = (moment.date(), moment.time());
            let (hour, minute, second) = clock.as_hms();
            format!(
                "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC",
                date.year(),
                u8::from(date.month()),
                date.day()
            )
        }
        Err(_) => format!("{at} s since 1970"),
    }
}

/// The same as an attribute of HTML.
fn iso(at: i64) -> String {
    utc(at).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// A length of time.
pub fn length(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago `at` was; the browser goes on counting, the exact moment is in the title.
pub fn ago(at: i64, now: i64) -> Markup {
    let text = match now - at {
        ..5 => "just now".to_owned(),
        passed @ 5..120 => format!("{passed} s ago"),
        passed @ 120..7200 => format!("{} min ago", passed / 60),
        passed @ 7200..172_800 => format!("{} h ago", passed / 3600),
        passed => format!("{} days ago", passed / 86_400),
    };
    html! { time datetime=(iso(at)) title=(utc(at)) data-ago=(at) { (text) } }
}

/// How long something has lasted that began at `at`; the browser goes on counting.
pub fn since(at: i64, now: i64) -> Markup {
    html! { time datetime=(iso(at)) title={ "since " (utc(at)) } data-since=(at) { (length(now - at)) } }
}

/// The time of day `at`, in UTC.
pub fn clock(at: i64) -> Markup {
    let text = utc(at);
    html! { time datetime=(iso(at)) title=(text) { (text.get(11..19).unwrap_or(&text)) } }
}

/// A moment to come.
pub fn until(at: i64, now: i64) -> Markup {
    let left = at - now;
    let text = if left < 0 { format!("{} ago", length(-left)) } else { format!("in {}", length(left)) };
    html! { time datetime=(iso(at)) title=(utc(at)) { (text) } }
}
