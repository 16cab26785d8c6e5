//! Arrivals, the generator, reports and the ledger, without Odoo.

mod generator;
mod judge;
mod ledger;
mod profile;
mod report;
mod schedule;
