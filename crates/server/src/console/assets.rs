//! Files of the console inside the binary: one style sheet, one script, the mark, and what is of others.
//!
//! Their addresses hold a digest of all of them, so that a browser may keep them for ever and never
//! mixes two versions.

use std::fmt::Write;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "src/console/assets"]
struct Files;

/// The digest in all addresses.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut all = Sha256::new();
        for name in Files::iter() {
            if let Some(file) = Files::get(&name) {
                all.update(file.metadata.sha256_hash());
            }
        }
        hex(&all.finalize()[..6])
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The address of a file.
pub fn asset(name: &str) -> String {
    format!("/assets/{}/{name}", version())
}

/// Answers with a file.
pub async fn serve(Path(path): Path<String>) -> Response {
    // The digest before the name is for browsers; whatever it is, there is one version of each file.
    let name = path.split_once('/').map_or("", |(_, name)| name);
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    (headers, file.data).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_others_is_unchanged() {
        let table = include_str!("assets/vendor/README.md");
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let served = |name: &str| name.starts_with("vendor/") && (name.ends_with("js") || name.ends_with("css"));
        assert_eq!(rows.len(), Files::iter().filter(|name| served(name)).count());
        for row in rows {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let file = Files::get(&format!("vendor/{}", cells[1])).expect(cells[1]);
            assert_eq!(hex(&file.metadata.sha256_hash()), cells[4], "{}", cells[1]);
        }
    }

    #[test]
    fn all_files_together_are_small() {
        let sizes = Files::iter().filter_map(|name| Files::get(&name)).map(|file| file.data.len());
        assert!(sizes.sum::<usize>() <= 150_000, "with one page, even uncompressed");
    }

    #[test]
    fn the_style_sheet_asks_for_nothing_else() {
        let sheet = include_str!("assets/console.css");
        assert!(!sheet.contains("@import") && !sheet.contains("http") && !sheet.contains("@font-face"));
    }
}
