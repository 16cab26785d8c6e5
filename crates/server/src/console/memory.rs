//! Memory of the last half hour, by environment and role, for the chart: what was seen, as often as the
//! server looked. It is kept in memory only, begins with the server, and has gaps where nothing was known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::role::Role;

use super::pages::environment::Memory;

/// How far back it goes, seconds.
const SPAN_S: i64 = 1800;
/// Least pause between two samples, seconds: at most 360 are kept of each environment.
const APART_S: i64 = 5;
/// In estates of more environments nothing is kept: it would cost more than the server itself.
const MOST: usize = 500;
/// Fewer samples make no chart.
const FEWEST: usize = 3;

type Sample = (i64, [Option<u32>; Role::ENVIRONMENT.len()]);

/// The samples.
#[derive(Debug, Default, Clone)]
pub struct Samples(Arc<Mutex<BTreeMap<EnvironmentName, VecDeque<Sample>>>>);

impl Samples {
    /// Keeps what `seen` says of memory.
    pub fn add(&self, seen: &Observation) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.environments.len() > MOST {
            all.clear();
            return;
        }
        all.retain(|name, _| seen.environments.contains_key(name));
        for (name, environment) in &seen.environments {
            let samples = all.entry(name.clone()).or_default();
            // After a jump of the clock what was kept is no line any more.
            if samples.back().is_some_and(|(at, _)| *at > seen.at) {
                samples.clear();
            }
            if samples.back().is_some_and(|(at, _)| seen.at - at < APART_S) {
                continue;
            }
            let mib = |role: Role| {
                let bytes = environment.workloads.get(&role)?.resident_bytes?;
                u32::try_from(bytes >> 20).ok()
            };
            samples.push_back((seen.at, Role::ENVIRONMENT.map(mib)));
            while samples.front().is_some_and(|(at, _)| seen.at - at > SPAN_S) {
                samples.pop_front();
            }
        }
    }

    /// The chart of an environment; none while there is too little to draw.
    pub fn of(&self, name: &str) -> Option<Memory> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = all.iter().find(|(one, _)| one.as_str() == name)?.1;
        if samples.len() < FEWEST {
            return None;
        }
        let mut memory = Memory { at: samples.iter().map(|(at, _)| *at).collect(), ..Memory::default() };
        for (place, role) in Role::ENVIRONMENT.into_iter().enumerate() {
            let line: Vec<_> = samples.iter().map(|(_, mib)| mib[place]).collect();
            if line.iter().any(Option::is_some) {
                memory.roles.push(role.as_str().to_owned());
                memory.mib.push(line);
            }
        }
        (!memory.roles.is_empty()).then_some(memory)
    }
}

#[cfg(test)]
mod tests {
    use springtide_core::digest::Digest;
    use springtide_core::layout::Slot;
    use springtide_core::observe::{EnvironmentObservation, Observed, WorkloadObservation, WorkloadState};

    use super::*;

    fn seen(at: i64, web: Option<u64>) -> Observation {
        let web = WorkloadObservation {
            digest: Digest::of(&1),
            state: WorkloadState::Ready,
            pid: None,
            restarts: 0,
            up_s: None,
            resident_bytes: web.map(|mib| mib << 20),
            why: String::new(),
            edited: Vec::new(),
        };
        let environment = EnvironmentObservation {
            slot: Slot(1),
            series: None,
            data: true,
            data_major: None,
            certificate: None,
            destroying: None,
            database: Observed::Unknown("not asked".into()),
            workloads: [(Role::Web, web)].into_iter().collect(),
            route: Observed::Unknown("not asked".into()),
            repository: None,
        };
        let environments = [("prod".parse().unwrap(), environment)].into();
        Observation { at, environments, ..Observation::default() }
    }

    #[test]
    fn what_was_not_known_is_a_gap() {
        let samples = Samples::default();
        samples.add(&seen(100, Some(200)));
        samples.add(&seen(102, Some(999)));
        samples.add(&seen(110, None));
        assert_eq!(samples.of("prod"), None, "two are no chart");
        samples.add(&seen(120, Some(210)));
        let memory = samples.of("prod").unwrap();
        assert_eq!((memory.roles, memory.at), (vec!["web".to_owned()], vec![100, 110, 120]));
        assert_eq!(memory.mib, [vec![Some(200), None, Some(210)]]);
        assert_eq!(samples.of("dev"), None);
    }

    #[test]
    fn what_is_old_or_gone_is_forgotten() {
        let samples = Samples::default();
        (0..1000).for_each(|n| samples.add(&seen(n * 5, Some(1))));
        assert_eq!(samples.of("prod").unwrap().at.len(), 361);
        samples.add(&seen(7, Some(1)));
        assert_eq!(samples.of("prod"), None, "the clock was put back");
        samples.add(&Observation::default());
        assert!(samples.0.lock().unwrap().is_empty());
    }
}
