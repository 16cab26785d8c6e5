//! Reports: problems with their place, told to people and to programs.

use std::fmt;
use std::ops::Range;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, ThemeCharacters, ThemeStyles};
use serde_json::json;

use super::explanation;

/// Most problems that [`Report::render`] shows in full.
const MOST_SHOWN: usize = 50;

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, such as `E0104`; see [`explanation`].
    pub code: &'static str,
    /// What is wrong, one line.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Bytes of the offending value in the text; `None` if nothing is written there.
    pub span: Option<Range<usize>>,
}

impl Diagnostic {
    /// A problem.
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
        span: Option<Range<usize>>,
    ) -> Self {
        debug_assert!(explanation(code).is_some(), "{code} has no explanation");
        Self { code, message: message.into(), hint: hint.into(), span }
    }
}

/// All problems that check found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckErrors {
    /// The problems; at least one.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for CheckErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.diagnostics.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{} [{}]", one.message, one.code)?;
        }
        Ok(())
    }
}
impl std::error::Error for CheckErrors {}

/// Problems of one file together with its text, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    file: String,
    text: String,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report on `text`, which was read from what people call `file`.
    pub fn new(file: &str, text: &str, diagnostics: Vec<Diagnostic>) -> Self {
        Self { file: harmless(file).replace('\n', "?"), text: harmless(text), diagnostics }
    }

    /// The problems.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The report for people, `width` columns wide; each problem ends with its code.
    pub fn render(&self, width: usize, colour: bool, unicode: bool) -> String {
        let theme = GraphicalTheme {
            characters: if unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
            styles: if colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.clamp(40, 400))
            .with_links(false)
            .with_context_lines(1)
            .without_syntax_highlighting();
        let source = NamedSource::new(&self.file, self.text.clone());
        let mut out = String::new();
        for diagnostic in self.diagnostics.iter().take(MOST_SHOWN) {
            let shown = Shown { diagnostic, source: &source, end: self.text.len() };
            if handler.render_report(&mut out, &shown).is_err() {
                // A place outside the text: the words alone still tell it.
                out.push_str(&format!("{}: {}\n", self.file, diagnostic.message));
            }
            out.push_str(&format!("  [{}]\n\n", diagnostic.code));
        }
        if let more @ 1.. = self.diagnostics.len().saturating_sub(MOST_SHOWN) {
            out.push_str(&format!("and {more} more\n"));
        }
        // Blanks at line ends and more than one empty line help nobody.
        let mut tidy = String::with_capacity(out.len());
        for line in out.lines().map(str::trim_end) {
            if !(line.is_empty() && (tidy.is_empty() || tidy.ends_with("\n\n"))) {
                tidy.push_str(line);
                tidy.push('\n');
            }
        }
        tidy.truncate(tidy.trim_end().len());
        tidy.push('\n');
        tidy
    }

    /// The report for programs: a list of objects with `file`, `line`, `column` (both from 1, in
    /// characters; null if nothing is written there), `code`, `message` and `hint`.
    pub fn to_json(&self) -> serde_json::Value {
        let rows = self.diagnostics.iter().map(|one| {
            let place = one.span.as_ref().map(|span| self.line_column(span.start));
            json!({
                "file": self.file,
                "line": place.map(|(line, _)| line),
                "column": place.map(|(_, column)| column),
                "code": one.code,
                "message": one.message,
                "hint": one.hint,
            })
        });
        rows.collect()
    }

    /// Line and column of a byte, from 1.
    fn line_column(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(100, false, false))
    }
}
impl std::error::Error for Report {}

/// Text that cannot steer a terminal, byte for byte as long as before.
fn harmless(text: &str) -> String {
    let replace = |c: char| match c {
        '\n' | '\t' => c,
        '\r' => ' ',
        '\u{80}'..='\u{9f}' => '¿',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(replace).collect()
}

/// One problem as miette wants it.
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a NamedSource<String>,
    end: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl std::error::Error for Shown<'_> {}
impl miette::Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.diagnostic.hint.is_empty()).then(|| Box::new(&self.diagnostic.hint) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.diagnostic.span.as_ref().map(|_| self.source as &dyn miette::SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.diagnostic.span.as_ref()?;
        let start = span.start.min(self.end);
        let length = span.end.min(self.end).saturating_sub(start);
        let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), (start, length));
        Some(Box::new(std::iter::once(label)))
    }
}
