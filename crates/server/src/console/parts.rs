//! Small parts that pages are made of: state words, times, sizes, the connection budget, "copy as CLI".
//!
//! A state is always a shape and a word beside its colour, and a number always has its unit. Nothing here
//! writes an inline style or script: the content security policy would drop it.

use maud::{Markup, PreEscaped, html};
use springtide_api::{BudgetBar, BudgetView, Health, OperationState, OperationView, Risk, State, Verdict};

/// How something is to be taken; the class that gives it its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Something is wrong.
    Bad,
    /// Under way.
    Info,
    /// Neither.
    Quiet,
}

impl Tone {
    /// Its class.
    pub const fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Info => "info",
            Tone::Quiet => "quiet",
        }
    }
}

/// Shapes, 16 by 16. Each can be told from the others without its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// A filled circle with a tick.
    Tick,
    /// A half-closed ring; turns.
    Turning,
    /// A triangle with a mark.
    Triangle,
    /// A filled circle with a cross.
    Cross,
    /// A square.
    Square,
    /// A circle with a question mark.
    Question,
    /// Two bars.
    Pause,
    /// A ring.
    Ring,
    /// A snow crystal.
    Frost,
    /// A hand's width of waves: a peak.
    Peak,
}

/// Draws `icon`.
pub fn icon(icon: Icon) -> Markup {
    let (filled, path) = match icon {
        Icon::Tick => (
            true,
            "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.6 5.3-4.3 4.9a.8.8 0 0 1-1.2 0L4.3 9.2a.8.8 0 1 1 1.2-1.05l1.25 1.4 3.65-4.3a.8.8 0 0 1 1.2 1.05Z",
        ),
        Icon::Turning => (false, "M8 2a6 6 0 1 1-5.6 3.9"),
        Icon::Triangle => (
            true,
            "M8 1.5c.5 0 .9.25 1.15.7l5.7 10.3c.5.9-.15 2-1.15 2H2.3c-1 0-1.65-1.1-1.15-2L6.85 2.2C7.1 1.75 7.5 1.5 8 1.5Zm0 3.7a.9.9 0 0 0-.9 1l.3 3.4a.6.6 0 0 0 1.2 0l.3-3.4a.9.9 0 0 0-.9-1Zm0 6a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8Z",
        ),
        Icon::Cross => (
            true,
            "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm2.9 8.8a.78.78 0 0 1-1.1 1.1L8 9.1l-1.8 1.8a.78.78 0 1 1-1.1-1.1L6.9 8 5.1 6.2a.78.78 0 0 1 1.1-1.1L8 6.9l1.8-1.8a.78.78 0 1 1 1.1 1.1L9.1 8Z",
        ),
        Icon::Square => (
            true,
            "M4 2.5h8A1.5 1.5 0 0 1 13.5 4v8a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 12V4A1.5 1.5 0 0 1 4 2.5Z",
        ),
        Icon::Question => (
            true,
            "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 11.3a.95.95 0 1 1 0-1.9.95.95 0 0 1 0 1.9Zm.75-3.65v.4a.75.75 0 0 1-1.5 0v-1c0-.4.3-.7.65-.8.7-.15 1.1-.6 1.1-1.15a1 1 0 0 0-2 0 .75.75 0 0 1-1.5 0 2.5 2.5 0 1 1 3.25 2.55Z",
        ),
        Icon::Pause => (
            true,
            "M4.5 2.5h1.8c.4 0 .7.3.7.7v9.6c0 .4-.3.7-.7.7H4.5a.7.7 0 0 1-.7-.7V3.2c0-.4.3-.7.7-.7Zm5.2 0h1.8c.4 0 .7.3.7.7v9.6c0 .4-.3.7-.7.7H9.7a.7.7 0 0 1-.7-.7V3.2c0-.4.3-.7.7-.7Z",
        ),
        Icon::Ring => (false, "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z"),
        Icon::Frost => (false, "M8 1.5v13M2.4 4.75l11.2 6.5M13.6 4.75 2.4 11.25M6 2.5l2 1.8 2-1.8M6 13.5l2-1.8 2 1.8"),
        Icon::Peak => (false, "M1.5 13c3 0 3.5-9.5 6.5-9.5s3.5 9.5 6.5 9.5"),
    };
    let spin = icon == Icon::Turning;
    html! {
        svg.icon.spin[spin] viewBox="0 0 16 16" aria-hidden="true" focusable="false" {
            @if filled { path fill="currentColor" fill-rule="evenodd" d=(path) {} }
            @else { path fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" d=(path) {} }
        }
    }
}

/// A word with its shape on its colour.
pub fn word(tone: Tone, shape: Icon, text: &str) -> Markup {
    html! { span.state.(tone.class()) { (icon(shape)) (text) } }
}

/// How a workload's state is shown.
pub const fn state_parts(state: State) -> (Tone, Icon, &'static str) {
    match state {
        State::Ready => (Tone::Good, Icon::Tick, "ready"),
        State::Starting => (Tone::Info, Icon::Turning, "starting"),
        State::Unready => (Tone::Bad, Icon::Triangle, "not ready"),
        State::Backoff => (Tone::Bad, Icon::Turning, "waits to start again"),
        State::GaveUp => (Tone::Bad, Icon::Cross, "gave up"),
        State::Stopped => (Tone::Quiet, Icon::Square, "stopped"),
        State::Unwatched => (Tone::Warn, Icon::Question, "unwatched"),
        State::Absent => (Tone::Quiet, Icon::Ring, "absent"),
    }
}

/// A workload's state.
pub fn state(of: State) -> Markup {
    let (tone, shape, text) = state_parts(of);
    word(tone, shape, text)
}

/// How the health of an environment is shown.
pub const fn health_parts(health: Health) -> (Tone, Icon) {
    match health {
        Health::Up => (Tone::Good, Icon::Tick),
        Health::Starting => (Tone::Info, Icon::Turning),
        Health::Planned => (Tone::Info, Icon::Ring),
        Health::Degraded => (Tone::Warn, Icon::Triangle),
        Health::Unwatched | Health::Unknown => (Tone::Warn, Icon::Question),
        Health::Down | Health::Broken | Health::Destroying => (Tone::Bad, Icon::Cross),
        Health::Stopped => (Tone::Quiet, Icon::Square),
    }
}

/// The health of an environment.
pub fn health(of: Health) -> Markup {
    let (tone, shape) = health_parts(of);
    word(tone, shape, of.as_str())
}

/// How an operation is, or how it ended.
pub fn operation_state(of: OperationState) -> Markup {
    match of {
        OperationState::Running => word(Tone::Info, Icon::Turning, "running"),
        OperationState::Done => word(Tone::Good, Icon::Tick, "done"),
        OperationState::Failed => word(Tone::Bad, Icon::Cross, "failed"),
        OperationState::Stopped => word(Tone::Warn, Icon::Pause, "stopped"),
        OperationState::CutOff => word(Tone::Warn, Icon::Triangle, "cut off"),
    }
}

/// What a step does to people, in words.
pub fn risk(risk: Risk, interruption_s: u32) -> Markup {
    match risk {
        Risk::Destructive => word(Tone::Bad, Icon::Cross, "removes for good"),
        Risk::Restart if interruption_s == 0 => word(Tone::Warn, Icon::Square, "stops"),
        Risk::Restart => word(Tone::Warn, Icon::Triangle, &format!("restart, ~{interruption_s} s")),
        Risk::Rolling => word(Tone::Quiet, Icon::Tick, "replaced unnoticed"),
        Risk::Reload => word(Tone::Quiet, Icon::Tick, "reloads unnoticed"),
        Risk::None => word(Tone::Quiet, Icon::Tick, "nobody notices"),
    }
}

/// What becomes of steps that are left.
pub fn verdict(of: Verdict) -> Markup {
    match of {
        Verdict::Approval => word(Tone::Warn, Icon::Ring, "waits for approval"),
        Verdict::GoOn => word(Tone::Info, Icon::Turning, "goes on by itself"),
        Verdict::Heal => word(Tone::Info, Icon::Turning, "heals by itself"),
        Verdict::Running => word(Tone::Info, Icon::Turning, "under way"),
        Verdict::Finish => word(Tone::Bad, Icon::Cross, "finishes its destruction"),
        Verdict::Held => word(Tone::Warn, Icon::Pause, "waits: held"),
        Verdict::Report => word(Tone::Warn, Icon::Triangle, "left, by rule"),
        Verdict::Freeze => word(Tone::Info, Icon::Frost, "waits: frozen"),
        Verdict::Pause => word(Tone::Warn, Icon::Pause, "waits after a failure"),
    }
}

/// A command to copy.
pub fn cli(command: &str) -> Markup {
    html! {
        div.cli { code { (command) } button.copy type="button" aria-label={ "copy the command " (command) } { "copy" } }
    }
}

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

/// The colour class of a budget line.
fn segment(what: &str) -> &'static str {
    match what {
        "web" => "web",
        "cron" => "cron",
        "live" => "live",
        "jobs" => "jobs",
        "maintenance" => "maintenance",
        "monitor" => "monitor",
        _ => "other",
    }
}

fn percent(part: u32, whole: u32) -> String {
    format!("{:.2}%", f64::from(part) * 100.0 / f64::from(whole.max(1)))
}

/// The budget in one bar: what is asked for, what is held back, of how many.
pub fn budget_bar(budget: &BudgetBar) -> Markup {
    let BudgetBar { demand, reserve, max_connections } = *budget;
    let whole = max_connections.max(demand + reserve);
    let fits = demand + reserve <= max_connections;
    let label = format!("{demand} of {max_connections} database connections spoken for, {reserve} held back");
    html! {
        div {
            div.budget-line {
                span { "connections" }
                span.num { b { (demand) } " + " (reserve) " reserve of " (max_connections) @if !fits { ", does not fit" } }
            }
            svg.bar role="img" aria-label=(label) {
                rect.(if fits { "seg-web" } else { "seg-over" }) width=(percent(demand, whole)) height="100%" {}
                rect.seg-reserve x=(percent(demand, whole)) width=(percent(reserve, whole)) height="100%" {}
            }
        }
    }
}

/// The budget as a picture and as the numbers behind it.
pub fn budget(budget: &BudgetView) -> Markup {
    let whole = budget.max_connections.max(budget.demand + budget.reserve);
    let mut from = 0;
    let mut places = Vec::new();
    for line in &budget.lines {
        places.push((segment(&line.what), line.what.as_str(), from, line.connections));
        from += line.connections;
    }
    places.push(("reserve", "reserve", from, budget.reserve));
    html! {
        svg.bar.tall role="img" aria-label={ "Connection budget: " (budget.arithmetic) } {
            @for (class, what, from, wide) in places {
                g {
                    title { (what) ": " (wide) " connections" }
                    rect.{ "seg-" (class) } x=(percent(from, whole)) width=(percent(wide, whole)) height="100%" {}
                    @if wide * 16 >= whole && class != "reserve" {
                        text x=(percent(from * 2 + wide, whole * 2)) y="50%" { (wide) }
                    }
                }
            }
            @if !budget.fits {
                line.limit x1=(percent(budget.max_connections, whole)) x2=(percent(budget.max_connections, whole)) y1="0" y2="100%" {}
            }
        }
        div.scale aria-hidden="true" {
            span { "0" }
            span { "max_connections " (budget.max_connections) }
        }
        table.table.compact {
            caption.sr { "Connection budget, line by line" }
            thead { tr { th scope="col" { "For" } th scope="col" { "How" } th.num scope="col" { "Count" } } }
            tbody {
                @for line in &budget.lines {
                    tr {
                        td { span.key.{ "key-" (segment(&line.what)) } {} (line.what) }
                        td.why { (line.how) }
                        td.num { (line.connections) }
                    }
                }
                tr { td { span.key.key-reserve {} "reserve" } td.why { "10 % and 3 for superusers" } td.num { (budget.reserve) } }
                tr {
                    td { b { "sum" } }
                    td.why {
                        @if budget.fits { "fits, " (budget.max_connections - budget.demand - budget.reserve) " to spare" }
                        @else { (word(Tone::Bad, Icon::Cross, "does not fit")) }
                    }
                    td.num { b { (budget.demand + budget.reserve) } " of " (budget.max_connections) }
                }
            }
        }
    }
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
