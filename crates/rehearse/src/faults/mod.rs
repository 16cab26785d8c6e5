//! Faults with a scope, a duration and an undo that outlives the rig.
