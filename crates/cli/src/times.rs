//! Times: for people in the site's zone with its offset and how long ago; for programs in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// UTC, RFC 3339, as every JSON object has it.
pub fn utc(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

/// The same as a JSON value; null stays null.
pub fn utc_json(second: Option<i64>) -> serde_json::Value {
    second.map(utc).into()
}

/// Local time with its offset, and the distance from now: `2026-11-27 06:00:00 +01:00 (in 4 days)`.
pub fn person(second: i64, now: i64) -> String {
    person_in(second, now, TimeZone::system())
}

fn person_in(second: i64, now: i64, zone: TimeZone) -> String {
    let Ok(at) = Timestamp::from_second(second) else { return second.to_string() };
    format!("{} ({})", at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z"), relative(second, now))
}

/// `3 min ago`, `in 4 days`, `now`.
pub fn relative(second: i64, now: i64) -> String {
    match second - now {
        0 => "now".to_owned(),
        ahead if ahead > 0 => format!("in {}", length(ahead.unsigned_abs())),
        past => format!("{} ago", length(past.unsigned_abs())),
    }
}

/// A length of time in its largest fitting unit, rounded down: `45 s`, `3 min`, `5 h`, `4 days`.
pub fn length(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The moment a log line names at its beginning, seconds since 1970: `2026-11-23 12:53:53,123 …`,
/// `2026-11-23T12:53:53+01:00 …`. Without an offset it is UTC, as Springtide configures its parts.
pub fn of_line(line: &str) -> Option<i64> {
    let line = line.trim_start_matches(['{', '"', '[', ' ']);
    let stamp = line.strip_prefix("time\":\"").unwrap_or(line);
    let clock = stamp.get(..19)?;
    let bytes = clock.as_bytes();
    if !bytes[0].is_ascii_digit() || bytes[4] != b'-' || !matches!(bytes[10], b' ' | b'T') {
        return None;
    }
    let at: jiff::civil::DateTime = clock.replacen(' ', "T", 1).parse().ok()?;
    let utc = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    // Past fractions of a second an offset may follow.
    let rest = stamp[19..].trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let offset = rest.get(..6).filter(|text| text.as_bytes()[3] == b':').and_then(|text| {
        let sign = match text.as_bytes()[0] {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        Some(sign * (text[1..3].parse::<i64>().ok()? * 3_600 + text[4..6].parse::<i64>().ok()? * 60))
    });
    Some(utc - offset.unwrap_or(0))
}

/// What `--since` may say: a length of time (`15m`, `2h`, `1d`) or a moment, local or with offset.
pub fn since(text: &str, now: i64) -> Result<i64, String> {
    let number = |unit: char| text.strip_suffix(unit).and_then(|digits| digits.parse::<i64>().ok());
    for (unit, seconds) in [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)] {
        if let Some(count) = number(unit) {
            return Ok(now.saturating_sub(count.saturating_mul(seconds)));
        }
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_second());
    }
    let local = text.replacen(' ', "T", 1).parse::<jiff::civil::DateTime>().ok();
    local.and_then(|at| at.to_zoned(TimeZone::system()).ok()).map(|at| at.timestamp().as_second()).ok_or_else(|| {
        format!("{text:?} is neither a length of time such as 15m, 2h or 1d nor a moment such as 2026-11-27T06:00")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_the_zone_and_the_age() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(person_in(1_795_000_000, 1_795_000_180, zone), "2026-11-18 12:06:40 +01:00 (3 min ago)");
        assert_eq!(utc(1_795_000_000), "2026-11-18T11:06:40Z");
        assert_eq!(relative(10 * 86_400, 0), "in 10 days");
        assert_eq!(relative(5, 5), "now");
    }

    #[test]
    fn log_lines_of_all_parts_tell_their_time() {
        let at = 1_795_000_000;
        assert_eq!(of_line("2026-11-18 11:06:40,123 42 INFO prod odoo: x"), Some(at), "Odoo");
        assert_eq!(of_line("2026-11-18 11:06:40.123 UTC [42] LOG:  x"), Some(at), "PostgreSQL and PgBouncer");
        assert_eq!(of_line("2026-11-18T12:06:40+01:00 INF x"), Some(at), "Traefik");
        assert_eq!(of_line("{\"time\":\"2026-11-18T11:06:40Z\",\"level\":\"info\"}"), Some(at), "Traefik in JSON");
        assert_eq!(of_line("  File \"odoo.py\", line 3"), None);
        assert_eq!(of_line("é".repeat(30).as_str()), None);
    }

    #[test]
    fn since_takes_lengths_and_moments() {
        assert_eq!(since("15m", 1_000), Ok(100));
        assert_eq!(since("2026-11-18T11:06:40Z", 0), Ok(1_795_000_000));
        assert!(since("yesterday", 0).is_err());
    }
}
