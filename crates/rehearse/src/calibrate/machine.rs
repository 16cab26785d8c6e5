//! The fingerprint of a machine: what makes measured times belong to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A machine and what ran on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor, as the kernel names it.
    pub processor: String,
    /// Processors.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Versions of what was measured, by name, such as `odoo` and `postgresql`.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// This machine, with versions that the caller knows.
    pub fn here(versions: BTreeMap<String, String>) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|word| word.trim() == name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let processors = read("/proc/cpuinfo");
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let memory = memory.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        Machine {
            // Some machines have no name for their processor; the architecture is what is left.
            processor: after(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            versions,
        }
    }

    /// What differs between this machine and another, in words; empty if times can be compared. A few
    /// percent of memory are what kernels keep for themselves.
    pub fn differs(&self, other: &Machine) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, here: String, there: String| {
            if here != there {
                found.push(format!("{what}: {here} here, {there} there"));
            }
        };
        compare("processor", self.processor.clone(), other.processor.clone());
        compare("cores", self.cores.to_string(), other.cores.to_string());
        let gib = |mib: u64| ((mib as f64) / 1024.0).round().to_string();
        compare("memory in GiB", gib(self.memory_mib), gib(other.memory_mib));
        compare("kernel", self.kernel.clone(), other.kernel.clone());
        let names: std::collections::BTreeSet<&String> = self.versions.keys().chain(other.versions.keys()).collect();
        for name in names {
            let of = |machine: &Machine| machine.versions.get(name).cloned().unwrap_or_else(|| "none".into());
            compare(name, of(self), of(other));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_itself_and_no_other() {
        let here = Machine::here(BTreeMap::from([("odoo".into(), "19.0".into())]));
        assert!(here.cores >= 1 && here.memory_mib > 0 && !here.kernel.is_empty() && !here.processor.is_empty());
        assert!(here.differs(&here.clone()).is_empty());
        let other = Machine { cores: here.cores + 1, versions: BTreeMap::new(), ..here.clone() };
        let found = here.differs(&other);
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("19.0 here, none there"), "{found:?}");
    }
}
