//! Records by their codes, and making the missing ones in batches.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{LoadError, Loader, failed};
use crate::odoo::call::id;
use crate::odoo::{CallError, Odoo};

/// Records read per call.
const PAGE: usize = 5_000;

/// Ids of all records of `model` whose `field` begins with `prefix`, by that field. With two of one code the
/// older one counts.
pub(crate) async fn by_code(
    odoo: &dyn Odoo,
    model: &'static str,
    field: &str,
    prefix: &str,
) -> Result<BTreeMap<String, i64>, CallError> {
    let mut all = BTreeMap::new();
    for record in pages(odoo, model, json!([[field, "=like", format!("{prefix}%")]]), &[field]).await? {
        if let Some(code) = record[field].as_str() {
            all.entry(code.to_owned()).or_insert(id(&record)?);
        }
    }
    Ok(all)
}

/// All records that `domain` selects, oldest first, in pages.
pub(crate) async fn pages(
    odoo: &dyn Odoo,
    model: &'static str,
    domain: Value,
    fields: &[&str],
) -> Result<Vec<Value>, CallError> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let mut page = domain.as_array().cloned().unwrap_or_default();
        page.push(json!(["id", ">", last]));
        let call = crate::odoo::Call::search_read(model, Value::Array(page), fields, Some(PAGE));
        let Value::Array(found) = odoo.call(call.with("order", json!("id"))).await? else {
            return Err(CallError::unexpected("no list of records"));
        };
        let Some(record) = found.last() else { return Ok(all) };
        last = id(record)?;
        let whole = found.len() < PAGE;
        all.extend(found);
        if whole {
            return Ok(all);
        }
    }
}

/// Records that must be there: where their codes are, and how the missing ones are made.
pub(super) struct Wanted<'a> {
    /// What people call them.
    pub what: &'a str,
    pub model: &'static str,
    /// Field with the code.
    pub field: &'a str,
    /// How all codes begin.
    pub prefix: &'a str,
    /// Records made per call; as many as Odoo makes in a few seconds.
    pub batch: usize,
}

impl Loader<'_> {
    /// Ids of all records with `codes`, in their order; `values` makes what is missing.
    pub(super) async fn ensure(
        &mut self,
        wanted: Wanted<'_>,
        codes: &[String],
        values: impl Fn(usize) -> Value,
    ) -> Result<Vec<i64>, LoadError> {
        let Wanted { what, model, field, prefix, batch } = wanted;
        let mut there = by_code(self.odoo, model, field, prefix).await.map_err(failed(what))?;
        let missing: Vec<usize> = (0..codes.len()).filter(|at| !there.contains_key(&codes[*at])).collect();
        let mut done = codes.len() - missing.len();
        self.progress.at(what, done, codes.len());
        for part in missing.chunks(batch) {
            let made = self.odoo.create(model, part.iter().map(|at| values(*at)).collect()).await;
            for (at, id) in part.iter().zip(made.map_err(failed(what))?) {
                there.insert(codes[*at].clone(), id);
            }
            done += part.len();
            self.made(what, part.len());
            self.progress.at(what, done, codes.len());
        }
        Ok(codes.iter().filter_map(|code| there.get(code).copied()).collect())
    }

    pub(super) fn made(&mut self, what: &str, count: usize) {
        *self.loaded.made.entry(what.to_owned()).or_default() += count;
    }
}
