//! Odoo's roles: the same code, four processes, each with its own `odoo.conf`.
//!
//! - *web*: prefork, no crons, no job runner. Its master always starts a gevent child as well; that
//!   child gets a port nobody routes to.
//! - *live*: the gevent server alone.
//! - *cron*: prefork without HTTP; the only process that runs scheduled actions.
//! - *jobs*: prefork with `queue_job` server-wide and its runner; the only one that serves jobs.
//!
//! All of them load the runtime add-on ([`runtime`]): sessions, health routes, request lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{Inputs, WorkloadInputs, authority_file, cpu_milli, file, mount, runtime, secret, sessions, volume_path};
use crate::check::CheckedEnvironment;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{EnvironmentName, HostName};
use crate::role::Role;
use crate::series::Series;
use crate::sizing::{LIVE_POOL, SizedEnvironment};
use crate::workload::{
    CONFIG_PATH, Limits, PortName, Probe, Root, SecretName, StopRule, StopSignal, Text, Volume, WorkloadId,
    WorkloadSpec,
};

/// Seconds a request may take (`limit_time_real`, Odoo's default).
pub const LIMIT_TIME_REAL: u32 = 120;
/// Folders with addons, as Odoo sees them: its own and what the root's recipe adds (`queue_job`).
pub const ADDONS_PATH: &str = "/usr/lib/python3/dist-packages/odoo/addons,/srv/springtide/addons";
const CONF: &str = "odoo.conf";

/// All that one of Odoo's roles depends on.
#[derive(Serialize)]
pub(crate) struct OdooInputs<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    /// Cores of the environment.
    cpus: u32,
    /// What the readiness probe asks for, if it asks over HTTP.
    host: Option<&'a HostName>,
    series: Series,
    role: Role,
    /// Workers, or cron processes; the event server is one of neither.
    processes: u16,
    /// The runtime add-on.
    runtime: Digest,
}

impl<'a> OdooInputs<'a> {
    pub fn of(sized: &'a SizedEnvironment<'_>, role: Role) -> Self {
        let environment = sized.environment.as_ref();
        let processes = match role {
            Role::Web => sized.workers.web,
            Role::Cron => sized.workers.cron,
            Role::Jobs => sized.workers.jobs,
            _ => 0,
        };
        let CheckedEnvironment { name, host, series, .. } = environment;
        let probed = match role {
            Role::Web => true,
            Role::Live => series.profile().event.health.is_some(),
            _ => false,
        };
        let host = probed.then_some(host);
        let (slot, cpus, runtime) = (sized.slot, sized.cpus, runtime::digest());
        Self { name, slot, cpus, host, series: *series, role, processes, runtime }
    }
}

impl Inputs for OdooInputs<'_> {}

impl WorkloadInputs for OdooInputs<'_> {
    fn render(&self) -> WorkloadSpec {
        let Self { name, slot, cpus: _, host, series, role, processes: _, runtime } = *self;
        let config = format!("{CONFIG_PATH}/{CONF}");
        let mut command = vec!["/usr/bin/odoo".to_owned()];
        match role {
            // `gevent` must be the first argument: Odoo looks there before it patches sockets.
            Role::Live => command.extend(["gevent".into(), "-c".into(), config]),
            Role::Cron => command.extend(["-c".into(), config, "--no-http".into()]),
            _ => command.extend(["-c".into(), config]),
        }
        let profile = series.profile();
        let http = |path: &str| Probe::Http {
            port: if role == Role::Live { PortName::Event } else { PortName::Http },
            path: path.replace("{database}", &name.database()),
            host: host.map_or_else(String::new, HostName::to_string),
            cookie: None,
            status: 200,
        };
        let ready = match role {
            Role::Web => http(&profile.health.ready),
            Role::Live => match &profile.event.health {
                Some(path) => http(path),
                None => Probe::Tcp { port: PortName::Event },
            },
            Role::Jobs => Probe::Tcp { port: PortName::Http },
            _ => Probe::Alive { seconds: 3 },
        };
        let mut ports = BTreeMap::new();
        if let Some(port) = slot.port(role) {
            ports.insert(if role == Role::Live { PortName::Event } else { PortName::Http }, port);
        }
        let (session_files, session_variables) = sessions::of_odoo(name);
        let mut env = variables(name, series, role);
        env.extend(session_variables);
        if role != Role::Cron {
            env.insert("SPRINGTIDE_REQUEST_LOG".to_owned(), Text::plain("1"));
        }
        let mut files = vec![file(CONF, self.conf(), false), authority_file()];
        files.extend(session_files);
        WorkloadSpec {
            id: WorkloadId::of(name, role),
            made_from: None,
            root: Root::Odoo(series),
            command,
            env,
            files,
            volumes: vec![mount(Volume::OdooData, false), mount(Volume::SessionsSocket, true)],
            bundles: vec![runtime::mount(runtime)],
            folders: Vec::new(),
            ports,
            user: slot.user(role),
            // Odoo ends while it starts if it cannot ask whether its database exists.
            needs: vec![Role::Postgres, Role::Pooler],
            limits: self.limits(),
            ready,
            ready_within_s: 90,
            stop: StopRule {
                signal: StopSignal::Term,
                grace_s: if role == Role::Live { 10 } else { LIMIT_TIME_REAL + 10 },
            },
        }
    }
}

/// Variables of every Odoo process; 19 lets variables win over the file, so there are few.
pub fn env(sized: &SizedEnvironment<'_>, role: Role) -> BTreeMap<String, Text> {
    variables(&sized.environment.name, sized.environment.series, role)
}

fn variables(environment: &EnvironmentName, series: Series, role: Role) -> BTreeMap<String, Text> {
    // NAMEDATALEN cuts at 63 bytes; a name of 40 + 16 fits.
    let name = format!("springtide/{environment}/{role}");
    BTreeMap::from([
        (series.profile().application_name_variable.clone(), Text::plain(name)),
        ("PGSSLROOTCERT".to_owned(), Text::plain(format!("{CONFIG_PATH}/ca.crt"))),
    ])
}

impl OdooInputs<'_> {
    /// The container's memory is sized from resident bytes, not from Odoo's limits, which count virtual
    /// ones: twice what the processes of the role should hold, so that only a leak meets it.
    fn limits(&self) -> Limits {
        let processes = u64::from(match self.role {
            Role::Web => self.processes + 2,
            Role::Cron => self.processes + 1,
            Role::Jobs => self.processes + 3,
            _ => 2,
        });
        let memory_bytes = Some(2 * processes * springtide_capacity::workers::WORKER_MEMORY);
        Limits { cpu_milli: cpu_milli(self.cpus), memory_bytes }
    }

    /// `odoo.conf` of the role.
    fn conf(&self) -> Text {
        let Self { name, slot, cpus: _, host: _, series, role, processes, runtime: _ } = *self;
        let (prefork, crons) = match role {
            Role::Web | Role::Jobs => (processes, 0),
            Role::Cron => (1, processes),
            _ => (0, 0),
        };
        // Small on purpose: the pool is per process, and 64 (the default) times nine processes is 576.
        let db_maxconn = match role {
            Role::Live => LIVE_POOL,
            _ => 8,
        };
        let (user, password) = match role {
            Role::Jobs => ("jobs", SecretName::DbJobs),
            _ => ("app", SecretName::DbApp),
        };
        let profile = series.profile();
        let addons = format!("{ADDONS_PATH},{}", runtime::AT);
        let mut text = base(name, slot, user, password, Role::Pooler, &addons);
        let mut more = String::new();
        // The gevent server wants an HTTP port, prefork ones an event port; nobody is routed to either.
        let spare = |role| slot.spare_port(role).or(slot.spare_port(Role::Live)).expect("live has a spare port");
        let port = slot.port(role).unwrap_or_else(|| spare(role));
        let (http, event) = if role == Role::Live { (spare(role), port) } else { (port, spare(role)) };
        let mut modules = format!("{},{}", profile.conf.server_wide_modules, runtime::MODULE);
        if role == Role::Jobs {
            modules.push_str(",queue_job");
        }
        let _ = write!(
            more,
            "server_wide_modules = {modules}\n\
         workers = {prefork}\n\
         max_cron_threads = {crons}\n\
         http_interface = 127.0.0.1\n\
         http_port = {http}\n\
         {event_option} = {event}\n\
         proxy_mode = True\n\
         db_maxconn = {db_maxconn}\n\
         limit_time_cpu = 60\n\
         limit_time_real = {LIMIT_TIME_REAL}\n\
         limit_time_real_cron = -1\n",
            event_option = profile.event.port_option,
        );
        if profile.conf.db_maxconn_gevent {
            let _ = writeln!(more, "db_maxconn_gevent = {LIVE_POOL}");
        }
        text.push(&more);
        if role == Role::Jobs {
            let direct = super::port(slot, Role::Postgres);
            text.push(&format!(
            "\n[queue_job]\nchannels = root:{}\nscheme = http\nhost = 127.0.0.1\nport = {port}\n\
             jobrunner_db_host = 127.0.0.1\njobrunner_db_port = {direct}\njobrunner_db_user = jobs\njobrunner_db_password = ",
            processes
        ));
            text.push_secret(secret(name, SecretName::DbJobs));
            text.push("\n");
        }
        text
    }
}

/// `odoo.conf` of a one-shot installer: straight to PostgreSQL, as the owner of the tables.
pub fn installer_conf(sized: &SizedEnvironment<'_>) -> Text {
    let mut text = base(&sized.environment.name, sized.slot, "owner", SecretName::DbOwner, Role::Postgres, ADDONS_PATH);
    text.push("workers = 0\nmax_cron_threads = 0\nhttp_enable = False\ndb_maxconn = 8\n");
    text
}

fn base(name: &EnvironmentName, slot: Slot, user: &str, password: SecretName, through: Role, addons: &str) -> Text {
    let database = name.database();
    let port = super::port(slot, through);
    let mut text = Text::plain(format!(
        "; written by springtide; edits are replaced\n\
         [options]\n\
         addons_path = {addons}\n\
         data_dir = {data}\n\
         list_db = False\n\
         db_name = {database}\n\
         dbfilter = ^{database}$\n\
         db_host = 127.0.0.1\n\
         db_port = {port}\n\
         db_sslmode = verify-ca\n\
         db_user = {user}\n\
         db_password = ",
        data = volume_path(Volume::OdooData),
    ));
    text.push_secret(secret(name, password));
    text.push("\nadmin_passwd = ");
    text.push_secret(secret(name, SecretName::OdooMasterHash));
    text.push("\n");
    text
}
