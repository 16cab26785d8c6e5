//! What lies where, as a count of the stock that Odoo applies: with moves, as any other count.

use std::collections::BTreeSet;

use serde_json::json;

use super::find::pages;
use super::{LoadError, Loader, failed};
use crate::odoo::Call;
use crate::odoo::call::ids;

const WHAT: &str = "stock";
/// Counts per call: each makes a move.
const BATCH: usize = 25;

impl Loader<'_> {
    /// Counts what is missing. A place that holds something of the product already was counted.
    pub(super) async fn stock(&mut self) -> Result<(), LoadError> {
        let places: Vec<i64> = self.ids.bins.iter().flatten().copied().collect();
        let quants =
            pages(self.odoo, "stock.quant", json!([["location_id", "in", places]]), &["product_id", "location_id"]);
        let there: BTreeSet<(i64, i64)> = quants
            .await
            .map_err(failed(WHAT))?
            .iter()
            .filter_map(|quant| Some((quant["product_id"][0].as_i64()?, quant["location_id"][0].as_i64()?)))
            .collect();
        let mut missing = Vec::new();
        for stock in &self.plan.stock {
            let product = self.ids.products.get(stock.product as usize);
            let place = self.ids.bins.get(stock.warehouse as usize).and_then(|bins| bins.get(stock.bin as usize));
            if let (Some(product), Some(place)) = (product, place)
                && !there.contains(&(*product, *place))
            {
                missing.push((*product, *place, stock.quantity));
            }
        }
        let all = self.plan.stock.len();
        let mut done = all - missing.len();
        self.progress.at(WHAT, done, all);
        // One name writes the count and applies it; the older series apply what is written.
        let count = if self.dialect.applies_counts { "inventory_quantity_auto_apply" } else { "inventory_quantity" };
        for part in missing.chunks(BATCH) {
            let values = part.iter().map(
                |(product, place, quantity)| json!({ "product_id": product, "location_id": place, count: quantity }),
            );
            let call = Call::create("stock.quant", values.collect()).context("inventory_mode", json!(true));
            ids(&self.odoo.call(call).await.map_err(failed(WHAT))?).map_err(failed(WHAT))?;
            done += part.len();
            self.made(WHAT, part.len());
            self.progress.at(WHAT, done, all);
        }
        Ok(())
    }
}
