//! Wire values as a server might send them: a calm estate, one with everything wrong, one with nothing.

use springtide_api::*;
use springtide_server::console::frame::{Frame, Theme};
use springtide_server::console::pages::environment::{Beside, Memory};
use springtide_server::console::pages::operation::Excerpt;

/// Now, in all samples.
pub const NOW: i64 = 1_795_444_029;

/// What stands in names and texts that somebody hostile wrote.
pub const HOSTILE: &str = "<script>alert('x')</script> \"quoted\" & 'single'\nnext line";

pub fn frame() -> Frame {
    Frame {
        estate: "acme".into(),
        now: NOW,
        csrf: "csrf-of-this-session".into(),
        operate: true,
        theme: Theme::System,
        path: "/".into(),
        search: String::new(),
        held: None,
        refusal: None,
        waiting: 3,
    }
}

pub fn held() -> HeldView {
    HeldView { reason: "stock count in Graz until 18:00".into(), by: "maria".into(), since: NOW - 1260 }
}

pub fn refusal() -> String {
    "E0203 at line 14: unknown field `wrokers`; did you mean `workers`?".into()
}

pub fn role(name: &str, state: State, why: &str, mib: u64) -> RoleView {
    let runs = mib > 0;
    RoleView {
        role: name.into(),
        state,
        why: why.into(),
        digest: Some("5f0c2a9e".into()),
        pid: runs.then_some(13_884 + mib as i32),
        restarts: u32::from(state == State::Backoff) * 4,
        up_s: runs.then_some(7260 + mib),
        resident_bytes: runs.then_some(mib << 20),
    }
}

fn roles() -> Vec<RoleView> {
    [("postgres", 412), ("pooler", 6), ("web", 1843), ("live", 151), ("cron", 228), ("jobs", 340)]
        .map(|(name, mib)| role(name, State::Ready, "", mib))
        .into()
}

fn troubled() -> Vec<RoleView> {
    vec![
        role("postgres", State::Ready, "", 398),
        role("pooler", State::Unready, "its probe says: connection refused", 6),
        role("web", State::Backoff, "ended with code 1 for the fourth time; the next start is in 8 s", 0),
        role("live", State::Starting, "started 2 s ago", 88),
        role("cron", State::GaveUp, "ended 10 times in 2 minutes; a person must look", 0),
        role("jobs", State::Unwatched, "the supervisor is away", 0),
    ]
}

fn states(roles: &[RoleView]) -> Vec<RoleState> {
    roles.iter().map(|it| RoleState { role: it.role.clone(), state: it.state }).collect()
}

pub fn operation(id: u64, environment: &str, state: OperationState) -> OperationView {
    let running = state == OperationState::Running;
    OperationView {
        id,
        plan: format!("p-90f4118{id}"),
        environment: Some(environment.into()),
        by: Some("maria".into()),
        began: NOW - 47,
        ended: (!running && state != OperationState::CutOff).then_some(NOW - 12),
        state,
        outcome: match state {
            OperationState::Running => None,
            OperationState::Done => Some("done".into()),
            OperationState::Failed => Some("step 3 of 7 failed: prod/web did not become ready within 120 s".into()),
            OperationState::Stopped => Some("stopped by maria before step 4".into()),
            OperationState::CutOff => Some("cut off".into()),
        },
        steps_begun: 4,
        steps_done: 3,
    }
}

fn summary(
    name: &str,
    stage: &str,
    health: Health,
    roles: &[RoleView],
    (demand, reserve, most): (u32, u32, u32),
) -> EnvironmentSummary {
    EnvironmentSummary {
        name: name.into(),
        declared: true,
        stage: Some(stage.into()),
        series: Some("19.0".into()),
        url: Some(format!("https://{name}.acme.example")),
        health,
        roles: states(roles),
        budget: Some(BudgetBar { demand, reserve, max_connections: most }),
        steps_left: 0,
        drifted: 0,
        peak: None,
        last_operation: Some(operation(17, name, OperationState::Done)),
    }
}

pub fn estate() -> EstateView {
    let mut prod = summary("prod", "production", Health::Up, &roles(), (83, 12, 100));
    prod.peak = Some(PeakView {
        name: "black-friday".into(),
        active: true,
        from: NOW - 90_000,
        to: NOW + 86_400 * 2,
        multiplier: 3.5,
        freeze: true,
    });
    prod.steps_left = 3;
    let mut staging = summary("staging", "staging", Health::Broken, &troubled(), (39, 8, 50));
    staging.drifted = 2;
    staging.last_operation = Some(operation(16, "staging", OperationState::Failed));
    let mut old = summary("trade-fair-2025", "test", Health::Up, &roles(), (31, 7, 50));
    (old.declared, old.budget, old.url, old.stage) = (false, None, None, None);
    old.series = Some("14.0".into());
    let mut soon = summary("dev", "dev", Health::Planned, &[], (23, 8, 50));
    soon.last_operation = None;
    EstateView {
        name: "acme".into(),
        at: NOW,
        declared: "9c1f22".into(),
        refusal: None,
        held: None,
        host: HostView { cpus: 8, memory_bytes: 32 << 30, free_disk_bytes: 214 << 30 },
        parts: vec![role("notice", State::Ready, "", 1), role("proxy", State::Ready, "", 93)],
        environments: vec![prod, staging, soon, old],
        plan: plan_summary(),
        drift: vec![DriftView {
            environment: None,
            what: "the route file of the proxy was edited".into(),
            since: NOW - 25,
            rule: DriftRule::Heal,
        }],
        notes: vec![NoteView {
            code: "W0401".into(),
            text: "staging declares backups, and nothing acts on them in this release".into(),
        }],
        last_operation: Some(operation(17, "prod", OperationState::Done)),
    }
}

pub fn empty_estate() -> EstateView {
    EstateView {
        environments: vec![],
        parts: vec![],
        drift: vec![],
        notes: vec![],
        last_operation: None,
        plan: PlanSummary { steps: 0, interrupting: 0, interruption_s: 0, ..plan_summary() },
        ..estate()
    }
}

fn budget(max_connections: u32) -> BudgetView {
    let lines = [
        ("web", "18 workers x 2", 36),
        ("cron", "2 x 3", 6),
        ("live", "4 pool + 1 LISTEN", 5),
        ("jobs", "4 workers x 2 + 2 runner", 10),
        ("notify", "messages between processes", 3),
        ("maintenance", "installs and backups", 4),
        ("monitor", "signals and people", 3),
    ];
    let demand = lines.iter().map(|it| it.2).sum();
    BudgetView {
        lines: lines
            .map(|(what, how, connections)| BudgetLineView { what: what.into(), how: how.into(), connections })
            .into(),
        demand,
        reserve: 13,
        max_connections,
        fits: demand + 13 <= max_connections,
        arithmetic: format!(
            "web 36 + cron 6 + live 5 + jobs 10 + notify 3 + maintenance 4 + monitor 3 = {demand}; with reserve 13 that is 80 of max_connections {max_connections}"
        ),
    }
}

pub fn environment() -> EnvironmentView {
    let mut short = estate().environments.remove(0);
    short.budget = None;
    EnvironmentView {
        at: NOW,
        roles: roles(),
        numbers: vec![
            NumberView {
                what: "web workers".into(),
                value: 18,
                unit: String::new(),
                why: "105 users / 6 per worker".into(),
            },
            NumberView { what: "cron processes".into(), value: 2, unit: String::new(), why: "the file says so".into() },
            NumberView {
                what: "job workers".into(),
                value: 4,
                unit: String::new(),
                why: "a quarter of 18 web workers, at least 1".into(),
            },
            NumberView { what: "memory".into(), value: 24 << 30, unit: "bytes".into(), why: "the file says so".into() },
        ],
        budget: Some(budget(100)),
        database: DatabaseView {
            unknown: None,
            modules: (0..41).map(|n| format!("module_{n}")).collect(),
            half: vec![],
        },
        certificate: Some(CertificateView { host: "prod.acme.example".into(), until: NOW + 86_400 * 61 }),
        routed: Some(true),
        slot: Some(1),
        destroying: None,
        drift: vec![],
        plan: Some(plan().environments.remove(1)),
        operations: vec![
            operation(17, "prod", OperationState::Done),
            operation(15, "prod", OperationState::Stopped),
            operation(12, "prod", OperationState::Failed),
            operation(9, "prod", OperationState::CutOff),
        ],
        summary: short,
    }
}

pub fn troubled_environment() -> EnvironmentView {
    let short = estate().environments.remove(1);
    EnvironmentView {
        roles: troubled(),
        routed: None,
        budget: Some(budget(50)),
        database: DatabaseView {
            unknown: Some("connection refused".into()),
            modules: vec![],
            half: vec!["sale".into(), "stock".into()],
        },
        certificate: Some(CertificateView { host: "staging.acme.example".into(), until: NOW + 86_400 * 3 }),
        drift: vec![
            DriftView {
                environment: Some("staging".into()),
                what: "web is not running".into(),
                since: NOW - 12,
                rule: DriftRule::Heal,
            },
            DriftView {
                environment: Some("staging".into()),
                what: "pgbouncer.ini was edited".into(),
                since: NOW - 4000,
                rule: DriftRule::Report,
            },
        ],
        destroying: Some("it is not production".into()),
        plan: None,
        operations: vec![],
        summary: short,
        ..environment()
    }
}

pub fn beside() -> Beside {
    let at: Vec<i64> = (0..90).map(|n| NOW - 890 + n * 10).collect();
    let wave = |base: f64, high: f64, slow: f64| {
        (0..90)
            .map(|n| Some((base + high * ((f64::from(n) / slow).sin() + 1.0) + f64::from(n % 7)) as u32))
            .collect::<Vec<_>>()
    };
    let mut web = wave(1500.0, 190.0, 11.0);
    web[40..46].fill(None);
    let mib = vec![
        wave(400.0, 8.0, 20.0),
        wave(5.0, 0.4, 9.0),
        web,
        wave(148.0, 3.0, 13.0),
        wave(220.0, 9.0, 7.0),
        wave(300.0, 44.0, 17.0),
    ];
    Beside {
        log_role: "web".into(),
        log: Some(Ok(log())),
        memory: Some(Memory {
            roles: ["postgres", "pooler", "web", "live", "cron", "jobs"].map(String::from).into(),
            at,
            mib,
        }),
    }
}

pub fn log() -> LogView {
    let line = |n: u32| {
        format!(
            "2026-11-23 14:27:{:02},{:03} {} INFO prod werkzeug: 10.4.7.{} - - \"POST /web/dataset/call_kw/stock.picking/button_validate HTTP/1.1\" 200 - {} 0.{:03} 0.{:03}",
            n % 60,
            n * 37 % 1000,
            14_000 + n % 4,
            n % 200,
            20 + n % 60,
            n * 13 % 400,
            n * 7 % 300
        )
    };
    LogView { workload: "prod/web".into(), lines: (0..40).map(line).collect(), next: "1".into() }
}

fn plan_summary() -> PlanSummary {
    PlanSummary {
        id: "p-90f41189".into(),
        steps: 7,
        interrupting: 2,
        interruption_s: 11,
        destructive: 0,
        refusals: 0,
        approvals: 2,
    }
}

pub fn plan_step(title: &str, risk: Risk, interruption_s: u32, reason: &str) -> PlanStepView {
    PlanStepView {
        title: title.into(),
        action: serde_json::json!({ "do": "sample" }),
        risk,
        interruption_s,
        reason: reason.into(),
        undo: UndoView { is: Undo::Repeat, by: None },
    }
}

pub fn plan() -> PlanView {
    PlanView {
        id: "p-90f41189".into(),
        inputs: "77ab".into(),
        summary: plan_summary(),
        environments: vec![
            EnvironmentPlanView {
                environment: None,
                steps: vec![plan_step("run notice", Risk::Rolling, 0, "its configuration differs")],
                waits: vec![],
                verdict: Some(Verdict::Approval),
            },
            EnvironmentPlanView {
                environment: Some("prod".into()),
                steps: vec![
                    plan_step("run prod/pooler", Risk::Restart, 3, "the pool grows from 24 to 36 connections"),
                    plan_step("run prod/web", Risk::Restart, 8, "workers 12 -> 18: 105 users / 6 per worker"),
                    plan_step("ask for the login page", Risk::None, 0, "after every change of what serves it"),
                ],
                waits: vec![
                    "postgres waits for the end of the freeze of peak black-friday, 2026-11-25 14:27 UTC".into(),
                ],
                verdict: Some(Verdict::Approval),
            },
            EnvironmentPlanView {
                environment: Some("dev".into()),
                steps: vec![
                    plan_step("reserve slot 3", Risk::None, 0, "it has none yet"),
                    plan_step("copy template 19.0-3f9a", Risk::None, 0, "it has no data yet"),
                    plan_step("run dev/web", Risk::None, 0, "it does not exist"),
                ],
                waits: vec![],
                verdict: Some(Verdict::Approval),
            },
        ],
        refusals: vec![],
        undeclared: vec!["trade-fair-2025".into()],
    }
}

pub fn empty_plan() -> PlanView {
    PlanView {
        environments: vec![],
        undeclared: vec![],
        summary: PlanSummary { steps: 0, interrupting: 0, interruption_s: 0, ..plan_summary() },
        ..plan()
    }
}

pub fn refused_plan() -> PlanView {
    let refusal = RefusalView {
        code: "E0701".into(),
        environment: "prod".into(),
        text: "67 connections and a reserve of 13 are more than max_connections 50".into(),
        hint: "Use fewer workers, or give the environment more cores.".into(),
    };
    PlanView { refusals: vec![refusal], ..empty_plan() }
}

pub fn detail(state: OperationState) -> OperationDetail {
    let mut at = NOW - 47;
    let mut step = |number, title: &str, took: i64| {
        let began = at;
        at += took;
        StepView { number, environment: Some("prod".into()), title: title.into(), began, ended: Some(at), error: None }
    };
    let mut steps = vec![
        step(0, "issue the certificate of prod.acme.example", 1),
        step(1, "run prod/postgres", 14),
        step(2, "run prod/pooler", 3),
        step(3, "run prod/web", 17),
    ];
    if state != OperationState::Done {
        steps[3].ended = (state == OperationState::Failed).then_some(NOW - 12);
        steps[3].error = (state == OperationState::Failed)
            .then(|| "prod/web did not become ready within 120 s: GET /web/health answered 500".into());
    }
    OperationDetail { operation: operation(17, "prod", state), steps }
}

pub fn excerpts() -> Vec<Excerpt> {
    vec![Excerpt { step: 3, workload: "prod/web".into(), lines: log().lines[..12].to_vec() }]
}

pub fn operations() -> OperationPage {
    let items = vec![
        operation(18, "prod", OperationState::Running),
        operation(17, "prod", OperationState::Done),
        operation(16, "staging", OperationState::Failed),
        operation(15, "prod", OperationState::Stopped),
        operation(9, "prod", OperationState::CutOff),
    ];
    OperationPage { items, next: Some("9".into()) }
}

pub fn problem() -> Problem {
    Problem {
        kind: "urn:springtide:E0803".into(),
        title: "the plan is stale".into(),
        status: 409,
        detail: "plan p-90f41189 is no longer the one that would be made now; that is p-11cc02aa".into(),
        code: "E0803".into(),
        unchanged: "Nothing was begun, nothing is changed.".into(),
        next: "Look at the new plan and approve that.".into(),
        request: Some("r-4711".into()),
    }
}
