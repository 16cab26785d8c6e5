//! Wire types of the HTTP API, and its typed client.
//!
//! `types` holds what travels, by topic; `problem` what travels when something fails; `client` asks a server. The console and
//! the command line know a server only by these. The rule that keeps it right: they are made from the
//! control plane's own types in one place, the server's `http::view`, so that what is inside may change
//! without a change of the wire. Moments are seconds since 1970 (UTC), sizes bytes, lengths of time seconds.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod problem;
pub mod types;

pub use client::{Client, ClientError};
pub use problem::Problem;
pub use types::*;

/// Below which all routes lie.
pub const PREFIX: &str = "/api/v1";
