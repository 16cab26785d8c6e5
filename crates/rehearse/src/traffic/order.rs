//! A seller in the web client: makes a quotation with lines, and confirms it.

use super::act::Stopped;
use super::people::turn;
use super::{Rehearsal, order_detail, order_values};
use crate::distributor::demand::source;
use crate::generator::Arrival;
use crate::ledger::ActKind;
use crate::odoo::{Call, Odoo};

impl Rehearsal {
    pub(super) async fn order(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let seller = turn(&self.people.sellers, arrival.number);
        let order = self.world.plan.order(&mut source(arrival.seed, "order", 0), self.world.plan.until);
        let key = self.book.key(arrival);
        let values = order_values(&self.world, &order, &key);
        let written = self.book.intend(arrival.class, ActKind::Order, key, order_detail(&order)).await?;
        let sold = async {
            let made = seller.create("sale.order", vec![values]).await?;
            seller.call(Call::on("sale.order", "action_confirm", &made)).await
        };
        written.ended(sold.await).await?;
        Ok(0)
    }
}
