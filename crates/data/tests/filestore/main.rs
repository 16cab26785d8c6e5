//! The mirror of Odoo's filestore against stores in memory, in folders and behind S3, with a fake Odoo; and the
//! add-on's part against the code of both real Odoo roots. Needs user root.

#![allow(clippy::unwrap_used, missing_docs)]

mod addon;
mod contract;
mod damage;
mod faults;
mod hold;
mod killed;
mod odoo;
mod removal;
mod restoring;
mod s3;
mod stores;
#[path = "../stores/mod.rs"]
mod versity;
