//! Arrivals, the generator, reports and the ledger, without Odoo.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod generator;
mod judge;
mod ledger;
mod profile;
mod report;
mod schedule;
