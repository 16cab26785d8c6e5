//! The estate file as people edit it.

use std::path::Path;

use springtide_core::check::{CheckedEstate, parse_and_check};

use crate::chance::Chance;

/// Names that environments may get; three at once at most.
const NAMES: [&str; 4] = ["prod", "shop", "test", "demo"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub name: &'static str,
    web: u64,
    modules: Vec<&'static str>,
    report: bool,
    /// Its size is its own, and not its part of the machine.
    sized: bool,
}

/// What the estate file says.
#[derive(Debug, Clone, Default)]
pub struct File {
    pub environments: Vec<Declared>,
    /// It is being edited and not valid now.
    pub broken: bool,
}

impl File {
    pub fn text(&self) -> String {
        let mut text = "estate: acme\nenvironments:\n".to_owned();
        for it in &self.environments {
            let stage = if it.name == "prod" { "production" } else { "staging" };
            let drift = if it.report { "report" } else { "heal" };
            text.push_str(&format!("  - name: {}\n    stage: {stage}\n    drift: {drift}\n", it.name));
            text.push_str(&format!("    workers: {{ web: {} }}\n", it.web));
            if it.sized {
                text.push_str("    resources: { cpus: 4, memory: 8GiB }\n");
            }
            text.push_str(&format!("    odoo: {{ series: \"19.0\", modules: [{}] }}\n", it.modules.join(", ")));
        }
        if self.broken {
            text.push_str("  - name: [\n");
        }
        text
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.text()).unwrap();
    }

    /// The file as it is checked, without what breaks it now.
    pub fn checked(&self) -> CheckedEstate {
        let whole = File { broken: false, ..self.clone() };
        parse_and_check("estate.yaml", &whole.text()).unwrap()
    }

    /// One edit.
    pub fn edit(&mut self, chance: &mut Chance) -> String {
        let count = self.environments.len() as u64;
        let free: Vec<&'static str> =
            NAMES.into_iter().filter(|name| self.environments.iter().all(|it| it.name != *name)).collect();
        if count == 0 || (count < 3 && chance.one_in(3)) {
            let Some(name) = chance.pick(&free) else { return "nothing".to_owned() };
            let sized = !chance.one_in(3);
            self.environments.push(Declared { name, web: 2, modules: vec!["stock"], report: chance.one_in(6), sized });
            return format!("declares {name}");
        }
        if chance.one_in(8) {
            self.broken = !self.broken;
            return format!("leaves the file {}", if self.broken { "broken" } else { "whole" });
        }
        let at = usize::try_from(chance.below(count)).unwrap_or_default();
        if count > 1 && chance.one_in(6) {
            return format!("no longer declares {}", self.environments.remove(at).name);
        }
        let it = &mut self.environments[at];
        match chance.below(5) {
            0 if !it.modules.contains(&"purchase") => it.modules.push("purchase"),
            0 | 1 => it.report = !it.report,
            _ => it.web = 2 + (it.web + 1 + chance.below(3)) % 5,
        }
        format!("changes {}", it.name)
    }
}
