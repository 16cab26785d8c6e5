//! Peaks and their freeze: what a change of size at a peak's begin or end means for a workload.
//!
//! A freeze holds back whatever interrupts people, except what the peak itself was declared for. A
//! workload's change is a peak's own if nothing else can have caused it: what runs is exactly what
//! the same estate file asks for without any peak, or asked for just before the last peak of the
//! environment began or ended. Then the overlays are the only difference.

use crate::check::{CheckedEnvironment, CheckedEstate, CheckedPeak};
use crate::digest::Digest;
use crate::layout::Slot;
use crate::observe::HostFacts;
use crate::role::Role;
use crate::roles;
use crate::sizing::size;

/// An environment on a machine at a moment, to be asked how it would be at others.
pub(super) struct Moments<'a> {
    pub estate: &'a CheckedEstate,
    /// As declared, no peak applied.
    pub declared: &'a CheckedEnvironment,
    pub slot: Slot,
    pub host: &'a HostFacts,
    pub now: i64,
    /// Of the certificate that what runs shows.
    pub certificate_until: i64,
}

impl Moments<'_> {
    /// The reason why `role`, which runs as `runs` and shall run otherwise, changes, if the reason
    /// is a peak and nothing else.
    pub fn peak_asks(&self, role: Role, runs: Digest) -> Option<String> {
        let peaks = &self.estate.peaks;
        let touching = || peaks.iter().filter(|peak| peak.touches(&self.declared.name));
        let active = touching().filter(|peak| peak.active(&self.declared.name, self.now));
        if let Some(latest) = active.max_by_key(|peak| peak.from)
            && self.digest(role, &[], self.now) == runs
        {
            return Some(format!("peak {} asks for it", latest.name));
        }
        let begins = touching().map(|peak| (peak.from, true, peak));
        let ends = touching().map(|peak| (peak.to, false, peak));
        let past = begins.chain(ends).filter(|(at, ..)| *at <= self.now);
        let (at, begins, peak) = past.max_by_key(|(at, begins, _)| (*at, *begins))?;
        let before = at.checked_sub(1)?;
        (self.digest(role, peaks, before) == runs).then(|| match begins {
            true => format!("peak {} asks for it", peak.name),
            false => format!("peak {} has ended", peak.name),
        })
    }

    fn digest(&self, role: Role, peaks: &[CheckedPeak], at: i64) -> Digest {
        let sharing = self.estate.environments.len();
        roles::digest(&size(self.declared, peaks, self.slot, self.host, sharing, at, self.certificate_until), role)
    }
}
