//! Cursors: where a list goes on. Callers hand them back as they got them; anything else is refused.

use sha2::{Digest as _, Sha256};

use super::problem::Refused;

/// Which list a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Operations, newest first.
    Operations,
    /// Events, oldest first.
    Events,
    /// Bytes of a log.
    Log,
}

fn check(list: List, place: u64) -> String {
    let sum = Sha256::digest(format!("{list:?} {place}").as_bytes());
    sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The cursor of a place in a list.
pub fn make(list: List, place: u64) -> String {
    format!("{place:x}.{}", check(list, place))
}

/// The place that a cursor names.
pub fn read(list: List, text: &str) -> Result<u64, Refused> {
    let place = text.split_once('.').and_then(|(place, sum)| {
        let place = u64::from_str_radix(place, 16).ok()?;
        (check(list, place) == sum && i64::try_from(place).is_ok()).then_some(place)
    });
    place.ok_or_else(|| Refused::malformed("the cursor is none of this list; take it from `next` of an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        for place in [0, 1, 4711, i64::MAX as u64] {
            assert_eq!(read(List::Events, &make(List::Events, place)).unwrap(), place);
            assert!(read(List::Operations, &make(List::Events, place)).is_err());
        }
        for wrong in ["", ".", "1", "1.", "zz.00000000", "1.00000000", "ffffffffffffffffff.0", "-1.x"] {
            assert!(read(List::Events, wrong).is_err(), "{wrong}");
        }
        assert!(read(List::Events, &make(List::Events, u64::MAX)).is_err(), "SQLite's numbers end before");
    }
}
