//! Checksums: every page of the stopped data directory against the checksum that is stored in it, by `pg_checksums`.
//! What it says is read; its exit code alone is no evidence.

use std::fs;

use springtide_driver::{Driver, Generation};

use super::look::Look;
use crate::aside::{Aside, AsideError, DATA_AT};

/// Seconds for reading the whole data directory: 4 TB at 100 MB/s.
const SECONDS: u32 = 12 * 3600;

pub(super) async fn checksums(driver: &dyn Driver, generation: Generation, aside: &Aside) -> Look {
    match aside.control(driver, generation).await {
        Err(error @ AsideError::Step { .. }) => return Look::found([error.to_string()]),
        Err(error) => return Look::missed(error.to_string()),
        Ok(control) if !control.checksums() => {
            return Look::missed("the data directory has no checksums, so nothing says whether a page is damaged");
        }
        Ok(_) => {}
    }
    let command = vec![aside.program("pg_checksums"), "--check".into(), "-D".into(), DATA_AT.into()];
    match driver.run_task(&aside.tool("checksums", command, SECONDS), generation).await {
        Err(error) => Look::missed(error.to_string()),
        Ok(outcome) => judge(&fs::read_to_string(&outcome.log).unwrap_or(outcome.tail), outcome.code),
    }
}

/// What the program's output says.
fn judge(output: &str, code: Option<i32>) -> Look {
    let mut look = Look::default();
    let within = format!("{DATA_AT}/");
    for line in output.lines().filter(|line| line.contains("error:")) {
        look.find(line.trim_start_matches("pg_checksums: error: ").replace(&within, ""));
    }
    let figure = |name: &str| {
        output.lines().find_map(|line| line.strip_prefix(name)?.trim_start_matches(':').trim().parse::<u64>().ok())
    };
    match (figure("Files scanned"), figure("Blocks scanned"), figure("Bad checksums")) {
        (Some(files), Some(pages), Some(bad)) => {
            look.count("files", files);
            look.count("pages", pages);
            if bad > 0 && code == Some(0) {
                look.find(format!("{bad} pages are damaged"));
            }
            if pages == 0 {
                look.find("there is no page in it".to_owned());
            }
        }
        // It stopped at the first file that it could not read whole; then it said so.
        _ if output.contains("error:") => {}
        _ => look.miss(format!("pg_checksums did not come to its end ({})", crate::aside::how(code))),
    }
    if code != Some(0) && !output.contains("error:") {
        look.miss(format!("pg_checksums: {}", crate::aside::how(code)));
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::proof::{Outcome, Stage, StageResult};

    fn told(output: &str, code: Option<i32>) -> StageResult {
        let wanted = [Stage::Checksums].into();
        let log = super::super::look::Log::new(&wanted, &|_| {});
        log.told(Stage::Checksums, judge(output, code), 0);
        log.done()[&Stage::Checksums].clone()
    }

    #[test]
    fn words_count_and_not_the_exit_code() {
        let good = "Checksum operation completed\nFiles scanned:   3065\nBlocks scanned:  14322\nBad checksums:  0\nData checksum version: 1\n";
        let fine = told(good, Some(0));
        assert!(fine.passed());
        assert_eq!((fine.figures["files"], fine.figures["pages"]), (3065, 14322));
        let line = "pg_checksums: error: checksum verification failed in file \"/srv/springtide/pgdata/base/5/2619\", block 3: calculated checksum 1 but block contains 2\n";
        let bad = format!("{line}{}", good.replace("checksums:  0", "checksums:  1"));
        for code in [Some(0), Some(1)] {
            let Outcome::Failed { found } = told(&bad, code).outcome else { panic!("{code:?}") };
            assert!(found[0].starts_with("checksum verification failed in file \"base/5/2619\", block 3"), "{found:?}");
        }
        assert!(told(&good.replace("checksums:  0", "checksums:  2"), Some(0)).failed(), "counted and not named");
        assert!(matches!(told("", Some(0)).outcome, Outcome::NotRun { .. }), "silence is no evidence");
        assert!(matches!(told(good, None).outcome, Outcome::NotRun { .. }), "cut off");
        assert!(told("pg_checksums: error: could not read block 9 in file \"x\"\n", Some(1)).failed());
    }
}
