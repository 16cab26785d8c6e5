//! The HTTP API over real sockets, with the control plane on the world in memory.

#![allow(clippy::unwrap_used, missing_docs)]

mod auth;
mod client;
mod conform;
mod events;
mod limits;
mod mask;
mod pages;
mod plan;
mod rig;
mod schema;
mod tls;
