//! SHA-1 as Odoo names files by it.
//!
//! It is broken as a proof of who made a file: two files of one SHA-1 can be made on purpose. Odoo refuses the second
//! while it has the first; the mirror holds whichever came first. Against damage it is as good as any.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::key::fill;
use super::name::FileName;

/// Bytes that are read and hashed at a time: they fit into the processor's cache.
pub(super) const BLOCK: usize = 256 << 10;

pub(super) struct Sha1(Context);

impl Sha1 {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> FileName {
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(self.0.finish().as_ref());
        FileName::new(sha1)
    }
}

/// The SHA-1 of `bytes`.
pub fn sha1_of(bytes: &[u8]) -> FileName {
    let mut sha1 = Sha1::new();
    sha1.update(bytes);
    sha1.finish()
}

/// The SHA-1 and the size of all that `from` gives.
pub(super) fn sha1_of_all(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<(FileName, u64)> {
    buffer.resize(BLOCK, 0);
    let (mut sha1, mut bytes) = (Sha1::new(), 0);
    loop {
        let read = fill(from, buffer)?;
        sha1.update(&buffer[..read]);
        bytes += read as u64;
        if read < buffer.len() {
            return Ok((sha1.finish(), bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha1() {
        assert_eq!(sha1_of(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sha1_of(b"").to_string(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let long = vec![b'a'; 1_000_000];
        let streamed = sha1_of_all(&mut long.as_slice(), &mut Vec::new()).unwrap();
        assert_eq!(streamed.0.to_string(), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        assert_eq!(streamed.1, 1_000_000);
    }
}
