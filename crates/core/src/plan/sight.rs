//! Sight: an observation laid beside the estate file, so that each environment finds what was seen
//! of it.
//!
//! Estate, observation and secrets are gone through once, all in the order of names; so a large
//! estate costs no more per environment than a small one.

use crate::check::CheckedEstate;
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::observe::{EnvironmentObservation, Observation, Seed};
use crate::workload::{SecretName, SecretRef};

/// What was seen of one environment.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'a> {
    pub observed: Option<&'a EnvironmentObservation>,
    /// Whether all its secrets are there, but the certificate's, which is a step of its own.
    pub secrets: bool,
    /// What it is to be filled from, if not from a template.
    pub seed: Option<&'a Seed>,
}

pub(super) struct Sight<'a> {
    /// One for each environment of the file, in the order of the file.
    pub declared: Vec<Seen<'a>>,
    /// Environments that are seen and not declared, in the order of names.
    pub undeclared: Vec<(&'a EnvironmentName, Seen<'a>)>,
    /// By slot, whether somebody holds it.
    taken: Vec<bool>,
}

impl<'a> Sight<'a> {
    pub fn of(estate: &CheckedEstate, seen: &'a Observation) -> Self {
        let name_of = |index: &usize| &estate.environments[*index].name;
        let mut order: Vec<usize> = (0..estate.environments.len()).collect();
        order.sort_unstable_by_key(|index| name_of(index));
        let mut observed = seen.environments.iter().peekable();
        let made_at_once: Vec<_> = SecretName::ENVIRONMENT.into_iter().filter(|name| is_made_at_once(*name)).collect();
        let mut whole = seen.secrets.that_have(&made_at_once).peekable();
        let mut of_backups = seen.secrets.that_have(&SecretName::BACKUP).peekable();
        let signs = seen.secrets.contains(&SecretRef { environment: None, name: SecretName::ProofKey });
        // Asked in the order of names only.
        let mut secrets = |name: &EnvironmentName, backs_up: bool| {
            while whole.next_if(|other| *other < name).is_some() {}
            while of_backups.next_if(|other| *other < name).is_some() {}
            let plain = whole.next_if(|other| *other == name).is_some();
            plain && (!backs_up || signs && of_backups.next_if(|other| *other == name).is_some())
        };
        let seed = |name: &EnvironmentName| seen.seeds.get(name);
        let mut declared = vec![Seen::default(); order.len()];
        let mut undeclared = Vec::new();
        for index in order {
            let name = name_of(&index);
            while let Some((other, it)) = observed.next_if(|(other, _)| *other < name) {
                undeclared
                    .push((other, Seen { observed: Some(it), secrets: secrets(other, false), seed: seed(other) }));
            }
            let backs_up = estate.environments[index].backup.is_some();
            let found = observed.next_if(|(other, _)| *other == name).map(|(_, it)| it);
            declared[index] = Seen { observed: found, secrets: secrets(name, backs_up), seed: seed(name) };
        }
        for (other, it) in observed {
            undeclared.push((other, Seen { observed: Some(it), secrets: secrets(other, false), seed: seed(other) }));
        }
        let mut taken = vec![false; usize::from(u16::MAX) + 1];
        seen.environments.values().for_each(|it| taken[usize::from(it.slot.0)] = true);
        Self { declared, undeclared, taken }
    }

    pub fn is_free(&self, slot: Slot) -> bool {
        !self.taken[usize::from(slot.0)]
    }
}

/// Secrets that an environment's first step makes.
fn is_made_at_once(name: SecretName) -> bool {
    use SecretName::{AuthorityCertificate, AuthorityKey, Certificate, CertificateKey};
    !matches!(name, AuthorityCertificate | AuthorityKey | Certificate | CertificateKey)
}
