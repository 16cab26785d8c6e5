//! Masking: whatever a part of the estate says, a secret of the estate is not told, and no terminal steered.

use crate::secrets::SecretStore;
use secrecy::{ExposeSecret as _, SecretString};
use springtide_core::workload::SecretName;

/// Shorter values match by chance.
const SHORTEST: usize = 12;
const MASK: &str = "********";

/// Secrets to look for. Has no `Debug`.
pub struct Mask(Vec<SecretString>);

impl Mask {
    /// A mask that hides nothing, where there are no secrets.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// A mask of all secrets that can be read; one that cannot be read cannot be looked for.
    pub fn new(secrets: &SecretStore) -> Self {
        let mut values = Vec::new();
        for secret in secrets.list().unwrap_or_default() {
            if matches!(secret.name, SecretName::AuthorityCertificate | SecretName::Certificate) {
                continue;
            }
            let Ok(value) = secrets.get(&secret) else { continue };
            // Of keys in several lines each line counts.
            let lines = value.expose_secret().lines().filter(|it| it.len() >= SHORTEST && !it.starts_with("-----"));
            values.extend(lines.map(|line| SecretString::from(line.to_owned())));
        }
        Self(values)
    }

    /// `text` without secrets.
    pub fn apply(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for value in &self.0 {
            if out.contains(value.expose_secret()) {
                out = out.replace(value.expose_secret(), MASK);
            }
        }
        out
    }
}

/// A line of a log without what steers terminals: a log holds what strangers sent.
pub fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_every_environment_are_masked() {
        let folder = tempfile::tempdir().unwrap();
        let store = SecretStore::open(folder.path().join("secrets")).unwrap();
        let name = SecretName::DbApp;
        let secret = springtide_core::workload::SecretRef { environment: Some("prod".parse().unwrap()), name };
        store.put(&secret, &"correct-horse-battery".to_owned().into()).unwrap();
        let mask = Mask::new(&store);
        assert_eq!(mask.apply("password=correct-horse-battery."), "password=********.");
        assert_eq!(mask.apply("nothing"), "nothing");
    }
}
