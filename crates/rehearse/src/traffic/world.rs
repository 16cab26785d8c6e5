//! What an environment has, by Odoo's ids; read once, before traffic begins.

use std::collections::BTreeMap;

use serde_json::json;

use super::reference;
use crate::distributor::load::find::{by_code, pages};
use crate::distributor::{Plan, codes};
use crate::odoo::call::id;
use crate::odoo::{CallError, Dialect, Odoo};

/// A warehouse.
#[derive(Debug, Clone)]
pub(super) struct Warehouse {
    pub(super) id: i64,
    /// Type of its internal transfers.
    pub(super) internal: i64,
    pub(super) bins: Vec<i64>,
    /// Where scanned goods go.
    pub(super) face: i64,
}

/// Everything that acts choose from.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dialect: Dialect,
    products: Vec<i64>,
    customers: Vec<i64>,
    warehouses: Vec<Warehouse>,
    /// The unit that all products are counted in.
    pub(super) unit: i64,
    /// Deliveries that can be printed.
    pub(super) deliveries: Vec<i64>,
}

impl World {
    pub(super) async fn read(odoo: &dyn Odoo, plan: Plan, dialect: Dialect) -> Result<Self, CallError> {
        let prefix = format!("{}-", codes::PREFIX);
        let products = by_code(odoo, "product.product", "default_code", &prefix).await?;
        let customers = by_code(odoo, "res.partner", "ref", &format!("{prefix}C")).await?;
        let places = by_code(odoo, "stock.location", "barcode", &prefix).await?;
        let fields = ["code", "int_type_id"];
        let found = pages(odoo, "stock.warehouse", json!([]), &fields).await?;
        let mut warehouses = Vec::new();
        for number in 0..plan.scale.warehouses {
            let code = codes::warehouse(number);
            let record = match number {
                0 => found.first(),
                _ => found.iter().find(|record| record["code"] == code.as_str()),
            };
            let gone = || missing("a warehouse");
            let record = record.ok_or_else(gone)?;
            let bins: Vec<String> = (0..plan.scale.bins).map(|bin| codes::bin(number, bin)).collect();
            warehouses.push(Warehouse {
                id: id(record)?,
                internal: reference(record, "int_type_id").ok_or_else(gone)?,
                bins: all(&places, bins)?,
                face: *places.get(&codes::face(number)).ok_or_else(gone)?,
            });
        }
        let products = all(&products, (0..plan.scale.products).map(codes::product))?;
        let customers = all(&customers, (0..plan.scale.customers).map(codes::customer))?;
        let first = products.first().copied().ok_or_else(|| missing("any product"))?;
        let unit = odoo.find("product.product", json!([["id", "=", first]]), &["uom_id"], Some(1)).await?;
        let unit = unit.first().and_then(|record| reference(record, "uom_id")).ok_or_else(|| missing("the unit"))?;
        let domain = json!([["picking_type_code", "=", "outgoing"], ["state", "in", ["assigned", "done"]]]);
        let deliveries = odoo.find("stock.picking", domain, &["id"], Some(40)).await?;
        let deliveries = deliveries.iter().map(id).collect::<Result<_, _>>()?;
        Ok(Self { plan, dialect, products, customers, warehouses, unit, deliveries })
    }

    /// Id of a product of the plan.
    pub(super) fn product(&self, number: u32) -> i64 {
        self.products[number as usize % self.products.len()]
    }

    /// Id of a customer of the plan.
    pub(super) fn customer(&self, number: u32) -> i64 {
        self.customers[number as usize % self.customers.len()]
    }

    /// A warehouse of the plan.
    pub(super) fn warehouse(&self, number: u32) -> &Warehouse {
        &self.warehouses[number as usize % self.warehouses.len()]
    }
}

fn all(there: &BTreeMap<String, i64>, codes: impl IntoIterator<Item = String>) -> Result<Vec<i64>, CallError> {
    let ids = codes.into_iter().map(|code| there.get(&code).copied().ok_or_else(|| missing(&code)));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() { Err(missing("anything of a kind")) } else { Ok(ids) }
}

fn missing(what: &str) -> CallError {
    let message = format!("{what} is missing: somebody removed what was loaded");
    CallError::Refused { status: None, name: "missing".to_owned(), message }
}
