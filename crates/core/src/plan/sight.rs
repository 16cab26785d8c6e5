//! Sight: an observation, arranged so that looking up an environment costs the same in any estate.

use std::collections::{HashMap, HashSet};

use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::observe::{EnvironmentObservation, Observation};
use crate::workload::SecretName;

/// Secrets that an environment's first step makes; its certificate is a step of its own.
fn is_made_at_once(name: SecretName) -> bool {
    !matches!(name, SecretName::Certificate | SecretName::CertificateKey)
}

/// What was seen, by environment. Never iterated, so that no plan depends on the order of a hash.
pub(super) struct Sight<'a> {
    environments: HashMap<&'a str, &'a EnvironmentObservation>,
    /// Environments that have every secret of [`SecretName::ENVIRONMENT`] but the certificate's.
    secrets: HashSet<&'a str>,
    taken: HashSet<Slot>,
}

impl<'a> Sight<'a> {
    pub fn of(seen: &'a Observation) -> Self {
        let environments = seen.environments.iter().map(|(name, it)| (name.as_str(), it)).collect();
        let taken = seen.environments.values().map(|it| it.slot).collect();
        Self { environments, secrets: complete(seen), taken }
    }

    pub fn environment(&self, name: &EnvironmentName) -> Option<&'a EnvironmentObservation> {
        self.environments.get(name.as_str()).copied()
    }

    pub fn has_secrets(&self, name: &EnvironmentName) -> bool {
        self.secrets.contains(name.as_str())
    }

    pub fn is_free(&self, slot: Slot) -> bool {
        !self.taken.contains(&slot)
    }
}

/// The secrets lie sorted by environment, so one pass counts them.
fn complete(seen: &Observation) -> HashSet<&str> {
    let wanted = SecretName::ENVIRONMENT.into_iter().filter(|name| is_made_at_once(*name)).count();
    let mut whole = HashSet::with_capacity(seen.environments.len());
    let mut current = (None, 0);
    for secret in &seen.secrets {
        let Some(environment) = secret.environment.as_ref().map(EnvironmentName::as_str) else { continue };
        if current.0 != Some(environment) {
            current = (Some(environment), 0);
        }
        current.1 += usize::from(is_made_at_once(secret.name) && SecretName::ENVIRONMENT.contains(&secret.name));
        if current.1 == wanted {
            whole.insert(environment);
        }
    }
    whole
}
