//! One environment on the wire, in full: the reason beside each number.

use springtide_api::{
    BudgetLineView, BudgetView, CertificateView, DatabaseView, EnvironmentView, NumberView, OperationView,
};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{DatabaseObservation, EnvironmentObservation, Observed};
use springtide_core::role::Role;
use springtide_core::sizing::SizedEnvironment;

use super::estate::{declaration, sized, summary};
use super::{drift, environment_plan, role};
use crate::control::Snapshot;

/// An environment; none if it is neither declared nor there. `operations` are its newest, newest first.
pub fn environment(
    snapshot: &Snapshot,
    name: &EnvironmentName,
    operations: Vec<OperationView>,
) -> Option<EnvironmentView> {
    let Snapshot { at, seen, plan, drift: drifted, .. } = snapshot;
    let (declared, observed) = (declaration(snapshot, name), seen.environments.get(name));
    if declared.is_none() && observed.is_none() {
        return None;
    }
    let sized = declared.map(|declared| sized(snapshot, declared, observed));
    let left = plan.environments.iter().find(|part| part.environment.as_ref() == Some(name));
    Some(EnvironmentView {
        at: *at,
        summary: summary(snapshot, name, declared, operations.first().cloned()),
        roles: Role::ENVIRONMENT
            .into_iter()
            .map(|one| role(one, observed.and_then(|it| it.workloads.get(&one))))
            .collect(),
        numbers: sized.as_ref().map(numbers).unwrap_or_default(),
        budget: sized.as_ref().map(budget),
        database: database(observed),
        certificate: observed
            .and_then(|it| it.certificate.clone())
            .map(|(host, until)| CertificateView { host, until }),
        routed: observed.and_then(|it| it.route.known()).map(Option::is_some),
        slot: observed.map(|it| it.slot.0),
        destroying: observed.and_then(|it| it.destroying.clone()),
        drift: drifted.iter().filter(|it| it.environment.as_ref() == Some(name)).map(drift).collect(),
        plan: left.map(|part| environment_plan(snapshot, part)),
        operations,
    })
}

fn database(observed: Option<&EnvironmentObservation>) -> DatabaseView {
    let unknown = |why: &str| DatabaseView { unknown: Some(why.to_owned()), modules: Vec::new(), half: Vec::new() };
    match observed.map(|it| &it.database) {
        None => unknown("it does not exist"),
        Some(Observed::Unknown(why)) => unknown(why),
        Some(Observed::Known(DatabaseObservation { modules, half, overridden: _, configured: _ })) => DatabaseView {
            unknown: None,
            modules: modules.iter().map(ToString::to_string).collect(),
            half: half.keys().map(ToString::to_string).collect(),
        },
    }
}

fn budget(sized: &SizedEnvironment<'_>) -> BudgetView {
    let budget = &sized.budget;
    BudgetView {
        lines: budget
            .lines()
            .into_iter()
            .map(|line| BudgetLineView { what: line.what.to_owned(), how: line.how, connections: line.connections })
            .collect(),
        demand: budget.demand,
        reserve: budget.reserve,
        max_connections: budget.max_connections,
        fits: budget.fits(),
        arithmetic: budget.arithmetic(),
    }
}

/// Numbers that follow from others, with the rule of each.
fn numbers(sized: &SizedEnvironment<'_>) -> Vec<NumberView> {
    let SizedEnvironment { environment, cpus, memory_bytes, workers, settings, .. } = sized;
    let number = |what: &str, value: u64, unit: &str, why: String| NumberView {
        what: what.to_owned(),
        value,
        unit: unit.to_owned(),
        why,
    };
    let by_hand = || "set in the estate file".to_owned();
    let shared = || "an even part of the machine".to_owned();
    let rule = |text: &str| text.to_owned();
    let part = |set: bool| if set { by_hand() } else { shared() };
    let connections = match environment.max_connections {
        Some(_) => by_hand(),
        None => format!("{cpus} cores x 5 + 14 + 33, rounded up to 50, at most 20 per core"),
    };
    vec![
        number("users", environment.users.into(), "", rule("declared, with the peak that is on")),
        number("cores", (*cpus).into(), "", part(environment.resources.cpus.is_some())),
        number("memory", *memory_bytes, "bytes", part(environment.resources.memory.is_some())),
        number("web workers", workers.web.into(), "", workers.web_rule.to_string()),
        number("cron processes", workers.cron.into(), "", workers.cron_rule.to_string()),
        number("job workers", workers.jobs.into(), "", workers.jobs_rule.to_string()),
        number("max_connections", settings.max_connections.into(), "", connections),
        number("shared_buffers", settings.shared_buffers, "bytes", rule("15 % of memory, at most 16 GB")),
        number("effective_cache_size", settings.effective_cache_size, "bytes", rule("60 % of half the memory")),
        number("work_mem", settings.work_mem, "bytes", rule("memory / 4 / (4 x cores x 3 x 2), 4 to 64 MB")),
        number("maintenance_work_mem", settings.maintenance_work_mem, "bytes", rule("memory / 16, at most 2 GB")),
    ]
}
