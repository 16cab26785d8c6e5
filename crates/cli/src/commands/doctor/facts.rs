//! What the doctor has seen, without judging it. What could not be seen is `Err` with the reason.

use std::collections::{BTreeMap, BTreeSet};

use springtide_core::observe::HostFacts;
use springtide_core::series::Series;

/// Something seen, or why it could not be.
pub type Seen<T> = Result<T, String>;

/// Everything the doctor looks at.
pub struct Facts {
    /// Seconds since 1970 by this machine's clock.
    pub now: i64,
    /// When this program was built, seconds since 1970.
    pub built: i64,
    /// Effective user id.
    pub user: u32,
    /// The machine, as the driver sees it.
    pub host: Seen<HostFacts>,
    /// Programs that are not found, with the Debian package that has them.
    pub absent: Vec<(&'static str, &'static str)>,
    /// What the estate file asks for.
    pub estate: Seen<Wanted>,
    /// The file system of the state folder.
    pub disk: Seen<Disk>,
    /// Version of pgBackRest, major and minor; `None` if it is not here.
    pub pgbackrest: Seen<Option<(u32, u32)>>,
    /// Folders of the machine that places of backups lie in, with their file system; `None` if it is not there.
    pub places: Vec<(String, Seen<Option<Disk>>)>,
    /// Bytes of memory that could be had now.
    pub memory_available: Seen<u64>,
    /// Control group hierarchies that can be used; empty if there are none.
    pub cgroups: Vec<&'static str>,
    /// Who listens on the entrance's ports, if it is not Springtide's proxy.
    pub entrance: Vec<(u16, String)>,
    /// The state folder; `None` if it does not exist yet.
    pub state: Seen<Option<Folder>>,
    /// Path of the state folder.
    pub state_path: String,
    /// The store; `None` if it does not exist yet.
    pub store: Seen<Option<Recorded>>,
    /// The supervisor that left its record; `None` if there is none.
    pub supervisor: Seen<Option<Supervisor>>,
    /// Whether the key of the secrets can be used; `None` if there are no secrets yet.
    pub secrets: Seen<Option<()>>,
    /// Environments with data or workloads, and whether the proxy has their route.
    pub routes: Seen<BTreeMap<String, Seen<bool>>>,
    /// Host names of the estate file and whether they resolve.
    pub names: Vec<(String, Seen<()>)>,
}

/// What the estate file asks for.
pub struct Wanted {
    /// Odoo series of its environments.
    pub series: BTreeSet<Series>,
    /// How many environments.
    pub environments: usize,
    /// How many of them are backed up.
    pub backed_up: usize,
}

/// A file system.
pub struct Disk {
    /// Bytes that can be written.
    pub free: u64,
    /// Files that can be made; `None` where the file system sets no limit.
    pub free_inodes: Option<(u64, u64)>,
}

/// A folder.
pub struct Folder {
    /// Whether it is one.
    pub is_folder: bool,
    /// Owner.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What the store tells.
pub struct Recorded {
    /// Ends of certificates by environment, seconds since 1970.
    pub certificates: BTreeMap<String, i64>,
    /// Operation and step that were cut off.
    pub cut_off: Option<(u64, String)>,
    /// Who holds the operation lock now.
    pub busy: Option<String>,
    /// When the newest operation began, seconds since 1970.
    pub newest: Option<i64>,
}

/// The supervisor's record and what became of it.
pub struct Supervisor {
    /// Its pid.
    pub pid: i64,
    /// Its version.
    pub version: String,
    /// Whether the process lives.
    pub alive: bool,
    /// Whether it runs this very program file; `Err` if that cannot be seen.
    pub same_program: Seen<bool>,
    /// Workloads that should be watched.
    pub workloads: usize,
}
