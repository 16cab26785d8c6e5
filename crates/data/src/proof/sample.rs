//! Which of many things are looked at: all, or a share that a seed picks. The same seed picks the same, so a proof can
//! be repeated; another picks others, so that in time all are looked at.

use sha2::{Digest as _, Sha256};

/// A share of many things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Every one.
    All,
    /// About so many of a thousand.
    PerMille {
        /// 1 to 999; more is all, 0 is none but the one that is always taken.
        share: u16,
        /// Picks them.
        seed: u64,
    },
}

impl Share {
    /// Whether this one is picked, by its name alone.
    fn picks(self, name: &str) -> bool {
        match self {
            Share::All => true,
            Share::PerMille { share, seed } => {
                let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
                let number = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                number % 1000 < u64::from(share)
            }
        }
    }

    /// The picked ones; of anything at all at least one, because looking at nothing shows nothing.
    pub(super) fn of<T>(self, all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
        let seed = if let Share::PerMille { seed, .. } = self { seed } else { 0 };
        let always = (seed % all.len().max(1) as u64) as usize;
        all.into_iter()
            .enumerate()
            .filter(|(at, one)| *at == always || self.picks(name(one)))
            .map(|(_, one)| one)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_same_by_seed_and_never_nothing() {
        let all: Vec<String> = (0..10_000).map(|n| format!("{n:x}")).collect();
        let picked = |share, seed| Share::PerMille { share, seed }.of(all.clone(), |one| one);
        let ten = picked(10, 1);
        assert!((60..160).contains(&ten.len()), "{}", ten.len());
        assert_eq!(ten, picked(10, 1));
        assert_ne!(ten, picked(10, 2));
        assert_eq!(picked(0, 5).len(), 1);
        assert_eq!(picked(1000, 5).len(), all.len());
        assert_eq!(Share::All.of(all.clone(), |one| one).len(), all.len());
        assert!(Share::All.of(Vec::<String>::new(), |one| one).is_empty());
    }
}
