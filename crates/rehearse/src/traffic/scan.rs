//! A picker with a barcode scanner: looks a product up by what the scanner read, and moves one piece from its
//! bin to the pick face. Many scans touch few products, which is where Odoo's stock conflicts come from.

use std::sync::PoisonError;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::Rehearsal;
use super::act::Stopped;
use super::people::turn;
use super::world::World;
use crate::distributor::demand::source;
use crate::distributor::{Plan, codes};
use crate::generator::Arrival;
use crate::ledger::ActKind;
use crate::odoo::call::id;
use crate::odoo::{Call, CallError, Odoo, Session};

/// Which products pickers walk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// To so many hot ones, in proportion to their demand.
    Demand(u32),
    /// To so many hot ones, each as often as any other.
    Even(u32),
    /// To so many hot ones, one act after the other to the next: acts at the same time do not meet while there
    /// are fewer of them than products.
    Apart(u32),
}

impl Default for Walk {
    fn default() -> Self {
        // Pickers of a run walk to few products all day.
        Walk::Demand(24)
    }
}

impl Walk {
    /// The product of an act.
    fn product(self, plan: &Plan, arrival: &Arrival) -> u32 {
        let mut chance = source(arrival.seed, "scan", 0);
        match self {
            Walk::Demand(count) => plan.hot(&mut chance, count as usize),
            Walk::Even(count) => plan.wanted(chance.random_range(0..count.max(1)) as usize),
            Walk::Apart(count) => plan.wanted((arrival.number % u64::from(count.max(1))) as usize),
        }
    }
}

impl Rehearsal {
    pub(super) async fn scan(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let picker = turn(&self.people.scanners, arrival.number);
        let walk = *self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let number = walk.product(&self.world.plan, arrival);
        let barcode = codes::barcode(number);
        let found = picker.find("product.product", json!([["barcode", "=", barcode]]), &["uom_id"], Some(1)).await?;
        let product = id(found.first().unwrap_or(&Value::Null))?;
        let key = self.book.key(arrival);
        let detail = json!({ "product": codes::product(number), "quantity": 1 });
        let written = self.book.intend(arrival.class, ActKind::Transfer, key.clone(), detail).await?;
        let moved = move_one(&self.world, picker, number, product, &key).await;
        written.ended(moved).await?;
        Ok(0)
    }
}

async fn move_one(world: &World, picker: &Session, number: u32, product: i64, key: &str) -> Result<(), CallError> {
    let warehouse = world.warehouse(0);
    let bin = warehouse.bins[world.plan.products[number as usize].bin as usize % warehouse.bins.len()];
    let mut piece = json!({
        "product_id": product, "location_id": bin, "location_dest_id": warehouse.face,
    });
    let mut values = json!({
        "picking_type_id": warehouse.internal, "location_id": bin, "location_dest_id": warehouse.face, "origin": key,
    });
    if world.dialect.picked {
        piece["product_uom"] = json!(world.unit);
        piece["product_uom_qty"] = json!(1);
        piece["quantity"] = json!(1);
        piece["picked"] = json!(true);
        values["move_ids"] = json!([[0, 0, piece]]);
    } else {
        piece["product_uom_id"] = json!(world.unit);
        piece["qty_done"] = json!(1);
        values["immediate_transfer"] = json!(true);
        values["move_line_ids_without_package"] = json!([[0, 0, piece]]);
    }
    // As the barcode client does: no notes in the chatter for what is done in one go.
    let made =
        picker.call(Call::create("stock.picking", vec![values]).context("tracking_disable", json!(true))).await?;
    let picking = crate::odoo::call::ids(&made)?;
    let validate = Call::on("stock.picking", "button_validate", &picking);
    let validate = validate
        .context("skip_backorder", json!(true))
        .context("skip_immediate", json!(true))
        .context("skip_sms", json!(true))
        .context("tracking_disable", json!(true));
    match picker.call(validate).await? {
        // A wizard is a question, and nothing was done.
        Value::Object(wizard) if wizard.contains_key("res_model") => {
            let message = format!("Odoo asks back: {}", wizard["res_model"]);
            Err(CallError::Refused { status: Some(200), name: "asks back".to_owned(), message })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::class::Class;
    use crate::distributor::{Scale, Size};

    #[test]
    fn a_walk_goes_to_as_many_products_as_it_says() {
        let plan = Plan::new(Scale::of(Size::S), 1, jiff::civil::date(2026, 11, 23));
        let products = |walk: Walk| -> Vec<u32> {
            let act =
                |number| Arrival { class: Class::Scan, number, seed: number * 77, due: tokio::time::Instant::now() };
            (0..400).map(|number| walk.product(&plan, &act(number))).collect()
        };
        for walk in [Walk::Demand, Walk::Even, Walk::Apart] {
            for count in [1, 4, 16] {
                let found: BTreeSet<u32> = products(walk(count)).into_iter().collect();
                assert_eq!(found.len(), count as usize, "{:?}", walk(count));
            }
        }
        // Neighbours never meet, which is only so apart.
        let meet = |all: &[u32]| all.windows(4).any(|near| near.iter().collect::<BTreeSet<_>>().len() < 4);
        assert!(!meet(&products(Walk::Apart(16))) && meet(&products(Walk::Even(16))));
    }
}
