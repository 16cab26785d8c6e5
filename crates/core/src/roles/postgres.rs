//! PostgreSQL of one environment: own instance, TLS and SCRAM on the wire, tuned by formula.
//!
//! `postgresql.conf` holds what needs a restart, `tuning.conf` what a reload takes over. Everything
//! over TCP is TLS; the Unix socket is for the pooler (SCRAM) and for the administrator (peer).
//!
//! It has a limit of cores and none of memory: at a memory limit the kernel kills one backend, and
//! PostgreSQL then ends all others and recovers, because shared memory may be damaged. So one large query
//! would throw everybody out. What it may take is bounded by its own parameters instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use springtide_capacity::postgres::PostgresSettings;

use super::archive::{self, ArchiveInputs};
use super::{Inputs, WorkloadInputs, cpu_milli, file, mount, port, tls_files, volume_path};
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::role::Role;
use crate::sizing::SizedEnvironment;
use crate::workload::{
    CONFIG_PATH, Limits, PortName, Probe, Root, StopRule, StopSignal, Text, Volume, WorkloadId, WorkloadSpec,
};

const MIB: u64 = 1 << 20;
/// Who may be whom by the kernel's word. The server's own user owns every file of the database, so
/// it may as well be the administrator: `springtide exec` enters as that user.
const IDENT: &str = "admin root postgres\nadmin root monitor\nadmin springtide-postgres postgres\n";

/// All that the database server depends on.
#[derive(Serialize)]
pub(crate) struct PostgresInputs<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    /// Cores of the environment.
    cpus: u32,
    settings: PostgresSettings,
    certificate_until: i64,
    /// Where its write-ahead log goes; none if it has no backups.
    archive: Option<ArchiveInputs<'a>>,
}

impl<'a> PostgresInputs<'a> {
    pub fn of(sized: &'a SizedEnvironment<'_>) -> Self {
        Self {
            name: &sized.environment.name,
            slot: sized.slot,
            cpus: sized.cpus,
            settings: sized.settings,
            certificate_until: sized.certificate_until,
            archive: sized.environment.backup.as_ref().map(ArchiveInputs::of),
        }
    }
}

impl Inputs for PostgresInputs<'_> {}

impl WorkloadInputs for PostgresInputs<'_> {
    fn render(&self) -> WorkloadSpec {
        let Self { name, slot, cpus, settings, certificate_until, archive } = self;
        let port = port(*slot, Role::Postgres);
        let mut files = vec![
            file("postgresql.conf", Text::plain(main_conf(name, settings, port)), false),
            file("tuning.conf", Text::plain(tuning_conf(name, settings, *certificate_until, *archive)), true),
            file("pg_hba.conf", Text::plain(hba_conf()), true),
            file("pg_ident.conf", Text::plain(IDENT), true),
        ];
        files.extend(tls_files(name));
        files.extend(archive::files(name, *slot, *cpus, settings.max_wal_size, *archive));
        let mut volumes = vec![mount(Volume::PostgresData, false), mount(Volume::PostgresSocket, false)];
        volumes.extend(archive::volumes(*archive));
        WorkloadSpec {
            id: WorkloadId::of(name, Role::Postgres),
            made_from: None,
            root: Root::Host,
            command: vec![
                "postgres".into(),
                "-D".into(),
                volume_path(Volume::PostgresData),
                "-c".into(),
                format!("config_file={CONFIG_PATH}/postgresql.conf"),
            ],
            env: BTreeMap::new(),
            files,
            volumes,
            bundles: Vec::new(),
            folders: archive::folders(*archive),
            ports: BTreeMap::from([(PortName::Sql, port)]),
            user: slot.user(Role::Postgres),
            needs: Vec::new(),
            limits: Limits { cpu_milli: cpu_milli(*cpus), memory_bytes: None },
            ready: Probe::Postgres { port: PortName::Sql },
            // Crash recovery replays up to max_wal_size; 50 MB/s is what a slow disk does.
            ready_within_s: 120,
            stop: StopRule { signal: StopSignal::Int, grace_s: 120 },
        }
    }
}

fn main_conf(name: &EnvironmentName, settings: &PostgresSettings, port: u16) -> String {
    let data = volume_path(Volume::PostgresData);
    let socket = volume_path(Volume::PostgresSocket);
    format!(
        "# written by springtide; edits are replaced\n\
         data_directory = '{data}'\n\
         hba_file = '{CONFIG_PATH}/pg_hba.conf'\n\
         ident_file = '{CONFIG_PATH}/pg_ident.conf'\n\
         cluster_name = '{name}'\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{socket}'\n\
         unix_socket_permissions = 0770\n\
         max_connections = {max}\n\
         superuser_reserved_connections = 3\n\
         shared_buffers = {buffers}MB\n\
         ssl = on\n\
         ssl_cert_file = '{CONFIG_PATH}/tls.crt'\n\
         ssl_key_file = '{CONFIG_PATH}/tls.key'\n\
         ssl_min_protocol_version = 'TLSv1.2'\n\
         password_encryption = scram-sha-256\n\
         shared_preload_libraries = 'pg_stat_statements'\n\
         pg_stat_statements.max = 10000\n\
         wal_level = replica\n\
         archive_mode = on\n\
         wal_buffers = 16MB\n\
         autovacuum_max_workers = {autovacuum}\n\
         include '{CONFIG_PATH}/tuning.conf'\n",
        max = settings.max_connections,
        buffers = settings.shared_buffers / MIB,
        autovacuum = settings.autovacuum_workers,
    )
}

fn tuning_conf(
    name: &EnvironmentName,
    settings: &PostgresSettings,
    certificate_until: i64,
    archive: Option<ArchiveInputs<'_>>,
) -> String {
    // The last line is for a renewed certificate: this file differs, and a reload reads both.
    let mut conf = format!(
        "# written by springtide; a reload takes these over\n# and the certificate that ends at {certificate_until}\n"
    );
    let sizes = [
        ("effective_cache_size", settings.effective_cache_size),
        ("work_mem", settings.work_mem),
        ("maintenance_work_mem", settings.maintenance_work_mem),
        ("autovacuum_work_mem", settings.autovacuum_work_mem),
        ("max_wal_size", settings.max_wal_size),
        ("min_wal_size", settings.max_wal_size / 4),
    ];
    for (name, bytes) in sizes {
        let _ = writeln!(conf, "{name} = {}MB", bytes / MIB);
    }
    conf.push_str(
        "checkpoint_timeout = 15min\n\
         checkpoint_completion_target = 0.9\n\
         wal_compression = on\n\
         random_page_cost = 1.1\n\
         effective_io_concurrency = 200\n\
         jit = off\n\
         max_parallel_workers_per_gather = 0\n\
         default_statistics_target = 100\n\
         autovacuum_naptime = 15s\n\
         autovacuum_vacuum_cost_delay = 2ms\n\
         autovacuum_vacuum_cost_limit = 1000\n\
         autovacuum_vacuum_scale_factor = 0.05\n\
         autovacuum_analyze_scale_factor = 0.02\n\
         autovacuum_vacuum_insert_scale_factor = 0.05\n\
         tcp_keepalives_idle = 10\n\
         tcp_keepalives_interval = 3\n\
         tcp_keepalives_count = 3\n\
         client_connection_check_interval = 10s\n\
         track_io_timing = on\n\
         log_lock_waits = on\n\
         deadlock_timeout = 1s\n\
         log_min_duration_statement = 1s\n\
         log_temp_files = 10MB\n\
         log_autovacuum_min_duration = 5s\n\
         log_checkpoints = on\n\
         log_line_prefix = '%m [%p] %q%u@%d %a '\n\
         log_timezone = 'UTC'\n\
         timezone = 'UTC'\n",
    );
    conf.push_str(&archive::settings(name, archive));
    conf
}

fn hba_conf() -> String {
    "# written by springtide; edits are replaced\n\
     # administrator and probe: by the kernel's word over the Unix socket\n\
     local all postgres peer map=admin\n\
     local all monitor peer map=admin\n\
     # the pooler on the same machine\n\
     local all owner,app,jobs,report scram-sha-256\n\
     # everything on the wire is TLS\n\
     hostssl all owner,app,jobs,report,monitor 127.0.0.1/32 scram-sha-256\n\
     hostssl replication backup 127.0.0.1/32 scram-sha-256\n\
     hostssl postgres backup 127.0.0.1/32 scram-sha-256\n\
     hostnossl all all all reject\n"
        .to_owned()
}
