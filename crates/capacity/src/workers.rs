//! How many Odoo processes of each role.
//!
//! Source: Odoo's deployment guide. One worker serves about 6 users who work at once; at most
//! 2 × cores + 1 workers, cron included; a worker takes 0.8 × 150 MB + 0.2 × 1024 MB of memory.

use std::fmt;

use crate::MIB;

/// Users that one prefork worker serves (Odoo's deployment guide).
pub const USERS_PER_WORKER: u32 = 6;
/// Resident memory to reckon with per worker: 0.8 × 150 MB + 0.2 × 1024 MB.
pub const WORKER_MEMORY: u64 = 325 * MIB;

/// Fewest web workers: one that is busy must not make everybody wait.
const LEAST_WEB: u32 = 2;

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

/// Why a number of processes is what it is; prints itself as a line for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Somebody wrote the number down.
    ByHand,
    /// As many as the users need.
    Users {
        /// People who work at the same time.
        users: u32,
    },
    /// Fewer than needed, since processes beyond this only contend for cores.
    Cores {
        /// How many the users need.
        needed: u32,
        /// People who work at the same time.
        users: u32,
        /// Cores.
        cpus: u32,
        /// Cron processes, which share them.
        cron: u16,
    },
    /// Fewer than needed, since half of the memory holds no more.
    Memory {
        /// How many the users need.
        needed: u32,
        /// People who work at the same time.
        users: u32,
        /// How many fit.
        fit: u32,
    },
    /// Fewer than a peak asks for.
    Burst {
        /// Without the peak.
        base: u16,
        /// What the budget adds.
        burst: u16,
        /// What the peak asks for.
        asked: u16,
    },
    /// One cron process is enough.
    OneCron,
    /// Job workers follow the web workers.
    Quarter {
        /// Web workers.
        web: u16,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::ByHand => f.write_str("set in the estate file"),
            Rule::Users { users } => write!(f, "{users} users / {USERS_PER_WORKER} per worker"),
            Rule::Cores { needed, users, cpus, cron } => {
                write!(f, "{needed} needed for {users} users, at most 2 x {cpus} cores + 1 less {cron} cron")
            }
            Rule::Memory { needed, users, fit } => {
                write!(f, "{needed} needed for {users} users, half of the memory holds {fit} of 325 MiB")
            }
            Rule::Burst { base, burst, asked } => {
                write!(f, "baseline {base} + burst budget {burst}; the peak asks for {asked}")
            }
            Rule::OneCron => f.write_str("one process runs all scheduled actions"),
            Rule::Quarter { web } => write!(f, "a quarter of {web} web workers, at least 1"),
        }
    }
}

/// Processes per role, with the rule behind each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Prefork workers that answer users.
    pub web: u16,
    /// Processes that run scheduled actions.
    pub cron: u16,
    /// Workers that serve only jobs.
    pub jobs: u16,
    /// Why `web` is what it is.
    pub web_rule: Rule,
    /// Why `cron` is.
    pub cron_rule: Rule,
    /// Why `jobs` is.
    pub jobs_rule: Rule,
}

/// Sizes the Odoo roles of one environment.
pub fn workers(input: &WorkersInput) -> Workers {
    let (cron, cron_rule) = input.cron.map_or((1, Rule::OneCron), |cron| (cron, Rule::ByHand));
    let (web, web_rule) = match input.web {
        Some(web) => (web, Rule::ByHand),
        None => web_by_rule(input, cron),
    };
    let (jobs, jobs_rule) = input.jobs.map_or(((web / 4).max(1), Rule::Quarter { web }), |jobs| (jobs, Rule::ByHand));
    Workers { web, cron, jobs, web_rule, cron_rule, jobs_rule }
}

/// What the users need, under every ceiling.
fn web_by_rule(input: &WorkersInput, cron: u16) -> (u16, Rule) {
    let WorkersInput { users, cpus, memory_bytes, burst, .. } = *input;
    let needed = users.div_ceil(USERS_PER_WORKER).max(LEAST_WEB);
    let ceiling = cpus.saturating_mul(2).saturating_add(1).saturating_sub(cron.into()).max(LEAST_WEB);
    let fit = u32::try_from(memory_bytes / 2 / WORKER_MEMORY).unwrap_or(u32::MAX).max(LEAST_WEB);
    let (web, rule) = [
        (needed, Rule::Users { users }),
        (ceiling, Rule::Cores { needed, users, cpus, cron }),
        (fit, Rule::Memory { needed, users, fit }),
    ]
    .into_iter()
    .min_by_key(|(workers, _)| *workers)
    .expect("there are three");
    let asked = u16::try_from(web).unwrap_or(u16::MAX);
    match burst {
        Some((base, burst)) if asked > base.saturating_add(burst) => {
            (base.saturating_add(burst), Rule::Burst { base, burst, asked })
        }
        _ => (asked, rule),
    }
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
