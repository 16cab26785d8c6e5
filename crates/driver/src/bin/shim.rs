//! For this crate's own tests: the hidden subcommands, and `call`, one driver call in a process that
//! can be killed.
//!
//! `springtide-shim call STATE CACHE` reads the call as one JSON value from standard input.

use std::path::PathBuf;

use springtide_core::workload::WorkloadId;
use springtide_driver::{Driver as _, DriverError, Generation, ProcessDriver, ResolvedWorkload, Task};

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Call {
    Ensure(Box<ResolvedWorkload>),
    Stop(WorkloadId),
    Remove(WorkloadId),
    Task(Box<Task>),
    Exec(WorkloadId, Vec<String>),
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let code = springtide_driver::hidden_command(&args).unwrap_or_else(|| match args.as_slice() {
        [word, state, cache] if word == "call" => call(state.into(), cache.into()).unwrap_or(1),
        _ => 2,
    });
    std::process::exit(code);
}

fn call(state: PathBuf, cache: PathBuf) -> Result<i32, Box<dyn std::error::Error>> {
    let call: Call = serde_json::from_reader(std::io::stdin())?;
    let driver = ProcessDriver::new(state, std::env::current_exe()?, cache);
    let runtime = tokio::runtime::Runtime::new()?;
    let generation = Generation(1);
    let done: Result<i32, DriverError> = runtime.block_on(async {
        match call {
            Call::Ensure(workload) => driver.ensure_workload(&workload, generation).await.map(|_| 0),
            Call::Stop(id) => driver.stop_workload(&id, generation).await.map(|()| 0),
            Call::Remove(id) => driver.remove_workload(&id, generation).await.map(|()| 0),
            Call::Task(task) => driver.run_task(&task, generation).await.map(|outcome| outcome.code.unwrap_or(1)),
            Call::Exec(id, command) => driver.exec(&id, &command).await,
        }
    });
    Ok(done?)
}
