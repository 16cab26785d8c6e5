//! The knee: the rate from which on promises are broken. Pure.

/// Least windows on either side: fewer prove nothing.
const LEAST: usize = 3;
/// Share of the windows on either side that must be what that side says.
const SHARE: f64 = 0.8;

/// From windows, as pairs of offered rate and whether every promise was kept: the lowest rate from which on
/// at least four fifths of the windows broke one, while four fifths of the windows below kept all. None if
/// there is no such rate: the run stayed below it, above it, or what broke was not the rate's doing.
pub fn knee(windows: &[(f64, bool)]) -> Option<f64> {
    let mut windows = windows.to_vec();
    windows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let share = |part: &[(f64, bool)], kept: bool| {
        part.iter().filter(|window| window.1 == kept).count() as f64 / part.len() as f64
    };
    let last = windows.len().checked_sub(LEAST)?;
    let cut = (LEAST..=last).find(|cut| {
        let (below, above) = windows.split_at(*cut);
        // Equal rates cannot be on both sides, and the knee itself is a window that broke.
        below[below.len() - 1].0 < above[0].0
            && !above[0].1
            && share(below, true) >= SHARE
            && share(above, false) >= SHARE
    })?;
    Some(windows[cut].0)
}
