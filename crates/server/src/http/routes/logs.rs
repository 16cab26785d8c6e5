//! The end of a workload's log, and what comes after it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use springtide_api::LogView;
use springtide_core::role::Role;
use springtide_core::workload::WorkloadId;
use springtide_data::mask::harmless;
use utoipa::IntoParams;

use super::environments::named;
use super::operations::within;
use crate::http::App;
use crate::http::body::{Path, Query};
use crate::http::cursor::{self, List};
use crate::http::problem::Refused;

/// Bytes that one answer reads, at most.
const MOST: u64 = 256 << 10;

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// How many lines at most; 100 if it is not said.
    #[param(minimum = 1, maximum = 1000)]
    lines: Option<u32>,
    /// `next` of an answer: only what came after it.
    after: Option<String>,
}

/// The log of an environment's role
#[utoipa::path(
    get,
    path = "/api/v1/environments/{name}/logs/{role}",
    tag = "logs",
    params(
        ("name" = String, Path, description = "Name of the environment"),
        ("role" = String, Path, description = "One of its roles, such as `web`"),
        Wanted
    ),
    responses((status = 200, body = LogView))
)]
pub async fn of_environment(
    State(app): State<Arc<App>>,
    Path((name, role)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<LogView>, Refused> {
    let name = named(&name)?;
    let role = known(&role, &Role::ENVIRONMENT)?;
    Ok(Json(app.log_view(WorkloadId::of(&name, role), wanted.lines, wanted.after.as_deref()).await?))
}

/// The log of a part of the estate itself
#[utoipa::path(
    get,
    path = "/api/v1/logs/{role}",
    tag = "logs",
    params(("role" = String, Path, description = "One of the estate's own roles, such as `proxy`"), Wanted),
    responses((status = 200, body = LogView))
)]
pub async fn of_estate(
    State(app): State<Arc<App>>,
    Path(role): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<LogView>, Refused> {
    let role = known(&role, &Role::ESTATE)?;
    Ok(Json(app.log_view(WorkloadId::estate(role), wanted.lines, wanted.after.as_deref()).await?))
}

fn known(word: &str, roles: &[Role]) -> Result<Role, Refused> {
    let role = Role::from_word(word).filter(|role| roles.contains(role));
    role.ok_or_else(|| Refused::no_such(&format!("role {word:?}"), "springtide status"))
}

impl App {
    /// The end of a workload's log, or what came after a cursor.
    pub async fn log_view(
        self: &Arc<Self>,
        id: WorkloadId,
        lines: Option<u32>,
        after: Option<&str>,
    ) -> Result<LogView, Refused> {
        let most = within(lines, 100, 1000)? as usize;
        let after = after.map(|text| cursor::read(List::Log, text)).transpose()?;
        let Some(file) = self.control.estate().driver.logs(&id).into_iter().next() else {
            return Err(Refused::no_such(&format!("log of {id}; it was never started"), "springtide status"));
        };
        let read = tokio::task::spawn_blocking(move || tail(&file, most, after)).await;
        let read = read.map_err(|error| Refused::internal(error.to_string()))?;
        let (lines, place) =
            read.map_err(|error| Refused::internal(format!("cannot read the log of {id}: {error}")))?;
        let mask = self.mask().await;
        let lines = lines.iter().map(|line| mask.apply(line)).collect();
        Ok(LogView { workload: id.to_string(), lines, next: cursor::make(List::Log, place) })
    }
}

/// Whole lines of a file: the last ones, or those after a place; and the place where the next begin.
fn tail(path: &FilePath, most: usize, after: Option<u64>) -> std::io::Result<(Vec<String>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // A file that got shorter was rotated in place.
    let after = after.map(|place| if place > length { 0 } else { place });
    let from = after.unwrap_or_else(|| length.saturating_sub(MOST));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    // One line longer than everything that is read is cut.
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if bytes.len() as u64 == MOST => bytes.len(),
        None => 0,
    };
    let mut lines: Vec<(usize, &[u8])> = Vec::new();
    let mut at = 0;
    for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        lines.push((at, line));
    }
    let mut next = whole;
    match after {
        // The rest comes with the next call.
        Some(_) => {
            lines.truncate(most);
            next = lines.last().map_or(0, |(end, _)| *end);
        }
        None => {
            // The first was begun before.
            if from > 0 && lines.len() > 1 {
                lines.remove(0);
            }
            lines.drain(..lines.len().saturating_sub(most));
        }
    }
    let text = |line: &[u8]| harmless(String::from_utf8_lossy(line).trim_end_matches('\n'));
    Ok((lines.into_iter().map(|(_, line)| text(line)).collect(), from + next as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_followed_without_losing_or_repeating_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current.log");
        std::fs::write(&path, "1\n2\n3\nhal").unwrap();
        let (lines, place) = tail(&path, 2, None).unwrap();
        assert_eq!((lines, place), (vec!["2".to_owned(), "3".into()], 6));
        std::fs::write(&path, "1\n2\n3\nhalf\n\u{1b}[31m\n6\n").unwrap();
        let (lines, place) = tail(&path, 2, Some(place)).unwrap();
        assert_eq!(lines, ["half", "?[31m"]);
        let (lines, place) = tail(&path, 2, Some(place)).unwrap();
        assert_eq!(lines, ["6"]);
        assert!(tail(&path, 2, Some(place)).unwrap().0.is_empty());
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(tail(&path, 2, Some(place)).unwrap().0, ["new"], "rotated in place");
    }

    #[test]
    fn a_long_line_and_a_long_file_stay_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current.log");
        let long = "x".repeat(MOST as usize + 10);
        std::fs::write(&path, format!("first\n{long}\nlast\n")).unwrap();
        assert_eq!(tail(&path, 9, None).unwrap().0, ["last"]);
        let (lines, place) = tail(&path, 9, Some(6)).unwrap();
        assert_eq!((lines.len(), place), (1, 6 + MOST));
        assert_eq!(tail(&path, 9, Some(place)).unwrap().0, ["x".repeat(10), "last".into()]);
    }
}
