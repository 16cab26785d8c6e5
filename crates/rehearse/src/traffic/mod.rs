//! The six classes as real flows through the entrance.
