//! Places, partners and products.

use serde_json::{Value, json};

use super::find::Wanted;
use super::{LoadError, Loader, failed};
use crate::distributor::codes;
use crate::odoo::call::id;

const PARTNER: &str = "res.partner";

impl Loader<'_> {
    /// Warehouses, their bins, and the place where scanned goods go.
    pub(super) async fn places(&mut self) -> Result<(), LoadError> {
        // Odoo comes with one warehouse; it is the first.
        let first = self.odoo.find("stock.warehouse", json!([]), &["code"], Some(1)).await;
        let first = first.map_err(failed("warehouses"))?;
        let mut warehouses = first.iter().map(id).collect::<Result<Vec<_>, _>>().map_err(failed("warehouses"))?;
        let numbers: Vec<String> = (1..self.plan.scale.warehouses).map(codes::warehouse).collect();
        let wanted =
            Wanted { what: "warehouses", model: "stock.warehouse", field: "code", prefix: codes::PREFIX, batch: 1 };
        let values = |at: usize| json!({ "name": format!("Warehouse {}", at + 2), "code": numbers[at] });
        warehouses.extend(self.ensure(wanted, &numbers, values).await?);
        let read = crate::odoo::Call::read("stock.warehouse", &warehouses, &["lot_stock_id"]);
        let read = self.odoo.call(read).await.map_err(failed("warehouses"))?;
        // Records come back in any order.
        let stock = |warehouse: i64| {
            let record = read.as_array().into_iter().flatten().find(|record| record["id"] == warehouse);
            record.map_or(Value::Null, |record| record["lot_stock_id"][0].clone())
        };
        for (number, warehouse) in warehouses.iter().enumerate() {
            let (number, parent) = (number as u32, stock(*warehouse));
            let mut barcodes: Vec<String> = (0..self.plan.scale.bins).map(|bin| codes::bin(number, bin)).collect();
            barcodes.push(codes::face(number));
            let values = |at: usize| {
                let name =
                    if at as u32 == self.plan.scale.bins { "Pick face".to_owned() } else { codes::bin_name(at as u32) };
                json!({ "name": name, "location_id": parent, "usage": "internal", "barcode": barcodes[at] })
            };
            let prefix = format!("{}-", codes::PREFIX);
            let wanted = Wanted { what: "bins", model: "stock.location", field: "barcode", prefix: &prefix, batch: 50 };
            let bins = self.ensure(wanted, &barcodes, values).await?;
            self.ids.bins.push(bins);
        }
        self.ids.warehouses = warehouses;
        Ok(())
    }

    /// Vendors and customers.
    pub(super) async fn partners(&mut self) -> Result<(), LoadError> {
        let vendors: Vec<String> = (0..self.plan.scale.vendors).map(codes::vendor).collect();
        let prefix = format!("{}-V", codes::PREFIX);
        let wanted = Wanted { what: "vendors", model: PARTNER, field: "ref", prefix: &prefix, batch: 50 };
        let values =
            |at: usize| json!({ "name": format!("Vendor {}", at + 1), "ref": vendors[at], "is_company": true });
        self.ids.vendors = self.ensure(wanted, &vendors, values).await?;
        let customers: Vec<String> = (0..self.plan.scale.customers).map(codes::customer).collect();
        let prefix = format!("{}-C", codes::PREFIX);
        let wanted = Wanted { what: "customers", model: PARTNER, field: "ref", prefix: &prefix, batch: 50 };
        let values = |at: usize| {
            json!({
                "name": format!("Customer {}", at + 1), "ref": customers[at], "is_company": true,
                "street": format!("{} Market Street", at % 190 + 1), "city": format!("Town {}", at % 37 + 1),
            })
        };
        self.ids.customers = self.ensure(wanted, &customers, values).await?;
        Ok(())
    }

    /// Products, each with its vendor.
    pub(super) async fn products(&mut self) -> Result<(), LoadError> {
        let numbers: Vec<String> = (0..self.plan.scale.products).map(codes::product).collect();
        let prefix = format!("{}-", codes::PREFIX);
        let wanted =
            Wanted { what: "products", model: "product.product", field: "default_code", prefix: &prefix, batch: 50 };
        let (plan, vendors, dialect) = (self.plan, self.ids.vendors.clone(), self.dialect.clone());
        let values = |at: usize| {
            let product = &plan.products[at];
            let money = |cents: u32| f64::from(cents) / 100.0;
            let vendor = json!([0, 0, {
                dialect.vendor: vendors.get(product.vendor as usize), "price": money(product.cost),
                "delay": product.lead, "min_qty": 1,
            }]);
            let mut values = json!({
                "name": product.name, "default_code": numbers[at], "barcode": codes::barcode(at as u32),
                "list_price": money(product.price), "standard_price": money(product.cost),
                "weight": f64::from(product.weight) / 1_000.0, "seller_ids": [vendor],
            });
            if dialect.storable {
                values["is_storable"] = json!(true);
            } else {
                values["type"] = json!("product");
            }
            values
        };
        self.ids.products = self.ensure(wanted, &numbers, values).await?;
        Ok(())
    }
}
