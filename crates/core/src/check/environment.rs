//! Checks of one environment: its own values, then its layers put together.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use super::backup::{Stores, backup};
use super::rules::Findings;
use super::{CheckedEnvironment, Objectives, Resources, WorkerOverrides};
use crate::merge::Layers;
use crate::names::{EnvironmentName, HostName, ModuleName};
use crate::series::{Series, Standing};
use crate::spec::suggest::{listed, nearest};
use crate::spec::{DriftRule, RawBaseline, RawEnvironment, RawPlacement, RawResources, RehearsalRule, Stage, Tier};
use crate::units::Money;

/// Module that every environment gets: the jobs role serves it.
const QUEUE_JOB: &str = "queue_job";

/// Checks one environment; `None` if something was found that leaves no environment to speak of.
pub(super) fn checked(
    raw: &RawEnvironment,
    path: String,
    baseline: Option<&RawBaseline>,
    stores: &Stores<'_>,
    found: &mut Findings<'_>,
) -> Option<CheckedEnvironment> {
    let layers = Layers::of(raw, path.clone(), baseline);
    let name = found.name::<EnvironmentName>("E0201", &raw.name, format_args!("{path}.name"));
    if let Some(taken) = name.as_ref().and_then(EnvironmentName::taken) {
        found.error(
            "E0210",
            format!("an environment cannot be called {:?}", raw.name),
            format!("that name is {taken}; choose another, such as {}-erp", raw.name),
            format_args!("{path}.name"),
        );
    }
    if let Some(RawPlacement::Pool(pool)) = &raw.placement {
        found.error(
            "E0302",
            format!("placement in a pool ({pool:?}) is not in this release"),
            "write `placement: dedicated`: pools need workers that serve several databases, and nothing of that has run here",
            format_args!("{path}.placement"),
        );
    }
    let host = host(raw, name.as_ref(), &path, found);
    let series = series(&layers, found);
    let modules = modules(&layers, found);
    source(&layers, found);
    let tier = layers.pick("database.tier", |l| l.database?.tier.as_ref());
    if let Some((tier @ (Tier::Silver | Tier::Gold), _)) = tier {
        let word = if *tier == Tier::Silver { "silver" } else { "gold" };
        found.note(
            "W0601",
            format!(
                "{}: database tier {word} is declared, not acted on by this release (needs a second instance)",
                raw.name
            ),
        );
    }
    let stage = raw.stage.unwrap_or(Stage::Dev);
    let backup = backup(&layers, &raw.name, stage, stores, found);
    let objectives = Objectives {
        rpo: layers.pick("objectives.rpo", |l| l.objectives?.rpo.as_deref()).and_then(|(t, p)| found.unit(t, p)),
        rto: layers.pick("objectives.rto", |l| l.objectives?.rto.as_deref()).and_then(|(t, p)| found.unit(t, p)),
    };
    let memory = layers.pick("resources.memory", |l| l.resources?.memory.as_deref());
    let monthly_text = layers.pick("budget.monthly", |l| l.budget?.monthly.as_deref());
    let monthly: Option<Money> = monthly_text.as_ref().and_then(|(text, path)| found.unit(text, path));
    let burst_workers = layers.pick("budget.burst_workers", |l| l.budget?.burst_workers.as_ref()).map(|(n, _)| *n);
    if let (Some(workers @ 1..), Some(money), Some((_, at))) = (burst_workers, monthly, &monthly_text)
        && money.minor() == 0
    {
        found.error(
            "E0503",
            format!("{workers} burst workers cannot be had for {money}"),
            "raise `monthly`, or write `burst_workers: 0`",
            at,
        );
    }
    let workers = |get: fn(&crate::spec::RawWorkers) -> Option<&u16>| {
        layers.pick("workers", |l| get(l.workers?)).map(|(n, _)| *n)
    };
    let resources = Resources {
        cpus: layers.pick("resources.cpus", |l| l.resources?.cpus.as_ref()).map(|(n, _)| *n),
        memory: memory.and_then(|(text, path)| memory_size(text, path, found)),
    };
    Some(CheckedEnvironment {
        name: name?,
        stage,
        series: series?,
        modules,
        demo: layers.pick("odoo.demo", |l| l.odoo?.demo.as_ref()).is_some_and(|(demo, _)| *demo),
        users: layers.pick("users", |l| l.users).map_or(10, |(users, _)| *users),
        host: host?,
        workers: WorkerOverrides {
            web: workers(|w| w.web.as_ref()),
            cron: workers(|w| w.cron.as_ref()),
            jobs: workers(|w| w.jobs.as_ref()),
        },
        resources,
        tier: tier.map_or(Tier::Bronze, |(tier, _)| *tier),
        max_connections: layers
            .pick("database.max_connections", |l| l.database?.max_connections.as_ref())
            .map(|(n, _)| *n),
        burst_workers,
        monthly,
        backup,
        objectives,
        drift: layers.pick("drift", |l| l.drift).map_or(DriftRule::Heal, |(rule, _)| *rule),
        rehearsal: layers.pick("rehearsal", |l| l.rehearsal).map_or(
            if stage == Stage::Production { RehearsalRule::Refused } else { RehearsalRule::Allowed },
            |(rule, _)| *rule,
        ),
        protected: layers.pick("protected", |l| l.protected).map_or(stage == Stage::Production, |(p, _)| *p),
    })
}

/// Checks the share of the machine that a peak's overlay names.
pub(super) fn overlay_resources(raw: Option<&RawResources>, path: &str, found: &mut Findings<'_>) -> Resources {
    let Some(raw) = raw else { return Resources::default() };
    let memory = raw.memory.as_deref();
    Resources {
        cpus: raw.cpus,
        memory: memory.and_then(|text| memory_size(text, format_args!("{path}.memory"), found)),
    }
}

fn memory_size(text: &str, path: impl Display + Copy, found: &mut Findings<'_>) -> Option<crate::units::ByteSize> {
    let size: crate::units::ByteSize = found.unit(text, path)?;
    if size.bytes() < 256 << 20 {
        found.error(
            "E0105",
            format!("{text:?} of memory is too little"),
            "the least is 256MiB; one Odoo worker wants more",
            path,
        );
        return None;
    }
    Some(size)
}

fn host(
    raw: &RawEnvironment,
    name: Option<&EnvironmentName>,
    path: &str,
    found: &mut Findings<'_>,
) -> Option<HostName> {
    match &raw.host {
        Some(host) => found.name("E0204", host, format_args!("{path}.host")),
        None => format!("{}.localhost", name?).parse().ok(),
    }
}

fn series(layers: &Layers<'_>, found: &mut Findings<'_>) -> Option<Series> {
    let Some((text, at)) = layers.pick("odoo.series", |l| l.odoo?.series.as_deref()) else {
        return Some(Series::DEFAULT);
    };
    let Ok(series) = text.parse::<Series>() else {
        let known = Series::ALL.map(|series| series.to_string());
        let list = listed(known.iter().map(String::as_str));
        let meant = nearest(text, known.iter().map(String::as_str))
            .map_or(String::new(), |word| format!("did you mean \"{word}\"? "));
        let short: String = text.chars().take(40).collect();
        found.error(
            "E0304",
            format!("odoo series {short:?} is unknown"),
            format!("{meant}known series: {list} (write it in quotes)"),
            at,
        );
        return None;
    };
    if series.profile().standing == Standing::Declared {
        let accepted =
            layers.pick("odoo.accept_declared", |l| l.odoo?.accept_declared.as_ref()).is_some_and(|(yes, _)| *yes);
        if !accepted {
            let proven = Series::ALL
                .iter()
                .filter(|s| s.profile().standing == Standing::Proven)
                .map(Series::to_string)
                .collect::<Vec<_>>();
            found.error(
                "E0305",
                format!("series {series} is declared, not proven: nothing of it has run here"),
                format!(
                    "use {}, or write `accept_declared: true` under `odoo`",
                    listed(proven.iter().map(String::as_str))
                ),
                at,
            );
            return None;
        }
        found.note(
            "W0604",
            format!(
                "series {series} is declared, not proven: nothing of it has run here; accepted by `accept_declared`"
            ),
        );
    }
    Some(series)
}

fn modules(layers: &Layers<'_>, found: &mut Findings<'_>) -> Arc<[ModuleName]> {
    let mut all: BTreeSet<ModuleName> = QUEUE_JOB.parse().into_iter().collect();
    if let Some((modules, at)) = layers.pick("odoo.modules", |l| l.odoo?.modules.as_deref()) {
        for (index, module) in modules.iter().enumerate() {
            all.extend(found.name::<ModuleName>("E0205", module, format_args!("{at}[{index}]")));
        }
    }
    all.into_iter().collect()
}

fn source(layers: &Layers<'_>, found: &mut Findings<'_>) {
    if let Some((source, at)) = layers.pick("odoo.source", |l| l.odoo?.source.as_deref())
        && source != "debian"
    {
        let short: String = source.chars().take(40).collect();
        found.error(
            "E0303",
            format!("odoo source {short:?} is not in this release"),
            "write `source: debian`, or leave it out",
            at,
        );
    }
}
