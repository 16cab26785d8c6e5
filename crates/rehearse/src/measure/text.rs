//! The report as text for a terminal, without colour.

use std::fmt::Write;

use super::{Judgement, Report};

const HEAD: [&str; 10] =
    ["CLASS", "OFFERED", "DONE", "ERRORS", "RETRIES", "P50 ms", "P95 ms", "P99 ms", "PROMISED", "VERDICT"];

impl Report {
    /// Head and rows of the table, one row for each class.
    pub fn table(&self) -> Vec<[String; 10]> {
        let time = |millis: Option<f64>| millis.map_or("never".to_owned(), |millis| format!("{millis:.0}"));
        let row = |class: &super::ClassReport| {
            let promised = [
                class.slo.p95_ms.map(|most| format!("{most:.0} ms")),
                class.slo.errors_percent.map(|most| format!("{most} %")),
            ];
            let promised: Vec<String> = promised.into_iter().flatten().collect();
            let verdict = match class.verdict {
                Judgement::Kept => "kept",
                Judgement::Broken => "broken",
                Judgement::None => "-",
            };
            [
                class.class.to_string(),
                class.offered.to_string(),
                class.done.to_string(),
                (class.refused + class.failed + class.unknown).to_string(),
                class.retries.to_string(),
                time(class.p50_ms),
                time(class.p95_ms),
                time(class.p99_ms),
                promised.join(", "),
                verdict.to_owned(),
            ]
        };
        std::iter::once(HEAD.map(str::to_owned)).chain(self.classes.iter().map(row)).collect()
    }

    /// All that people read: the table, why acts were not done, the knee, the ledger's word, the verdict.
    pub fn text(&self) -> String {
        let table = self.table();
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = String::new();
        for row in &table {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Names to the left, numbers to the right.
                let _ = match index {
                    0 | 8 | 9 => write!(line, " {cell:<width$} "),
                    _ => write!(line, " {cell:>width$} "),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for class in &self.classes {
            for (reason, count) in &class.reasons {
                let _ = writeln!(text, "{}: {count} x {reason}", class.class);
            }
        }
        match self.knee_per_minute {
            Some(rate) => _ = writeln!(text, "knee: promises are broken from {rate:.0} arrivals a minute"),
            None => text.push_str("knee: not found in this run\n"),
        }
        if let Some(late) = self.schedule_error_p99_ms {
            let _ = writeln!(
                text,
                "generator: 99 of 100 acts started within {late:.2} ms of their time; {:.1} s CPU",
                self.generator_cpu_s
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        if let Some(findings) = &self.ledger {
            let _ = writeln!(text, "ledger: {}", findings.summary());
        }
        match self.failures.as_slice() {
            [] => text.push_str("verdict: pass\n"),
            failures => {
                text.push_str("verdict: fail\n");
                failures.iter().for_each(|failure| _ = writeln!(text, "  {failure}"));
            }
        }
        text
    }
}
