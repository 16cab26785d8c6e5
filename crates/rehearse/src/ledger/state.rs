//! What the client knows of each act at the end: many entries of a key become one state. Pure.

use std::collections::BTreeMap;

use super::{ActKind, Entry, Phase};

/// All that the ledger says of one act.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Act<'a> {
    /// The strongest that is known. An acknowledgement stays one, whatever a later try came to; a try
    /// without an answer outweighs a refusal of another try.
    pub phase: Phase,
    /// When it was acknowledged first, in microseconds since 1970.
    pub acknowledged: Option<i64>,
    /// When the last word of it was written.
    pub last: i64,
    /// Whether that was an intention: it may have been sent later.
    pub open: bool,
    /// The details written last.
    pub detail: &'a serde_json::Value,
}

/// Every act by kind and key.
pub(super) fn acts(entries: &[Entry]) -> BTreeMap<(ActKind, &str), Act<'_>> {
    let mut acts: BTreeMap<(ActKind, &str), Act<'_>> = BTreeMap::new();
    for entry in entries {
        let key = (entry.kind, entry.key.as_str());
        let fresh = Act { phase: entry.phase, acknowledged: None, last: entry.at, open: false, detail: &entry.detail };
        let act = acts.entry(key).or_insert(fresh);
        act.last = entry.at;
        act.open = entry.phase == Phase::Intended;
        if !entry.detail.is_null() {
            act.detail = &entry.detail;
        }
        if entry.phase == Phase::Acknowledged {
            act.acknowledged.get_or_insert(entry.at);
        }
        act.phase = stronger(act.phase, entry.phase);
    }
    for act in acts.values_mut() {
        // The last word is an intention: sent or not, nobody knows.
        if act.open && act.phase != Phase::Acknowledged {
            act.phase = Phase::Unknown;
        }
    }
    acts
}

fn stronger(old: Phase, new: Phase) -> Phase {
    let rank = |phase| match phase {
        Phase::Intended => 0,
        Phase::Refused => 1,
        Phase::Unknown => 2,
        Phase::Acknowledged => 3,
    };
    if rank(new) > rank(old) { new } else { old }
}
