//! Proofs of real copies: a good one of each series is proven, and for every stage a copy with one planted fault makes
//! exactly that stage fail by name. Needs root, PostgreSQL's server programs and the Odoo roots of 19.0 and 14.0.
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
    let wanted = Wanted::of(&args);
    let temp = tempfile::Builder::new().prefix("springtide-proof-").tempdir().unwrap();
    std::fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let state = temp.path().join("state");
    let driver = ProcessDriver::new(state.clone(), std::env::current_exe().unwrap(), cache.clone());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let all = all(&driver, temp.path(), &cache, &wanted);
            tokio::time::timeout(Duration::from_secs(3600), all).await.unwrap()
        })
    }));
    runtime.block_on(driver.shutdown()).unwrap();
    let (passed, failed) = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured", failed.len());
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

/// Which cases to run, said as to any other test: words that a name holds, and `--skip` before words that it must not.
/// Names are `19.0::good` and the like.
#[derive(Default)]
struct Wanted {
    words: Vec<String>,
    skip: Vec<String>,
}

impl Wanted {
    fn of(args: &[String]) -> Self {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(word) = args.next() {
            match word.as_str() {
                "--skip" => wanted.skip.extend(args.next().cloned()),
                option if option.starts_with('-') => {}
                _ => wanted.words.push(word.clone()),
            }
        }
        wanted
    }
    fn wants(&self, name: &str) -> bool {
        let among = |words: &[String]| words.iter().any(|word| name.contains(word.as_str()));
        (self.words.is_empty() || among(&self.words)) && !among(&self.skip)
    }
}

/// One case, to be run.
type Case<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Cases of every series; what does not depend on the series is tried on one.
const CASES: [&str; 4] = ["good", "neutral", "business", "odoo"];
const CASES_OF_ONE: [&str; 4] = ["data", "log", "off", "killed"];

/// Every wanted case; how many passed, and the names of those that failed. One that fails does not keep the others
/// from running.
async fn all(driver: &ProcessDriver, temp: &Path, cache: &Path, wanted: &Wanted) -> (usize, Vec<String>) {
    let (mut passed, mut failed) = (0, Vec::new());
    for (series, more) in [("19.0", &CASES_OF_ONE[..]), ("14.0", &[])] {
        let name = |case: &str| format!("{series}::{case}");
        let cases: Vec<&str> = CASES.iter().chain(more).copied().filter(|case| wanted.wants(&name(case))).collect();
        if cases.is_empty() {
            continue;
        }
        let rig = Rig::new(driver, series.parse().unwrap(), temp, cache).await;
        for word in cases {
            let case: Case<'_> = match word {
                "good" => Box::pin(good::good(&rig)),
                "neutral" => Box::pin(good::neutral(&rig)),
                "business" => Box::pin(faults::business(&rig)),
                "odoo" => Box::pin(faults::odoo(&rig)),
                "data" => Box::pin(faults::data(&rig)),
                "log" => Box::pin(faults::log(&rig)),
                "off" => Box::pin(faults::off(&rig)),
                "killed" => Box::pin(killed::killed(&rig, temp.join("state"))),
                other => panic!("there is no case {other}"),
            };
            match passes(case).await {
                true => passed += 1,
                false => failed.push(name(word)),
            }
        }
    }
    (passed, failed)
}

/// Whether a case comes to its end without a panic.
async fn passes(mut case: Case<'_>) -> bool {
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.as_mut().poll(context)));
        polled.map_or(Poll::Ready(false), |poll| poll.map(|()| true))
    })
    .await
}
