//! Redis of one environment, for the sessions of logged-in people.
//!
//! It listens on a Unix socket alone, which the environment's group can reach. Every write goes to an
//! append-only file that is synced each second: a snapshot every few minutes would forget logins, and,
//! worse, bring back sessions that were ended. Nothing is evicted: an environment whose sessions do not
//! fit refuses new logins and keeps the old ones. Nobody waits for this role: without it Odoo runs on
//! and asks people to log in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Inputs, WorkloadInputs, cpu_milli, file, mount, secret, secret_file, volume_path};
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::role::Role;
use crate::sizing::SizedEnvironment;
use crate::workload::{
    CONFIG_PATH, FileSpec, Limits, Probe, Root, SecretName, StopRule, StopSignal, Text, Volume, WorkloadId,
    WorkloadSpec,
};

/// Name of the socket in [`Volume::SessionsSocket`].
pub const SOCKET: &str = "redis.sock";
/// The user of Odoo's roles and of `springtide session`.
pub const USER: &str = "odoo";
/// The user of the readiness probe.
pub const MONITOR: &str = "monitor";
const MONITOR_PASSWORD: &str = "monitor.password";
const PASSWORD: &str = "sessions.password";
const KEYS: &str = "sessions.keys";
/// What [`USER`] may do, with keys of its environment only: no scripts, no listing of keys, nothing of
/// the server itself.
const COMMANDS: &str =
    "+auth +hello +ping +hget +hset +hdel +expire +ttl +exists +set +del +zadd +zrange +zrem +zremrangebyscore";

/// All that Redis depends on.
#[derive(Serialize)]
pub(crate) struct SessionsInputs<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    /// Cores of the environment.
    cpus: u32,
    memory_bytes: u64,
}

impl<'a> SessionsInputs<'a> {
    pub fn of(sized: &'a SizedEnvironment<'_>) -> Self {
        let (slot, cpus) = (sized.slot, sized.cpus);
        Self { name: &sized.environment.name, slot, cpus, memory_bytes: sized.sessions_memory }
    }
}

impl Inputs for SessionsInputs<'_> {}

impl WorkloadInputs for SessionsInputs<'_> {
    fn render(&self) -> WorkloadSpec {
        let Self { name, slot, cpus, memory_bytes } = *self;
        WorkloadSpec {
            id: WorkloadId::of(name, Role::Sessions),
            made_from: None,
            root: Root::Host,
            command: vec!["redis-server".into(), format!("{CONFIG_PATH}/redis.conf")],
            env: BTreeMap::new(),
            files: vec![
                file("redis.conf", Text::plain(conf(memory_bytes)), false),
                file("users.acl", users(name), false),
                secret_file(MONITOR_PASSWORD, secret(name, SecretName::SessionsMonitor)),
            ],
            volumes: vec![mount(Volume::SessionsData, false), mount(Volume::SessionsSocket, false)],
            bundles: Vec::new(),
            folders: Vec::new(),
            ports: BTreeMap::new(),
            user: slot.user(Role::Sessions),
            needs: Vec::new(),
            // Rewriting the file forks: for that moment pages that change exist twice.
            limits: Limits { cpu_milli: cpu_milli(cpus), memory_bytes: Some(2 * memory_bytes + (64 << 20)) },
            ready: Probe::Redis { user: MONITOR.into(), password: MONITOR_PASSWORD.into() },
            ready_within_s: 60,
            stop: StopRule { signal: StopSignal::Term, grace_s: 30 },
        }
    }
}

fn conf(memory_bytes: u64) -> String {
    let (data, socket) = (volume_path(Volume::SessionsData), volume_path(Volume::SessionsSocket));
    format!(
        "# written by springtide; edits are replaced\n\
         port 0\n\
         unixsocket {socket}/{SOCKET}\n\
         unixsocketperm 770\n\
         aclfile {CONFIG_PATH}/users.acl\n\
         dir {data}\n\
         databases 1\n\
         maxmemory {memory_bytes}\n\
         maxmemory-policy noeviction\n\
         appendonly yes\n\
         appendfsync everysec\n\
         auto-aof-rewrite-min-size 8mb\n\
         aof-load-truncated yes\n\
         save \"\"\n\
         maxclients 1000\n\
         timeout 0\n\
         loglevel notice\n\
         always-show-logo no\n"
    )
}

/// Users with the hashes of their passwords. The file knows no comments.
fn users(name: &EnvironmentName) -> Text {
    let mut text = Text::plain(format!(
        "user default off resetkeys resetchannels -@all\nuser {USER} on ~{name}:* resetchannels -@all {COMMANDS} #"
    ));
    text.push_secret(secret(name, SecretName::SessionsOdooVerifier));
    text.push(&format!("\nuser {MONITOR} on resetkeys resetchannels -@all +auth +hello +ping +info #"));
    text.push_secret(secret(name, SecretName::SessionsMonitorVerifier));
    text.push("\n");
    text
}

/// What Odoo's roles find the sessions by: files, and variables that name them.
pub(super) fn of_odoo(name: &EnvironmentName) -> (Vec<FileSpec>, [(String, Text); 5]) {
    let files = vec![
        secret_file(PASSWORD, secret(name, SecretName::SessionsOdoo)),
        secret_file(KEYS, secret(name, SecretName::SessionsKeys)),
    ];
    let variables = [
        ("SOCKET", format!("{}/{SOCKET}", volume_path(Volume::SessionsSocket))),
        ("USER", USER.to_owned()),
        ("PASSWORD_FILE", format!("{CONFIG_PATH}/{PASSWORD}")),
        ("KEYS_FILE", format!("{CONFIG_PATH}/{KEYS}")),
        ("PREFIX", name.to_string()),
    ];
    (files, variables.map(|(word, value)| (format!("SPRINGTIDE_SESSIONS_{word}"), Text::plain(value))))
}

#[cfg(test)]
mod tests {
    use super::COMMANDS;

    /// What the add-on sends, by its own text.
    #[test]
    fn the_add_on_may_do_what_it_does() {
        let code = include_str!("../../../../addons/springtide_runtime/redis_store.py");
        let calls = code.match_indices("pipeline.").map(|(at, it)| &code[at + it.len()..]);
        let names = calls.filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
        let names: Vec<&str> = names.filter(|name| *name != "execute").collect();
        assert!(names.len() > 10 && names.contains(&"zremrangebyscore"), "{names:?}");
        for name in names {
            let command = if name == "delete" { "del" } else { name };
            assert!(COMMANDS.split(' ').any(|it| it.strip_prefix('+') == Some(command)), "{command} is refused");
        }
    }
}
