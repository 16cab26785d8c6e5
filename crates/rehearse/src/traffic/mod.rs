//! The six classes as real flows through the entrance.
//!
//! - [`world`]: what an environment has, by Odoo's ids; read once.
//! - [`people`]: users of the rig's own, one per class, with passwords that exist in memory only.
//! - [`act`]: what all acts share: the key, the ledger, and what an error means for both.
//! - [`scan`], [`order`], [`order_api`], [`edi`], [`report`], [`browse`]: one flow each.
//! - [`cost`]: what acts cost Odoo, from its request log.
//!
//! The rule: *intended* is on disk before the first byte that can change something is sent, *acknowledged*
//! only after Odoo's answer was read whole. Whether an act is repeated is the flow's own decision; only the
//! marketplace repeats, because only it has a key that makes repeating harmless.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;

use crate::class::Class;
use crate::distributor::{LoadError, codes, loaded_plan};
use crate::generator::{Arrival, Outcome, Traffic};
use crate::ledger::Ledger;
use crate::odoo::wire::{REQUEST_ID, WireError};
use crate::odoo::{CallError, Dialect, Odoo, Rpc, Target, Wire};

mod act;
mod browse;
pub mod cost;
mod edi;
mod order;
mod order_api;
mod people;
mod report;
mod scan;
mod world;

pub(crate) use edi::ORIGIN as EDI_ORIGIN;
pub use scan::Walk;

use act::Book;
use people::People;
use world::World;

/// Traffic on one environment, signed in and ready.
pub struct Rehearsal {
    world: World,
    book: Book,
    people: People,
    walk: Mutex<Walk>,
}

/// Why traffic cannot begin. Nothing was sent for any act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name of the run cannot be part of a key.
    #[error("the name of a run is 1 to 12 small letters and digits, not {0:?}")]
    Run(String),
    /// No distributor is there.
    #[error("the environment holds no distributor's data, or only a part of it; load it first")]
    NotPrepared,
    /// The mark of the loaded plan cannot be read.
    #[error(transparent)]
    Plan(#[from] LoadError),
    /// Odoo did not answer or said no.
    #[error("{what} failed; no traffic was sent")]
    Odoo {
        /// What was tried.
        what: &'static str,
        /// What Odoo said.
        #[source]
        cause: CallError,
    },
    /// No client could be made.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The machine gives no chance for passwords.
    #[error("no password could be made: the system's random source fails")]
    Chance,
}

impl OpenError {
    /// The problem's code, such as `E0967`.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Odoo { .. } | OpenError::Wire(_) | OpenError::Chance => "E0965",
            OpenError::Plan(error) => error.code(),
            OpenError::NotPrepared => "E0967",
            OpenError::Run(_) => "E0969",
        }
    }

    fn at(what: &'static str) -> impl FnOnce(CallError) -> Self {
        move |cause| OpenError::Odoo { what, cause }
    }
}

/// How every key of the run `run` begins; for [`crate::facts::read`] and the judge.
pub fn prefix(run: &str) -> String {
    format!("{}-{run}-", codes::PREFIX)
}

/// Signs everybody in. `run` names this run and is part of every key: two runs of one name on one environment
/// would be one to the judge.
pub async fn open(target: &Target, ledger: Arc<Ledger>, run: &str) -> Result<Rehearsal, OpenError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if run.is_empty() || run.len() > 12 || !run.bytes().all(fits) {
        return Err(OpenError::Run(run.chars().take(40).collect()));
    }
    let signed = Rpc::sign_in(Wire::new(target)?, &target.database, &target.admin, target.password.clone()).await;
    let admin = signed.map_err(OpenError::at("signing in as administrator"))?;
    let plan = loaded_plan(&admin).await?.ok_or(OpenError::NotPrepared)?;
    let dialect = Dialect::ask(&admin).await.map_err(OpenError::at("asking what this Odoo can"))?;
    let world = World::read(&admin, plan, dialect).await.map_err(OpenError::at("reading the distributor's data"))?;
    let people = People::sign_in(target, &admin, &world.dialect).await?;
    Ok(Rehearsal { world, book: Book::new(ledger, run), people, walk: Mutex::default() })
}

impl Rehearsal {
    /// The plan of the distributor that is there.
    pub fn plan(&self) -> &crate::distributor::Plan {
        &self.world.plan
    }

    /// Sends pickers to other products, from their next act on.
    pub fn walk(&self, walk: Walk) {
        *self.walk.lock().unwrap_or_else(PoisonError::into_inner) = walk;
    }
}

#[async_trait]
impl Traffic for Rehearsal {
    async fn act(&self, arrival: &Arrival) -> Outcome {
        let flow = async {
            match arrival.class {
                Class::Scan => self.scan(arrival).await,
                Class::Order => self.order(arrival).await,
                Class::OrderApi => self.order_api(arrival).await,
                Class::Edi => self.edi(arrival).await,
                Class::Report => self.report(arrival).await,
                Class::Browse => self.browse(arrival).await,
            }
        };
        let done = REQUEST_ID.scope(cost::request_id(arrival.class, arrival.number), flow).await;
        match done {
            Ok(retries) => Outcome::Done { retries },
            Err(stopped) => stopped.outcome(),
        }
    }
}

/// A record by what a reference to it says: its id, as Odoo reads references.
fn reference(record: &serde_json::Value, field: &str) -> Option<i64> {
    record[field][0].as_i64()
}

/// Finds one record.
async fn one(odoo: &dyn Odoo, model: &'static str, domain: serde_json::Value) -> Result<Option<i64>, CallError> {
    let found = odoo.find(model, domain, &["id"], Some(1)).await?;
    found.first().map(crate::odoo::call::id).transpose()
}

/// An order's values, as every way of ordering sends them.
fn order_values(world: &World, order: &crate::distributor::plan::Order, key: &str) -> serde_json::Value {
    let lines: Vec<_> = order
        .lines
        .iter()
        .map(|line| {
            let price = f64::from(world.plan.products[line.product as usize].price) / 100.0;
            let product = world.product(line.product);
            json!([0, 0, { "product_id": product, "product_uom_qty": line.quantity, "price_unit": price }])
        })
        .collect();
    json!({
        "partner_id": world.customer(order.customer), "client_order_ref": key,
        "warehouse_id": world.warehouse(order.warehouse).id, "order_line": lines,
    })
}

/// What the ledger keeps of an order.
fn order_detail(order: &crate::distributor::plan::Order) -> serde_json::Value {
    let pieces: u32 = order.lines.iter().map(|line| line.quantity).sum();
    json!({ "lines": order.lines.len(), "quantity": pieces })
}
