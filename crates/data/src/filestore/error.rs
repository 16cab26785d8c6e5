//! Why a mirror did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::objects::ObjectsError;

/// Why a mirror did not do what was asked. No variant holds a key or content of a file.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Odoo's filestore cannot be read, or its marker cannot be written. Nothing of the mirror was changed.
    #[error("cannot {verb} the filestore's {path}", path = .path.display())]
    Source {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ObjectsError),
    /// What lies in the place was encrypted for another key, so this one could read none of it back.
    #[error("the mirror in {place} was begun with another key")]
    OtherKey {
        /// The place.
        place: String,
    },
    /// Mirrors that are fed by one reading must have one key.
    #[error("the mirrors {0} and {1} have different keys")]
    KeysDiffer(String, String),
    /// The text is not an age identity.
    #[error("the filestore's key is not an age identity")]
    Key,
    /// What names the mirror in its place cannot be understood.
    #[error("{object} in {place} cannot be understood")]
    Garbled {
        /// The object.
        object: String,
        /// The place.
        place: String,
    },
    /// The mirror's own folder on this machine cannot be used.
    #[error("cannot {verb} {path}", path = .path.display())]
    Local {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else writes to this mirror now.
    #[error("another push or removal works on the mirror {place}")]
    Busy {
        /// The place.
        place: String,
    },
    /// The folder that files are restored into cannot be written: full, or not ours.
    #[error("cannot {verb} {path}", path = .path.display())]
    Into {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread of ours ended early.
    #[error("a thread that works on the filestore's files ended early")]
    Panicked,
}

impl FilesError {
    /// The code that `springtide explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } => "E1020",
            Self::Store(error) => error.code(),
            Self::OtherKey { .. } | Self::KeysDiffer(..) => "E1021",
            Self::Key => "E1022",
            Self::Local { .. } | Self::Panicked => "E1023",
            Self::Busy { .. } => "E1024",
            Self::Into { .. } => "E1025",
            Self::Garbled { .. } => "E1026",
        }
    }

    /// What a person does next.
    pub fn next(&self) -> &'static str {
        match self {
            Self::Source { .. } => "check that the environment's Odoo data is mounted and not replaced by a link",
            Self::Store(error) => error.next(),
            Self::OtherKey { .. } | Self::KeysDiffer(..) => {
                "give the key that the mirror was begun with, or begin a new mirror in an empty place"
            }
            Self::Key => "restore the key from the copy of the secrets; without it the mirror cannot be read",
            Self::Local { .. } => "make room on the disk of the state folder, or correct its owner and permissions",
            Self::Panicked => "try again; if it stays, report it with the log",
            Self::Busy { .. } => "wait for the other one to end",
            Self::Into { .. } => "make room or choose another folder; going on where it ended is safe",
            Self::Garbled { .. } => "look who else writes to this place; its files are unchanged and can be verified",
        }
    }
}

pub(super) fn source_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Source { verb, path, source }
}

pub(super) fn local_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Local { verb, path, source }
}

pub(super) fn into_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Into { verb, path, source }
}
