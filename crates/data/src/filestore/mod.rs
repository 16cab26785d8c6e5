//! A copy-only mirror of Odoo's filestore: every file once, under its SHA-1, encrypted, in one place or two.
//!
//! Odoo names a file of its filestore by its content, so copies never conflict, and a mirror that only grows holds the
//! files of every instant a database can be restored to. [`push`](push()) copies, [`Mirror::verify`] proves objects,
//! [`restore`](restore()) gives a restored database the files its rows name, [`check`](check()) proves a folder
//! against rows, [`collect`](collect()) decides what nobody can need any more.
//!
//! The rules that keep it right:
//! - An object gets its name only when all of it was seen to have that SHA-1: small ones in one request, large ones by
//!   the completion of their parts. Whoever is killed in between leaves nothing under a good name.
//! - Odoo writes in place and does not sync. A file that does not have its name is read again after a pause, and is
//!   then told; it is kept below `wrong/`, never under the good name.
//! - Reading back believes nothing: the bytes are decrypted and hashed, and a store that fails is not called damage.
//! - Pushing never deletes. Removing needs a [`Due`], which only a decision with all its waiting makes.
//!
//! **That no file is deleted before it is mirrored.** Odoo deletes a file that no row names any more once a day. A
//! push runs every minute; it walks the folder (names only for what is known) and needs no notification that could be
//! lost. Between two pushes a file could come and be collected. So the add-on `springtide_runtime` lets Odoo's
//! collection see only those entries of its checklist that the last push acknowledged ([`PushOptions::acknowledge`]):
//! the others wait for a later day. Where the add-on does not hold it back, only files are lost that were made within
//! one push's pause before the daily collection and that no row names by then; `Pushed::vanished` tells those that
//! were seen.
//!
//! A mirror knows names and sizes, since its objects carry them; contents are for the key only.

mod attempt;
mod check;
mod collect;
mod error;
mod fan;
mod fetch;
mod index;
mod key;
mod lane;
mod marker;
mod mirror;
mod name;
mod push;
mod records;
mod restore;
mod rows;
mod scan;
mod sha1;
mod verify;

pub use check::{Checked, Row, check};
pub use collect::{Collected, Due, Keep, Removed, collect};
pub use error::FilesError;
pub use fetch::Damage;
pub use key::FilesKey;
pub use mirror::{Limits, Mirror};
pub use name::{FileName, NotASha1};
pub use push::{PlacePushed, Progress, PushOptions, Pushed, Tell, Wrong, acknowledge, push};
pub use records::Missing;
pub use restore::{Restored, restore};
pub use rows::rows;
pub use scan::{Filestore, Refusals};
pub use sha1::sha1_of;
pub use verify::{Sample, Verified};
