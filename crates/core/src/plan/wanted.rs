//! What is wanted of an environment, as one digest: two moments with the same digest need no new word
//! from a person, and whatever differs from it on the machine is drift.
//!
//! The rule that keeps it right: everything that a plan compares with what is seen is in it, as it is now
//! with its active peaks; what renews itself, the end of a certificate, is not. So an edit of the file, a
//! peak that begins, another size of the machine and a newer springtide that writes other configuration
//! are all asked about first.

use super::environment::fingerprint;
use crate::check::{CheckedEnvironment, CheckedEstate};
use crate::digest::Digest;
use crate::layout::Slot;
use crate::observe::HostFacts;
use crate::role::Role;
use crate::roles::{self, proxy, route};
use crate::sizing::size;

/// What is wanted of an environment of `estate` that holds `slot`, at `now` (seconds since 1970).
pub fn wanted(estate: &CheckedEstate, declared: &CheckedEnvironment, slot: Slot, host: &HostFacts, now: i64) -> Digest {
    let sized = size(declared, &estate.peaks, slot, host, estate.environments.len(), now, 0);
    let workloads = Role::ENVIRONMENT.map(|role| roles::digest(&sized, role));
    let database = (fingerprint(estate, declared, slot), &declared.modules, declared.demo, declared.series);
    Digest::of(&(1, workloads, route::digest(&sized), database, &declared.host))
}

/// What is wanted of the estate's own parts.
pub fn wanted_of_estate(estate: &CheckedEstate) -> Digest {
    Digest::of(&(1, proxy::notice_digest(), proxy::proxy_digest(&estate.platform.ingress)))
}
