//! `apply` with a server running: its plan is shown, approved there, and followed to its end.
//!
//! The server does the work, so nothing depends on this command: Ctrl-C asks it to stop before the next step, as
//! without a server, and a second one leaves, with the operations going on. Exit codes are the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use springtide_api::{
    ApproveRequest, Approved, Client, ClientError, EventView, NotBegun, OperationDetail, OperationState, PlanView,
};
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::plan::{Plan, explanation};
use springtide_data::hash;
use springtide_server::execute::{Progress as _, chain};
use springtide_server::http::credentials::LOCAL_FILE;
use springtide_server::locks::{self, ServerFile};

use super::apply::{approved, fresh, where_it_is};
use super::show::{refused, show};
use crate::args::Cli;
use crate::context::{load, open, state};
use crate::failure::{Failure, NOTHING, code};
use crate::printer;
use crate::progress::{Terminal, watch_for_stop_of_server};

/// Pause after which operations are looked at although no event came.
const LOOK: Duration = Duration::from_secs(3);
/// Longest time until Ctrl-C is noticed.
const BLINK: Duration = Duration::from_millis(200);

/// `springtide apply`, done by `server`.
pub async fn apply(cli: &Cli, server: &ServerFile, saved: Option<&Plan>, yes: bool) -> Result<u8, Failure> {
    // Mistakes of the file are told with their places.
    let checked = load(cli)?;
    let client = connect(cli, &listening(cli, server).await?)?;
    let view = client.refresh().await.map_err(failure)?;
    same_file(cli, &client).await?;
    let planned = plan_of(&view)?;
    refused(cli, &planned)?;
    if let Some(saved) = saved {
        fresh(saved, &planned)?;
    }
    if !cli.json && !(cli.quiet && (yes || saved.is_some())) {
        show(cli, &planned);
    }
    if planned.is_empty() {
        match cli.json {
            true => answer(&[], &planned),
            false => where_it_is(cli, &open(cli)?, &checked)?,
        }
        return Ok(0);
    }
    if !yes && saved.is_none() && !approved(cli)? {
        return Err(Failure::new(code::CANCELLED, "E0804", "not approved", NOTHING, "springtide apply"));
    }
    // Events first, so that none of what is begun is missed.
    let mut events = client.events(None).await.map_err(failure)?;
    let asked = ApproveRequest { plan: planned.id.clone(), environments: None };
    let Approved { operations: begun, not_begun } = client.approve(&asked, &key()?).await.map_err(failure)?;
    let mut following = Following::new(&planned, &begun, watch_for_stop_of_server(&begun)?);
    // In a task of its own: a wait that is given up must not begin its pauses anew.
    let (send, mut coming) = tokio::sync::mpsc::channel(16);
    let pump = tokio::spawn(async move { while send.send(events.next().await).await.is_ok() {} });
    let mut looked = Instant::now();
    while !following.ended() {
        match tokio::time::timeout(BLINK, coming.recv()).await {
            Ok(Some(Ok(event))) => following.take(&client, &event).await,
            Ok(Some(Err(error))) => return Err(lost(&error, &begun)),
            Ok(None) | Err(_) => {}
        }
        following.cancel_if_asked(&client).await;
        // Silence may also be an operation that ended while the stream was cut.
        if looked.elapsed() >= LOOK {
            following.look(&client).await;
            looked = Instant::now();
        }
    }
    pump.abort();
    let Following { ended, terminal, .. } = following;
    drop(terminal);
    outcome(&ended)?;
    if let Some(left) = not_begun {
        return Err(incomplete(left, &begun));
    }
    match cli.json {
        true => answer(&begun, &planned),
        false => where_it_is(cli, &open(cli)?, &checked)?,
    }
    Ok(0)
}

/// Names this request. Answers are kept for a day, in which pids and plans come again: a name that came again
/// would be given the old answer, and nothing would be done.
fn key() -> Result<String, Failure> {
    let random: [u8; 16] = hash::random().map_err(|error| {
        Failure::new(code::FAILED, "E0900", error.to_string(), NOTHING, "springtide doctor, then the same again")
    })?;
    Ok(format!("apply-{:032x}", u128::from_le_bytes(random)))
}

/// The failure of an approval that was begun in part, after that part came to its end.
fn incomplete(left: NotBegun, begun: &[u64]) -> Failure {
    let NotBegun { environments, mut why } = left;
    why.detail =
        format!("{} came to an end, but {} was not begun: {}", named(begun), environments.join(", "), why.detail);
    failure(ClientError::Refused(Box::new(why))).leaves("What was done stays done; the rest waits for approval.")
}

fn answer(operations: &[u64], planned: &Plan) {
    let outcome = if operations.is_empty() { "no changes" } else { "done" };
    printer::json(&json!({
        "version": 1, "operation": operations.first(), "operations": operations, "plan": planned.id,
        "outcome": outcome,
    }));
}

/// The server once it has said where it listens; it takes its lock a moment before.
async fn listening(cli: &Cli, server: &ServerFile) -> Result<ServerFile, Failure> {
    let state = state(cli)?;
    for _ in 0..50 {
        match locks::server(&state) {
            Some(server) if !server.listen.is_empty() => return Ok(server),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let message = format!("the server with pid {} does not say where it listens", server.pid);
    Err(Failure::new(code::UNREACHABLE, "E0941", message, NOTHING, "springtide status, then the same again"))
}

/// A client of the server on this state folder, with the token that it left there.
fn connect(cli: &Cli, server: &ServerFile) -> Result<Client, Failure> {
    let path = state(cli)?.join(LOCAL_FILE);
    let token = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("cannot read {}, which the server leaves there: {error}", path.display());
        Failure::new(code::UNREACHABLE, "E0941", message, NOTHING, format!("kill {}; springtide serve", server.pid))
    })?;
    Client::new(&format!("http://{}", server.listen), &token).map_err(failure)
}

/// Refuses when the server reads another file than this command was given.
async fn same_file(cli: &Cli, client: &Client) -> Result<(), Failure> {
    let ours = springtide_server::file::read(&cli.file).ok().map(|text| Digest::of_bytes(text.as_bytes()).to_string());
    let theirs = client.estate().await.map_err(failure)?;
    if ours.as_ref() == Some(&theirs.declared) {
        return Ok(());
    }
    let why = theirs.refusal.map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("the server on this state folder keeps another estate file than {}{why}", cli.file.display());
    Err(Failure::new(code::CONFLICT, "E0943", message, NOTHING, "springtide explain E0943"))
}

fn plan_of(view: &PlanView) -> Result<Plan, Failure> {
    Plan::try_from(view).map_err(|error| failure(ClientError::Odd(error.to_string())))
}

/// What a refusal of the server means here.
fn failure(error: ClientError) -> Failure {
    let ClientError::Refused(problem) = error else {
        let next = "springtide status; end the pid that server.json names if it hangs";
        return Failure::new(code::UNREACHABLE, "E0941", chain(&error), NOTHING, next);
    };
    let exit = match problem.status {
        401 | 403 => code::DENIED,
        409 | 412 => code::CONFLICT,
        408 | 429 | 503 => code::UNREACHABLE,
        400..=499 => code::INVALID,
        _ => code::FAILED,
    };
    let id = explanation(&problem.code).map_or("E0941", |it| it.code);
    let unchanged = if problem.unchanged == NOTHING { NOTHING } else { "Nothing further was changed." };
    Failure::new(exit, id, problem.detail, unchanged, problem.next)
}

/// The failure of a server that goes away under way.
fn lost(error: &ClientError, begun: &[u64]) -> Failure {
    let message = format!("the server went away while {} ran: {}", named(begun), chain(error));
    let unchanged = "What was done stays done; the next server or apply goes on from what is seen.";
    Failure::new(code::UNREACHABLE, "E0941", message, unchanged, "springtide history")
}

/// Operations by their numbers, for people.
pub fn named(operations: &[u64]) -> String {
    let numbers: Vec<String> = operations.iter().map(u64::to_string).collect();
    let word = if operations.len() == 1 { "operation" } else { "operations" };
    format!("{word} {}", numbers.join(", "))
}

/// Operations that are followed, and where their steps stand in the plan.
struct Following<'a> {
    plan: &'a Plan,
    left: Vec<u64>,
    ended: Vec<OperationDetail>,
    /// For each operation the number of its first step in the whole plan.
    first: BTreeMap<u64, usize>,
    terminal: Terminal<'a>,
    asked: Arc<AtomicBool>,
    told: bool,
}

impl<'a> Following<'a> {
    fn new(plan: &'a Plan, begun: &[u64], asked: Arc<AtomicBool>) -> Self {
        let terminal = Terminal::new(plan, Arc::clone(&asked));
        if let Some(first) = begun.first() {
            terminal.started(*first, plan.steps().count());
        }
        Self { plan, left: begun.to_vec(), ended: Vec::new(), first: BTreeMap::new(), terminal, asked, told: false }
    }

    fn ended(&self) -> bool {
        self.left.is_empty()
    }

    /// Number of a step in the whole plan: each operation does the steps of one part, in order.
    fn number(&mut self, operation: u64, environment: Option<&str>, step: usize) -> usize {
        let first = self.first.entry(operation).or_insert_with(|| {
            let parts = self.plan.environments.iter();
            let before = parts.take_while(|part| part.environment.as_ref().map(EnvironmentName::as_str) != environment);
            before.map(|part| part.steps.len()).sum()
        });
        *first + step
    }

    async fn take(&mut self, client: &Client, event: &EventView) {
        let Some(operation) = event.operation.filter(|operation| self.left.contains(operation)) else { return };
        let environment = event.environment.as_deref();
        let text = |field: &str| event.data[field].as_str().unwrap_or_default().to_owned();
        let step = event.data["number"].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
        match event.kind.as_str() {
            "step-began" => {
                let number = self.number(operation, environment, step);
                let name = environment.and_then(|name| name.parse::<EnvironmentName>().ok());
                self.terminal.begin(number, self.plan.steps().count(), name.as_ref(), &text("title"));
            }
            "step-ended" => {
                let number = self.number(operation, environment, step);
                let failed = event.data["failed"].as_bool().unwrap_or_default();
                self.terminal.end(number, failed.then_some("failed"));
            }
            "note" => self.terminal.note(&text("text")),
            "operation-ended" => self.look(client).await,
            _ => {}
        }
    }

    /// Takes note of what has ended. What cannot be asked now is asked again later.
    async fn look(&mut self, client: &Client) {
        for operation in self.left.clone() {
            let Ok(detail) = client.operation(operation).await else { continue };
            if detail.operation.state != OperationState::Running {
                self.left.retain(|one| *one != operation);
                self.ended.push(detail);
            }
        }
    }

    async fn cancel_if_asked(&mut self, client: &Client) {
        if !self.asked.load(Ordering::Relaxed) || self.told {
            return;
        }
        self.told = true;
        for operation in &self.left {
            // One that has just ended needs no cancelling.
            let _ = client.cancel(*operation).await;
        }
    }
}

/// How it came out: the first failure, as without a server.
fn outcome(ended: &[OperationDetail]) -> Result<(), Failure> {
    // One whose step failed; then those that were stopped; last those that waited for one of them in vain.
    let rank = |it: &OperationDetail| match it.operation.state {
        OperationState::Failed if it.steps.iter().any(|step| step.error.is_some()) => 0,
        OperationState::CutOff => 1,
        OperationState::Stopped => 2,
        OperationState::Failed => 3,
        OperationState::Done | OperationState::Running => 4,
    };
    let worst = ended.iter().min_by_key(|it| rank(it)).filter(|it| rank(it) < 4);
    let Some(OperationDetail { operation, steps }) = worst else { return Ok(()) };
    let done = "Steps before it stay done; nothing after it was begun.";
    let said = operation.outcome.clone().unwrap_or_default();
    let number = operation.id;
    if operation.state == OperationState::Stopped {
        return Err(match said.starts_with("held") {
            true => Failure::new(code::CONFLICT, "E0922", said, done, "springtide release"),
            false => {
                let message = format!("operation {number} was stopped between two steps");
                Failure::new(
                    code::CANCELLED,
                    "E0805",
                    message,
                    "What was done stays done and is safe.",
                    "springtide apply goes on",
                )
            }
        });
    }
    let failed = steps.iter().find_map(|step| Some((step, step.error.as_ref()?)));
    let message = match failed {
        Some((step, error)) => {
            let of = step.environment.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
            format!("step `{}`{of} failed: {error}", step.title)
        }
        None => format!("operation {number}: {said}"),
    };
    Err(Failure::new(code::FAILED, "E0806", message, done, "mend the cause, then springtide apply goes on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_have_one_name() {
        let keys: std::collections::BTreeSet<String> = (0..100).map(|_| key().unwrap()).collect();
        assert_eq!(keys.len(), 100, "of one process, one server and one plan");
        assert!(keys.iter().all(|key| key.len() == "apply-".len() + 32));
    }

    #[test]
    fn operations_are_named() {
        assert_eq!(named(&[7]), "operation 7");
        assert_eq!(named(&[7, 8]), "operations 7, 8");
    }
}
