//! Sizing and budgets: pure arithmetic, no clock, no I/O, none of our other crates.
//!
//! [`plant`] is the model of Odoo's workers and PostgreSQL that measurements are fitted to.
//!
//! [`workers`] says how many Odoo processes an environment gets, [`postgres`] how PostgreSQL is set,
//! [`sessions`] what Redis may hold, [`budget`] whether the connections of all of them fit. Every number
//! carries the rule it came from.

pub mod budget;
pub mod plant;
pub mod postgres;
pub mod sessions;
pub mod workers;

/// One binary megabyte.
pub const MIB: u64 = 1 << 20;
/// One binary gigabyte.
pub const GIB: u64 = 1 << 30;
