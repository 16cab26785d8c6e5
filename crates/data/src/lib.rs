//! The data tier: secrets, PostgreSQL roles and databases, templates, installs and final backups.
//!
//! Everything here acts (files, SQL, tasks); what to do was decided in `springtide-core`.

pub mod aside;
pub mod backup;
pub mod canary;
pub mod destroy;
pub mod filestore;
mod folders;
pub mod hash;
pub mod install;
pub mod mask;
pub mod neutralise;
pub mod objects;
pub mod odoo_log;
pub mod postgres;
pub mod proof;
pub mod secrets;
pub mod template;
