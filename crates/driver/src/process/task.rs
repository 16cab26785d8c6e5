//! Tasks from the caller's side: spawn a keeper, hand it the task on its standard input, wait.
//!
//! Standard input stays open while we wait; when this process dies or the future is dropped it
//! closes, and the keeper kills the task. So no task goes on without someone who waits for it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::keeper::TaskEnd;
use super::logs;
use super::paths::{Paths, io};
use crate::{DriverError, Task, TaskOutcome};

/// Runs a task to its end.
pub(crate) async fn run(paths: &Paths, task: &Task) -> Result<TaskOutcome, DriverError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fail = |text: String| DriverError::Supervisor(format!("task {}: {text}", task.name));
    if task.name.is_empty() || task.name.starts_with('.') || !task.name.chars().all(plain) {
        return Err(DriverError::Supervisor("a task's name must be letters, digits, hyphens and dots".to_owned()));
    }
    let mut child = tokio::process::Command::new(&paths.binary)
        .arg("launch-task")
        .args(paths.arguments())
        .current_dir("/")
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(io("run", &paths.binary))?;
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(fail("it has no pipes".to_owned()));
    };
    let mut line = serde_json::to_vec(task).map_err(|_| fail("it cannot be written as JSON".to_owned()))?;
    line.push(b'\n');
    stdin.write_all(&line).await.map_err(|error| fail(format!("hand it over: {error}")))?;
    let mut said = String::new();
    // The keeper keeps the deadline; this one is for a keeper that was killed or hangs.
    let patience = Duration::from_secs(u64::from(task.deadline_s) + 30);
    let read = tokio::time::timeout(patience, stdout.read_to_string(&mut said)).await;
    drop(stdin);
    if !matches!(read, Ok(Ok(_))) {
        let _ = child.start_kill();
        return Err(fail("its keeper does not answer".to_owned()));
    }
    let _ = child.wait().await;
    let end: TaskEnd = serde_json::from_str(&said).map_err(|_| fail("its keeper ended without a word".to_owned()))?;
    if let Some(error) = end.error {
        return Err(fail(error));
    }
    let log = paths.tasks().join(format!("{}.log", task.name));
    let mut tail = logs::tail(&log, 16 << 10);
    if let Some(note) = end.note {
        // Whole lines are dropped from the front, so that the tail keeps its bound.
        tail.push_str(&format!("[{note}]\n"));
    }
    let over = tail.len().saturating_sub(16 << 10);
    let from = (over..=tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(0);
    Ok(TaskOutcome { code: end.code, tail: tail.split_off(from), log })
}
