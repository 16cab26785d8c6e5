//! Recorded days: CSV with a first column `ts` (`2010-12-06 08:26`) and one row for each minute in which
//! something happened.
//!
//! Rule: a recording keeps its bursts. Minutes without a row are zero and nothing is smoothed, because a
//! smooth day makes every system look good.

use jiff::civil::DateTime;

/// Names of the recordings that are compiled in.
pub const NAMES: [&str; 1] = ["retail-day"];

/// Longest recording, in minutes (31 days).
const MOST_MINUTES: usize = 44_640;

/// The text of a recording that is compiled in.
pub fn built_in(name: &str) -> Option<&'static str> {
    (name == NAMES[0]).then_some(include_str!("../../data/retail_day.csv"))
}

/// One value a minute from the first row's to the last row's, divided by their mean.
pub fn factors(text: &str, column: &str) -> Result<Vec<f64>, String> {
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().ok_or("it is empty")?;
    let names: Vec<&str> = head.split(',').map(str::trim).collect();
    if names.first() != Some(&"ts") {
        return Err("its first column must be `ts`".into());
    }
    let wanted = names.iter().skip(1).position(|name| *name == column).map(|index| index + 1);
    let wanted = wanted.ok_or_else(|| format!("it has no column {column:?}; there are {}", names[1..].join(", ")))?;
    let mut first = None;
    let mut values: Vec<f64> = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: &str| format!("line {}: {what}", index + 1);
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let time = cells[0];
        let time = DateTime::strptime("%Y-%m-%d %H:%M", time).map_err(|_| wrong("ts is not like 2010-12-06 08:26"))?;
        let value = cells.get(wanted).and_then(|cell| cell.parse::<f64>().ok());
        let value = value.filter(|value| value.is_finite()).ok_or_else(|| wrong("the value is no number"))?;
        let minute = time.duration_since(*first.get_or_insert(time)).as_secs() / 60;
        let minute = usize::try_from(minute).map_err(|_| wrong("the rows are not in order of time"))?;
        if minute >= MOST_MINUTES {
            return Err(wrong("a recording may span 31 days"));
        }
        if minute < values.len() {
            return Err(wrong("the rows are not in order of time"));
        }
        values.resize(minute, 0.0);
        // Returned goods are counted below zero; nobody arrives less than never.
        values.push(value.max(0.0));
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if !mean.is_finite() || mean <= 0.0 {
        return Err(format!("nothing happens in column {column:?}"));
    }
    Ok(values.into_iter().map(|value| value / mean).collect())
}
