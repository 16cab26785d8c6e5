//! Signed records: a proof as JSON with an Ed25519 signature of the estate's key.
//!
//! The signature is over the record's canonical JSON, and a file counts only if it is, byte by byte, what this
//! program writes for what it reads. So no changed byte goes unseen, not even one between the words.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use springtide_core::proof::Record;

use crate::hash::{RandomError, random};

/// What is signed begins with this, so that a signature over something else is none over a record.
const CONTEXT: &[u8] = b"springtide proof\n";

/// Why a record cannot be signed or is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// The key is not one of ours.
    #[error("the signing key is not 32 bytes in base64")]
    Key,
    /// The bytes are not a signed record as this program writes it.
    #[error("this is not a signed proof as it was written: {0}")]
    Form(String),
    /// The signature is not of that key over this record.
    #[error("the signature does not fit: the proof was changed or signed by another estate")]
    Signature,
    /// The verdict does not follow from what was seen.
    #[error("the verdict of the proof does not follow from its stages")]
    Verdict,
}

impl SignedError {
    /// Code for people and `springtide explain`.
    pub fn code(&self) -> &'static str {
        match self {
            SignedError::Key => "E1030",
            SignedError::Form(_) | SignedError::Signature | SignedError::Verdict => "E1031",
        }
    }
}

/// A record on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    record: Record,
    /// Public key, base64.
    key: String,
    /// Signature, base64.
    signature: String,
}

/// The estate's key for proofs.
pub struct ProofKey(Ed25519KeyPair);

impl ProofKey {
    /// A new key, in the form in which it is kept as a secret: 32 random bytes in base64.
    pub fn generate() -> Result<SecretString, RandomError> {
        Ok(STANDARD_NO_PAD.encode(random::<32>()?).into())
    }

    /// The key of a secret.
    pub fn of(secret: &SecretString) -> Result<Self, SignedError> {
        let seed = STANDARD_NO_PAD.decode(secret.expose_secret()).map_err(|_| SignedError::Key)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| SignedError::Key)
    }

    /// The public half, base64: what a verifier is given.
    pub fn public(&self) -> String {
        STANDARD_NO_PAD.encode(self.0.public_key().as_ref())
    }

    /// The record as it is kept, signed.
    ///
    /// # Errors
    /// [`SignedError::Verdict`] for a record whose verdict does not follow: nobody signs that.
    pub fn sign(&self, record: &Record) -> Result<Vec<u8>, SignedError> {
        if !record.agrees() {
            return Err(SignedError::Verdict);
        }
        let signature = STANDARD_NO_PAD.encode(self.0.sign(&message(record)?).as_ref());
        write(&Envelope { record: record.clone(), key: self.public(), signature })
    }
}

fn message(record: &Record) -> Result<Vec<u8>, SignedError> {
    let mut bytes = CONTEXT.to_vec();
    serde_json::to_writer(&mut bytes, record).map_err(|error| SignedError::Form(error.to_string()))?;
    Ok(bytes)
}

fn write(envelope: &Envelope) -> Result<Vec<u8>, SignedError> {
    let mut bytes = serde_json::to_vec(envelope).map_err(|error| SignedError::Form(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a signed record and believes it only if `public` signed exactly this.
pub fn verify(bytes: &[u8], public: &str) -> Result<Record, SignedError> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| SignedError::Form(error.to_string()))?;
    if write(&envelope)? != bytes {
        return Err(SignedError::Form("its bytes are not those that were written".to_owned()));
    }
    if envelope.key != public {
        return Err(SignedError::Signature);
    }
    let key = STANDARD_NO_PAD.decode(public).map_err(|_| SignedError::Key)?;
    let signature = STANDARD_NO_PAD.decode(&envelope.signature).map_err(|_| SignedError::Signature)?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&message(&envelope.record)?, &signature)
        .map_err(|_| SignedError::Signature)?;
    if envelope.record.agrees() { Ok(envelope.record) } else { Err(SignedError::Verdict) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use springtide_core::proof::{Outcome, Sizes, Stage, StageResult, Verdict};

    fn record() -> Record {
        let passed = StageResult {
            outcome: Outcome::Passed,
            ms: 12,
            figures: [("files".to_owned(), 4_000)].into(),
            notes: vec!["stock: not applicable".into()],
        };
        Record {
            form: Record::FORM,
            environment: "shop".into(),
            set: "20261124-020000F".into(),
            target_lsn: "0/16B3748".into(),
            target_time: Some("2026-11-24T03:00:00Z".into()),
            sizes: Sizes { database: 1 << 30, filestore: 1 << 20 },
            required: [Stage::Fetch, Stage::Open].into(),
            stages: [(Stage::Fetch, passed.clone()), (Stage::Open, passed)].into(),
            tools: [("postgres".to_owned(), "15.18".to_owned())].into(),
            verdict: Verdict::Proven,
            at: "2026-11-24T04:00:00Z".into(),
        }
    }
    fn key() -> ProofKey {
        ProofKey::of(&ProofKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn only_the_right_key_and_a_verdict_that_follows() {
        let (ours, other) = (key(), key());
        let signed = ours.sign(&record()).unwrap();
        assert_eq!(verify(&signed, &ours.public()).unwrap(), record());
        assert!(matches!(verify(&signed, &other.public()), Err(SignedError::Signature)));
        assert!(matches!(ours.sign(&Record { verdict: Verdict::Failed, ..record() }), Err(SignedError::Verdict)));
        // Signed by the right key, and yet the verdict is made up.
        let wrong = Record { stages: Default::default(), ..record() };
        let signature = STANDARD_NO_PAD.encode(ours.0.sign(&message(&wrong).unwrap()).as_ref());
        let bytes = write(&Envelope { record: wrong, key: ours.public(), signature }).unwrap();
        assert!(matches!(verify(&bytes, &ours.public()), Err(SignedError::Verdict)));
        // Another estate's key in the file and its signature: believed by nobody who has ours.
        assert!(verify(&other.sign(&record()).unwrap(), &ours.public()).is_err());
        assert!(ProofKey::of(&"c2hvcnQ".to_owned().into()).is_err());
    }

    #[test]
    fn words_between_are_seen_too() {
        let ours = key();
        let signed = ours.sign(&record()).unwrap();
        let mut spaced = b" ".to_vec();
        spaced.extend(&signed);
        assert!(matches!(verify(&spaced, &ours.public()), Err(SignedError::Form(_))));
        let text = String::from_utf8(signed).unwrap();
        let more = text.replacen("\"ms\":12", "\"ms\":12,\"more\":1", 1);
        assert!(verify(more.as_bytes(), &ours.public()).is_err(), "a field that nobody signed");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn any_changed_byte_is_seen(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>()) {
            let ours = key();
            let mut signed = ours.sign(&record()).unwrap();
            let at = at.index(signed.len());
            if cut {
                signed.remove(at);
            } else {
                prop_assume!(signed[at] != to);
                signed[at] = to;
            }
            // A repeated letter may be removed at either place; what is left is the same and shorter.
            prop_assert!(verify(&signed, &ours.public()).is_err());
        }
    }
}
