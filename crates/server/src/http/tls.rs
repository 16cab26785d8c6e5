//! TLS in front of the same pages and API, for addresses that others can reach.
//!
//! Certificate and key come from files of whoever runs the server and are read at its start. A key that everybody
//! may read, or that is another certificate's, is refused then, not at the first connection. What comes in here
//! carries [`OverTls`], by which cookies are marked `Secure`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// Stands among the extensions of requests that came over TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// Why TLS cannot be offered. No text of it holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Everybody on this machine may read the key.
    #[error("everybody on this machine may read the key {}", .0.display())]
    Open(PathBuf),
    /// A file does not hold what it should.
    #[error("there is no {what} in {} (PEM)", path.display())]
    Empty {
        /// `certificate` or `private key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// The key is another certificate's, or of a kind that cannot be used.
    #[error("the certificate in {} cannot be used with that key", certificate.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: Error,
    },
}

/// Certificate and key, ready for connections. Has no `Debug`.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads a certificate with its chain and its private key, PEM files both.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = pem(certificate)?;
        let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::Empty { what: "certificate", path: certificate.to_owned() })?;
        let mode = std::fs::metadata(key).map_err(unreadable(key))?.permissions().mode();
        if mode & 0o004 != 0 {
            return Err(TlsError::Open(key.to_owned()));
        }
        let private = PrivateKeyDer::from_pem_slice(&pem(key)?)
            .map_err(|_| TlsError::Empty { what: "private key", path: key.to_owned() })?;
        let unfit = |source| TlsError::Unfit { certificate: certificate.to_owned(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

fn pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(unreadable(path))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Unreadable { path, source }
}
