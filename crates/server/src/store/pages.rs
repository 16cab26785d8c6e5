//! Which operation touched an environment last, by index: a long journal of others costs nothing.

use rusqlite::OptionalExtension as _;

use super::journal::{OPERATIONS, operation};
use super::{OperationRecord, Store, StoreError, sqlite};

impl Store {
    /// The newest operation that touched `environment`.
    pub fn last_operation(&self, environment: &str) -> Result<Option<OperationRecord>, StoreError> {
        let select = format!(
            "{OPERATIONS} WHERE id = (SELECT max(touched) FROM (
               SELECT max(operation) AS touched FROM steps WHERE environment = ?1
               UNION ALL SELECT max(id) FROM operations WHERE environment = ?1))"
        );
        let connection = self.connection();
        let mut select = connection.prepare_cached(&select).map_err(sqlite("read"))?;
        select.query_row([environment], operation).optional().map_err(sqlite("read"))
    }
}
