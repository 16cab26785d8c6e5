//! What Odoo's database holds, for the ledger to compare with.
//!
//! Read over PostgreSQL's own socket and not through Odoo: the judge must not believe who is judged. One
//! read-only transaction that sees one moment, so orders and stock belong together. Columns that differ between
//! series are looked up in the catalogue of the database; names and values never become SQL text.

use springtide_core::names::EnvironmentName;
use tokio_postgres::{Client, NoTls, Row, Transaction};

use crate::distributor::codes;
use crate::ledger::{Facts, ImportFact, OrderFact, StockFact, TransferFact};
use crate::odoo::Target;
use crate::traffic::EDI_ORIGIN;

/// Why facts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// There is no direct way to the database.
    #[error("the database of `{0}` is not on this machine, so there is nothing to compare the ledger with")]
    NotHere(EnvironmentName),
    /// PostgreSQL did not answer or said no.
    #[error("the database of `{environment}` could not be read: {what}")]
    Database {
        /// Whose database.
        environment: EnvironmentName,
        /// What was being read.
        what: &'static str,
        /// What PostgreSQL said.
        #[source]
        cause: tokio_postgres::Error,
    },
}

impl FactsError {
    /// The problem's code: `E0968`.
    pub fn code(&self) -> &'static str {
        "E0968"
    }
}

/// Everything whose key begins with `prefix` (see [`crate::traffic::prefix`]), and the stock of all products of
/// the rig.
pub async fn read(target: &Target, prefix: &str) -> Result<Facts, FactsError> {
    let failed = |what| {
        let environment = target.environment.clone();
        move |cause| FactsError::Database { environment, what, cause }
    };
    let mut client = connect(target).await?;
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed("a transaction that only reads"))?;
    let done = done_column(&transaction).await.map_err(failed("the catalogue"))?;
    let taken = transaction
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[])
        .await
        .map_err(failed("the time"))?
        .get(0);
    let orders = rows(&transaction, ORDERS, &[&prefix, &EDI_ORIGIN]).await.map_err(failed("orders"))?;
    let transfers = rows(&transaction, &transfers_sql(done), &[&prefix]).await.map_err(failed("transfers"))?;
    let imports = rows(&transaction, IMPORTS, &[&prefix, &EDI_ORIGIN]).await.map_err(failed("imports"))?;
    let ours = format!("{}-", codes::PREFIX);
    let stock = rows(&transaction, &stock_sql(done), &[&ours]).await.map_err(failed("stock"))?;
    Ok(Facts {
        taken,
        orders: orders.iter().map(order).collect(),
        transfers: transfers.iter().map(transfer).collect(),
        imports: imports.iter().map(import).collect(),
        stock: stock.iter().map(stock_of).collect(),
    })
}

/// What of the database a calibration asks for: how many jobs are open, and what serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Jobs of the queue that run or are about to: not those for later than five minutes from now, nor those that
    /// wait for one that failed.
    pub open_jobs: u64,
    /// PostgreSQL's version.
    pub postgresql: String,
    /// Odoo's, as its base module has it.
    pub odoo: String,
}

/// Asks for [`Serving`].
pub async fn serving(target: &Target) -> Result<Serving, FactsError> {
    let client = connect(target).await?;
    let row = client.query_one(SERVING, &[]).await.map_err(|cause| FactsError::Database {
        environment: target.environment.clone(),
        what: "the job queue",
        cause,
    })?;
    Ok(Serving {
        open_jobs: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        postgresql: row.get(1),
        odoo: row.get(2),
    })
}

const SERVING: &str = "SELECT (SELECT count(*) FROM queue_job q WHERE state IN ('enqueued', 'started')
        OR (state = 'pending' AND (eta IS NULL OR eta <= (now() AT TIME ZONE 'utc') + interval '5 minutes'))
        OR (state = 'wait_dependencies' AND NOT EXISTS (SELECT 1 FROM queue_job stuck
            WHERE stuck.graph_uuid = q.graph_uuid AND stuck.state IN ('failed', 'cancelled')))),
    current_setting('server_version'),
    coalesce((SELECT latest_version FROM ir_module_module WHERE name = 'base'), 'unknown')";

async fn connect(target: &Target) -> Result<Client, FactsError> {
    let environment = &target.environment;
    let socket = target.postgres.as_ref().ok_or_else(|| FactsError::NotHere(environment.clone()))?;
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&socket.folder)
        .port(socket.port)
        .user(&socket.user)
        .dbname(&target.database)
        .application_name("springtide-rehearse")
        .connect_timeout(std::time::Duration::from_secs(10));
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.map_err(|cause| FactsError::Database {
        environment: environment.clone(),
        what: "the connection",
        cause,
    })?;
    // It ends by itself with the client; what goes wrong on it comes back from the queries.
    tokio::spawn(connection);
    Ok(client)
}

async fn rows(
    transaction: &Transaction<'_>,
    sql: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    transaction.query(sql, values).await
}

/// The column of a transfer's lines that holds what was really moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Quantity,
    QtyDone,
}

impl Done {
    const fn column(self) -> &'static str {
        match self {
            Done::Quantity => "quantity",
            Done::QtyDone => "qty_done",
        }
    }
}

async fn done_column(transaction: &Transaction<'_>) -> Result<Done, tokio_postgres::Error> {
    let sql = "SELECT count(*) FROM pg_attribute
        WHERE attrelid = 'stock_move_line'::regclass AND attname = 'qty_done' AND NOT attisdropped";
    let old: i64 = transaction.query_one(sql, &[]).await?.get(0);
    Ok(if old == 1 { Done::QtyDone } else { Done::Quantity })
}

/// Microseconds since 1970 of a column in which Odoo keeps UTC without saying so.
macro_rules! micros {
    ($column:literal) => {
        concat!("(extract(epoch FROM ", $column, ") * 1000000)::bigint")
    };
}

const ORDERS: &str = concat!(
    "SELECT o.client_order_ref, o.id::bigint, o.state, count(l.id)::bigint, coalesce(sum(l.product_uom_qty), 0)::float8, ",
    micros!("o.create_date"),
    " FROM sale_order o
    LEFT JOIN sale_order_line l ON l.order_id = o.id AND l.display_type IS NULL
    WHERE starts_with(o.client_order_ref, $1) AND NOT starts_with(coalesce(o.origin, ''), $2)
    GROUP BY o.id ORDER BY o.id"
);

const IMPORTS: &str = concat!(
    "SELECT o.client_order_ref, o.id::bigint, split_part(o.origin, '/', 2), split_part(o.origin, '/', 3), coalesce((SELECT ",
    micros!("max(q.date_done)"),
    " FROM queue_job q WHERE q.identity_key = o.client_order_ref AND q.state = 'done'), ",
    micros!("o.create_date"),
    ") FROM sale_order o
    WHERE starts_with(o.client_order_ref, $1) AND starts_with(o.origin, $2) AND o.state <> 'cancel'
    ORDER BY o.id"
);

fn transfers_sql(done: Done) -> String {
    let (done, when) = (done.column(), micros!("p.date_done"));
    format!(
        "SELECT p.origin, p.id::bigint, p.state, coalesce(v.default_code, ''), coalesce(sum(l.{done}), 0)::float8, {when}
        FROM stock_picking p
        LEFT JOIN stock_move_line l ON l.picking_id = p.id
        LEFT JOIN product_product v ON v.id = l.product_id
        WHERE starts_with(p.origin, $1)
        GROUP BY p.id, v.default_code ORDER BY p.id"
    )
}

/// By place, not only by product: what is in the wrong bin adds up all the same.
fn stock_sql(done: Done) -> String {
    let done = done.column();
    format!(
        "WITH ours AS (SELECT id, default_code FROM product_product WHERE starts_with(default_code, $1)),
        quants AS (
            SELECT product_id, location_id AS place, sum(quantity)::float8 AS n
            FROM stock_quant WHERE product_id IN (SELECT id FROM ours) GROUP BY 1, 2),
        lines AS (
            SELECT product_id, location_id, location_dest_id, {done} AS n
            FROM stock_move_line WHERE state = 'done' AND product_id IN (SELECT id FROM ours)),
        moves AS (
            SELECT product_id, place, sum(n)::float8 AS n FROM (
                SELECT product_id, location_dest_id AS place, n FROM lines
                UNION ALL SELECT product_id, location_id, -n FROM lines) both_ways GROUP BY 1, 2)
        SELECT ours.default_code || ' in ' || l.complete_name, coalesce(q.n, 0), coalesce(m.n, 0)
        FROM quants q FULL JOIN moves m USING (product_id, place)
        JOIN ours ON ours.id = product_id
        JOIN stock_location l ON l.id = place AND l.usage = 'internal'
        ORDER BY 1"
    )
}

fn order(row: &Row) -> OrderFact {
    OrderFact {
        key: row.get(0),
        id: row.get(1),
        state: row.get(2),
        lines: u32::try_from(row.get::<_, i64>(3)).unwrap_or(u32::MAX),
        quantity: row.get(4),
        created: row.get(5),
    }
}

fn transfer(row: &Row) -> TransferFact {
    TransferFact {
        key: row.get(0),
        id: row.get(1),
        state: row.get(2),
        product: row.get(3),
        quantity: row.get(4),
        done: row.get(5),
    }
}

fn import(row: &Row) -> ImportFact {
    // A place that is no number is said as one that no partner sends.
    let sequence = row.get::<_, &str>(3).parse().unwrap_or(u64::MAX);
    ImportFact { key: row.get(0), id: row.get(1), stream: row.get(2), sequence, done: row.get(4) }
}

fn stock_of(row: &Row) -> StockFact {
    StockFact { product: row.get(0), quants: row.get(1), moves: row.get(2) }
}
