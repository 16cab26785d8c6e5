//! The rig: believable load on a real Odoo, a ledger that judges from outside, faults on demand.
//!
//! A [`profile`] says how often which [`class`] of people and programs comes. The [`schedule`] makes
//! arrival times of it, from a seed. The [`generator`] starts each act when it is due, whatever
//! happened to the earlier ones, and [`measure`] keeps what came of it. [`traffic`] is what an act does
//! with Odoo, over [`odoo`]'s protocols, with data that the [`distributor`] loaded. Acts of business are
//! written to the [`ledger`] before they count, and compared with the [`facts`] in Odoo's database.
//! [`sinks`] stand for the partners outside, [`faults`] break things and mend them again, [`selftest`]
//! tries the rig on itself and [`calibrate`] measures the plant's parameters.
//!
//! Rule: nothing here believes the system under test. What counts was acknowledged to a client, is on
//! disk, and is looked up afterwards.

pub mod calibrate;
pub mod class;
pub mod distributor;
pub mod facts;
pub mod faults;
pub mod generator;
pub mod ledger;
pub mod measure;
pub mod odoo;
pub mod profile;
pub mod schedule;
pub mod selftest;
pub mod sinks;
pub mod traffic;
