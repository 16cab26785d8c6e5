//! `springtide rig selftest`: what is planted must be found, in memory and, if asked, in a real environment.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Command;

use async_trait::async_trait;
use serde_json::json;
use springtide_core::names::EnvironmentName;
use springtide_rehearse::ledger::Facts;
use springtide_rehearse::odoo::{Call, Odoo as _, Rpc, Target, Wire};
use springtide_rehearse::selftest::{Check, Ground, Need, Options, Place, Report, run};
use springtide_rehearse::{distributor, facts};
use springtide_server::execute::chain;

use super::WATCHDOG;
use crate::args::Cli;
use crate::commands::rehearse::target::{permit, subject};
use crate::context::{load, no_such};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, Tone, field};

/// `springtide rig selftest`
pub async fn selftest(
    cli: &Cli,
    environment: Option<&EnvironmentName>,
    without: Option<&str>,
    dry_run: bool,
) -> Result<u8, Failure> {
    let without: BTreeSet<Check> = without.map(str::parse).transpose().map_err(wrong)?.into_iter().collect();
    if dry_run {
        let all: Vec<_> = Check::ALL.iter().filter(|it| !without.contains(it)).map(|it| it.as_str()).collect();
        if cli.json {
            printer::json(&json!({ "version": 1, "checks": all }));
        } else {
            printer::say(&format!("would plant and look for: {}", all.join(", ")));
        }
        return Ok(0);
    }
    let (mut real, mut needs) = (None, Vec::new());
    if let Some(name) = environment {
        let checked = load(cli)?;
        let Some(declared) = checked.environments.iter().find(|it| it.name == *name) else {
            return Err(no_such(name.as_str(), checked.environments.iter().map(|it| &it.name)));
        };
        // Orders of the self-test have no place in production, whatever its file allows.
        permit(declared, false)?;
        let subject = subject(cli, name).await?;
        needs.push(Need { name: format!("the entrance of {name}"), place: Place::Port(subject.target.address) });
        real = Some(Real::open(subject.target).await.map_err(|why| {
            Failure::new(
                code::UNREACHABLE,
                Report::CODE,
                why,
                NOTHING,
                format!("springtide rehearse prepare --env {name}"),
            )
        })?);
    }
    let folder = super::own(cli)?.join(format!("selftest-{}", std::process::id()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let binary = std::env::current_exe()?;
    let watchdog = move || {
        let mut command = Command::new(&binary);
        command.arg(WATCHDOG);
        command
    };
    let real = real.as_ref().map(|it| it as &dyn Ground);
    let report = run(&Options { folder: folder.clone(), without, real, needs, watchdog: &watchdog }).await;
    let passed = report.passed();
    if passed {
        std::fs::remove_dir_all(&folder)?;
    }
    if cli.json {
        printer::json(&json!({ "version": 1, "passed": passed, "tries": report.tries }));
    } else {
        let rows = report.tries.iter().map(|it| {
            let verdict = if it.passed { (Tone::Good, "found".to_owned()) } else { (Tone::Bad, "FAILED".to_owned()) };
            let verdict = if it.check.is_none() && it.passed { field("clean") } else { verdict };
            vec![field(it.ground.clone()), field(it.planted.clone()), verdict, field(it.said.clone())]
        });
        printer::data(&printer::table(&["where", "planted", "verdict", "what the rig said"], rows.collect()));
        let count = report.tries.iter().filter(|it| !it.passed).count();
        match count {
            0 => printer::say("the rig finds everything that was planted"),
            _ => printer::say(&format!("{} failed; {} is kept", printer::counted(count, "try"), folder.display())),
        }
    }
    Ok(if passed { 0 } else { code::FAILED })
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(code::INVALID, "E0911", error.to_string(), NOTHING, "springtide rig selftest --help")
}

/// A real environment to plant in.
struct Real {
    target: Target,
    admin: Rpc,
    customer: i64,
    product: i64,
}

impl Real {
    async fn open(target: Target) -> Result<Self, String> {
        let wire = Wire::new(&target).map_err(|error| chain(&error))?;
        let admin = Rpc::sign_in(wire, &target.database, &target.admin, target.password.clone())
            .await
            .map_err(|error| chain(&error))?;
        if distributor::loaded_plan(&admin).await.map_err(|error| chain(&error))?.is_none() {
            return Err("the environment holds no distributor's data".to_owned());
        }
        let one = async |model: &'static str, domain| {
            let found = admin.find(model, domain, &["id"], Some(1)).await.map_err(|error| chain(&error))?;
            found
                .first()
                .and_then(|it| it["id"].as_i64())
                .ok_or_else(|| format!("there is no {model} of the distributor"))
        };
        let customer = one("res.partner", json!([["ref", "like", "SPR-C"]])).await?;
        let product = one("product.product", json!([["default_code", "like", "SPR-"]])).await?;
        Ok(Self { target, admin, customer, product })
    }
}

#[async_trait]
impl Ground for Real {
    fn name(&self) -> String {
        self.target.environment.to_string()
    }

    async fn order(&self, key: &str) -> Result<(), String> {
        let line = json!([0, 0, { "product_id": self.product, "product_uom_qty": 1 }]);
        let values = json!({ "partner_id": self.customer, "client_order_ref": key, "order_line": [line] });
        let made = self.admin.create("sale.order", vec![values]).await.map_err(|error| chain(&error))?;
        self.admin.call(Call::on("sale.order", "action_confirm", &made)).await.map_err(|error| chain(&error))?;
        Ok(())
    }

    async fn facts(&self, prefix: &str) -> Result<Facts, String> {
        facts::read(&self.target, prefix).await.map_err(|error| chain(&error))
    }
}
