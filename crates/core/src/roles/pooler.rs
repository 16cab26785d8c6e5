//! PgBouncer of one environment.
//!
//! The application database is pooled by transaction, the database `postgres` by session: Odoo does
//! all LISTEN/NOTIFY (bus, cron trigger) there, and notifications vanish in a transaction pool.
//! Installs and the queue runner go straight to PostgreSQL.

use std::collections::BTreeMap;

use serde::Serialize;
use springtide_capacity::budget::{NOTIFY, PER_CRON, PER_WORKER};

use super::{Inputs, WorkloadInputs, cpu_milli, file, mount, port, secret, tls_files, volume_path};
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::role::Role;
use crate::sizing::{LIVE_POOL, SizedEnvironment};
use crate::workload::{
    CONFIG_PATH, Limits, PortName, Probe, Root, SecretName, StopRule, StopSignal, Text, Volume, WorkloadId,
    WorkloadSpec,
};

/// All that the pooler depends on.
#[derive(Serialize)]
pub(crate) struct PoolerInputs<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    /// Cores of the environment.
    cpus: u32,
    application: u16,
    notify: u16,
    certificate_until: i64,
}

impl<'a> PoolerInputs<'a> {
    pub fn of(sized: &'a SizedEnvironment<'_>) -> Self {
        Self {
            name: &sized.environment.name,
            slot: sized.slot,
            cpus: sized.cpus,
            application: application_pool(sized),
            notify: notify_pool(sized),
            certificate_until: sized.certificate_until,
        }
    }
}

impl Inputs for PoolerInputs<'_> {}

impl WorkloadInputs for PoolerInputs<'_> {
    fn render(&self) -> WorkloadSpec {
        let Self { name, slot, .. } = self;
        let mut files =
            vec![file("pgbouncer.ini", Text::plain(self.ini()), true), file("users.txt", users(name), true)];
        files.extend(tls_files(name));
        WorkloadSpec {
            id: WorkloadId::of(name, Role::Pooler),
            made_from: None,
            root: Root::Host,
            command: vec!["pgbouncer".into(), format!("{CONFIG_PATH}/pgbouncer.ini")],
            env: BTreeMap::new(),
            files,
            volumes: vec![mount(Volume::PostgresSocket, true), mount(Volume::PoolerSocket, false)],
            bundles: Vec::new(),
            folders: Vec::new(),
            ports: BTreeMap::from([(PortName::Sql, port(*slot, Role::Pooler))]),
            user: slot.user(Role::Pooler),
            needs: Vec::new(),
            limits: Limits { cpu_milli: cpu_milli(self.cpus), memory_bytes: Some(512 << 20) },
            ready: Probe::Tcp { port: PortName::Sql },
            ready_within_s: 15,
            stop: StopRule { signal: StopSignal::Int, grace_s: 30 },
        }
    }
}

/// Server connections of the application database: what the budget grants its roles, less what
/// goes to `postgres` or around the pooler.
pub fn application_pool(sized: &SizedEnvironment<'_>) -> u16 {
    let workers = &sized.workers;
    // A cron process' third is its LISTEN.
    PER_WORKER * (workers.web + workers.jobs) + (PER_CRON - 1) * workers.cron + LIVE_POOL
}

/// Server connections of the database `postgres`: a LISTEN per cron process and event server, and
/// some for notifies, each of which Odoo sends over a new connection.
pub fn notify_pool(sized: &SizedEnvironment<'_>) -> u16 {
    sized.workers.cron + 1 + NOTIFY
}

impl PoolerInputs<'_> {
    fn ini(&self) -> String {
        let Self { name, slot, cpus: _, application, notify, certificate_until } = self;
        let database = name.database();
        let (socket, own) = (volume_path(Volume::PostgresSocket), volume_path(Volume::PoolerSocket));
        let (server, port) = (port(*slot, Role::Postgres), port(*slot, Role::Pooler));
        // Four times what all processes may open, so that a restart of all of them at once queues
        // instead of failing.
        let clients = 4 * u32::from(application + notify) * 3;
        format!(
            "; written by springtide; edits are replaced\n\
         ; and with them the certificate is read again, which ends at {certificate_until}\n\
         [databases]\n\
         {database} = host={socket} port={server} dbname={database} pool_mode=transaction pool_size={application} max_db_connections={application}\n\
         postgres = host={socket} port={server} dbname=postgres pool_mode=session pool_size={notify} max_db_connections={notify}\n\
         \n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir = {own}\n\
         unix_socket_mode = 0770\n\
         auth_type = scram-sha-256\n\
         auth_file = {CONFIG_PATH}/users.txt\n\
         stats_users = monitor\n\
         client_tls_sslmode = require\n\
         client_tls_cert_file = {CONFIG_PATH}/tls.crt\n\
         client_tls_key_file = {CONFIG_PATH}/tls.key\n\
         client_tls_protocols = secure\n\
         max_client_conn = {clients}\n\
         query_wait_timeout = 30\n\
         server_login_retry = 1\n\
         server_connect_timeout = 5\n\
         server_idle_timeout = 600\n\
         server_lifetime = 3600\n\
         ignore_startup_parameters = extra_float_digits\n\
         tcp_keepalive = 1\n\
         tcp_keepidle = 10\n\
         tcp_keepintvl = 3\n\
         tcp_keepcnt = 3\n\
         log_connections = 0\n\
         log_disconnections = 0\n\
         stats_period = 300\n"
        )
    }
}

/// Verifiers, the same as PostgreSQL holds: PgBouncer passes a client's SCRAM proof on with them.
fn users(name: &EnvironmentName) -> Text {
    let mut text = Text(Vec::new());
    for (user, verifier) in [
        ("owner", SecretName::DbOwnerVerifier),
        ("app", SecretName::DbAppVerifier),
        ("jobs", SecretName::DbJobsVerifier),
        ("report", SecretName::DbReportVerifier),
        ("monitor", SecretName::DbMonitorVerifier),
    ] {
        text.push(&format!("\"{user}\" \""));
        text.push_secret(secret(name, verifier));
        text.push("\"\n");
    }
    text
}
