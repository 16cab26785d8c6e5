//! Control over the world in memory: store, locks, journal and fences are real.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use springtide_core::layout::Slot;
use springtide_core::observe::Stranger;
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;
use springtide_driver::fake::FakeDriver;
use springtide_driver::{Driver as _, DriverError, Generation};

use super::*;
use crate::fake::{self, FakeWorld};
use crate::store::{ControllerKind, DONE, OperationRecord, Store};

mod approve;
mod backup;
mod drift;
mod halt;
mod pace;
mod succession;

const TWO: &str = "estate: acme\nenvironments:\n  - { name: prod, stage: production }\n  - { name: shop }\n";

/// A state folder with an estate file, a machine in memory and a clock.
struct Rig {
    folder: PathBuf,
    driver: Arc<FakeDriver>,
    world: Arc<FakeWorld>,
    clock: Arc<AtomicI64>,
    /// Seconds of the clock that never jumps.
    uptime: Arc<AtomicU64>,
}

impl Rig {
    fn new(name: &str, file: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("springtide-control-{name}-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let clock = Arc::new(AtomicI64::new(1_795_700_000));
        let rig =
            Self { folder, driver: Arc::new(FakeDriver::new()), world: Arc::default(), clock, uptime: Arc::default() };
        rig.declare(file);
        rig
    }

    fn declare(&self, file: &str) {
        std::fs::write(self.folder.join("estate.yaml"), file).unwrap();
    }

    /// A server that has just started.
    fn server(&self) -> Arc<Control> {
        let state = self.folder.join("state");
        let estate = fake::estate(&state, Arc::clone(&self.driver), Arc::clone(&self.world)).unwrap();
        let clock = Arc::clone(&self.clock);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let uptime = Arc::clone(&self.uptime);
        let mut settings = Settings::new(self.folder.join("estate.yaml"), clock);
        settings.uptime = Arc::new(move || Duration::from_secs(uptime.load(Ordering::Relaxed)));
        let control = Control::new(Arc::new(estate), settings);
        control.catch_up().unwrap();
        control
    }

    fn store(&self) -> Store {
        Store::open(&self.folder.join("state/springtide.db")).unwrap()
    }

    async fn pid(&self, id: &str) -> Option<i32> {
        self.driver.observe().await.unwrap().workloads.get(&id.parse().unwrap())?.pid
    }

    async fn stop(&self, id: &str) {
        let fence = self.driver.fence();
        self.driver.stop_workload(&id.parse().unwrap(), fence).await.unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Looks, approves everything and waits until it is done.
async fn approve_all(control: &Arc<Control>) -> Vec<u64> {
    let plan = control.refresh().await.unwrap().plan.id.clone();
    let begun = control.approve(&plan, None, "me").await.unwrap();
    control.idle().await;
    assert!(begun.left.is_none());
    begun.operations
}

/// A server with everything up.
async fn up(rig: &Rig) -> Arc<Control> {
    let control = rig.server();
    approve_all(&control).await;
    assert!(control.refresh().await.unwrap().plan.is_empty());
    control
}

fn newest(control: &Control) -> OperationRecord {
    control.estate().store.operations(1).unwrap().remove(0)
}

fn name(text: &str) -> Option<EnvironmentName> {
    Some(text.parse().unwrap())
}

fn verdict(control: &Control, of: &str) -> Option<Verdict> {
    control.snapshot().unwrap().verdicts.get(&name(of)).copied()
}
