//! Tests of control, over the world in memory.
