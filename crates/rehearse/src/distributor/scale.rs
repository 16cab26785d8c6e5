//! How much of everything a distributor has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// 1,000 products: loads in minutes.
    S,
    /// 20,000 products.
    M,
    /// 100,000 products: loads in hours.
    L,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Size::S => "s",
            Size::M => "m",
            Size::L => "l",
        })
    }
}

/// The text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no size {0:?}; there are s, m and l")]
pub struct SizeError(String);

impl FromStr for Size {
    type Err = SizeError;
    fn from_str(text: &str) -> Result<Self, SizeError> {
        match text {
            "s" => Ok(Size::S),
            "m" => Ok(Size::M),
            "l" => Ok(Size::L),
            other => Err(SizeError(other.chars().take(20).collect())),
        }
    }
}

/// Counts; a test takes smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Products, all kept in stock.
    pub products: u32,
    /// Customers.
    pub customers: u32,
    /// Vendors.
    pub vendors: u32,
    /// Warehouses; the first is the one Odoo has from the start.
    pub warehouses: u32,
    /// Bins of each warehouse.
    pub bins: u32,
    /// Confirmed orders that wait for delivery.
    pub open_orders: u32,
    /// Confirmed purchases that wait for goods.
    pub open_receipts: u32,
    /// Delivered orders of the newest past that are loaded.
    pub past_orders: u32,
    /// Mean orders per day of the history.
    pub orders_per_day: u32,
    /// Days of the history.
    pub days: u32,
}

impl Scale {
    /// The counts of a size.
    pub const fn of(size: Size) -> Self {
        match size {
            Size::S => Self {
                products: 1_000,
                customers: 200,
                vendors: 20,
                warehouses: 2,
                bins: 60,
                open_orders: 40,
                open_receipts: 15,
                past_orders: 30,
                orders_per_day: 40,
                days: 730,
            },
            Size::M => Self {
                products: 20_000,
                customers: 3_000,
                vendors: 150,
                warehouses: 4,
                bins: 400,
                open_orders: 400,
                open_receipts: 120,
                past_orders: 200,
                orders_per_day: 600,
                days: 730,
            },
            Size::L => Self {
                products: 100_000,
                customers: 15_000,
                vendors: 600,
                warehouses: 8,
                bins: 1_500,
                open_orders: 2_000,
                open_receipts: 600,
                past_orders: 500,
                orders_per_day: 4_000,
                days: 730,
            },
        }
    }
}
