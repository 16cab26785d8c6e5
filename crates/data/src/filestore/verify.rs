//! Verification: objects are fetched, decrypted and hashed, all or a share of them.
//!
//! What is there is the store's word of this moment. The index is asked for one thing only: what should be there.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::error::{FilesError, local_error};
use super::fetch::{Damage, NotFetched};
use super::index::Index;
use super::mirror::{Mirror, apart, on_threads};
use super::name::FileName;

/// Which objects are verified.
#[derive(Debug, Clone)]
pub enum Sample {
    /// All.
    All,
    /// A share of all, from 0 to 1; another seed takes others. Missing ones are found among all.
    Share {
        /// Any text, such as the day.
        seed: String,
        /// From 0 to 1.
        share: f64,
    },
    /// These; what the store lacks of them is missing.
    Names(BTreeSet<FileName>),
}

/// What a verification found.
#[derive(Debug)]
pub struct Verified {
    /// Objects that are what they should be.
    pub good: u64,
    /// Objects that were looked at: good, damaged and unread ones.
    pub checked: u64,
    /// Bytes of files that were hashed and are good.
    pub bytes: u64,
    /// Objects that should be there and are not.
    pub missing: Vec<FileName>,
    /// Objects that are not what they should be, by their names in the place.
    pub damaged: Vec<(String, Damage)>,
    /// Objects that could not be read, with why: nothing is known of them.
    pub unread: Vec<(String, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Verified {
    /// Whether every object that was asked for is there and good.
    pub fn good(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty() && self.unread.is_empty()
    }

    /// What a push may send again, if Odoo still has it ([`super::PushOptions::again`]).
    pub fn again(&self) -> BTreeSet<FileName> {
        let named = |(object, _): &(String, Damage)| FileName::of_object(&object.as_str().into());
        self.damaged.iter().filter_map(named).chain(self.missing.iter().copied()).collect()
    }

    /// The code for people: `E1027` for damage, `E1028` if some could not be read.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            _ if self.good() => None,
            _ if self.missing.is_empty() && self.damaged.is_empty() => Some("E1028"),
            _ => Some("E1027"),
        }
    }
}

impl Mirror {
    /// Fetches, decrypts and hashes what `sample` names.
    ///
    /// # Errors
    /// [`FilesError::Store`] if the store cannot be listed, [`FilesError::OtherKey`] for a key that is not the mirror's.
    pub async fn verify(&self, sample: &Sample) -> Result<Verified, FilesError> {
        let started = Instant::now();
        let mut damaged = Vec::new();
        let id = match self.known_id().await {
            Ok(id) => id,
            Err(FilesError::Garbled { object, .. }) => {
                damaged.push((object, Damage::Broken));
                None
            }
            Err(error) => return Err(error),
        };
        let there: BTreeSet<FileName> = self.list().await?.into_keys().collect();
        let expected = match sample {
            Sample::Names(names) => names.clone(),
            Sample::All | Sample::Share { .. } => {
                let path = self.index_path();
                let index = id.and_then(|id| Index::read(&path, &id).transpose()).transpose();
                let known = index.map_err(local_error("read", &path))?.map(|index| index.names).unwrap_or_default();
                there.union(&known).copied().collect()
            }
        };
        let missing: Vec<FileName> = expected.difference(&there).copied().collect();
        let wanted = |name: &FileName| match sample {
            Sample::All | Sample::Names(_) => true,
            Sample::Share { seed, share } => drawn(seed, name) < *share,
        };
        let names: Vec<FileName> = expected.intersection(&there).filter(|name| wanted(name)).copied().collect();
        let checked = names.len() as u64;
        let (mirror, handle) = (self.clone(), Handle::current());
        let results = apart(move || {
            on_threads(mirror.0.limits.threads.max(mirror.0.limits.in_flight), names, |name, buffer| {
                (name, mirror.fetch(&handle, &name, &mut io::sink(), buffer))
            })
        })
        .await??;
        let mut verified =
            Verified { good: 0, checked, bytes: 0, missing, damaged, unread: Vec::new(), took: Duration::ZERO };
        for (name, result) in results {
            let object = name.object().to_string();
            match result {
                Ok(bytes) => {
                    verified.good += 1;
                    verified.bytes += bytes;
                }
                // It was removed since it was listed.
                Err(NotFetched::Damaged(Damage::Missing)) => verified.missing.push(name),
                Err(NotFetched::Damaged(damage)) => verified.damaged.push((object, damage)),
                Err(NotFetched::Store(error)) => verified.unread.push((object, error.to_string())),
                Err(NotFetched::Out(error)) => verified.unread.push((object, error.to_string())),
            }
        }
        verified.damaged.sort_by(|one, other| one.0.cmp(&other.0));
        verified.unread.sort();
        verified.missing.sort_unstable();
        verified.took = started.elapsed();
        Ok(verified)
    }
}

/// A number from 0 to 1 that depends on seed and name only.
fn drawn(seed: &str, name: &FileName) -> f64 {
    let digest = Sha256::new().chain_update(seed.as_bytes()).chain_update([0]).chain_update(name.bytes()).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::super::sha1::sha1_of;
    use super::*;

    #[test]
    fn a_share_is_a_share_and_another_seed_takes_others() {
        let names: Vec<FileName> = (0..4_000_u32).map(|n| sha1_of(&n.to_be_bytes())).collect();
        let taken = |seed: &str, share: f64| -> BTreeSet<FileName> {
            names.iter().filter(|name| drawn(seed, name) < share).copied().collect()
        };
        let (monday, tuesday) = (taken("monday", 0.1), taken("tuesday", 0.1));
        assert!((300..500).contains(&monday.len()), "{}", monday.len());
        assert_eq!(monday, taken("monday", 0.1));
        assert!(monday.intersection(&tuesday).count() < 100);
        assert!(monday.is_subset(&taken("monday", 0.2)));
        assert_eq!((taken("x", 0.0).len(), taken("x", 1.1).len()), (0, 4_000));
    }
}
