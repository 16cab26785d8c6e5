//! How many Odoo processes of each role.
//!
//! Source: Odoo's deployment guide. One worker serves about 6 users who work at once; at most
//! 2 × cores + 1 workers, cron included; a worker takes 0.8 × 150 MB + 0.2 × 1024 MB of memory.

use crate::MIB;

/// Users that one prefork worker serves (Odoo's deployment guide).
pub const USERS_PER_WORKER: u32 = 6;
/// Resident memory to reckon with per worker: 0.8 × 150 MB + 0.2 × 1024 MB.
pub const WORKER_MEMORY: u64 = 325 * MIB;

/// What the number of workers depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkersInput {
    /// People who work at the same time, peak multiplier included.
    pub users: u32,
    /// Cores this environment may use.
    pub cpus: u32,
    /// Bytes of memory this environment may use.
    pub memory_bytes: u64,
    /// Numbers set by hand; they win over the rules.
    pub web: Option<u16>,
    /// Cron processes set by hand.
    pub cron: Option<u16>,
    /// Job workers set by hand.
    pub jobs: Option<u16>,
    /// Web workers without the peak, and how many more a peak may add; none outside a peak.
    pub burst: Option<(u16, u16)>,
}

/// Processes per role, with the rule behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// Prefork workers that answer users.
    pub web: u16,
    /// Processes that run scheduled actions.
    pub cron: u16,
    /// Workers that serve only jobs.
    pub jobs: u16,
    /// Why `web` is what it is.
    pub web_rule: String,
    /// Why `cron` is.
    pub cron_rule: String,
    /// Why `jobs` is.
    pub jobs_rule: String,
}

/// Sizes the Odoo roles of one environment.
pub fn workers(input: &WorkersInput) -> Workers {
    let cron = input.cron.unwrap_or(1);
    let cron_rule = match input.cron {
        Some(_) => "set in the estate file".to_owned(),
        None => "one process runs all scheduled actions".to_owned(),
    };
    let needed = input.users.div_ceil(USERS_PER_WORKER).max(2);
    let ceiling = (2 * input.cpus + 1).saturating_sub(u32::from(cron)).max(2);
    let by_memory = ((input.memory_bytes / 2) / WORKER_MEMORY).max(2) as u32;
    let (web, web_rule) = match input.web {
        Some(web) => (web, "set in the estate file".to_owned()),
        None => {
            let least = needed.min(ceiling).min(by_memory);
            let rule = if least == needed {
                format!("{} users / {USERS_PER_WORKER} per worker", input.users)
            } else if least == ceiling {
                format!(
                    "{needed} needed for {} users, at most 2 x {} cores + 1 less {cron} cron",
                    input.users, input.cpus
                )
            } else {
                format!("{needed} needed for {} users, half of the memory holds {by_memory} of 325 MiB", input.users)
            };
            (least as u16, rule)
        }
    };
    let (web, web_rule) = match input.burst {
        Some((base, burst)) if input.web.is_none() && web > base.saturating_add(burst) => {
            (base + burst, format!("baseline {base} + burst budget {burst}; the peak asks for {web}"))
        }
        _ => (web, web_rule),
    };
    let (jobs, jobs_rule) = match input.jobs {
        Some(jobs) => (jobs, "set in the estate file".to_owned()),
        None => {
            let jobs = (u32::from(web) / 4).max(1) as u16;
            (jobs, format!("a quarter of {web} web workers, at least 1"))
        }
    };
    Workers { web, cron, jobs, web_rule, cron_rule, jobs_rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    fn input(users: u32, cpus: u32, gib: u64) -> WorkersInput {
        WorkersInput { users, cpus, memory_bytes: gib * GIB, web: None, cron: None, jobs: None, burst: None }
    }

    #[test]
    fn the_documented_example() {
        // 4 cores / 8 threads, 60 users: 10 needed, 9 at most, so 8 HTTP + 1 cron (at 4 cores).
        let got = workers(&input(60, 4, 16));
        assert_eq!((got.web, got.cron), (8, 1));
    }

    #[test]
    fn memory_and_burst_are_ceilings() {
        assert_eq!(workers(&input(600, 64, 4)).web, 6);
        let mut peak = input(240, 16, 64);
        peak.burst = Some((10, 8));
        assert_eq!(workers(&peak).web, 18);
    }

    #[test]
    fn hand_set_numbers_win() {
        let mut by_hand = input(1, 1, 1);
        by_hand.web = Some(40);
        assert_eq!(workers(&by_hand).web, 40);
    }
}
