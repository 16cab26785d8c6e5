//! One function per verb: it parses nothing, decides nothing, and prints.

mod apply;
mod backup;
mod destroy;
mod doctor;
mod exec;
mod explain;
mod file;
mod history;
mod hold;
mod logs;
mod open;
mod prove;
mod recover;
mod rehearse;
mod restore;
mod rig;
mod serve;
mod session;
mod show;
mod status;
mod through_server;
mod token;

pub use apply::{apply, plan, stop};
pub use backup::backup;
pub use destroy::destroy;
pub use doctor::doctor;
pub use exec::exec;
pub use explain::explain;
pub use file::{check, completion, init, schema, version};
pub use history::history;
pub use hold::{hold, release};
pub use logs::{LogWishes, logs};
pub use open::{open, open_console};
pub use prove::prove;
pub use recover::recover;
pub use rehearse::rehearse;
pub use restore::{clone, restore};
pub use rig::{WATCHDOG, rig, watchdog};
pub use serve::serve;
pub use session::session;
pub use status::status;
pub use through_server::named;
pub use token::token;

/// The notice server, as its workload.
pub fn notice(port: &str) -> std::process::ExitCode {
    let served = port.parse().map_err(std::io::Error::other).and_then(|port| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(springtide_server::notice::serve(port))
    });
    match served {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            crate::printer::talk("notice server: ", &error.to_string());
            std::process::ExitCode::FAILURE
        }
    }
}
