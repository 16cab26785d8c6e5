//! One run: a machine, a state folder, controllers that come and go, and time. Everything happens on one
//! thread, in an order that follows from the seed.
//!
//! A controller is the server's own code in a runtime of its own; dropping that runtime is its death, not
//! driving it for a while is its hanging. Time is the machine's: whatever sleeps is woken one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use springtide_core::check::{CheckedEstate, parse_and_check};
use springtide_core::digest::Digest;
use springtide_core::observe::Observation;
use springtide_core::plan::environment::fingerprint;
use springtide_core::plan::wanted::{wanted, wanted_of_estate};
use springtide_core::plan::{Action, EnvironmentPlan};
use springtide_core::role::Role;
use springtide_core::roles::{self, proxy, route};
use springtide_core::sizing::size;
use springtide_core::workload::WorkloadId;
use springtide_data::secrets::SecretStore;
use springtide_server::Estate;
use springtide_server::control::{Control, ControlError, Settings};
use springtide_server::execute::{Clock, Progress};
use springtide_server::routes::Proxy;
use springtide_server::store::Store;
use tokio::runtime::Runtime;

use crate::bugs::{Place, bug};
use crate::chance::Chance;
use crate::checks::{Auditor, Check, Violation};
use crate::hand::Hand;
use crate::machine::{Crash, Faults, Machine, Part, host};
use crate::story::File;

/// How the store says that what runs was adopted.
const ADOPTED: &str = "it runs as declared";

/// Never asked, and dear to make: it reads every certificate authority of this machine.
static PROXY: std::sync::OnceLock<Proxy> = std::sync::OnceLock::new();

/// What a run is made from.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub seed: u64,
    /// Name of the bug that is planted; empty for none.
    pub bug: &'static str,
    /// Checks that are switched off.
    pub off: Vec<Check>,
}

/// How a run came out.
pub struct Outcome {
    pub violation: Option<Violation>,
    pub trace: Vec<(u64, String)>,
}

pub struct Controller {
    runtime: Option<Runtime>,
    pub control: Option<Arc<Control>>,
    command: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.control = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Sim {
    pub chance: Chance,
    pub machine: Machine,
    pub file: File,
    pub folder: PathBuf,
    /// The store as people use it from the command line.
    pub people: Store,
    pub controllers: BTreeMap<u32, Controller>,
    pub hung: BTreeSet<u32>,
    last: u32,
    secrets: PathBuf,
}

/// Says nothing and never stops.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: usize, _: usize, _: Option<&springtide_core::names::EnvironmentName>, _: &str) {}
    fn note(&self, _: &str) {}
    fn end(&self, _: usize, _: Option<&str>) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// A folder in memory, if this machine has one: nothing here has to survive a power cut.
pub fn folder(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    base.join(format!("springtide-simulation-{}-{name}", std::process::id()))
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.controllers.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Sim {
    pub fn new(options: &Options) -> Self {
        let mut chance = Chance::new(options.seed);
        let thread = format!("{:?}", std::thread::current().id());
        let folder = folder(&format!("{}-{}", options.seed, thread.trim_matches(|c: char| !c.is_ascii_digit())));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let people = Store::open(&folder.join("state/springtide.db")).unwrap();
        let audit = Auditor::open(&folder.join("state/springtide.db"));
        let planted = bug(options.bug);
        if let Some(Place::Store(sql)) = planted.map(|it| &it.place) {
            audit.tamper(&format!("CREATE TRIGGER planted {sql}"));
        }
        springtide_server::failpoint::plant(match planted.map(|it| &it.place) {
            Some(Place::Code) => Some(options.bug),
            _ => None,
        });
        // Every seed has faults of its own; what never happens in one is frequent in another.
        let mut rate = |most: u64| if chance.one_in(2) { chance.below(most) } else { 0 };
        let faults = Faults {
            crash: rate(60),
            error: rate(80),
            lost: rate(80),
            late: rate(80),
            twice: rate(120),
            blind: rate(100),
        };
        let machine = Machine::new(options.seed, faults, options.bug, &options.off, audit);
        let secrets = folder.with_file_name(format!("springtide-simulation-{}-secrets", std::process::id()));
        let (controllers, hung) = (BTreeMap::new(), BTreeSet::new());
        Self { chance, machine, file: File::default(), folder, people, controllers, hung, last: 0, secrets }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("estate.yaml")
    }

    pub fn tell(&self, text: impl Into<String>) {
        self.machine.inner().tell(text.into());
    }

    pub fn violated(&self) -> bool {
        self.machine.inner().violation.is_some()
    }

    /// The edges of a new controller; none if even opening the store failed.
    pub fn estate(&mut self) -> (u32, Estate, Clock) {
        self.last += 1;
        let hand = Hand { machine: self.machine.clone(), controller: self.last };
        let state = self.folder.join("state");
        let estate = Estate {
            store: Store::open(&state.join("springtide.db")).unwrap(),
            secrets: SecretStore::open(self.secrets.clone()).unwrap(),
            proxy: PROXY.get_or_init(|| Proxy::new().unwrap()).clone(),
            driver: Arc::new(hand.clone()),
            world: Arc::new(hand),
            state,
        };
        let (machine, controller) = (self.machine.clone(), self.last);
        (self.last, estate, Arc::new(move || machine.clock(controller)))
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// Starts a server; whether it came up.
    pub fn start_server(&mut self) -> bool {
        let (id, estate, clock) = self.estate();
        let machine = self.machine.clone();
        let settings = Settings {
            file: self.path(),
            clock,
            parse: parse_and_check,
            uptime: Arc::new(move || Duration::from_millis(machine.inner().ms)),
            parallel: 3,
            pass: Duration::from_secs(10),
            hint: Duration::from_secs(1),
            seed: self.machine.inner().seed,
        };
        let control = Control::new(Arc::new(estate), settings);
        self.tell(format!("controller {id} is a server"));
        let of_control = Arc::clone(&control);
        self.controllers
            .insert(id, Controller { runtime: Some(Self::runtime()), control: Some(control), command: None });
        let came_up = self.run(id, async move { of_control.catch_up() });
        match came_up {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.end(id, &format!("cannot start: {error}"));
                false
            }
            None => false,
        }
    }

    /// Lets a command run in a process of its own, under a number of its own.
    pub fn command<F: Future<Output = ()> + 'static + Send>(&mut self, id: u32, work: F) {
        let runtime = Self::runtime();
        let command = Some(runtime.spawn(work));
        self.controllers.insert(id, Controller { runtime: Some(runtime), control: None, command });
        self.run(id, async {});
    }

    /// Runs something of a controller until nothing in it can go on without time. None if it died.
    pub fn run<T>(&mut self, id: u32, work: impl Future<Output = T>) -> Option<T> {
        let controller = self.controllers.get_mut(&id)?;
        let runtime = controller.runtime.as_ref()?;
        let machine = self.machine.clone();
        let done = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                let done = work.await;
                let (mut quiet, mut moves) = (0, machine.inner().moves);
                while quiet < 4 {
                    tokio::task::yield_now().await;
                    let now = machine.inner().moves;
                    quiet = if now == moves { quiet + 1 } else { 0 };
                    moves = now;
                }
                done
            })
        }));
        let over = controller.command.as_ref().is_some_and(tokio::task::JoinHandle::is_finished);
        let done = match done {
            Ok(done) => Some(done),
            Err(fault) if fault.is::<Crash>() => None,
            Err(fault) => resume_unwind(fault),
        };
        if over {
            self.end(id, "is done");
        }
        self.reap();
        self.look_around(id);
        done
    }

    /// Ends a controller here and now.
    pub fn end(&mut self, id: u32, why: &str) {
        self.machine.inner().die(id, why);
        self.reap();
    }

    fn reap(&mut self) {
        let dead = self.machine.inner().dead.clone();
        self.controllers.retain(|id, _| !dead.contains(id));
        self.hung.retain(|id| !dead.contains(id));
    }

    pub fn servers(&self) -> Vec<u32> {
        let live = self.controllers.iter().filter(|(id, it)| it.control.is_some() && !self.hung.contains(id));
        live.map(|(id, _)| *id).collect()
    }

    pub fn control(&self, id: u32) -> Option<Arc<Control>> {
        self.controllers.get(&id)?.control.clone()
    }

    /// One pass of a server; it ends if another one has taken over.
    pub fn pass(&mut self, id: u32) {
        let Some(control) = self.control(id) else { return };
        let passed = self.run(id, async move { control.pass().await });
        match passed {
            // By a command that began to act just now, or by another server: then it ends.
            Some(Err(ControlError::Fenced { .. })) => {
                let again = self.control(id);
                let over = self.run(id, async move { again.map(|it| it.catch_up()) });
                if let Some(Some(Err(ControlError::Fenced { .. }))) = over {
                    self.end(id, "fenced");
                }
            }
            Some(Err(error)) => self.tell(format!("controller {id}: pass: {error}")),
            Some(Ok(())) | None => {}
        }
    }

    /// Lets time go by.
    pub fn advance(&mut self, ms: u64) {
        let until = self.machine.inner().ms + ms;
        while !self.violated() {
            let due = self.machine.inner().next_due(until, &self.hung);
            match due {
                None => break,
                Some(None) => {}
                Some(Some(id)) => drop(self.run(id, async {})),
            }
        }
        self.machine.inner().ms = until;
    }

    /// What an auditor sees after something happened in a controller.
    fn look_around(&mut self, id: u32) {
        let snapshot = self.control(id).and_then(|control| control.snapshot());
        let mut inner = self.machine.inner();
        let found = inner.audit.follow();
        inner.found(found);
        let found = inner.audit.leases();
        inner.found(found);
        for name in inner.audit.newly_cancelled() {
            let part: Part = name.map(|name| name.parse().unwrap());
            inner.tell(format!("cancelled: {part:?}"));
            inner.approved.remove(&part);
        }
        for (name, digest, by) in inner.audit.approved() {
            let part: Part = (!name.is_empty()).then(|| name.parse().unwrap());
            let digest: Digest = digest.parse().unwrap();
            let all = inner.approved.entry(part.clone()).or_default();
            if all.contains(&digest) {
                all.retain(|it| *it == digest);
                continue;
            }
            let as_declared = snapshot.as_ref().is_some_and(|it| differs(&inner, &it.checked, &part).is_none());
            if by == ADOPTED && as_declared {
                inner.approved.insert(part, [digest].into());
                continue;
            }
            inner.fails(Check::Approval, || format!("approved on record and by nobody: {part:?}, by {by}"));
        }
    }
}

/// What of a part is not as it is declared; none if all is.
pub fn differs(inner: &crate::machine::Inner, checked: &CheckedEstate, part: &Part) -> Option<String> {
    let runs = |id: WorkloadId, digest: Digest| match inner.workloads.get(&id) {
        Some(it) if it.digest == digest && it.live.len() == 1 && !it.gave_up => None,
        Some(it) => Some(format!("{id}: {} processes", it.live.len())),
        None => Some(format!("{id}: none")),
    };
    let Some(name) = part else {
        let proxy = (Role::Proxy, proxy::proxy_digest(&checked.platform.ingress));
        let parts = [(Role::Notice, proxy::notice_digest()), proxy];
        return parts.into_iter().find_map(|(role, digest)| runs(WorkloadId::estate(role), digest));
    };
    let declared = checked.environments.iter().find(|it| it.name == *name)?;
    let Some(slot) = inner.slots.get(name).copied() else { return Some(format!("{name}: no slot")) };
    let until = inner.audit.certificate_until(name.as_str());
    let host = host();
    let sized = size(declared, &checked.peaks, slot, &host, checked.environments.len(), inner.now(), until);
    let differing = Role::ENVIRONMENT.into_iter();
    if let Some(what) =
        differing.into_iter().find_map(|role| runs(WorkloadId::of(name, role), roles::digest(&sized, role)))
    {
        return Some(what);
    }
    if inner.routes.get(name) != Some(&route::digest(&sized)) {
        return Some(format!("{name}: route"));
    }
    let Some(data) = inner.data.get(name) else { return Some(format!("{name}: data")) };
    let modules = declared.modules.iter().all(|module| data.modules.contains(module)) && data.half.is_empty();
    let configured = data.configured == Some(fingerprint(checked, declared, slot));
    let secrets = crate::hand::all_secrets(name).all(|secret| inner.secrets.contains(&secret));
    (!(modules && configured && secrets))
        .then(|| format!("{name}: modules {modules}, configured {configured}, secrets {secrets}"))
}

/// What is wanted of the parts of a plan, as a person sees it who reads it.
pub fn wanted_of(
    checked: &CheckedEstate,
    seen: &Observation,
    parts: &[EnvironmentPlan],
    now: i64,
) -> Vec<(Part, Digest)> {
    let mut all = Vec::new();
    for part in parts.iter().filter(|part| !part.steps.is_empty()) {
        let Some(name) = &part.environment else {
            all.push((None, wanted_of_estate(checked)));
            continue;
        };
        let given = part.steps.iter().find_map(|step| match &step.action {
            Action::ReserveSlot { slot, .. } => Some(*slot),
            _ => None,
        });
        let slot = given.or_else(|| seen.environments.get(name).map(|it| it.slot));
        let declared = checked.environments.iter().find(|it| it.name == *name);
        if let (Some(slot), Some(declared)) = (slot, declared) {
            all.push((part.environment.clone(), wanted(checked, declared, slot, &seen.host, now)));
        }
    }
    all
}
