//! Roles as workloads: pure functions from a sized environment to complete [`WorkloadSpec`]s.
//!
//! One file per part of the data path. Paths in configuration are as the workload sees them; a
//! driver puts files and folders there. The rule that keeps this right: nothing here reads
//! anything, and a secret is only ever a reference.

pub mod odoo;
pub mod pooler;
pub mod postgres;
pub mod proxy;
pub mod route;

use crate::digest::Digest;
use crate::role::Role;
use crate::sizing::SizedEnvironment;
use crate::workload::{FileSpec, SecretName, SecretRef, Text, Volume, VolumeMount, WorkloadSpec};

/// The workload of a role of an environment.
///
/// # Panics
/// If the role belongs to the estate (see [`proxy`]); callers iterate [`Role::ENVIRONMENT`].
pub fn workload(sized: &SizedEnvironment<'_>, role: Role) -> WorkloadSpec {
    match role {
        Role::Postgres => postgres::workload(sized),
        Role::Pooler => pooler::workload(sized),
        Role::Web | Role::Live | Role::Cron | Role::Jobs => odoo::workload(sized, role),
        Role::Notice | Role::Proxy => unreachable!("roles of the estate are not made from an environment"),
    }
}

/// Digest of the workload of a role of an environment; see [`workload`].
pub fn digest(sized: &SizedEnvironment<'_>, role: Role) -> Digest {
    workload(sized, role).digest()
}

/// Where a workload sees a volume.
pub(crate) fn volume_path(volume: Volume) -> String {
    format!("/srv/springtide/{}", volume.as_str())
}

fn mount(volume: Volume, read_only: bool) -> VolumeMount {
    VolumeMount { volume, at: volume_path(volume), read_only }
}

fn file(name: &str, content: Text, reloadable: bool) -> FileSpec {
    FileSpec { name: name.to_owned(), content, reloadable }
}

fn secret(sized: &SizedEnvironment<'_>, name: SecretName) -> SecretRef {
    SecretRef { environment: Some(sized.environment.name.clone()), name }
}

fn secret_file(name: &str, secret: SecretRef) -> FileSpec {
    let mut content = Text(Vec::new());
    content.push_secret(secret);
    file(name, content, false)
}

/// Certificate and key of the environment, for TLS between its own parts.
fn tls_files(sized: &SizedEnvironment<'_>) -> [FileSpec; 2] {
    [
        secret_file("tls.crt", secret(sized, SecretName::Certificate)),
        secret_file("tls.key", secret(sized, SecretName::CertificateKey)),
    ]
}

/// The authority's certificate, to check the other side.
fn authority_file() -> FileSpec {
    secret_file("ca.crt", SecretRef { environment: None, name: SecretName::AuthorityCertificate })
}
