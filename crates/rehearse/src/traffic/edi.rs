//! An EDI partner: a message with several orders, which the job queue turns into records one after the other.
//!
//! Jobs cannot be enqueued by RPC, so the rig writes a server action, as an integrator would, and the partner
//! runs it with the message in the context. What is acknowledged is that the jobs are in the queue. The jobs of
//! a message are a chain, so their order holds however many workers there are; between messages there is none.

use rand::RngExt as _;
use serde_json::json;

use super::act::Stopped;
use super::people::turn;
use super::{Rehearsal, one, order_values};
use crate::distributor::codes;
use crate::distributor::demand::source;
use crate::generator::Arrival;
use crate::ledger::ActKind;
use crate::odoo::{Call, CallError, Odoo};

/// How the origin of an imported order begins; then `/STREAM/SEQUENCE`.
pub(crate) const ORIGIN: &str = "SPR-EDI";
const ACTION: &str = "Springtide rehearsal: take an EDI message in";
/// A name for each job, so that a message that comes twice while its jobs wait adds none.
const CODE: &str = "\
first = last = None
for line in env.context['springtide_lines']:
    key = line['client_order_ref']
    step = env['sale.order'].delayable(description=key, identity_key=key).create(line)
    if last is None:
        first = step
    else:
        last.on_done(step)
    last = step
if first is not None:
    first.delay()
";

impl Rehearsal {
    pub(super) async fn edi(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let partner = turn(&self.people.partners, arrival.number);
        let mut rng = source(arrival.seed, "edi", 0);
        let stream = self.book.key(arrival);
        let count = rng.random_range(3..=8);
        let (mut lines, mut written) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for sequence in 0..count {
            let order = self.world.plan.order(&mut rng, self.world.plan.until);
            let key = format!("{stream}-{sequence}");
            let mut values = order_values(&self.world, &order, &key);
            values["origin"] = json!(format!("{ORIGIN}/{stream}/{sequence}"));
            lines.push(values);
            let detail = json!({ "stream": stream, "sequence": sequence });
            written.push(self.book.intend(arrival.class, ActKind::Import, key, detail).await?);
        }
        let run = Call::on("ir.actions.server", "run", &[self.people.import]);
        let sent = partner.call(run.context("springtide_lines", json!(lines))).await.map(|_| ());
        let mut all = Ok(0);
        for line in written {
            // One message is one transaction: what became of it became of every line.
            let ended = line.ended(sent.clone()).await;
            all = all.and(ended.map(|()| 0));
        }
        all
    }
}

/// The action that takes messages in, as this version has it.
pub(super) async fn action(admin: &dyn Odoo) -> Result<i64, CallError> {
    let model = one(admin, "ir.model", json!([["model", "=", "sale.order"]])).await?;
    let Some(model) = model else {
        let message = format!("{} needs sale orders: install `sale_management`", codes::PREFIX);
        return Err(CallError::Refused { status: None, name: "missing".to_owned(), message });
    };
    let values = json!({ "name": ACTION, "model_id": model, "state": "code", "code": CODE });
    match one(admin, "ir.actions.server", json!([["name", "=", ACTION]])).await? {
        Some(id) => admin.call(Call::write("ir.actions.server", &[id], values)).await.map(|_| id),
        None => {
            let made = admin.create("ir.actions.server", vec![values]).await?;
            made.first().copied().ok_or_else(|| CallError::unexpected("no id"))
        }
    }
}
