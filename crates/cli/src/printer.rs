//! Printing: results on stdout, talk on stderr, readable without colour, width or Unicode.
//!
//! [`data`] and [`json`] are results and always printed; [`note`] is talk that `--quiet` leaves out;
//! [`talk`] is talk that nobody may miss, such as errors and questions. Whatever the terminal cannot
//! show is replaced here and nowhere else.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use comfy_table::{Attribute, Cell, Color, ContentArrangement};

/// What the person asked for on the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// `--quiet`.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    /// `--json`.
    pub json: bool,
}

static WISHES: OnceLock<Wishes> = OnceLock::new();

/// Takes the wishes down, once, before anything is printed.
pub fn settle(wishes: Wishes) {
    let _ = WISHES.set(wishes);
}

fn wishes() -> Wishes {
    WISHES.get().copied().unwrap_or_default()
}

/// Whether steps' details are wanted.
pub fn verbose() -> bool {
    wishes().verbose
}

/// Whether only errors and results are wanted.
pub fn quiet() -> bool {
    wishes().quiet
}

/// Whether the bar of a long operation can be drawn.
pub fn live() -> bool {
    !wishes().quiet && !wishes().json && std::io::stderr().is_terminal()
}

/// What a text says about its subject; becomes a colour where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// It is as it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Less important than the rest.
    Dim,
    /// More important than the rest.
    Strong,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Tone::Plain => "0",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31;1",
            Tone::Dim => "2",
            Tone::Strong => "1",
        }
    }

    fn dress(self, cell: Cell) -> Cell {
        match self {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::DarkGreen),
            Tone::Warn => cell.fg(Color::DarkYellow),
            Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
            Tone::Strong => cell.add_attribute(Attribute::Bold),
        }
    }
}

fn colour(terminal: bool) -> bool {
    let asked_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !asked_off && unicode() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether the locale can show more than ASCII. A terminal that cannot is taken to be so old that
/// colours are left out too.
pub fn unicode() -> bool {
    // The first that is set and not empty decides, as in setlocale(3).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Columns of the terminal; `None` if nobody sets a limit (a pipe, a file).
pub fn width() -> Option<usize> {
    let asked =
        std::env::var("COLUMNS").ok().and_then(|text| text.parse::<usize>().ok()).filter(|columns| *columns > 0);
    let measured = || comfy_table::Table::new().width().map(usize::from).filter(|_| std::io::stdout().is_terminal());
    asked.or_else(measured).map(|columns| columns.clamp(40, 400))
}

/// Text that this locale can show.
fn shown(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || unicode() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            '…' => out.push_str("..."),
            '→' | '▸' => out.push_str("->"),
            '–' | '—' | '─' => out.push('-'),
            '×' => out.push('x'),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            _ => out.push('?'),
        }
    }
    Cow::Owned(out)
}

/// Writes bytes to stdout; false if nobody reads them any more.
pub fn raw(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Writes a result; a closed pipe is no error.
pub fn data(text: &str) {
    raw(&shown(text));
}

/// Writes a result of one sentence, wrapped.
pub fn say(text: &str) {
    data(&format!("{}\n", wrap(text, width(), 2)));
}

/// Writes the one JSON object of a command, or one line of a stream; false if nobody reads.
pub fn json(value: &serde_json::Value) -> bool {
    raw(&format!("{value}\n"))
}

/// Writes a line for people, also under `--quiet`.
pub fn talk(head: &str, rest: &str) {
    let _ = writeln!(std::io::stderr(), "{}{}", shown(head), shown(rest));
}

/// Writes a line for people that `--quiet` leaves out.
pub fn note(head: &str, rest: &str) {
    if !quiet() {
        talk(head, rest);
    }
}

/// Colours a text for stderr, where colours are wanted.
pub fn paint(tone: Tone, text: &str) -> String {
    painted(tone, text, std::io::stderr().is_terminal())
}

/// Colours a text for stdout, where colours are wanted.
pub fn paint_data(tone: Tone, text: &str) -> String {
    painted(tone, text, std::io::stdout().is_terminal())
}

fn painted(tone: Tone, text: &str, terminal: bool) -> String {
    match tone {
        Tone::Plain => text.to_owned(),
        tone if colour(terminal) => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
        _ => text.to_owned(),
    }
}

/// Whether a report on stderr is coloured.
pub fn colour_talk() -> bool {
    colour(std::io::stderr().is_terminal())
}

/// Red on stderr, where colours are wanted.
pub fn red(text: &str) -> String {
    paint(Tone::Bad, text)
}
/// Green on stderr, where colours are wanted.
pub fn green(text: &str) -> String {
    paint(Tone::Good, text)
}
/// Yellow on stderr, where colours are wanted.
pub fn yellow(text: &str) -> String {
    paint(Tone::Warn, text)
}
/// Dim on stderr, where colours are wanted.
pub fn dim(text: &str) -> String {
    paint(Tone::Dim, text)
}

/// One field of a table.
pub type Field = (Tone, String);

/// A field without colour.
pub fn field(text: impl Into<String>) -> Field {
    (Tone::Plain, text.into())
}

/// A table without borders, as wide as the terminal allows; long fields are wrapped.
pub fn table(head: &[&str], rows: Vec<Vec<Field>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if colour(std::io::stdout().is_terminal()) {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match width() {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    if !head.is_empty() {
        table.set_header(head.iter().map(|word| Tone::Dim.dress(Cell::new(word.to_uppercase()))).collect::<Vec<_>>());
    }
    for row in rows {
        table.add_row(row.into_iter().map(|(tone, text)| tone.dress(Cell::new(shown(&text)))).collect::<Vec<_>>());
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A number with its word: `1 step`, `2 steps`.
pub fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Breaks a text at blanks; every line after the first begins with `indent` blanks.
pub fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut out = String::new();
    for (number, paragraph) in text.split('\n').enumerate() {
        let own = paragraph.len() - paragraph.trim_start().len();
        let mut column = own;
        if number > 0 {
            out.push('\n');
        }
        // What fits keeps its blanks: it may be a column.
        if paragraph.chars().count() <= width {
            out.push_str(paragraph);
            continue;
        }
        out.push_str(&paragraph[..own]);
        for (place, word) in paragraph.split_whitespace().enumerate() {
            let length = word.chars().count();
            if place > 0 && column + 1 + length > width {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else if place > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_blanks_and_keep_their_indent() {
        assert_eq!(wrap("one two three", Some(8), 2), "one two\n  three");
        assert_eq!(wrap("  next: springtide apply", Some(14), 4), "  next:\n    springtide\n    apply");
        assert_eq!(wrap("one two three", None, 2), "one two three");
        assert_eq!(wrap("a  b\none two three", Some(8), 2), "a  b\none two\n  three");
        assert_eq!(wrap("a-word-that-does-not-fit", Some(8), 2), "a-word-that-does-not-fit");
    }
}
