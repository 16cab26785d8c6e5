//! A distributor's data: planned from a seed, loaded through Odoo's own RPC.
//!
//! - [`scale`]: how much of everything a size has.
//! - [`demand`]: who wants how much of what, and when: Zipf over products, a week, a year, promotions.
//! - [`plan`]: everything there is, as plain values. Pure: same scale, seed and date, same plan.
//! - [`codes`]: the codes by which everything is found again in Odoo.
//! - [`load`]: brings a plan into Odoo. Looks first and makes what is missing, so that running it again
//!   only looks.
//!
//! The rule: Odoo's rows are made by Odoo, through `create` and the buttons people press, never by SQL. So
//! the loader brings the newest orders of the history only; the plan holds all two years of it, for
//! forecasts and profiles.

pub mod codes;
pub mod demand;
pub mod load;
pub mod plan;
pub mod scale;

pub use load::{LoadError, Loaded, Progress, load, load_plan, load_scale, loaded_plan};
pub use plan::Plan;
pub use scale::{Scale, Size};
