//! Proofs of real copies: a good one of each series is proven, and for every stage a copy with one planted fault makes
//! exactly that stage fail by name. Needs root, PostgreSQL's server programs and the Odoo roots of 19.0 and 14.0.
//! Without a word it runs everything; with one, only the cases of that name.
// What every stage saw is printed: with a failure it says more than an assertion can.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod faults;
mod good;
mod killed;
mod rig;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;
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
            let all = all(&driver, temp.path(), &cache, wanted.as_deref());
            tokio::time::timeout(Duration::from_secs(3600), all).await.unwrap()
        })
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    match result {
        Ok(failed) => assert!(failed.is_empty(), "failed: {}", failed.join(", ")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// One case, to be run.
type Case<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Every case of both series; the names of those that failed. One that fails does not keep the others from running.
async fn all(driver: &ProcessDriver, temp: &Path, cache: &Path, wanted: Option<&str>) -> Vec<String> {
    let mut failed = Vec::new();
    for series in ["19.0", "14.0"] {
        let rig = Rig::new(driver, series.parse().unwrap(), temp, cache).await;
        let mut cases: Vec<(&str, Case<'_>)> = vec![
            ("good", Box::pin(good::good(&rig))),
            ("neutral", Box::pin(good::neutral(&rig))),
            ("business", Box::pin(faults::business(&rig))),
            ("odoo", Box::pin(faults::odoo(&rig))),
        ];
        // What does not depend on the series is tried on one.
        if series == "19.0" {
            cases.extend::<[(&str, Case<'_>); 4]>([
                ("data", Box::pin(faults::data(&rig))),
                ("log", Box::pin(faults::log(&rig))),
                ("off", Box::pin(faults::off(&rig))),
                ("killed", Box::pin(killed::killed(&rig, temp.join("state")))),
            ]);
        }
        for (name, case) in cases {
            if wanted.is_none_or(|wanted| wanted == name || wanted == series) && !passes(case).await {
                failed.push(format!("{name} of {series}"));
            }
        }
    }
    failed
}

/// Whether a case comes to its end without a panic.
async fn passes(mut case: Case<'_>) -> bool {
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.as_mut().poll(context)));
        polled.map_or(Poll::Ready(false), |poll| poll.map(|()| true))
    })
    .await
}
