//! An environment in one word: what users notice of it, decided from what is seen alone.

use springtide_api::Health;
use springtide_core::observe::{EnvironmentObservation, Observed, WorkloadState};
use springtide_core::role::Role;

/// What users notice of an environment; none if nothing of it exists.
pub fn health(seen: Option<&EnvironmentObservation>) -> Health {
    use WorkloadState as S;
    let Some(seen) = seen else { return Health::Planned };
    let states: Vec<_> = Role::ENVIRONMENT.iter().map(|role| seen.workloads.get(role).map(|it| it.state)).collect();
    let any = |state| states.contains(&Some(state));
    let ready = |role| seen.workloads.get(&role).is_some_and(|it| it.state == S::Ready);
    let routed = matches!(seen.route, Observed::Known(Some(_)));
    if seen.destroying.is_some() {
        Health::Destroying
    } else if any(S::GaveUp) {
        Health::Broken
    } else if states.iter().all(|state| *state == Some(S::Ready)) {
        match seen.route {
            Observed::Known(Some(_)) => Health::Up,
            // The last steps of an apply are left.
            Observed::Known(None) => Health::Down,
            Observed::Unknown(_) => Health::Unknown,
        }
    } else if states.iter().all(Option::is_none) {
        Health::Planned
    } else if states.iter().all(|state| matches!(state, Some(S::Stopped) | None)) {
        Health::Stopped
    } else if any(S::Unwatched) {
        Health::Unwatched
    } else if ready(Role::Postgres) && ready(Role::Pooler) && ready(Role::Web) && routed {
        Health::Degraded
    } else if any(S::Starting) && !any(S::Backoff) && !any(S::Unready) {
        Health::Starting
    } else {
        Health::Down
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
            repository: None,
        }
    }

    #[test]
    fn one_word_says_what_users_notice() {
        use WorkloadState as S;
        let all = |state| Role::ENVIRONMENT.map(|role| (role, state));
        let but = |role, state| all(S::Ready).map(|(one, ready)| (one, if one == role { state } else { ready }));
        assert_eq!(health(None), Health::Planned);
        assert_eq!(health(Some(&seen(&[], false))), Health::Planned);
        assert_eq!(health(Some(&seen(&all(S::Ready), true))), Health::Up);
        assert_eq!(health(Some(&seen(&all(S::Ready), false))), Health::Down, "ready and nobody gets there");
        assert_eq!(health(Some(&seen(&all(S::Stopped), true))), Health::Stopped);
        assert_eq!(health(Some(&seen(&all(S::Starting), false))), Health::Starting);
        assert_eq!(health(Some(&seen(&all(S::Unwatched), true))), Health::Unwatched);
        assert_eq!(health(Some(&seen(&but(Role::Jobs, S::Backoff), true))), Health::Degraded);
        assert_eq!(health(Some(&seen(&but(Role::Postgres, S::Unready), true))), Health::Down);
        assert_eq!(health(Some(&seen(&but(Role::Jobs, S::GaveUp), true))), Health::Broken);
        let unseen = EnvironmentObservation { route: Observed::Unknown("no".into()), ..seen(&all(S::Ready), true) };
        assert_eq!(health(Some(&unseen)), Health::Unknown, "unknown is not down");
        let going = EnvironmentObservation { destroying: Some("moved".into()), ..seen(&all(S::Ready), true) };
        assert_eq!(health(Some(&going)), Health::Destroying);
    }
}
