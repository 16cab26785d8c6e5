//! One function per verb: it parses nothing, decides nothing, and prints.

mod apply;
mod destroy;
mod file;
mod look;

pub use apply::{apply, plan, stop};
pub use destroy::{DestroyOptions, destroy};
pub use file::{check, completion, init, schema, version};
pub use look::{explain, history, logs, open, status};

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
