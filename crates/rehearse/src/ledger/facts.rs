//! What Odoo's database holds, as far as the ledger compares it. Plain data; `crate::facts` reads it.

use serde::{Deserialize, Serialize};

/// Rows of Odoo, read at one time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// When they were read, in microseconds since 1970.
    pub taken: i64,
    /// Orders that carry a key.
    pub orders: Vec<OrderFact>,
    /// Transfers that carry a key.
    pub transfers: Vec<TransferFact>,
    /// Records that jobs made of batch lines.
    pub imports: Vec<ImportFact>,
    /// Stock of every product, by both ways of counting.
    pub stock: Vec<StockFact>,
}

/// One row of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderFact {
    /// `client_order_ref`.
    pub key: String,
    /// Odoo's id.
    pub id: i64,
    /// Odoo's state: `draft`, `sent`, `sale`, `done` or `cancel`.
    pub state: String,
    /// Order lines.
    pub lines: u32,
    /// Sum of the ordered quantities.
    pub quantity: f64,
    /// `create_date`, in microseconds since 1970.
    pub created: i64,
}

/// One transfer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferFact {
    /// The key that the scan wrote (such as the transfer's `origin` or note).
    pub key: String,
    /// Odoo's id.
    pub id: i64,
    /// Odoo's state; `done` is the one that counts.
    pub state: String,
    /// The product's code.
    pub product: String,
    /// What was moved.
    pub quantity: f64,
    /// When it was done, in microseconds since 1970.
    pub done: Option<i64>,
}

/// One record that a job made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportFact {
    /// The key of the batch line.
    pub key: String,
    /// Odoo's id.
    pub id: i64,
    /// Whose batches; order is kept within one stream only.
    pub stream: String,
    /// The line's place in its stream, as the record carries it.
    pub sequence: u64,
    /// When its job had done it, in microseconds since 1970.
    pub done: Option<i64>,
}

/// Stock of one product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StockFact {
    /// The product's code.
    pub product: String,
    /// Sum of its quants in internal places.
    pub quants: f64,
    /// What its done moves in and out of internal places add up to.
    pub moves: f64,
}
