//! A small business in memory: rows as Odoo would have them, honest unless a plant is asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;

use super::{Check, Ground, now};
use crate::class::Class;
use crate::ledger::{ActKind, Entry, Facts, ImportFact, OrderFact, Phase, StockFact};

/// The product whose stock is planted as unequal.
pub(super) const UNEQUAL: &str = "UNEQUAL";

/// The business.
#[derive(Debug, Default)]
pub struct Business {
    rows: Mutex<Facts>,
}

impl Business {
    fn rows(&self) -> MutexGuard<'_, Facts> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ground for Business {
    fn name(&self) -> String {
        "a business in memory".into()
    }

    fn plants(&self) -> Vec<Check> {
        Check::ALL.into_iter().filter(|check| check.finding().is_some()).collect()
    }

    async fn order(&self, key: &str) -> Result<(), String> {
        let mut rows = self.rows();
        let id = rows.orders.len() as i64 + 1;
        let (key, state) = (key.to_owned(), "sale".to_owned());
        rows.orders.push(OrderFact { key, id, state, lines: 1, quantity: 1.0, created: now() });
        match rows.stock.iter_mut().find(|stock| stock.product == "P-1") {
            Some(stock) => {
                stock.quants -= 1.0;
                stock.moves -= 1.0;
            }
            None => rows.stock.push(StockFact { product: "P-1".into(), quants: 99.0, moves: 99.0 }),
        }
        Ok(())
    }

    async fn plant(&self, check: Check) -> Result<Vec<Entry>, String> {
        let mut rows = self.rows();
        match check {
            Check::Stock => {
                rows.stock.push(StockFact { product: UNEQUAL.into(), quants: 12.0, moves: 11.0 });
                Ok(Vec::new())
            }
            Check::Misordered => {
                let at = now();
                let mut entries = Vec::new();
                // The second line is done a second before the first.
                for (sequence, done) in [(1, at), (2, at - 1_000_000)] {
                    let (key, stream) = (format!("line-{at}-{sequence}"), format!("stream-{at}"));
                    let detail = json!({ "stream": stream, "sequence": sequence });
                    let entry = |phase| Entry {
                        at: at - 2_000_000,
                        class: Class::Edi,
                        key: key.clone(),
                        kind: ActKind::Import,
                        phase,
                        detail: detail.clone(),
                    };
                    entries.extend([entry(Phase::Intended), entry(Phase::Acknowledged)]);
                    let id = rows.imports.len() as i64 + 1;
                    rows.imports.push(ImportFact { key: key.clone(), id, stream, sequence, done: Some(done) });
                }
                Ok(entries)
            }
            other => Err(format!("{other} is planted with orders")),
        }
    }

    async fn facts(&self, prefix: &str) -> Result<Facts, String> {
        let mut facts = Facts { taken: now(), ..self.rows().clone() };
        facts.orders.retain(|order| order.key.starts_with(prefix));
        // The unequal product belongs to one try only.
        self.rows().stock.retain(|stock| stock.product != UNEQUAL);
        Ok(facts)
    }
}
