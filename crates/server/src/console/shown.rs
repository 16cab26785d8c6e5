//! What is shown at an address: gathers a page's input by the API's own calls and makes the page from it.
//!
//! The page and its stream of changes call the same function, [`Shown::live`].

use std::sync::Arc;

use axum::http::HeaderMap;
use maud::Markup;
use springtide_api::{OperationDetail, OperationState, Scope, Verdict};
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;

use super::Console;
use super::frame::{self, Frame, Section, Theme};
use super::pages::environment::Beside;
use super::pages::operation::{Excerpt, workload};
use super::pages::{environment, estate, operation, plan};
use crate::http::auth::Who;
use crate::http::problem::Refused;
use crate::http::{App, view};

/// Lines of a log beside an environment.
const LOG: u32 = 80;
/// Lines of a log beside a step.
const EXCERPT: u32 = 20;
/// Operations on one page of the list.
const OPERATIONS: u32 = 50;

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The estate, or what a search finds of it.
    Estate(String),
    /// An environment, with the log of one of its roles.
    Environment(String, Option<String>),
    /// The plan, with one environment chosen.
    Plan(Option<String>),
    /// Operations, from a cursor on.
    Operations(Option<String>),
    /// One operation.
    Operation(u64),
}

/// Bytes of an address's value that stand for themselves.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// `text` as a value in an address.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Shown {
    /// Its address.
    pub fn path(&self) -> String {
        match self {
            Shown::Estate(search) if search.is_empty() => "/".into(),
            Shown::Estate(search) => format!("/?q={}", escaped(search)),
            Shown::Environment(name, None) => format!("/environments/{}", escaped(name)),
            Shown::Environment(name, Some(role)) => format!("/environments/{}?log={}", escaped(name), escaped(role)),
            Shown::Plan(None) => "/plan".into(),
            Shown::Plan(Some(name)) => format!("/plan?environment={}", escaped(name)),
            Shown::Operations(None) => "/operations".into(),
            Shown::Operations(Some(cursor)) => format!("/operations?cursor={}", escaped(cursor)),
            Shown::Operation(id) => format!("/operations/{id}"),
        }
    }

    /// Where its changes come from. A plan does not change under its reader, and an older page of a list never.
    fn stream(&self) -> Option<String> {
        match self {
            Shown::Plan(_) | Shown::Operations(Some(_)) => None,
            _ => {
                let path = self.path();
                let more = if path.contains('?') { '&' } else { '?' };
                Some(format!("/live{path}{more}v={}", super::assets::version()))
            }
        }
    }

    /// The entry of the navigation it belongs to.
    pub fn section(&self) -> Section {
        match self {
            Shown::Estate(_) | Shown::Environment(..) => Section::Estate,
            Shown::Plan(_) => Section::Plan,
            Shown::Operations(_) | Shown::Operation(_) => Section::Operations,
        }
    }

    /// Whether it shows a log, which grows without telling anybody.
    pub fn grows(&self) -> bool {
        matches!(self, Shown::Environment(..) | Shown::Operation(_))
    }

    fn title(&self) -> String {
        match self {
            Shown::Estate(_) => "Estate".into(),
            Shown::Environment(name, _) => name.clone(),
            Shown::Plan(_) => "Plan".into(),
            Shown::Operations(_) => "Operations".into(),
            Shown::Operation(id) => format!("Operation {id}"),
        }
    }

    /// What stands around it.
    pub fn frame(&self, app: &App, who: &Who, theme: Theme, now: i64) -> Result<Frame, Refused> {
        let snapshot = app.control.snapshot();
        let waiting = |snapshot: &crate::control::Snapshot| {
            let parts = view::plan(snapshot).environments;
            parts.iter().filter(|it| it.verdict == Some(Verdict::Approval)).map(|it| it.steps.len() as u64).sum()
        };
        Ok(Frame {
            estate: snapshot.as_ref().map_or_else(|| "estate".to_owned(), |it| it.checked.name.to_string()),
            now,
            csrf: who.csrf.clone().unwrap_or_default(),
            operate: who.scope >= Scope::Operate,
            theme,
            path: self.path(),
            search: if let Shown::Estate(search) = self { search.clone() } else { String::new() },
            held: app.control.held()?.as_ref().map(view::held),
            refusal: snapshot.as_ref().and_then(|it| it.refusal.clone()),
            waiting: snapshot.as_ref().map_or(0, |it| waiting(it)),
        })
    }

    /// The part of it that changes.
    pub async fn live(&self, app: &Arc<App>, console: &Console, frame: &Frame) -> Result<Markup, Refused> {
        if app.control.snapshot().is_none() && !matches!(self, Shown::Operations(_) | Shown::Operation(_)) {
            return Ok(estate::not_yet(frame));
        }
        Ok(match self {
            Shown::Estate(_) => estate::live(frame, &app.estate_view().await?),
            Shown::Environment(name, log) => {
                let seen = app.environment_view(name).await?;
                let beside = beside(app, console, &seen, log.as_deref()).await;
                environment::live(frame, &seen, &beside)
            }
            Shown::Plan(only) => {
                let snapshot = app.control.snapshot().ok_or_else(|| Refused::internal("nothing was seen yet"))?;
                plan::content(frame, &view::plan(&snapshot), snapshot.at, only.as_deref())
            }
            Shown::Operations(cursor) => {
                let page = app.operation_page(None, Some(OPERATIONS), cursor.as_deref()).await?;
                operation::list(frame, &page, cursor.as_deref())
            }
            Shown::Operation(id) => {
                let detail = app.operation_detail(*id).await?;
                let excerpts = excerpts(app, &detail).await;
                operation::live(frame, &detail, &excerpts, &later(app, &detail))
            }
        })
    }

    /// The whole page.
    pub async fn page(&self, app: &Arc<App>, console: &Console, who: &Who, theme: Theme) -> Result<Markup, Refused> {
        let frame = self.frame(app, who, theme, (app.clock)())?;
        let live = self.live(app, console, &frame).await?;
        Ok(frame::page(&frame, self.section(), &self.title(), self.stream().as_deref(), &live))
    }
}

/// The theme of a request.
pub fn theme(headers: &HeaderMap) -> Theme {
    let lines = headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == "springtide_theme").map_or(Theme::System, |(_, word)| Theme::parse(word))
}

async fn beside(
    app: &Arc<App>,
    console: &Console,
    seen: &springtide_api::EnvironmentView,
    asked: Option<&str>,
) -> Beside {
    let there = |role: &&str| seen.roles.iter().any(|it| it.role == **role && it.digest.is_some());
    let role = asked.filter(there).or(Some("web").filter(there)).or(seen
        .roles
        .first()
        .map(|it| it.role.as_str())
        .filter(there));
    let memory = console.memory.of(&seen.summary.name);
    let id = role.and_then(|role| Some(WorkloadId::of(&seen.summary.name.parse().ok()?, Role::from_word(role)?)));
    let log = match id {
        Some(id) => Some(app.log_view(id, Some(LOG), None).await.map_err(|refused| refused.problem().detail.clone())),
        None => None,
    };
    Beside { log_role: role.unwrap_or_default().to_owned(), log, memory }
}

/// The end of the log of the step that runs, or of the one that failed.
async fn excerpts(app: &Arc<App>, detail: &OperationDetail) -> Vec<Excerpt> {
    let running = detail.operation.state == OperationState::Running;
    let Some(step) = detail.steps.iter().rev().find(|it| it.error.is_some() || (running && it.ended.is_none())) else {
        return Vec::new();
    };
    let id = workload(&step.title).and_then(|name| {
        let (environment, role) = name.split_once('/')?;
        Some(WorkloadId::of(&environment.parse().ok()?, Role::from_word(role)?))
    });
    let Some(id) = id else { return Vec::new() };
    match app.log_view(id, Some(EXCERPT), None).await {
        Ok(log) => vec![Excerpt { step: step.number, workload: log.workload, lines: log.lines }],
        Err(_) => Vec::new(),
    }
}

/// Steps of an operation that runs which were not begun: what its environment's plan has and it has not.
fn later(app: &App, detail: &OperationDetail) -> Vec<String> {
    let Some(snapshot) = app.control.snapshot() else { return Vec::new() };
    let plan = view::plan(&snapshot);
    let part = plan.environments.into_iter().find(|part| part.environment == detail.operation.environment);
    let titles = part.into_iter().flat_map(|part| part.steps).map(|step| step.title);
    titles.filter(|title| !detail.steps.iter().any(|step| step.title == *title)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_whatever_was_searched_for() {
        assert_eq!(Shown::Estate(String::new()).path(), "/");
        assert_eq!(Shown::Estate("a&b \"ü".into()).path(), "/?q=a%26b%20%22%C3%BC");
        let stream = Shown::Estate("x".into()).stream().unwrap();
        assert!(stream.starts_with("/live/?q=x&v="), "{stream}");
        assert_eq!(Shown::Plan(None).stream(), None);
    }

    #[test]
    fn the_theme_is_one_of_three() {
        let read = |cookie: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", cookie.parse().unwrap());
            theme(&headers)
        };
        assert_eq!(read("a=b; springtide_theme=dark"), Theme::Dark);
        assert_eq!(read("springtide_theme=<script>"), Theme::System);
        assert_eq!(theme(&HeaderMap::new()), Theme::System);
    }
}
