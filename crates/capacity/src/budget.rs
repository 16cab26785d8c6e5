//! The connection budget: what all roles may hold at PostgreSQL at once must fit.
//!
//! Source of the arithmetic: Odoo's pool is per process; the steady need of a prefork worker is 2
//! (nested cursors, sequences), of a cron process 3 (LISTEN, lock cursor, job cursor), of the event
//! server its LISTEN plus its pool, of the queue runner LISTEN + advisory lock. Notifies come over
//! connections of their own, which the pooler holds ready beside the LISTENs.
//!
//! The rule that keeps it right: whatever may connect has a line here, and the pooler's pools are made of the
//! same numbers; so the sum is an upper bound.

/// What the budget depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetInput {
    /// Prefork workers for users.
    pub web: u16,
    /// Cron processes.
    pub cron: u16,
    /// Job workers.
    pub jobs: u16,
    /// `db_maxconn` of the event server.
    pub live_pool: u16,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u16,
}

/// Connections per prefork worker.
pub const PER_WORKER: u16 = 2;
/// Connections per cron process.
pub const PER_CRON: u16 = 3;
/// Connections of the queue runner: LISTEN and advisory lock.
pub const RUNNER: u16 = 2;
/// Connections to the database `postgres` for notifies, each of which Odoo sends over a new one.
pub const NOTIFY: u16 = 3;
/// Connections for installs, upgrades and backups, straight to PostgreSQL.
pub const MAINTENANCE: u16 = 4;
/// Connections for monitoring and for a person who looks.
pub const MONITOR: u16 = 3;
/// PostgreSQL's `superuser_reserved_connections`.
pub const SUPERUSER_RESERVED: u16 = 3;

/// One line of the sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetLine {
    /// What it is for.
    pub what: &'static str,
    /// The arithmetic, such as `4 workers x 2`.
    pub how: String,
    /// Connections.
    pub connections: u32,
}

/// The whole sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What it was made from.
    pub input: BudgetInput,
    /// Their sum.
    pub demand: u32,
    /// Held back: 10 % of `max_connections` and what PostgreSQL keeps for superusers.
    pub reserve: u32,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
}

impl Budget {
    /// Whether the demand fits beside the reserve.
    pub fn fits(&self) -> bool {
        self.demand + self.reserve <= self.max_connections
    }

    /// All lines.
    pub fn lines(&self) -> [BudgetLine; 7] {
        let BudgetInput { web, cron, jobs, live_pool, .. } = self.input;
        let how = [
            format!("{web} workers x {PER_WORKER}"),
            format!("{cron} x {PER_CRON}"),
            format!("{live_pool} pool + 1 LISTEN"),
            format!("{jobs} workers x {PER_WORKER} + {RUNNER} runner"),
            "messages between processes".to_owned(),
            "installs and backups".to_owned(),
            "signals and people".to_owned(),
        ];
        let mut how = how.into_iter();
        parts(&self.input).map(|(what, connections)| BudgetLine {
            what,
            how: how.next().unwrap_or_default(),
            connections,
        })
    }

    /// The sum as one line of text.
    pub fn arithmetic(&self) -> String {
        let parts = self.lines().map(|line| format!("{} {} ({})", line.what, line.connections, line.how));
        format!(
            "{} = {}; with reserve {} that is {} of max_connections {}",
            parts.join(" + "),
            self.demand,
            self.reserve,
            self.demand + self.reserve,
            self.max_connections
        )
    }

    /// Most web workers that would fit with everything else as it is.
    pub fn web_workers_that_fit(&self) -> u32 {
        let others = self.demand - u32::from(self.input.web) * u32::from(PER_WORKER);
        self.max_connections.saturating_sub(self.reserve + others) / u32::from(PER_WORKER)
    }
}

/// What every role may hold.
fn parts(input: &BudgetInput) -> [(&'static str, u32); 7] {
    let BudgetInput { web, cron, jobs, live_pool, max_connections: _ } = *input;
    let times = |count: u16, each: u16| u32::from(count) * u32::from(each);
    [
        ("web", times(web, PER_WORKER)),
        ("cron", times(cron, PER_CRON)),
        ("live", u32::from(live_pool) + 1),
        ("jobs", times(jobs, PER_WORKER) + u32::from(RUNNER)),
        ("notify", u32::from(NOTIFY)),
        ("maintenance", u32::from(MAINTENANCE)),
        ("monitor", u32::from(MONITOR)),
    ]
}

/// Adds up what every role may hold.
pub fn budget(input: &BudgetInput) -> Budget {
    let demand = parts(input).into_iter().map(|(_, connections)| connections).sum();
    let max_connections = u32::from(input.max_connections);
    let reserve = max_connections.div_ceil(10) + u32::from(SUPERUSER_RESERVED);
    Budget { input: *input, demand, reserve, max_connections }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(web: u16) -> Budget {
        budget(&BudgetInput { web, cron: 1, jobs: 1, live_pool: 4, max_connections: 50 })
    }

    #[test]
    fn the_limit_is_exact() {
        let most = of(4).web_workers_that_fit() as u16;
        assert!(of(most).fits(), "{}", of(most).arithmetic());
        assert!(!of(most + 1).fits(), "{}", of(most + 1).arithmetic());
    }

    #[test]
    fn the_sum_is_shown() {
        assert_eq!(
            of(4).arithmetic(),
            "web 8 (4 workers x 2) + cron 3 (1 x 3) + live 5 (4 pool + 1 LISTEN) + jobs 4 (1 workers x 2 + 2 runner) \
             + notify 3 (messages between processes) + maintenance 4 (installs and backups) \
             + monitor 3 (signals and people) = 30; with reserve 8 that is 38 of max_connections 50"
        );
    }
}
