//! Points at which a test lets this process die as if by `kill -9`, to show that what is left
//! converges. Compiled into debug builds only; a release build has an empty function here.

use springtide_core::names::EnvironmentName;

/// Dies here if `SPRINGTIDE_DIE_AT` says `ENVIRONMENT: TITLE@POINT` (`estate` for the estate's own
/// parts). Points are `intent`, after a step is journalled and before its effect, and `effect`,
/// after its effect and before that is journalled.
#[cfg(debug_assertions)]
pub fn pass(environment: Option<&EnvironmentName>, title: &str, point: &str) {
    let Ok(wanted) = std::env::var("SPRINGTIDE_DIE_AT") else { return };
    let name = environment.map_or("estate", EnvironmentName::as_str);
    if wanted == format!("{name}: {title}@{point}") {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub fn pass(_: Option<&EnvironmentName>, _: &str, _: &str) {}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, to show that the simulation catches it; none takes it away. Debug builds
/// only, like everything here.
pub fn plant(bug: Option<&'static str>) {
    #[cfg(debug_assertions)]
    PLANTED.set(bug);
    #[cfg(not(debug_assertions))]
    let _ = bug;
}

/// Whether this bug is planted in this thread.
pub(crate) fn planted(bug: &str) -> bool {
    #[cfg(debug_assertions)]
    return PLANTED.get() == Some(bug);
    #[cfg(not(debug_assertions))]
    {
        let _ = bug;
        false
    }
}
