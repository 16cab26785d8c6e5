//! Printing: data on stdout, talk on stderr, readable without colour.

use std::io::{IsTerminal as _, Write as _};

/// Writes data; a closed pipe is no error.
pub fn data(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a line for people.
pub fn talk(head: &str, rest: &str) {
    let _ = writeln!(std::io::stderr(), "{head}{rest}");
}

fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal()
}

fn paint(text: &str, code: &str) -> String {
    if colour() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Red, where colours are wanted.
pub fn red(text: &str) -> String {
    paint(text, "31;1")
}
/// Green, where colours are wanted.
pub fn green(text: &str) -> String {
    paint(text, "32")
}
/// Yellow, where colours are wanted.
pub fn yellow(text: &str) -> String {
    paint(text, "33")
}
/// Dim, where colours are wanted.
pub fn dim(text: &str) -> String {
    paint(text, "2")
}

/// A table without borders.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(head.iter().map(|word| word.to_uppercase()).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row);
    }
    format!("{table}\n")
}
