//! Modules of a database that is in use: brought to what is declared, with Odoo stopped meanwhile.
//!
//! Odoo commits after each module and goes back over none. So an installation that failed may have added some:
//! the error names them. And one that was ended may have left marks at others, which Odoo would follow
//! the next time it installs anything: they are taken back before an installation and after a failed one.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret as _;
use springtide_core::names::ModuleName;
use springtide_core::role::Role;
use springtide_core::roles::{self, odoo};
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::{SecretName, WorkloadId};
use springtide_data::install::{InstallError, InstallRequest, ModuleAction, install_modules};
use springtide_data::odoo_log;
use springtide_data::postgres::{observe as observe_database, take_back};
use springtide_driver::Generation;

use crate::execute::{Execution, Failure, estate_secret};

impl Execution<'_> {
    /// Installs `modules`, with Odoo's roles stopped; without any, only takes back what was cut off.
    pub(crate) async fn install(
        &self,
        sized: &SizedEnvironment<'_>,
        modules: &[ModuleName],
        generation: Generation,
    ) -> Result<(), Failure> {
        let (driver, name) = (self.estate.driver.as_ref(), &sized.environment.name);
        if modules.is_empty() {
            return Ok(take_back(&self.admin(sized).await?, name).await?);
        }
        // Old code on a new schema is unsafe: Odoo's roles stop first; their own steps of this plan, or of the
        // next, start them again.
        for role in Role::ODOO {
            driver.stop_workload(&WorkloadId::of(name, role), generation).await?;
        }
        let admin = self.admin(sized).await?;
        take_back(&admin, name).await?;
        let before = observe_database(&admin, name).await?.modules;
        drop(admin);
        let wanted = modules.iter().cloned().collect();
        let installed = install_modules(driver, self.request(sized, &wanted)?, generation).await;
        let failed = matches!(installed, Err(InstallError::Failed { .. }));
        let after = self.after(sized, failed).await;
        let again = self.start_again(sized, generation).await;
        // Why the installation failed is the news, also when the roles do not come back.
        let log = match installed {
            Err(error @ InstallError::Failed { .. }) => {
                let stayed =
                    after.map_or_else(|it| format!("what was added is not known: {it}"), |it| stayed(&before, &it));
                return Err(format!("{error}\n{stayed}").into());
            }
            installed => installed?,
        };
        again?;
        let after = after?;
        let missing: Vec<&str> =
            modules.iter().filter(|module| !after.contains(*module)).map(ModuleName::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let lines = log.map(|log| odoo_log::relevant_of(&log, "").join("\n")).unwrap_or_default();
        let (series, missing, stayed) = (sized.environment.series, missing.join(", "), stayed(&before, &after));
        Err(format!("no such module in series {series}, or not installable: {missing}\n{lines}\n{stayed}").into())
    }

    /// Modules that are installed now; the marks of an installation that failed are taken back first.
    async fn after(&self, sized: &SizedEnvironment<'_>, failed: bool) -> Result<BTreeSet<ModuleName>, Failure> {
        let (admin, name) = (self.admin(sized).await?, &sized.environment.name);
        if failed {
            take_back(&admin, name).await?;
        }
        Ok(observe_database(&admin, name).await?.modules)
    }

    /// What the task that installs is given.
    fn request<'a>(
        &self,
        sized: &'a SizedEnvironment<'_>,
        modules: &'a BTreeSet<ModuleName>,
    ) -> Result<InstallRequest<'a>, Failure> {
        let secrets = &self.estate.secrets;
        let conf = secrets.resolve(&odoo::installer_conf(sized))?;
        let authority = secrets.get(&estate_secret(SecretName::AuthorityCertificate))?;
        let mut env = BTreeMap::new();
        for (name, value) in odoo::env(sized, Role::Web) {
            env.insert(name, secrets.resolve(&value)?.expose_secret().to_owned());
        }
        Ok(InstallRequest {
            environment: &sized.environment.name,
            series: sized.environment.series,
            slot: sized.slot,
            modules,
            action: ModuleAction::Install,
            conf: conf.expose_secret().to_owned(),
            files: vec![("ca.crt".into(), authority.expose_secret().to_owned())],
            env,
        })
    }

    /// Runs Odoo's roles as they are declared and waits until they are ready.
    async fn start_again(&self, sized: &SizedEnvironment<'_>, generation: Generation) -> Result<(), Failure> {
        let driver = self.estate.driver.as_ref();
        for role in Role::ODOO {
            driver.ensure_workload(&self.resolve(roles::workload(sized, role))?, generation).await?;
        }
        for role in Role::ODOO {
            driver.wait_ready(&WorkloadId::of(&sized.environment.name, role)).await?;
        }
        Ok(())
    }
}

/// What an installation that failed added all the same, for people.
fn stayed(before: &BTreeSet<ModuleName>, after: &BTreeSet<ModuleName>) -> String {
    let more: Vec<&str> = after.difference(before).map(ModuleName::as_str).collect();
    match more.as_slice() {
        [] => "no module was added".to_owned(),
        more => format!("added before that, and kept, since Odoo does not go back over them: {}", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_installation_names_what_it_added() {
        let set = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<ModuleName>>();
        let before = set(&["base", "web"]);
        assert_eq!(stayed(&before, &before), "no module was added");
        let text = stayed(&before, &set(&["base", "contacts", "mail", "web"]));
        assert!(text.ends_with(": contacts, mail"), "{text}");
    }
}
