//! Words for states: each a shape and a word beside its colour, so that nobody needs to see colours.

use maud::{Markup, html};
use springtide_api::{Health, OperationState, Risk, State, Verdict};

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
