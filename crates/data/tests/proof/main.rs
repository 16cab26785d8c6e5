//! Proofs of real copies: a good one of each series is proven, and for every stage a copy with one planted fault makes
//! exactly that stage fail by name. Needs root, PostgreSQL's server programs and the Odoo roots of 19.0 and 14.0.
//! Without a word it runs everything; with one, only the cases of that name.
#![allow(clippy::unwrap_used, missing_docs)]

mod faults;
mod good;
mod killed;
mod rig;

use std::path::PathBuf;
use std::time::Duration;

use springtide_driver::{ProcessDriver, hidden_command};

use rig::Rig;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = hidden_command(&args) {
        std::process::exit(code);
    }
    let cache = PathBuf::from(std::env::var("SPRINGTIDE_CACHE").unwrap_or_else(|_| "/var/cache/springtide".into()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [word, state, folder] = &args[..]
        && word == killed::HOLD
    {
        return runtime.block_on(killed::hold(state.into(), folder.into(), cache));
    }
    let wanted = args.iter().find(|word| !word.starts_with('-')).cloned();
    let temp = tempfile::Builder::new().prefix("springtide-proof-").tempdir().unwrap();
    std::fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let state = temp.path().join("state");
    let driver = ProcessDriver::new(state.clone(), std::env::current_exe().unwrap(), cache.clone());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(3600), async {
                for series in ["19.0", "14.0"] {
                    let rig = Rig::new(&driver, series.parse().unwrap(), temp.path(), &cache).await;
                    let wants = |word: &str| wanted.as_ref().is_none_or(|wanted| wanted == word || wanted == series);
                    if wants("good") {
                        good::good(&rig).await;
                    }
                    if wants("neutral") {
                        good::neutral(&rig).await;
                    }
                    if wants("business") {
                        faults::business(&rig).await;
                    }
                    if wants("odoo") {
                        faults::odoo(&rig).await;
                    }
                    if series == "19.0" {
                        if wants("data") {
                            faults::data(&rig).await;
                        }
                        if wants("log") {
                            faults::log(&rig).await;
                        }
                        if wants("off") {
                            faults::off(&rig).await;
                        }
                        if wants("killed") {
                            killed::killed(&rig, &state).await;
                        }
                    }
                }
            })
            .await
            .unwrap();
        });
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
