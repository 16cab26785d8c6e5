//! Roles as workloads: pure functions from a sized environment to complete [`WorkloadSpec`]s.
//!
//! One file per part of the data path. Paths in configuration are as the workload sees them; a
//! driver puts files and folders there. Each role has a small struct of *inputs*, which is all that
//! its renderer gets: so a digest of the inputs is a digest of the workload, and plans compare tens
//! of thousands of workloads without writing the text of one.
//!
//! The rules that keep this right: nothing here reads anything, a secret is only ever a reference,
//! and a change of any text raises [`RENDER_VERSION`] (a test compares all texts with those of the
//! version).

pub mod archive;
pub mod odoo;
pub mod pooler;
pub mod postgres;
pub mod proxy;
pub mod route;
pub mod runtime;
pub mod sessions;

use serde::Serialize;

use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::role::Role;
use crate::sizing::SizedEnvironment;
use crate::workload::{FileSpec, SecretName, SecretRef, Text, Volume, VolumeMount, WorkloadSpec};

/// Part of every digest; raised whenever equal inputs give another text.
pub const RENDER_VERSION: u16 = 6;

/// What a workload or route is rendered from, whole: the renderer gets nothing else.
pub(crate) trait Inputs: Serialize + Sized {
    /// Names exactly what is rendered from these inputs.
    fn digest(&self) -> Digest {
        Digest::of(&(RENDER_VERSION, self))
    }
}

/// Inputs of a role that runs.
pub(crate) trait WorkloadInputs: Inputs {
    /// The text of everything.
    fn render(&self) -> WorkloadSpec;

    /// The workload, with the digest of its inputs.
    fn workload(&self) -> WorkloadSpec {
        WorkloadSpec { made_from: Some(self.digest()), ..self.render() }
    }
}

/// The workload of a role of an environment.
///
/// # Panics
/// If the role belongs to the estate (see [`proxy`]), since callers iterate [`Role::ENVIRONMENT`];
/// if the slot has no ports, since plans refuse those.
pub fn workload(sized: &SizedEnvironment<'_>, role: Role) -> WorkloadSpec {
    match role {
        Role::Postgres => postgres::PostgresInputs::of(sized).workload(),
        Role::Pooler => pooler::PoolerInputs::of(sized).workload(),
        Role::Sessions => sessions::SessionsInputs::of(sized).workload(),
        Role::Web | Role::Live | Role::Cron | Role::Jobs => odoo::OdooInputs::of(sized, role).workload(),
        Role::Notice | Role::Proxy => unreachable!("roles of the estate are not made from an environment"),
    }
}

/// The digest that [`workload`] would have, without its text.
pub fn digest(sized: &SizedEnvironment<'_>, role: Role) -> Digest {
    match role {
        Role::Postgres => postgres::PostgresInputs::of(sized).digest(),
        Role::Pooler => pooler::PoolerInputs::of(sized).digest(),
        Role::Sessions => sessions::SessionsInputs::of(sized).digest(),
        Role::Web | Role::Live | Role::Cron | Role::Jobs => odoo::OdooInputs::of(sized, role).digest(),
        Role::Notice | Role::Proxy => unreachable!("roles of the estate are not made from an environment"),
    }
}

/// A port that a plan has seen to exist.
fn port(slot: Slot, role: Role) -> u16 {
    slot.port(role).expect("the role listens, and plans refuse slots beyond the last port")
}

/// What a role of an environment may take of the machine's cores: all that the environment has, since it
/// is sized for them, and no more. The limit is of each role, not of their sum: a role at its limit leaves
/// the others of its environment what they have.
fn cpu_milli(cpus: u32) -> Option<u32> {
    Some(cpus.saturating_mul(1000))
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

fn secret(environment: &EnvironmentName, name: SecretName) -> SecretRef {
    SecretRef { environment: Some(environment.clone()), name }
}

fn secret_file(name: &str, secret: SecretRef) -> FileSpec {
    let mut content = Text(Vec::new());
    content.push_secret(secret);
    file(name, content, false)
}

/// Certificate and key of the environment, for TLS between its own parts.
fn tls_files(environment: &EnvironmentName) -> [FileSpec; 2] {
    [
        secret_file("tls.crt", secret(environment, SecretName::Certificate)),
        secret_file("tls.key", secret(environment, SecretName::CertificateKey)),
    ]
}

/// The authority's certificate, to check the other side.
fn authority_file() -> FileSpec {
    secret_file("ca.crt", SecretRef { environment: None, name: SecretName::AuthorityCertificate })
}
