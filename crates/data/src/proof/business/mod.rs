//! Business checks: sums that must agree with each other in every whole copy, whatever else is in it.
//!
//! They read only, in one transaction. A check whose tables are not there is told as not applicable and is no gap; one
//! that could not be asked is.

pub mod checks;

use std::collections::BTreeSet;

use checks::{CHECKS, Check};

use super::Spec;
use super::look::{Look, damaged};
use crate::aside::Aside;
use crate::neutralise::Catalog;
use crate::postgres::{Admin, AdminError};

/// The most findings that one check names.
const NAMED: i64 = 10;

/// Forms of checks that apply to a database.
fn applying(catalog: &Catalog) -> impl Iterator<Item = &'static Check> {
    let has = |(table, columns): &(&str, &[&str])| columns.iter().all(|column| catalog.has(table, column));
    CHECKS.iter().filter(move |check| {
        check.needs.iter().all(has) && check.unless.is_none_or(|(table, column)| !catalog.has(table, column))
    })
}

pub(super) async fn business(aside: &Aside, spec: &Spec) -> Look {
    let mut look = Look::default();
    let inside = match aside.admin(&spec.database).await {
        Ok(inside) => inside,
        Err(error) => return Look::missed(error.to_string()),
    };
    let catalog = match Catalog::read(&inside).await {
        Ok(catalog) => catalog,
        Err(error) => {
            look.trouble("tables", &error);
            return look;
        }
    };
    let forms: Vec<&Check> = applying(&catalog).collect();
    let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    for name in names.iter().filter(|name| !forms.iter().any(|form| form.name == **name)) {
        look.note(format!("{name}: not applicable, its tables are not here"));
    }
    for form in &forms {
        match ask(&inside, form).await {
            Err(error) if damaged(&error) => look.find(format!("{}: {error}", form.name)),
            Err(error) => look.miss(format!("{}: {error}", form.name)),
            Ok((count, named)) => {
                let accepted = spec.accepted.get(form.name).copied().unwrap_or(0);
                if count > 0 && count <= accepted {
                    look.note(format!("{}: {count} findings, as many as the original has", form.name));
                } else if count > 0 {
                    look.find_more(count - named.len() as u64);
                    named.into_iter().for_each(|one| look.find(format!("{}: {one}", form.name)));
                }
            }
        }
    }
    look.figure("checks", forms.len() as u64)
}

/// How many findings a check has, and the first of them.
async fn ask(inside: &Admin, check: &Check) -> Result<(u64, Vec<String>), AdminError> {
    let what = format!("ask whether {}", check.name);
    inside.batch(&what, "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = '1h'").await?;
    let sql = format!(
        "SELECT found::text, count(*) OVER () FROM ({}) AS all_of_them(found) ORDER BY 1 LIMIT {NAMED}",
        check.sql
    );
    let rows = inside.query(&what, &sql, &[]).await;
    inside.batch(&what, "ROLLBACK").await?;
    let rows = rows?;
    let count = rows.first().map_or(0, |row| row.get::<_, i64>(1).unsigned_abs());
    Ok((count, rows.iter().map(|row| row.get(0)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutralise::Column;

    fn names(without: &[&str], with: &[(&str, &str)]) -> Vec<&'static str> {
        let column = |name: &str| Column { name: name.to_owned(), text: false, nullable: true };
        // Every table that any check needs, except those taken away.
        let mut tables = std::collections::BTreeMap::<String, Vec<Column>>::new();
        let needed = CHECKS
            .iter()
            .flat_map(|check| check.needs)
            .flat_map(|(table, columns)| columns.iter().map(move |c| (*table, *c)));
        for (table, name) in needed.chain(with.iter().copied()) {
            if !without.contains(&table) && !without.contains(&name) {
                tables.entry(table.to_owned()).or_default().push(column(name));
            }
        }
        applying(&Catalog::of(tables)).map(|check| check.name).collect()
    }

    #[test]
    fn one_form_of_a_check_applies() {
        let stock = |names: Vec<&str>| names.iter().filter(|name| name.starts_with("stock")).count();
        assert_eq!(stock(names(&[], &[])), 1, "the newest tables");
        assert_eq!(stock(names(&["is_storable"], &[])), 1, "between");
        assert_eq!(stock(names(&["is_storable", "quantity_product_uom"], &[])), 1, "the oldest tables");
        assert_eq!(stock(names(&["stock_quant"], &[])), 0, "no stock");
        let bare = names(&["account_move", "account_move_line", "stock_quant"], &[]);
        assert_eq!(bare, ["sequences are ahead", "references lead somewhere"]);
    }
}
