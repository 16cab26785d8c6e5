//! Somebody who looks around: lists, cards, a form, and now and then the whole page.

use rand::RngExt as _;
use serde_json::json;

use super::Rehearsal;
use super::act::Stopped;
use super::people::turn;
use crate::distributor::demand::source;
use crate::generator::Arrival;
use crate::odoo::call::id;
use crate::odoo::{Call, Odoo as _};

impl Rehearsal {
    pub(super) async fn browse(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let visitor = turn(&self.people.visitors, arrival.number);
        let mut rng = source(arrival.seed, "browse", 0);
        match rng.random_range(0..10) {
            0 => {
                visitor.page("/web").await?;
            }
            1..=4 => {
                let fields = ["name", "default_code", "list_price", "qty_available"];
                visitor.find("product.template", json!([["sale_ok", "=", true]]), &fields, Some(40)).await?;
            }
            5..=7 => {
                let fields = ["name", "partner_id", "date_order", "amount_total", "state"];
                let list = visitor.find("sale.order", json!([]), &fields, Some(80)).await?;
                if let Some(order) = list.get(rng.random_range(0..list.len().max(1))) {
                    let fields = ["name", "partner_id", "order_line", "amount_total", "picking_ids"];
                    visitor.call(Call::read("sale.order", &[id(order)?], &fields)).await?;
                }
            }
            _ => {
                let open = json!([["state", "in", ["confirmed", "assigned"]]]);
                let fields = ["name", "partner_id", "scheduled_date", "state", "origin"];
                visitor.find("stock.picking", open, &fields, Some(80)).await?;
            }
        }
        Ok(0)
    }
}
