//! The faults that can be had, by id.
//!
//! Rule: what stands here can be put in and undone; there is a test for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultId {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT at the end.
    Freeze,
    /// Stopped for a part of every tenth of a second.
    Slow,
    /// Every byte of a connection arrives later.
    Delay,
    /// Nothing arrives; what was sent meanwhile arrives when it is mended.
    Blackhole,
    /// Connections are reset, and new ones as well.
    Reset,
    /// One end is gone and the other does not hear of it.
    HalfOpen,
    /// A connection has few bytes per second.
    Bandwidth,
    /// No room is left on a file system of its own.
    FillDisk,
    /// Our own code reads another time.
    Clock,
}

/// What a fault acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Processes, by pid and start time.
    Processes,
    /// Connections that go through a proxy of the rig.
    Connections,
    /// A folder with a file system of its own.
    Folder,
    /// Our own code.
    OwnClock,
}

/// A line of the catalogue.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: FaultId,
    /// What it acts on.
    pub scope: Scope,
    /// What happens.
    pub what: &'static str,
    /// How it is undone; empty where nothing is to undo.
    pub undo: &'static str,
    /// What must hold meanwhile, to be judged by the ledger and by what clients saw.
    pub invariant: &'static str,
}

const LEDGER: &str = "nothing acknowledged is lost, nothing is doubled";

/// All of them.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        id: FaultId::Kill,
        scope: Scope::Processes,
        what: "kills the processes at once (SIGKILL)",
        undo: "",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Freeze,
        scope: Scope::Processes,
        what: "stops the processes (SIGSTOP); the supervisor replaces what stays frozen for 15 s",
        undo: "lets them go on (SIGCONT)",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Slow,
        scope: Scope::Processes,
        what: "stops the processes for a part of every 100 ms; the supervisor may take those that are left little for frozen",
        undo: "lets them go on (SIGCONT)",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Delay,
        scope: Scope::Connections,
        what: "delays every byte, in one direction or both",
        undo: "passes at once; a socket that was taken over is put back",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Blackhole,
        scope: Scope::Connections,
        what: "passes nothing, in one direction or both; nobody is told",
        undo: "passes what waited; a socket that was taken over is put back",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Reset,
        scope: Scope::Connections,
        what: "resets open and new connections",
        undo: "new connections pass; a socket that was taken over is put back",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::HalfOpen,
        scope: Scope::Connections,
        what: "closes the far end and leaves the near end open and silent",
        undo: "new connections pass, silent ones are closed; a socket that was taken over is put back",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::Bandwidth,
        scope: Scope::Connections,
        what: "passes few bytes per second",
        undo: "passes at once; a socket that was taken over is put back",
        invariant: LEDGER,
    },
    Entry {
        id: FaultId::FillDisk,
        scope: Scope::Folder,
        what: "fills a small file system that the rig made, never one that was there",
        undo: "removes the ballast",
        invariant: "the error names the disk, and nothing half-written counts",
    },
    Entry {
        id: FaultId::Clock,
        scope: Scope::OwnClock,
        what: "shifts the time that our own code reads, where a build takes it",
        undo: "removes the shift, which also ends by itself",
        invariant: "no operation is doubled, no freeze is passed by, no certificate is made in a loop",
    },
];

impl FaultId {
    /// The name on the command line and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            FaultId::Kill => "kill",
            FaultId::Freeze => "freeze",
            FaultId::Slow => "slow",
            FaultId::Delay => "delay",
            FaultId::Blackhole => "blackhole",
            FaultId::Reset => "reset",
            FaultId::HalfOpen => "half-open",
            FaultId::Bandwidth => "bandwidth",
            FaultId::FillDisk => "fill-disk",
            FaultId::Clock => "clock",
        }
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}; there are {list}", list = names())]
pub struct FaultIdError(String);

fn names() -> String {
    CATALOGUE.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ")
}

impl FromStr for FaultId {
    type Err = FaultIdError;
    fn from_str(text: &str) -> Result<Self, FaultIdError> {
        let found = CATALOGUE.iter().map(|entry| entry.id).find(|id| id.as_str() == text);
        found.ok_or_else(|| FaultIdError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_stand_once() {
        for entry in CATALOGUE {
            assert_eq!(entry.id.as_str().parse::<FaultId>(), Ok(entry.id));
            assert_eq!(serde_json::to_value(entry.id).unwrap(), entry.id.as_str());
            assert_eq!(CATALOGUE.iter().filter(|other| other.id == entry.id).count(), 1);
        }
        assert!("freez".parse::<FaultId>().unwrap_err().to_string().contains("half-open"));
    }
}
