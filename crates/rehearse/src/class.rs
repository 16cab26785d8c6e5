//! The six classes of traffic: who comes, and what for.
//!
//! Rule: a class's name is the same in profiles, ledgers, reports and JSON: lower case with hyphens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One kind of people or programs that use Odoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A picker with a barcode scanner: steps of transfers on few hot products.
    Scan,
    /// A seller in the web client: makes and confirms an order.
    Order,
    /// A marketplace that sends orders with idempotency keys.
    OrderApi,
    /// A partner whose batches become records through the job queue.
    Edi,
    /// Somebody who opens a heavy report.
    Report,
    /// Somebody who looks around.
    Browse,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Class; 6] = [Class::Scan, Class::Order, Class::OrderApi, Class::Edi, Class::Report, Class::Browse];

    /// The name in profiles, reports and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Scan => "scan",
            Class::Order => "order",
            Class::OrderApi => "order-api",
            Class::Edi => "edi",
            Class::Report => "report",
            Class::Browse => "browse",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no class {0:?}; there are scan, order, order-api, edi, report and browse")]
pub struct ClassError(String);

impl FromStr for Class {
    type Err = ClassError;
    fn from_str(text: &str) -> Result<Self, ClassError> {
        let found = Class::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| ClassError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_is_the_name_in_json() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse::<Class>(), Ok(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
        assert!("Scan".parse::<Class>().is_err());
        assert!(serde_json::from_value::<Class>("order_api".into()).is_err());
    }
}
