//! Progress of an operation on stderr: at a terminal one bar with finished steps scrolling above
//! it, else plain lines; under `--quiet` nothing.
//!
//! How long a step takes is not known beforehand, so no end is promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{Plan, Step};
use springtide_server::execute::Progress;

use crate::failure::code;
use crate::printer;

/// Shows the progress of one operation.
pub struct Terminal<'a> {
    plan: &'a Plan,
    cancelled: Arc<AtomicBool>,
    /// Steps under way, by number: a server does several at once.
    steps: Mutex<BTreeMap<usize, Current>>,
    bar: Option<ProgressBar>,
}

struct Current {
    since: Instant,
    label: String,
}

impl<'a> Terminal<'a> {
    /// For the steps of `plan`; `cancelled` is set when the person asks to stop.
    pub fn new(plan: &'a Plan, cancelled: Arc<AtomicBool>) -> Self {
        let bar = printer::live().then(|| {
            let bar = ProgressBar::with_draw_target(Some(plan.steps().count() as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} step {pos}/{len}  {elapsed}  {wide_msg}");
            let ticks = if printer::unicode() { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " } else { "-\\|/ " };
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).tick_chars(ticks));
            bar
        });
        Self { plan, cancelled, steps: Mutex::default(), bar }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<usize, Current>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| printer::talk("", line)),
            None => printer::note("", line),
        }
    }

    fn details(&self, step: &Step) {
        for line in details(step) {
            self.say(&printer::dim(&format!("        {line}")));
        }
    }
}

/// What `-v` tells of a step.
pub fn details(step: &Step) -> Vec<String> {
    let mut lines = vec![format!("because {}", step.reason)];
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&step.action) {
        for (name, value) in fields {
            let value = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.push(format!("taking it back: {}", step.action.undo()));
    lines
}

impl Progress for Terminal<'_> {
    fn started(&self, operation: u64, steps: usize) {
        self.say(&format!("operation {operation}, plan {}, {}", self.plan.id, printer::counted(steps, "step")));
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    fn begin(&self, number: usize, of: usize, environment: Option<&EnvironmentName>, title: &str) {
        let name = environment.map_or("estate", EnvironmentName::as_str);
        let label = format!("{name}: {title}");
        match &self.bar {
            Some(bar) => {
                bar.set_position(number as u64 + 1);
                bar.set_message(label.clone());
            }
            None => self.say(&format!("{} {label}", printer::dim(&format!("[{:>2}/{of}]", number + 1)))),
        }
        self.under_way().insert(number, Current { since: Instant::now(), label });
        if printer::verbose()
            && let Some(step) = self.plan.steps().nth(number)
        {
            self.details(step);
        }
    }

    fn note(&self, text: &str) {
        self.say(&format!("        {text}"));
    }

    fn end(&self, number: usize, error: Option<&str>) {
        let Some(Current { since, label }) = self.under_way().remove(&number) else { return };
        let seconds = since.elapsed().as_secs_f64();
        match (error, &self.bar) {
            (Some(_), Some(bar)) => {
                self.say(&format!("{} {seconds:>6.1} s  {label}", printer::red("failed")));
                bar.finish_and_clear();
            }
            (Some(_), None) => self.say(&format!("        {} after {seconds:.1} s", printer::red("failed"))),
            (None, Some(_)) => self.say(&format!("{} {seconds:>6.1} s  {label}", printer::green("    ok"))),
            (None, None) if seconds >= 1.0 => self.say(&format!("        {} {seconds:.1} s", printer::green("ok"))),
            (None, None) => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Sets the flag at the first Ctrl-C or SIGTERM and leaves at once at the second.
pub fn watch_for_stop(verb: &str) -> std::io::Result<Arc<AtomicBool>> {
    let first = "\nstopping after this step; Ctrl-C again leaves it where it is, which is safe too";
    watch(first, format!("\nleft in the middle of a step; springtide {verb} goes on from what is seen"))
}

/// The same for operations that a server does.
pub fn watch_for_stop_of_server(operations: &[u64]) -> std::io::Result<Arc<AtomicBool>> {
    let first = "\nthe server stops after this step; Ctrl-C again leaves, and it stops all the same";
    let named = crate::commands::named(operations);
    watch(first, format!("\nleft; {named} end in the server after this step, springtide history shows how"))
}

fn watch(first: &'static str, left: String) -> std::io::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    tokio::spawn(async move {
        let mut asked = 0;
        loop {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            asked += 1;
            if asked > 1 {
                printer::talk("", &left);
                std::process::exit(code::CANCELLED.into());
            }
            flag.store(true, Ordering::Relaxed);
            printer::talk("", first);
        }
    });
    Ok(cancelled)
}
