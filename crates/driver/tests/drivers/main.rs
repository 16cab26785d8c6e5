//! The fake and the process driver against the contract, and the process driver against murder,
//! limits, hangs and people. Real processes under a real supervisor: needs root, as the driver does.
//! Every test has its own state folder and ends what it started.

#![allow(clippy::unwrap_used, missing_docs)]

mod contract;
mod exec;
mod files;
mod health;
mod limits;
mod orphans;
mod ports;
mod real;
mod rig;
mod stopping;
mod strangers;
mod supervisor;
mod tasks;
