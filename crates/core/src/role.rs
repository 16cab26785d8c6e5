//! Roles: the parts one environment is made of, and the two parts the whole estate shares.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of an environment or of the estate that runs as its own workload.
///
/// The order is the order of starting: data tier, then Odoo, then what faces users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The PostgreSQL server of an environment.
    Postgres,
    /// PgBouncer in front of it.
    Pooler,
    /// Redis, which holds the sessions of logged-in people.
    Sessions,
    /// Odoo prefork workers that answer users; one request per worker.
    Web,
    /// Odoo's gevent server: `/longpolling` up to series 15, `/websocket` from 16.
    Live,
    /// Odoo's scheduled actions; serves no HTTP.
    Cron,
    /// Odoo workers that serve only `queue_job`, and its runner.
    Jobs,
    /// The page server that names an environment while it starts or its database is away.
    Notice,
    /// Traefik, the only entrance for users.
    Proxy,
}

impl Role {
    /// Roles that exist once per environment, in starting order.
    pub const ENVIRONMENT: [Role; 7] =
        [Role::Postgres, Role::Pooler, Role::Sessions, Role::Web, Role::Live, Role::Cron, Role::Jobs];
    /// Roles that exist once per estate, in starting order.
    pub const ESTATE: [Role; 2] = [Role::Notice, Role::Proxy];
    /// Roles that run Odoo itself.
    pub const ODOO: [Role; 4] = [Role::Web, Role::Live, Role::Cron, Role::Jobs];

    /// The word used in names, files, CLI and console.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Postgres => "postgres",
            Role::Pooler => "pooler",
            Role::Sessions => "sessions",
            Role::Web => "web",
            Role::Live => "live",
            Role::Cron => "cron",
            Role::Jobs => "jobs",
            Role::Notice => "notice",
            Role::Proxy => "proxy",
        }
    }

    /// Whether the role runs Odoo.
    pub const fn is_odoo(self) -> bool {
        matches!(self, Role::Web | Role::Live | Role::Cron | Role::Jobs)
    }

    /// The role called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ENVIRONMENT.into_iter().chain(Role::ESTATE).find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
