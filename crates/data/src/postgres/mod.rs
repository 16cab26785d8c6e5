//! PostgreSQL from the administrator's side: connecting, roles, configuration, table settings.

mod admin;
mod autovacuum;
mod configure;
mod roles;
mod settings;
mod signals;
mod users;

pub use admin::{Admin, AdminError, database_of};
pub use autovacuum::autovacuum;
pub use configure::{Configure, TEMPLATE_DATABASE, configure, mark_template, observe, take_back};
pub use roles::DbRole;
pub use settings::reset_settings;
pub use signals::{Archiver, Connections, Pool, ServerConnections, archiver, connections, pools};
pub use users::users;
