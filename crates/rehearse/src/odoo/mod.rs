//! Odoo as programs and people reach it: through the entrance, over HTTPS, with the estate's authority.
//!
//! - [`target`]: which environment, and how it is reached.
//! - [`wire`]: one HTTP client, and the one place that judges what an answer means.
//! - [`call`]: a call of a model's method as a value, whatever way it goes.
//! - [`rpc`], [`session`], [`json2`]: the three ways. A program with a password, a person with a session,
//!   and (where the series has it) a program with a key.
//! - [`dialect`]: what differs between series, asked from Odoo and never told from its number.
//!
//! The rule: an error says whether the call may have happened ([`CallError::may_have_happened`]). Nothing is
//! sent twice here; who repeats a call is the one who knows that repeating is harmless.

pub mod call;
pub mod dialect;
pub mod error;
pub mod json2;
pub mod rpc;
pub mod session;
pub mod target;
pub mod wire;

pub use call::{Call, Odoo};
pub use dialect::Dialect;
pub use error::CallError;
pub use json2::Json2;
pub use rpc::Rpc;
pub use session::Session;
pub use target::{PostgresSocket, Target};
pub use wire::Wire;
