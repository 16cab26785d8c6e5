//! Random values and the two password hashes: PostgreSQL's SCRAM verifier, Odoo's passlib hash.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
use pbkdf2::pbkdf2_hmac;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256, Sha512};

/// Rounds of PBKDF2. Odoo 19 asks for at least 600 000 and rehashes below that (`res_users.py`);
/// Odoo 14 accepts any number.
pub const ROUNDS: u32 = 600_000;

/// Letters and digits for passwords that only programs read: 62 characters, 5.95 bits each.
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The same without characters that people mix up (0 O o, 1 I l i, 2 Z z, 5 S s, 8 B, u v, V U).
const READABLE: &[u8] = b"ACDEFGHJKLMNPQRTWXYabcdefghjkmnpqrtwxy34679";

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed: {0}")]
pub struct RandomError(String);

/// Fills an array from the system's random source.
pub fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| RandomError(error.to_string()))?;
    Ok(bytes)
}

/// `length` characters of `alphabet`, each equally likely (bytes beyond the last whole multiple are
/// thrown away).
fn word(alphabet: &[u8], length: usize) -> Result<SecretString, RandomError> {
    let usable = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random::<64>()? {
            if usize::from(byte) < usable && text.len() < length {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
    }
    Ok(text.into())
}

/// Password of a database role: 32 letters and digits, 190 bits.
pub fn database_password() -> Result<SecretString, RandomError> {
    word(ALPHANUMERIC, 32)
}

/// Password that a person types once: 20 characters without look-alikes, 108 bits.
pub fn readable_password() -> Result<SecretString, RandomError> {
    word(READABLE, 20)
}

/// A random UUID (version 4) as text, the form Odoo gives its `database.secret`.
pub fn uuid() -> Result<SecretString, RandomError> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text.into())
}

/// A key of Fernet: 32 random bytes, base64 as in URLs.
pub fn fernet_key() -> Result<SecretString, RandomError> {
    Ok(URL_SAFE.encode(random::<32>()?).into())
}

/// Seed of an Ed25519 key: 32 random bytes in hex.
pub fn seed() -> Result<SecretString, RandomError> {
    Ok(random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// SHA-256 in hex, which Redis keeps in place of a password. Fast on purpose: the password has 190 bits.
pub fn sha256_hex(password: &SecretString) -> SecretString {
    let digest = Sha256::digest(password.expose_secret().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// SCRAM-SHA-256 verifier: what PostgreSQL stores instead of the password. 4096 rounds, as the
/// server's own; the password has 190 bits, so more would add nothing.
pub fn scram_verifier(password: &SecretString) -> SecretString {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes()).into()
}

/// passlib's `$pbkdf2-sha512$` hash with a random salt of 16 bytes.
pub fn odoo_hash(password: &[u8]) -> Result<SecretString, RandomError> {
    Ok(pbkdf2_sha512(password, &random::<16>()?, ROUNDS).into())
}

/// The database-manager hash of 32 random bytes that nobody keeps: it can never be matched.
pub fn unmatchable_hash() -> Result<SecretString, RandomError> {
    odoo_hash(&random::<32>()?)
}

fn pbkdf2_sha512(password: &[u8], salt: &[u8], rounds: u32) -> String {
    let mut digest = [0; 64];
    pbkdf2_hmac::<Sha512>(password, salt, rounds, &mut digest);
    format!("$pbkdf2-sha512${rounds}${}${}", ab64(salt), ab64(&digest))
}

/// passlib's "adapted base64": no padding, `.` for `+`.
fn ab64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes).replace('+', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by passlib 1.7.4: `pbkdf2_sha512.using(rounds=1000, salt=…).hash("password")`.
    #[test]
    fn known_passlib_vector() {
        let hash = "$pbkdf2-sha512$1000$RHY0Fr3IDMSVO/RSZyb5ow$SuSFW1Qv.P61h05wuOeNbEaZeDIFLM1B5ICytiHUNsoFLnrZebFPkPH0vX6Gg3.widY/njJVVN/L5H6szeknlA";
        let salt = STANDARD_NO_PAD.decode("RHY0Fr3IDMSVO/RSZyb5ow").unwrap();
        assert_eq!(pbkdf2_sha512(b"password", &salt, 1000), hash);
    }

    #[test]
    fn values_have_their_form() {
        let password = database_password().unwrap();
        assert_eq!(password.expose_secret().len(), 32);
        assert!(password.expose_secret().bytes().all(|b| b.is_ascii_alphanumeric()));
        let readable = readable_password().unwrap();
        assert_eq!(readable.expose_secret().len(), 20);
        assert!(!readable.expose_secret().contains(['0', 'O', 'o', '1', 'l', 'I', 'i', '5', 'S', 's', '8', 'B']));
        let key = fernet_key().unwrap();
        assert_eq!(URL_SAFE.decode(key.expose_secret()).unwrap().len(), 32);
        let hash = sha256_hex(&"abc".to_owned().into());
        let fips = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.expose_secret(), fips, "SHA-256 of FIPS 180-2");
        let id = uuid().unwrap();
        let parts: Vec<usize> = id.expose_secret().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(scram_verifier(&password).expose_secret().starts_with("SCRAM-SHA-256$4096:"));
    }
}
