//! The rows of a database that name files.

use super::check::Row;
use crate::postgres::{Admin, AdminError};

/// What `ir_attachment` says of files. `inside` is connected to an Odoo database.
pub async fn rows(inside: &Admin) -> Result<Vec<Row>, AdminError> {
    let sql = "SELECT store_fname, checksum, file_size::bigint FROM ir_attachment WHERE store_fname IS NOT NULL";
    let rows = inside.query("read the attachments", sql, &[]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        store_fname: row.get(0),
        checksum: row.get(1),
        size: row.get::<_, Option<i64>>(2).and_then(|size| u64::try_from(size).ok()),
    };
    Ok(rows.iter().map(row).collect())
}
