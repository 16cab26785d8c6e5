//! The environment's key for its files: what is pushed is encrypted for it, in a stream.
//!
//! Encryption is age with one X25519 recipient. It shows damage, and not who wrote: whoever knows the public key can
//! write an object that decrypts. So every reader proves the SHA-1 as well.

use std::io::{self, Read, Write};
use std::ops::RangeInclusive;

use age::stream::{StreamReader, StreamWriter};
use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::error::FilesError;

/// Bytes of plain text that age seals together, and what that adds.
const CHUNK: u64 = 64 << 10;
const TAG: u64 = 16;
/// Shortest and longest header with its nonce: age adds a stanza of random length.
const HEADER: (u64, u64) = (180, 512);

/// An environment's key for its filestore's mirrors. Has no `Debug` that shows it.
#[derive(Clone)]
pub struct FilesKey {
    identity: Identity,
    recipient: Recipient,
}

impl std::fmt::Debug for FilesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilesKey").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl FilesKey {
    /// A new key.
    pub fn generate() -> Self {
        let identity = Identity::generate();
        Self { recipient: identity.to_public(), identity }
    }

    /// Reads `AGE-SECRET-KEY-1…`, as [`FilesKey::secret`] gives it.
    ///
    /// # Errors
    /// [`FilesError::Key`] for anything else.
    pub fn parse(text: &SecretString) -> Result<Self, FilesError> {
        let identity: Identity = text.expose_secret().trim().parse().map_err(|_| FilesError::Key)?;
        Ok(Self { recipient: identity.to_public(), identity })
    }

    /// The key as it is kept among the secrets.
    pub fn secret(&self) -> SecretString {
        self.identity.to_string()
    }

    /// Tells keys apart; says nothing about them.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.recipient.to_string().as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Encrypts what is written into it; `finish` must be called.
    pub(super) fn seal<W: Write>(&self, out: W) -> io::Result<StreamWriter<W>> {
        let recipient: &dyn age::Recipient = &self.recipient;
        Encryptor::with_recipients(std::iter::once(recipient)).map_err(io::Error::other)?.wrap_output(out)
    }

    /// Decrypts what is read from it. Damage of the body shows while reading.
    pub(super) fn open<R: io::BufRead>(&self, sealed: R) -> Result<StreamReader<R>, DecryptError> {
        let identity: &dyn age::Identity = &self.identity;
        Decryptor::new_buffered(sealed)?.decrypt(std::iter::once(identity))
    }
}

/// Sizes that an object of `plain` bytes may have. One outside was cut off, which a listing shows without reading it.
pub(super) fn sealed_sizes(plain: u64) -> RangeInclusive<u64> {
    let body = plain + TAG * plain.div_ceil(CHUNK).max(1);
    HEADER.0 + body..=HEADER.1 + body
}

/// Reads exactly as much as there is, up to the buffer's length: less only at the end.
pub(super) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &FilesKey, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seal = key.seal(&mut out).unwrap();
        seal.write_all(plain).unwrap();
        seal.finish().unwrap();
        out
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_only_and_has_a_size_that_is_known() {
        let (key, other) = (FilesKey::generate(), FilesKey::generate());
        let again = FilesKey::parse(&key.secret()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_ne!(other.fingerprint(), key.fingerprint());
        for size in [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let plain = vec![7_u8; size];
            let bytes = sealed(&key, &plain);
            let sizes = sealed_sizes(size as u64);
            assert!(sizes.contains(&(bytes.len() as u64)), "{size}: {} is not in {sizes:?}", bytes.len());
            let mut back = Vec::new();
            again.open(bytes.as_slice()).unwrap().read_to_end(&mut back).unwrap();
            assert_eq!(back, plain);
            assert!(matches!(other.open(bytes.as_slice()), Err(DecryptError::NoMatchingKeys)));
        }
        // The random part of the header stays within its bounds.
        for _ in 0..2_000 {
            assert!(sealed_sizes(3).contains(&(sealed(&key, b"abc").len() as u64)));
        }
    }

    #[test]
    fn nothing_else_is_a_key_and_none_is_shown() {
        for bad in ["", "AGE-SECRET-KEY-1", "age1qqqq", "hunter2"] {
            assert!(matches!(FilesKey::parse(&bad.to_owned().into()), Err(FilesError::Key)), "{bad}");
        }
        let key = FilesKey::generate();
        assert!(!format!("{key:?}").contains(&key.secret().expose_secret()[15..30]));
    }
}
