//! Tables and columns that a database has, asked once.

use std::collections::BTreeMap;

use crate::postgres::{Admin, AdminError};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether it holds text.
    pub text: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The tables of schema `public`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog(BTreeMap<String, Vec<Column>>);

impl Catalog {
    /// Asks the database that `inside` is connected to.
    pub async fn read(inside: &Admin) -> Result<Self, AdminError> {
        let sql =
            "SELECT c.relname::text, a.attname::text, t.typname IN ('text', 'varchar', 'bpchar'), NOT a.attnotnull
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   JOIN pg_type t ON t.oid = a.atttypid
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')";
        let mut tables = BTreeMap::<String, Vec<Column>>::new();
        for row in inside.query("read the tables", sql, &[]).await? {
            let column = Column { name: row.get(1), text: row.get(2), nullable: row.get(3) };
            tables.entry(row.get(0)).or_default().push(column);
        }
        Ok(Self::of(tables))
    }

    /// One with these tables.
    pub fn of(tables: impl IntoIterator<Item = (String, Vec<Column>)>) -> Self {
        let mut tables: BTreeMap<String, Vec<Column>> = tables.into_iter().collect();
        tables.values_mut().for_each(|columns| columns.sort_by(|a, b| a.name.cmp(&b.name)));
        Self(tables)
    }

    /// Whether there is such a table.
    pub fn has_table(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Whether there is such a column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| columns.iter().any(|it| it.name == column))
    }

    /// Columns of a table that hold text, and whether each may be null; none if there is no such table.
    pub fn texts(&self, table: &str) -> impl Iterator<Item = (&str, bool)> {
        let columns = self.0.get(table).map(Vec::as_slice).unwrap_or_default();
        columns.iter().filter(|column| column.text).map(|column| (column.name.as_str(), column.nullable))
    }
}

/// A name as an identifier in SQL text.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_stay_names() {
        assert_eq!(super::quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
