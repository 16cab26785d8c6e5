//! Places that backups go to: a folder, or a bucket of an S3 store.
//!
//! [`place`] says where and with which keys; [`open`](open()) gives the `object_store::ObjectStore` that bytes go
//! through; [`s3`] has the calls that it lacks, and [`immutable`] tries whether a bucket keeps what is locked. The rule: everything that leaves here for a person is an [`ObjectsError`], which tells a refusal, a
//! missing thing, a failing store and a silent one apart, and which holds no key.

mod error;
mod http;
pub mod immutable;
mod open;
pub mod place;
pub mod s3;

pub use error::{ObjectsError, Trouble};
pub use http::Patience;
pub use open::{open, open_with, write};
pub use place::{Keys, Place, S3Place};
