//! Purchases and orders, by the buttons people press: confirm, deliver.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::find::{Wanted, pages};
use super::{LoadError, Loader, failed};
use crate::distributor::codes;
use crate::distributor::plan::Order;
use crate::odoo::call::id;
use crate::odoo::{Call, CallError};

const ORDER: &str = "sale.order";
const PICKING: &str = "stock.picking";
const LINE: &str = "stock.move.line";
/// Orders confirmed per call: each makes a transfer.
const BATCH: usize = 5;

impl Loader<'_> {
    /// Confirmed purchases that wait for goods, if this Odoo buys.
    pub(super) async fn receipts(&mut self) -> Result<(), LoadError> {
        const WHAT: &str = "receipts";
        if !self.has("purchase.order").await.map_err(failed(WHAT))? {
            self.loaded.left_out.push("receipts: the module `purchase` is not installed".to_owned());
            return Ok(());
        }
        // The older series want to be told what the newer work out.
        let asked = Call::model("purchase.order.line", "fields_get").with("allfields", json!(["product_uom"]));
        let fields = self.odoo.call(asked).await.map_err(failed(WHAT))?;
        let unit = match (fields.get("product_uom"), self.ids.products.first()) {
            (Some(_), Some(product)) => {
                let read = Call::read("product.product", &[*product], &["uom_id"]);
                Some(self.odoo.call(read).await.map_err(failed(WHAT))?[0]["uom_id"][0].clone())
            }
            _ => None,
        };
        let keys: Vec<String> =
            (0..self.plan.open_receipts.len()).map(|number| codes::planned("R", number as u32)).collect();
        let prefix = format!("{}-R", codes::PREFIX);
        let wanted =
            Wanted { what: WHAT, model: "purchase.order", field: "partner_ref", prefix: &prefix, batch: BATCH };
        let (plan, products, vendors) = (self.plan, self.ids.products.clone(), self.ids.vendors.clone());
        let values = |at: usize| {
            let receipt = &plan.open_receipts[at];
            let lines = receipt.lines.iter().map(|line| {
                let product = &plan.products[line.product as usize];
                let mut values = json!({
                    "product_id": products.get(line.product as usize), "name": product.name,
                    "product_qty": line.quantity, "price_unit": f64::from(product.cost) / 100.0,
                    "date_planned": format!("{} 08:00:00", plan.until),
                });
                if let Some(unit) = &unit {
                    values["product_uom"] = unit.clone();
                }
                json!([0, 0, values])
            });
            let lines: Vec<Value> = lines.collect();
            json!({
                "partner_id": vendors.get(receipt.vendor as usize), "partner_ref": keys[at], "order_line": lines,
            })
        };
        let made = self.ensure(wanted, &keys, values).await?;
        let drafts = json!([["id", "in", made], ["state", "=", "draft"]]);
        self.press("purchase.order", "button_confirm", drafts, WHAT).await
    }

    /// Delivered orders of the newest past, then confirmed ones that wait.
    pub(super) async fn orders(&mut self) -> Result<(), LoadError> {
        let past = self.plan.past_orders();
        let made = self.make_orders("past orders", "P", &past).await?;
        self.deliver(&made).await.map_err(failed("past orders"))?;
        for (order, id) in past.iter().zip(&made) {
            let day = json!({ "date_order": noon(order.day) });
            self.odoo.call(Call::write(ORDER, &[*id], day)).await.map_err(failed("past orders"))?;
        }
        let open = self.plan.open_orders.clone();
        self.make_orders("open orders", "O", &open).await?;
        Ok(())
    }

    async fn make_orders(&mut self, what: &str, kind: &str, orders: &[Order]) -> Result<Vec<i64>, LoadError> {
        let keys: Vec<String> = (0..orders.len()).map(|number| codes::planned(kind, number as u32)).collect();
        let prefix = format!("{}-{kind}", codes::PREFIX);
        let wanted = Wanted { what, model: ORDER, field: "client_order_ref", prefix: &prefix, batch: BATCH };
        let (plan, products) = (self.plan, self.ids.products.clone());
        let (customers, warehouses) = (self.ids.customers.clone(), self.ids.warehouses.clone());
        let values = |at: usize| {
            let order = &orders[at];
            let lines = order.lines.iter().map(|line| {
                let price = f64::from(plan.products[line.product as usize].price) / 100.0;
                let product = products.get(line.product as usize);
                json!([0, 0, { "product_id": product, "product_uom_qty": line.quantity, "price_unit": price }])
            });
            let lines: Vec<Value> = lines.collect();
            json!({
                "partner_id": customers.get(order.customer as usize), "client_order_ref": keys[at],
                "warehouse_id": warehouses.get(order.warehouse as usize), "date_order": noon(order.day),
                "order_line": lines,
            })
        };
        let made = self.ensure(wanted, &keys, values).await?;
        let drafts = json!([["id", "in", made], ["state", "in", ["draft", "sent"]]]);
        self.press(ORDER, "action_confirm", drafts, what).await?;
        Ok(made)
    }

    /// Presses a button on every record that `domain` selects.
    async fn press(
        &mut self,
        model: &'static str,
        button: &'static str,
        domain: Value,
        what: &str,
    ) -> Result<(), LoadError> {
        let found = pages(self.odoo, model, domain, &["id"]).await.map_err(failed(what))?;
        let all = found.iter().map(id).collect::<Result<Vec<_>, _>>().map_err(failed(what))?;
        for (at, part) in all.chunks(BATCH).enumerate() {
            self.odoo.call(Call::on(model, button, part)).await.map_err(failed(what))?;
            self.progress.at(&format!("{what}, confirmed"), (at * BATCH + part.len()).min(all.len()), all.len());
        }
        Ok(())
    }

    /// Delivers everything that is reserved for `orders`; what is short waits, as in life.
    async fn deliver(&mut self, orders: &[i64]) -> Result<(), CallError> {
        let waiting = json!([["sale_id", "in", orders], ["state", "=", "assigned"]]);
        let found = pages(self.odoo, PICKING, waiting, &["id"]).await?;
        for (at, picking) in found.iter().enumerate() {
            let picking = [id(picking)?];
            if !self.dialect.picked {
                // The older series would ask in a wizard whether all that is reserved was moved.
                let of = json!([["picking_id", "=", picking[0]]]);
                for line in pages(self.odoo, LINE, of, &["product_uom_qty"]).await? {
                    let moved = json!({ "qty_done": line["product_uom_qty"] });
                    self.odoo.call(Call::write(LINE, &[id(&line)?], moved)).await?;
                }
            }
            let validate = Call::on(PICKING, "button_validate", &picking);
            let validate = validate.context("skip_backorder", json!(true)).context("skip_sms", json!(true));
            self.odoo.call(validate).await?;
            self.progress.at("past orders, delivered", at + 1, found.len());
        }
        Ok(())
    }

    async fn has(&self, model: &str) -> Result<bool, CallError> {
        let found = self.odoo.call(Call::count("ir.model", json!([["model", "=", model]]))).await?;
        Ok(found.as_i64().unwrap_or_default() > 0)
    }
}

fn noon(day: Date) -> String {
    format!("{day} 12:00:00")
}
