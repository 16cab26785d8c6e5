//! Brings a plan into Odoo.
//!
//! Each stage asks Odoo for the codes it has and makes what is missing, in batches, through `create` and the
//! buttons people press. A parameter in Odoo says which plan is there: another one beside it is refused,
//! because codes would mean different things. When everything is there, running again is one look.
//!
//! - [`find`]: records by code, and making the missing ones.
//! - [`master`]: places, partners, products.
//! - [`stock`]: what lies where.
//! - [`trade`]: purchases and orders.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Plan, Scale, Size, codes};
use crate::odoo::{Call, CallError, Dialect, Odoo, Rpc, Target, Wire};

pub(crate) mod find;
mod master;
mod stock;
mod trade;

/// Seconds to wait before each further look: a request that lost its client may still be running.
const PAUSES: [u64; 4] = [5, 15, 30, 60];

/// Told while it loads: what is being made, how much of it is there, and how much there will be.
pub trait Progress: Send + Sync {
    /// `done` of `of` records of `what` are there.
    fn at(&self, what: &str, done: usize, of: usize);
}

impl<F: Fn(&str, usize, usize) + Send + Sync> Progress for F {
    fn at(&self, what: &str, done: usize, of: usize) {
        self(what, done, of);
    }
}

/// What loading did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// Records made, by what they are; nothing if all was there.
    pub made: BTreeMap<String, usize>,
    /// What the plan has and this Odoo cannot hold, in words.
    pub left_out: Vec<String>,
}

/// Why loading ended.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Odoo did not answer or said no.
    #[error("{what} could not be loaded; what was made before stays, and running it again goes on from there")]
    Odoo {
        /// Which part.
        what: String,
        /// What Odoo said.
        #[source]
        cause: CallError,
    },
    /// No client could be made.
    #[error(transparent)]
    Wire(#[from] crate::odoo::wire::WireError),
    /// Another distributor is there.
    #[error(
        "this environment holds the distributor of seed {seed} with {products} products; use that one, or load into a fresh environment"
    )]
    Other {
        /// Its seed.
        seed: u64,
        /// Its products.
        products: u32,
    },
    /// The parameter that says what is there cannot be read.
    #[error("the parameter `{}` in Odoo is not what this program writes; nothing was loaded", codes::PARAMETER)]
    Parameter,
}

impl LoadError {
    /// The problem's code, such as `E0966`.
    pub fn code(&self) -> &'static str {
        match self {
            LoadError::Odoo { .. } | LoadError::Wire(_) => "E0965",
            LoadError::Other { .. } | LoadError::Parameter => "E0966",
        }
    }
}

/// What the parameter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    scale: Scale,
    seed: u64,
    until: Date,
    /// Whether everything was loaded.
    whole: bool,
}

/// The plan that an environment holds; none if it holds none, or only a part of one.
pub async fn loaded_plan(odoo: &dyn Odoo) -> Result<Option<Plan>, LoadError> {
    let mark = read_mark(odoo).await?;
    Ok(mark.and_then(|(_, mark)| mark.whole.then(|| Plan::new(mark.scale, mark.seed, mark.until))))
}

/// Loads the distributor of a size and a seed; its history ends today, or where it ended when it was first
/// loaded.
pub async fn load(target: &Target, size: Size, seed: u64, progress: &dyn Progress) -> Result<Loaded, LoadError> {
    load_scale(target, Scale::of(size), seed, progress).await
}

/// As [`load`], of any scale.
pub async fn load_scale(
    target: &Target,
    scale: Scale,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Loaded, LoadError> {
    let signed = Rpc::sign_in(Wire::new(target)?, &target.database, &target.admin, target.password.clone()).await;
    let odoo = signed.map_err(|cause| LoadError::Odoo { what: "signing in".to_owned(), cause })?;
    let today = jiff::Zoned::now().date();
    let until = read_mark(&odoo).await?.map_or(today, |(_, mark)| mark.until);
    load_plan(&odoo, &Plan::new(scale, seed, until), progress).await
}

/// Loads a plan. While Odoo does not answer it waits and looks again, a few times.
pub async fn load_plan(odoo: &dyn Odoo, plan: &Plan, progress: &dyn Progress) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    let mut pauses = PAUSES.iter();
    loop {
        let error = match pass(odoo, plan, progress, &mut loaded).await {
            Ok(()) => return Ok(loaded),
            Err(error) => error,
        };
        let away = matches!(&error, LoadError::Odoo { cause, .. } if !matches!(cause, CallError::Refused { .. }));
        match pauses.next() {
            Some(pause) if away => tokio::time::sleep(Duration::from_secs(*pause)).await,
            _ => return Err(error),
        }
    }
}

/// Looks at everything once and makes what is missing.
async fn pass(odoo: &dyn Odoo, plan: &Plan, progress: &dyn Progress, loaded: &mut Loaded) -> Result<(), LoadError> {
    let wanted = Mark { scale: plan.scale, seed: plan.seed, until: plan.until, whole: true };
    let parameter = match read_mark(odoo).await? {
        Some((_, mark)) if mark == wanted => return Ok(()),
        Some((id, mark)) if (Mark { whole: true, ..mark }) == wanted => id,
        Some((_, mark)) => return Err(LoadError::Other { seed: mark.seed, products: mark.scale.products }),
        None => write_mark(odoo, None, Mark { whole: false, ..wanted }).await?,
    };
    let dialect = Dialect::ask(odoo).await.map_err(failed("what this Odoo can"))?;
    loaded.left_out.clear();
    let mut loader = Loader { odoo, plan, dialect, progress, loaded, ids: Ids::default() };
    loader.places().await?;
    loader.partners().await?;
    loader.products().await?;
    loader.stock().await?;
    loader.receipts().await?;
    loader.orders().await?;
    write_mark(odoo, Some(parameter), wanted).await?;
    Ok(())
}

/// Odoo's ids, by the numbers of the plan.
#[derive(Debug, Default)]
struct Ids {
    warehouses: Vec<i64>,
    /// By warehouse, then bin.
    bins: Vec<Vec<i64>>,
    customers: Vec<i64>,
    vendors: Vec<i64>,
    products: Vec<i64>,
}

/// A load under way.
struct Loader<'a> {
    odoo: &'a dyn Odoo,
    plan: &'a Plan,
    dialect: Dialect,
    progress: &'a dyn Progress,
    loaded: &'a mut Loaded,
    ids: Ids,
}

/// Says which part failed.
fn failed(what: &str) -> impl FnOnce(CallError) -> LoadError {
    let what = what.to_owned();
    move |cause| LoadError::Odoo { what, cause }
}

async fn read_mark(odoo: &dyn Odoo) -> Result<Option<(i64, Mark)>, LoadError> {
    let domain = json!([["key", "=", codes::PARAMETER]]);
    let found = odoo.find("ir.config_parameter", domain, &["value"], Some(1)).await;
    let found = found.map_err(failed("the parameter that says what is there"))?;
    let Some(record) = found.first() else { return Ok(None) };
    let text = record["value"].as_str().ok_or(LoadError::Parameter)?;
    let mark = serde_json::from_str(text).map_err(|_| LoadError::Parameter)?;
    Ok(Some((record["id"].as_i64().ok_or(LoadError::Parameter)?, mark)))
}

async fn write_mark(odoo: &dyn Odoo, id: Option<i64>, mark: Mark) -> Result<i64, LoadError> {
    let value = serde_json::to_string(&mark).map_err(|_| LoadError::Parameter)?;
    let failed = failed("the parameter that says what is there");
    match id {
        Some(id) => {
            let call = Call::write("ir.config_parameter", &[id], json!({ "value": value }));
            odoo.call(call).await.map(|_| id).map_err(failed)
        }
        None => {
            let values = json!({ "key": codes::PARAMETER, "value": value });
            let made = odoo.create("ir.config_parameter", vec![values]).await.map_err(failed)?;
            made.first().copied().ok_or(LoadError::Parameter)
        }
    }
}
