//! A server with API and console over an estate in memory: store, journal, loop, sessions and pages are real;
//! only what would run does not. Steps take their time, so that somebody can watch them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use springtide_core::observe::{Observation, Seed};
use springtide_core::plan::Action;
use springtide_core::sizing::SizedEnvironment;
use springtide_core::workload::WorkloadId;
use springtide_driver::fake::FakeDriver;
use springtide_server::Estate;
use springtide_server::control::{Control, ControlError, Settings};
use springtide_server::execute::{Clock, Execution, Failure, Progress};
use springtide_server::fake::{self, FakeWorld};
use springtide_server::http::{self, Limits, credentials};
use springtide_server::observe::ObserveError;
use springtide_server::serve::serve;
use springtide_server::world::World;

/// The file it begins with.
pub const FILE: &str = "estate: acme
environments:
  - name: prod
    users: 60
    odoo: { modules: [stock, sale_management] }
  - name: staging
    odoo: { modules: [stock] }
";

/// An error of whatever kind.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A world whose steps take their time, and whose workloads use memory and write logs.
struct Lifelike {
    world: Arc<FakeWorld>,
    driver: Arc<FakeDriver>,
    pace: Arc<AtomicU64>,
}

#[async_trait]
impl World for Lifelike {
    async fn observe(&self, estate: &Estate, now: i64) -> Result<Observation, ObserveError> {
        let mut seen = self.world.observe(estate, now).await?;
        for (name, environment) in &mut seen.environments {
            for (place, (role, workload)) in environment.workloads.iter_mut().enumerate() {
                let wave = ((now as f64 / 40.0 + place as f64).sin() + 1.0) * 24.0;
                workload.resident_bytes = workload.pid.map(|_| (60 + 70 * place as u64 + wave as u64) << 20);
                workload.why = String::new();
                let line = format!("{now} INFO {name} {role}: served {} requests", now % 97);
                let _ = self.driver.write_log(&WorkloadId::of(name, *role), &line);
            }
        }
        Ok(seen)
    }

    async fn step(
        &self,
        execution: &Execution<'_>,
        action: &Action,
        sized: Option<&SizedEnvironment<'_>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        if let Action::EnsureWorkload { id, .. } = action {
            let _ = self.driver.write_log(id, &format!("{id} starts with new settings"));
        }
        tokio::time::sleep(Duration::from_millis(self.pace.load(Ordering::Relaxed))).await;
        self.world.step(execution, action, sized, progress).await
    }

    async fn ensure_repository(&self, execution: &Execution<'_>, sized: &SizedEnvironment<'_>) -> Result<(), Failure> {
        self.world.ensure_repository(execution, sized).await
    }

    async fn restore_data(
        &self,
        execution: &Execution<'_>,
        sized: &SizedEnvironment<'_>,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.world.restore_data(execution, sized, seed, progress).await
    }
}

/// A server that runs.
pub struct Rig {
    /// Where it listens.
    pub address: SocketAddr,
    /// The estate file.
    pub file: PathBuf,
    /// What it controls.
    pub control: Arc<Control>,
    pace: Arc<AtomicU64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<Result<(), ControlError>>,
}

impl Rig {
    /// Starts one below `folder`, each step taking `pace`.
    pub async fn start(folder: &Path, port: u16, pace: Duration) -> Result<Self, Fault> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("estate.yaml");
        std::fs::write(&file, FILE)?;
        let pace = Arc::new(AtomicU64::new(pace.as_millis() as u64));
        let (driver, world) = (Arc::new(FakeDriver::new()), Arc::new(FakeWorld::default()));
        let mut estate = fake::estate(&folder.join("state"), Arc::clone(&driver), Arc::clone(&world))?;
        estate.world = Arc::new(Lifelike { world, driver, pace: Arc::clone(&pace) });
        let clock: Clock = Arc::new(|| {
            let passed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            passed.map_or(0, |it| it.as_secs() as i64)
        });
        let settings = Settings { pass: Duration::from_secs(5), ..Settings::new(file.clone(), Arc::clone(&clock)) };
        let control = Control::new(Arc::new(estate), settings);
        let site = http::site(Arc::clone(&control), clock, Limits::default());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = serve(Arc::clone(&control), site, listener, async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(serving);
        Ok(Self { address, file, control, pace, stop: Some(stop), server })
    }

    /// Makes each step take this long from now on.
    pub fn pace(&self, pace: Duration) {
        self.pace.store(pace.as_millis() as u64, Ordering::Relaxed);
    }

    /// The address of the console.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A new log-in link.
    pub fn link(&self) -> Result<String, Fault> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
        let code = credentials::make_login_code(&self.control.estate().store, now)?;
        Ok(self.url(&format!("/login?code={code}")))
    }

    /// Waits until `holds`.
    pub async fn until(&self, what: &str, holds: impl Fn(&Control) -> bool) -> Result<(), Fault> {
        for _ in 0..300 {
            if holds(&self.control) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("30 s passed and still not: {what}").into())
    }

    /// Approves whatever is planned, and waits until nothing is left.
    pub async fn settle(&self) -> Result<(), Fault> {
        self.until("something was seen", |control| control.snapshot().is_some()).await?;
        let plan = self.control.refresh().await?.plan.id.clone();
        self.control.approve(&plan, None, "the rig").await?;
        let empty = |control: &Control| control.snapshot().is_some_and(|it| it.plan.is_empty());
        self.until("nothing is left", |control| empty(control) && control.running().is_empty()).await
    }

    /// Stops it.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.server.await;
    }
}
