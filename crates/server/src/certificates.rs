//! Certificates: a local authority per estate, and 90-day certificates of the environments.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use springtide_core::plan::environment::new_certificate_until;
use time::{Duration, OffsetDateTime};

/// Seconds the authority is good for: ten years.
const AUTHORITY_S: i64 = 3650 * 86_400;

/// A certificate and its key, PEM. Has no `Debug`.
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: String,
    /// End, seconds since 1970.
    pub until: i64,
}

/// Makes the authority of `estate`, good for ten years.
pub fn authority(estate: &str, now: i64) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Springtide authority of {estate}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let until = span(&mut params, now, AUTHORITY_S);
    let certificate = params.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem(), until })
}

/// Issues a certificate for `host`, also for the environment's own parts on 127.0.0.1.
pub fn issue(authority: &str, authority_key: &str, host: &str, now: i64) -> Result<Pair, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned(), "localhost".to_owned()])?;
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let until = span(&mut params, now, new_certificate_until(now) - now);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem(), until })
}

/// Valid from an hour ago (clocks differ) for `seconds`; returns the end.
fn span(params: &mut CertificateParams, now: i64, seconds: i64) -> i64 {
    let now = OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::seconds(seconds);
    params.not_after.unix_timestamp()
}
