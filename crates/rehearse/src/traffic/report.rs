//! Somebody who opens a heavy report: sums over sales and stock, and now and then a printed delivery slip.

use rand::RngExt as _;
use serde_json::json;

use super::Rehearsal;
use super::act::Stopped;
use super::people::turn;
use crate::distributor::demand::source;
use crate::generator::Arrival;
use crate::odoo::{Call, CallError, Odoo as _};

impl Rehearsal {
    pub(super) async fn report(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let reader = turn(&self.people.readers, arrival.number);
        let mut rng = source(arrival.seed, "report", 0);
        if !self.world.deliveries.is_empty() && rng.random_bool(0.15) {
            let delivery = self.world.deliveries[rng.random_range(0..self.world.deliveries.len())];
            let page = reader.page(&format!("/report/pdf/stock.report_deliveryslip/{delivery}")).await?;
            if !page.starts_with(b"%PDF") {
                return Err(CallError::unexpected("no PDF").into());
            }
            return Ok(0);
        }
        let done = json!([["state", "=", "done"]]);
        let (model, domain, group, sum) = match rng.random_range(0..3) {
            0 => ("sale.report", json!([]), "product_id", "price_subtotal"),
            1 => ("sale.report", json!([["state", "!=", "cancel"]]), "partner_id", "price_subtotal"),
            _ => ("stock.move", done, "product_id", "product_uom_qty"),
        };
        let (groups, sums) = (json!([group]), json!([format!("{sum}:sum")]));
        let call = Call::model(model, self.world.dialect.grouping).with("domain", domain);
        // The newer method has them the other way round.
        let call = match self.world.dialect.grouping {
            "read_group" => call.with("fields", sums).with("groupby", groups),
            _ => call.with("groupby", groups).with("aggregates", sums),
        };
        reader.call(call).await?;
        Ok(0)
    }
}
