//! The rig tried on itself: planted faults must be found.
