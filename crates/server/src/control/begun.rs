//! What an approval began, and what not. Remembered while any of it runs, so that the same word said twice is
//! done once.
//!
//! The rule that keeps it right: numbers are given back without a look only if every part that is asked for
//! has an operation that runs or is done. Whatever is missing is looked at, and begun or refused.

use std::collections::{BTreeMap, BTreeSet};

use springtide_core::names::EnvironmentName;

use super::ControlError;

/// What an approval began.
#[derive(Debug, Default)]
pub struct Begun {
    /// Numbers of the operations, ascending.
    pub operations: Vec<u64>,
    /// What was asked for and not begun.
    pub left: Option<Left>,
}

/// Parts whose operations could not be written down, after those of others were. They are not approved.
#[derive(Debug)]
pub struct Left {
    /// Which environments. The estate's own parts come first, so they are never among them.
    pub environments: Vec<EnvironmentName>,
    /// Why.
    pub why: ControlError,
}

/// A part of a plan: an environment, or the estate's own parts.
type Part = Option<EnvironmentName>;

/// Plans of which something runs.
#[derive(Default)]
pub(super) struct Book(BTreeMap<String, Page>);

#[derive(Default)]
struct Page {
    /// Everything of the plan that has steps.
    parts: BTreeSet<Part>,
    /// Operations that run or are done.
    begun: BTreeMap<Part, u64>,
    /// Those of them that run.
    running: BTreeSet<u64>,
}

/// Whether `part` is meant by an approval of these environments; the estate's own parts go with all.
pub(super) fn meant(environments: Option<&[EnvironmentName]>, part: &Part) -> bool {
    match (environments, part) {
        (None, _) | (_, None) => true,
        (Some(only), Some(name)) => only.contains(name),
    }
}

impl Book {
    /// An operation does one of the `parts` of a plan.
    pub fn begins(&mut self, plan: &str, parts: &BTreeSet<Part>, part: &Part, operation: u64) {
        let page = self.0.entry(plan.to_owned()).or_default();
        page.parts.extend(parts.iter().cloned());
        page.begun.insert(part.clone(), operation);
        page.running.insert(operation);
    }

    /// It has ended; what failed may be begun again.
    pub fn ends(&mut self, plan: &str, part: &Part, operation: u64, done: bool) {
        let Some(page) = self.0.get_mut(plan) else { return };
        page.running.remove(&operation);
        if !done && page.begun.get(part) == Some(&operation) {
            page.begun.remove(part);
        }
        if page.running.is_empty() {
            self.0.remove(plan);
        }
    }

    /// The operations that do all that is asked for, if each part has one and any of them runs.
    pub fn under_way(&self, plan: &str, environments: Option<&[EnvironmentName]>) -> Option<Vec<u64>> {
        let page = self.0.get(plan)?;
        let named = |name: &EnvironmentName| page.parts.contains(&Some(name.clone()));
        if !environments.unwrap_or_default().iter().all(named) {
            return None;
        }
        let asked = page.parts.iter().filter(|part| meant(environments, part));
        let mut numbers: Vec<u64> = asked.map(|part| page.begun.get(part).copied()).collect::<Option<_>>()?;
        numbers.sort_unstable();
        numbers.iter().any(|number| page.running.contains(number)).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_whole_is_the_same_approval() {
        let part = |name: &str| -> Part { Some(name.parse().unwrap()) };
        let only = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<EnvironmentName>>();
        let parts: BTreeSet<Part> = [None, part("a"), part("b")].into();
        let mut book = Book::default();
        assert_eq!(book.under_way("p", None), None);
        book.begins("p", &parts, &None, 1);
        book.begins("p", &parts, &part("a"), 2);
        assert_eq!(book.under_way("p", Some(&only(&["a"]))), Some(vec![1, 2]));
        assert_eq!(book.under_way("p", Some(&only(&["b"]))), None, "the estate's own parts are not all of it");
        assert_eq!(book.under_way("p", None), None);
        assert_eq!(book.under_way("p", Some(&only(&["a", "nobody"]))), None);
        assert_eq!(book.under_way("other", Some(&only(&["a"]))), None);
        book.begins("p", &parts, &part("b"), 3);
        assert_eq!(book.under_way("p", None), Some(vec![1, 2, 3]));
        book.ends("p", &None, 1, true);
        assert_eq!(book.under_way("p", None), Some(vec![1, 2, 3]), "what is done is done");
        book.ends("p", &part("a"), 2, false);
        assert_eq!(book.under_way("p", None), None, "what failed may be begun again");
        book.ends("p", &part("b"), 3, true);
        assert!(book.0.is_empty(), "nothing is kept of what has ended");
    }
}
