//! An environment in one word: what users notice of it, decided from what is seen alone.

use springtide_core::observe::{EnvironmentObservation, Observed, WorkloadState};
use springtide_core::role::Role;

use crate::printer::Tone;

/// An environment in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Everything is ready and users are routed to it.
    Up,
    /// Nothing failed; something is not ready yet.
    Starting,
    /// Users are served; something else is not as it should be.
    Degraded,
    /// Users are not served.
    Down,
    /// A part gave up; a person must look.
    Broken,
    /// Stopped on purpose.
    Stopped,
    /// The supervisor is away.
    Unwatched,
    /// Everything is ready; whether users are routed to it cannot be seen.
    Unknown,
    /// Its destruction was begun and is not finished.
    Destroying,
    /// Declared; apply makes it.
    Planned,
}

impl Word {
    /// The word itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            Word::Up => "up",
            Word::Starting => "starting",
            Word::Degraded => "degraded",
            Word::Down => "down",
            Word::Broken => "broken",
            Word::Stopped => "stopped",
            Word::Unwatched => "unwatched",
            Word::Unknown => "unknown",
            Word::Destroying => "destroying",
            Word::Planned => "planned",
        }
    }
    /// How it is coloured.
    pub const fn tone(self) -> Tone {
        match self {
            Word::Up => Tone::Good,
            Word::Starting | Word::Degraded | Word::Unwatched | Word::Unknown => Tone::Warn,
            Word::Down | Word::Broken | Word::Destroying => Tone::Bad,
            Word::Stopped | Word::Planned => Tone::Dim,
        }
    }
}

/// What users notice of an environment; none if nothing of it exists.
pub fn word(seen: Option<&EnvironmentObservation>) -> Word {
    use WorkloadState as S;
    let Some(seen) = seen else { return Word::Planned };
    let states: Vec<_> = Role::ENVIRONMENT.iter().map(|role| seen.workloads.get(role).map(|it| it.state)).collect();
    let any = |state| states.contains(&Some(state));
    let ready = |role| seen.workloads.get(&role).is_some_and(|it| it.state == S::Ready);
    let routed = matches!(seen.route, Observed::Known(Some(_)));
    if seen.destroying.is_some() {
        Word::Destroying
    } else if any(S::GaveUp) {
        Word::Broken
    } else if states.iter().all(|state| *state == Some(S::Ready)) {
        match seen.route {
            Observed::Known(Some(_)) => Word::Up,
            // The last steps of an apply are left.
            Observed::Known(None) => Word::Down,
            Observed::Unknown(_) => Word::Unknown,
        }
    } else if states.iter().all(Option::is_none) {
        Word::Planned
    } else if states.iter().all(|state| matches!(state, Some(S::Stopped) | None)) {
        Word::Stopped
    } else if any(S::Unwatched) {
        Word::Unwatched
    } else if ready(Role::Postgres) && ready(Role::Pooler) && ready(Role::Web) && routed {
        Word::Degraded
    } else if any(S::Starting) && !any(S::Backoff) && !any(S::Unready) {
        Word::Starting
    } else {
        Word::Down
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::digest::Digest;
    use springtide_core::layout::Slot;
    use springtide_core::observe::WorkloadObservation;

    fn seen(states: &[(Role, WorkloadState)], routed: bool) -> EnvironmentObservation {
        let one = |state| WorkloadObservation {
            digest: Digest::of_bytes(b"x"),
            state,
            pid: None,
            restarts: 0,
            up_s: None,
            resident_bytes: None,
            why: String::new(),
            edited: Vec::new(),
        };
        EnvironmentObservation {
            slot: Slot(1),
            series: None,
            data: true,
            data_major: None,
            destroying: None,
            certificate: None,
            database: Observed::Unknown(String::new()),
            workloads: states.iter().map(|(role, state)| (*role, one(*state))).collect(),
            route: Observed::Known(routed.then(|| Digest::of_bytes(b"r"))),
        }
    }

    #[test]
    fn one_word_says_what_users_notice() {
        use WorkloadState as S;
        let all = |state| Role::ENVIRONMENT.map(|role| (role, state));
        let but = |role, state| all(S::Ready).map(|(one, ready)| (one, if one == role { state } else { ready }));
        assert_eq!(word(None), Word::Planned);
        assert_eq!(word(Some(&seen(&[], false))), Word::Planned);
        assert_eq!(word(Some(&seen(&all(S::Ready), true))), Word::Up);
        assert_eq!(word(Some(&seen(&all(S::Ready), false))), Word::Down, "ready and nobody gets there");
        assert_eq!(word(Some(&seen(&all(S::Stopped), true))), Word::Stopped);
        assert_eq!(word(Some(&seen(&all(S::Starting), false))), Word::Starting);
        assert_eq!(word(Some(&seen(&all(S::Unwatched), true))), Word::Unwatched);
        assert_eq!(word(Some(&seen(&but(Role::Jobs, S::Backoff), true))), Word::Degraded);
        assert_eq!(word(Some(&seen(&but(Role::Postgres, S::Unready), true))), Word::Down);
        assert_eq!(word(Some(&seen(&but(Role::Jobs, S::GaveUp), true))), Word::Broken);
        let unseen = EnvironmentObservation { route: Observed::Unknown("no".into()), ..seen(&all(S::Ready), true) };
        assert_eq!(word(Some(&unseen)), Word::Unknown, "unknown is not down");
        let going = EnvironmentObservation { destroying: Some("moved".into()), ..seen(&all(S::Ready), true) };
        assert_eq!(word(Some(&going)), Word::Destroying);
    }
}
