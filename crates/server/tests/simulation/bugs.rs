//! Bugs that are planted on purpose, one at a time, to see that the simulation catches each; with the
//! checks that are meant to catch it.
//!
//! Most are planted from outside: in the simulated world, or as a trigger in the store's own file that
//! undoes what the store does. Three sit in product code behind `failpoint::planted`, in debug builds only.

use crate::checks::Check;

/// Where a bug is planted.
pub enum Place {
    /// In the simulated world, which asks for it by its name.
    World,
    /// In the store's file, as this SQL.
    Store(&'static str),
    /// In product code, which asks for it by its name.
    Code,
}

pub struct Bug {
    pub name: &'static str,
    pub place: Place,
    /// The checks that catch it; without them it is not noticed.
    pub caught_by: &'static [Check],
}

const fn world(name: &'static str, caught_by: &'static [Check]) -> Bug {
    Bug { name, place: Place::World, caught_by }
}

const fn store(name: &'static str, sql: &'static str, caught_by: &'static [Check]) -> Bug {
    Bug { name, place: Place::Store(sql), caught_by }
}

const fn code(name: &'static str, caught_by: &'static [Check]) -> Bug {
    Bug { name, place: Place::Code, caught_by }
}

pub const BUGS: &[Bug] = &[
    // The driver does not compare generations: a late start may stand where all was removed.
    world("driver-fence-ignored", &[Check::Fence, Check::Orphans]),
    // A takeover goes on with the generation of the one before it.
    world("generation-not-raised", &[Check::Fence, Check::Orphans]),
    // A repeated start does not look for what runs already.
    world("start-not-idempotent", &[Check::Single, Check::Converged]),
    // The record is dropped before secrets are: the slot is free while something still stands on it.
    world("slot-freed-too-early", &[Check::Slots, Check::Orphans, Check::Reason]),
    // The point of no return is passed without being written down.
    world("destruction-not-recorded", &[Check::Reason]),
    // Secrets of a destroyed environment stay.
    world("secrets-left-behind", &[Check::Orphans, Check::Slots]),
    // The step is written down after its effect, or not at all.
    store(
        "effect-before-intent",
        "BEFORE INSERT ON steps BEGIN SELECT RAISE(IGNORE); END",
        &[Check::Intent, Check::Ended],
    ),
    // The step is settled before its effect.
    store(
        "settled-before-effect",
        "AFTER INSERT ON steps BEGIN UPDATE steps SET ended = began WHERE operation = NEW.operation AND number = NEW.number; END",
        &[Check::Intent],
    ),
    // An operation that ends keeps its environments in hand.
    store(
        "lease-not-given-back",
        "BEFORE DELETE ON leases BEGIN SELECT RAISE(IGNORE); END",
        &[Check::Leases, Check::Converged],
    ),
    // An environment is taken in hand although another operation has it.
    store(
        "lease-not-kept",
        "AFTER INSERT ON leases BEGIN DELETE FROM leases WHERE environment = NEW.environment; END",
        &[Check::OneOperation],
    ),
    // What a dead controller left open stays open.
    store(
        "cut-off-not-ended",
        "BEFORE UPDATE OF outcome ON operations WHEN NEW.outcome = 'cut off' BEGIN SELECT RAISE(IGNORE); END",
        &[Check::Ended, Check::Events],
    ),
    // A failed operation is called done.
    store(
        "failed-called-done",
        "AFTER UPDATE OF outcome ON operations WHEN NEW.outcome LIKE 'failed%' BEGIN UPDATE operations SET outcome = 'done' WHERE id = NEW.id; END",
        &[Check::Ended],
    ),
    // The stop switch is told and not kept.
    store("hold-ignored", "AFTER INSERT ON hold BEGIN DELETE FROM hold; END", &[Check::Held]),
    // An operation ends and nobody is told.
    store(
        "event-lost",
        "BEFORE INSERT ON events WHEN NEW.kind = 'operation-ended' BEGIN SELECT RAISE(IGNORE); END",
        &[Check::Events],
    ),
    // What changed in the file is done without a word from anybody.
    code("approval-not-checked", &[Check::Approval]),
    // A person approves one plan and another is done.
    code("stale-plan-accepted", &[Check::Approval]),
    // An older controller goes on writing.
    code("store-fence-ignored", &[Check::Journal, Check::OneOperation, Check::Ended, Check::Held]),
];

pub fn bug(name: &str) -> Option<&'static Bug> {
    BUGS.iter().find(|it| it.name == name)
}
