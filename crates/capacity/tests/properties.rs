//! What holds of sizing and of the connection budget whatever goes in.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use springtide_capacity::budget::{Budget, BudgetInput, budget};
use springtide_capacity::postgres::{PostgresInput, postgres};
use springtide_capacity::workers::{Rule, WorkersInput, workers};

fn budgets() -> impl Strategy<Value = Budget> {
    (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>()).prop_map(
        |(web, cron, jobs, live_pool, max_connections)| {
            // Half of them as small as real ones.
            let small = |number: u16| if max_connections % 2 == 0 { number % 70 } else { number };
            let max_connections = small(max_connections).saturating_mul(if max_connections % 2 == 0 { 8 } else { 1 });
            let (web, cron, jobs, live_pool) = (small(web), small(cron), small(jobs), small(live_pool));
            budget(&BudgetInput { web, cron, jobs, live_pool, max_connections })
        },
    )
}

fn inputs() -> impl Strategy<Value = WorkersInput> {
    let by_hand = || proptest::option::of(1_u16..=64);
    let burst = proptest::option::of((any::<u16>(), 0_u16..=64));
    (any::<u32>(), any::<u32>(), any::<u64>(), any::<u8>(), (by_hand(), by_hand(), by_hand()), burst).prop_map(
        |(users, cpus, memory_bytes, shift, (web, cron, jobs), burst)| {
            let shift = u32::from(shift);
            let (users, cpus, memory_bytes) =
                (users >> (shift % 32), cpus >> (shift % 31), memory_bytes >> (shift % 40));
            WorkersInput { users, cpus, memory_bytes, web, cron, jobs, burst }
        },
    )
}

/// The numbers of a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|sign: char| !sign.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

proptest! {
    #[test]
    fn the_budget_is_the_sum_of_its_lines(of in budgets()) {
        let lines = of.lines();
        prop_assert_eq!(lines.iter().map(|line| line.connections).sum::<u32>(), of.demand);
        prop_assert_eq!(of.fits(), of.demand + of.reserve <= of.max_connections);
        prop_assert!(of.reserve * 10 >= of.max_connections, "a tenth is held back");
        // Each line shows its own product and sum.
        for line in lines.iter().filter(|line| line.how.contains(|sign: char| sign.is_ascii_digit())) {
            let shown = match numbers(&line.how).as_slice() {
                [count, each] if line.how.contains('x') => count * each,
                [count, each, more] => count * each + more,
                all => all.iter().sum(),
            };
            prop_assert_eq!(shown, u64::from(line.connections), "{}", line.how);
        }
        let told = numbers(&of.arithmetic());
        let tail = [of.demand, of.reserve, of.demand + of.reserve, of.max_connections].map(u64::from);
        prop_assert!(told.ends_with(&tail), "{}", of.arithmetic());
    }

    #[test]
    fn the_advice_is_the_most_that_fits(of in budgets()) {
        let with = |web: u32| u16::try_from(web).map(|web| budget(&BudgetInput { web, ..of.input }));
        let most = of.web_workers_that_fit();
        if let Ok(more) = with(most + 1) {
            prop_assert!(!more.fits(), "{} would fit too", most + 1);
        }
        // With none that fit, everything else is too much already.
        if let (1.., Ok(advised)) = (most, with(most)) {
            prop_assert!(advised.fits(), "{}", advised.arithmetic());
        }
    }

    #[test]
    fn workers_stay_within_their_rules(input in inputs()) {
        let got = workers(&input);
        prop_assert!(got.jobs >= 1 && got.cron >= 1);
        prop_assert_eq!(got.web_rule == Rule::ByHand, input.web.is_some());
        match (input.web, input.burst) {
            (Some(web), _) => prop_assert_eq!(got.web, web),
            (None, Some((base, burst))) => prop_assert!(got.web <= base.saturating_add(burst)),
            (None, None) => {
                prop_assert!(got.web >= 2);
                let many = u64::from(got.web);
                prop_assert!(many == 2 || many * 6 < u64::from(input.users) + 6, "no more than the users need");
                prop_assert!(many == 2 || many + u64::from(got.cron) <= 2 * u64::from(input.cpus) + 1);
                prop_assert!(many == 2 || many * springtide_capacity::workers::WORKER_MEMORY <= input.memory_bytes / 2);
            }
        }
        let told = [got.web_rule, got.cron_rule, got.jobs_rule].map(|rule| rule.to_string());
        prop_assert!(told.iter().all(|rule| !rule.is_empty()));
    }

    #[test]
    fn settings_fit_the_machine(cpus in 0_u32..4_096, memory_bytes: u64, shift in 0_u32..64, by_hand in proptest::option::of(20_u16..=2_000)) {
        let memory_bytes = memory_bytes >> shift;
        let got = postgres(&PostgresInput { cpus, memory_bytes, max_connections: by_hand });
        prop_assert_eq!(got.max_connections, by_hand.unwrap_or(got.max_connections));
        prop_assert!((20..=2_000).contains(&got.max_connections), "{}", got.max_connections);
        let most = memory_bytes.max(512 << 20);
        prop_assert!(got.shared_buffers <= most / 4, "{}", got.shared_buffers);
        prop_assert!(got.maintenance_work_mem * 4 <= most && got.autovacuum_work_mem <= got.maintenance_work_mem);
        prop_assert!(got.effective_cache_size <= most);
    }
}

#[test]
fn arbitrary_budgets_do_not_all_fit_and_do_not_all_fail() {
    let found = |rule: fn(&Budget) -> bool| {
        let check = |of| if rule(&of) { Err(TestCaseError::fail("found")) } else { Ok(()) };
        TestRunner::default().run(&budgets(), check).is_err()
    };
    assert!(found(Budget::fits) && found(|of| !of.fits()) && found(|of| of.web_workers_that_fit() > 0));
}
