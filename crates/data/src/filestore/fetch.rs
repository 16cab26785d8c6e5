//! Reading one object back: fetched, decrypted and proven by its SHA-1 while it streams.
//!
//! The rule: a store that does not answer is not a damaged object. The two are never told as one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

use age::DecryptError;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::{GetResultPayload, ObjectStoreExt as _};
use tokio::runtime::Handle;

use crate::objects::ObjectsError;

use super::key::fill;
use super::mirror::Mirror;
use super::name::FileName;
use super::sha1::{BLOCK, Sha1};

/// What is the matter with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It was encrypted for another key.
    OtherKey,
    /// It is no age file, was cut off, or a bit of it differs.
    Broken,
    /// It decrypts, and holds another file.
    Content {
        /// What it holds.
        found: FileName,
    },
    /// It is what its name says, and the row that names it tells another size.
    Size {
        /// In bytes.
        found: u64,
        /// In bytes.
        told: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::OtherKey => f.write_str("encrypted for another key"),
            Self::Broken => f.write_str("damaged: it cannot be decrypted"),
            Self::Content { found } => write!(f, "holds another file: {found}"),
            Self::Size { found, told } => write!(f, "has {found} bytes where {told} were told"),
        }
    }
}

/// Why a file was not fetched.
#[derive(Debug)]
pub(super) enum NotFetched {
    Damaged(Damage),
    /// The store failed; nothing is known of the object.
    Store(ObjectsError),
    /// What was fetched cannot be written.
    Out(io::Error),
}

impl Mirror {
    /// Writes the file's content to `out` and returns its size. What was written is to be thrown away on an error.
    pub(super) fn fetch(
        &self,
        handle: &Handle,
        name: &FileName,
        out: &mut impl Write,
        buffer: &mut Vec<u8>,
    ) -> Result<u64, NotFetched> {
        use NotFetched::{Damaged, Out, Store};
        let store_error = |error: &object_store::Error| {
            Store(ObjectsError::of_store(format!("read {}", name.object()), &self.0.name, error))
        };
        let got = match handle.block_on(self.0.store.get(&name.object())) {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err(Damaged(Damage::Missing)),
            Err(error) => return Err(store_error(&error)),
        };
        let sealed: Box<dyn BufRead + '_> = match got.payload {
            GetResultPayload::File(file, _) => Box::new(BufReader::with_capacity(BLOCK, file)),
            GetResultPayload::Stream(stream) => Box::new(Streamed { handle, stream, bytes: Vec::new(), at: 0 }),
        };
        // Whatever fails while reading is either the store's own error or damage.
        let judge = |error: &io::Error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(error) => store_error(error),
            None if error.raw_os_error().is_some() => Store(ObjectsError::Folder {
                verb: "read",
                path: name.object().to_string().into(),
                source: io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default()),
            }),
            None => Damaged(Damage::Broken),
        };
        let mut plain = self.0.key.open(sealed).map_err(|error| match error {
            DecryptError::NoMatchingKeys => Damaged(Damage::OtherKey),
            DecryptError::Io(error) => judge(&error),
            _ => Damaged(Damage::Broken),
        })?;
        buffer.resize(BLOCK, 0);
        let (mut sha1, mut bytes) = (Sha1::new(), 0);
        loop {
            let read = fill(&mut plain, buffer).map_err(|error| judge(&error))?;
            sha1.update(&buffer[..read]);
            out.write_all(&buffer[..read]).map_err(Out)?;
            bytes += read as u64;
            if read < buffer.len() {
                break;
            }
        }
        match sha1.finish() {
            found if found == *name => Ok(bytes),
            found => Err(Damaged(Damage::Content { found })),
        }
    }
}

/// A store's stream as a reader, for a thread that may wait.
struct Streamed<'a, B> {
    handle: &'a Handle,
    stream: BoxStream<'static, object_store::Result<B>>,
    bytes: Vec<u8>,
    at: usize,
}

impl<B: AsRef<[u8]>> BufRead for Streamed<'_, B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.bytes.len() {
            match self.handle.block_on(self.stream.next()) {
                Some(Ok(bytes)) => {
                    self.bytes.clear();
                    self.bytes.extend_from_slice(bytes.as_ref());
                    self.at = 0;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => break,
            }
        }
        Ok(&self.bytes[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl<B: AsRef<[u8]>> Read for Streamed<'_, B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let read = there.len().min(out.len());
        out[..read].copy_from_slice(&there[..read]);
        self.consume(read);
        Ok(read)
    }
}
