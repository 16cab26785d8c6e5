//! What differs between series in the models that traffic uses, asked from Odoo itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Call, CallError, Odoo};

/// Names and shapes of one Odoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Whether a product says with `is_storable` that it is kept in stock; with `type: product` if not.
    pub storable: bool,
    /// Field of a vendor line that holds the vendor.
    pub vendor: &'static str,
    /// Field of a user that holds his groups.
    pub groups: &'static str,
    /// Whether counted stock is applied by a call of its own; by writing the count if not.
    pub applies_counts: bool,
    /// Whether a move has a `picked` mark; the older series count what is done on its lines.
    pub picked: bool,
    /// Whether programs may use JSON-2.
    pub json2: bool,
    /// Method that groups and sums records.
    pub grouping: &'static str,
}

impl Dialect {
    /// Asks for everything; needs a user who may read users and stock.
    pub async fn ask<O: Odoo + ?Sized>(odoo: &O) -> Result<Self, CallError> {
        let fields = async |model: &'static str, of: &[&str]| -> Result<BTreeSet<String>, CallError> {
            let call = Call::model(model, "fields_get").with("allfields", json!(of));
            match odoo.call(call).await? {
                Value::Object(found) => Ok(found.into_iter().map(|(name, _)| name).collect()),
                _ => Err(CallError::unexpected("no fields")),
            }
        };
        let product = fields("product.template", &["is_storable"]).await?;
        let vendor = fields("product.supplierinfo", &["partner_id"]).await?;
        let user = fields("res.users", &["group_ids", "groups_id"]).await?;
        let quant = fields("stock.quant", &["inventory_quantity_set"]).await?;
        let moves = fields("stock.move", &["picked"]).await?;
        let rpc = Call::count("ir.module.module", json!([["name", "=", "rpc"], ["state", "=", "installed"]]));
        // The module that serves JSON-2 came with the method of this name.
        let json2 = odoo.call(rpc).await?.as_i64() == Some(1);
        Ok(Self {
            storable: product.contains("is_storable"),
            vendor: if vendor.contains("partner_id") { "partner_id" } else { "name" },
            groups: if user.contains("group_ids") { "group_ids" } else { "groups_id" },
            applies_counts: quant.contains("inventory_quantity_set"),
            picked: moves.contains("picked"),
            json2,
            grouping: if json2 { "formatted_read_group" } else { "read_group" },
        })
    }
}
