//! A marketplace that sends orders by a program's interface, with a key of its own for each.
//!
//! It looks for its key, makes what is missing and confirms what is open, so a message may come any number of
//! times, one after the other. It does so on purpose with every tenth, and after every error that is not a
//! plain no. Odoo has no constraint on the key: two of one message at the same moment would make two orders,
//! so a message waits for its forerunner.

use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::act::Stopped;
use super::people::turn;
use super::{Rehearsal, order_detail, order_values};
use crate::distributor::demand::source;
use crate::generator::Arrival;
use crate::ledger::ActKind;
use crate::odoo::call::id;
use crate::odoo::{Call, CallError, Odoo};

const ORDER: &str = "sale.order";
/// Times that a message is sent again after errors.
const AGAIN: u32 = 3;
/// Share of messages that come twice although all went well.
const TWICE: f64 = 0.1;

impl Rehearsal {
    pub(super) async fn order_api(&self, arrival: &Arrival) -> Result<u32, Stopped> {
        let mut rng = source(arrival.seed, "order-api", 0);
        let order = self.world.plan.order(&mut rng, self.world.plan.until);
        let twice = rng.random_bool(TWICE);
        let key = self.book.key(arrival);
        let values = order_values(&self.world, &order, &key);
        let written = self.book.intend(arrival.class, ActKind::Order, key.clone(), order_detail(&order)).await?;
        let mut retries = 0;
        let result = loop {
            // Another connection each time, as after a network error.
            let market = turn(&self.people.marketplaces, arrival.number + u64::from(retries));
            let error = match deliver(market.as_ref(), &key, &values).await {
                Ok(()) => break Ok(()),
                Err(error) => error,
            };
            if retries == AGAIN || plain_no(&error) {
                break Err(error);
            }
            retries += 1;
            tokio::time::sleep(Duration::from_millis(500 << retries)).await;
        };
        // What an earlier try left open stays open, however plainly the last one was refused.
        let result = match result {
            Err(CallError::Refused { status, name, message }) if retries > 0 => {
                Err(CallError::Unknown { status, reason: format!("{name} after {retries} tries: {message}") })
            }
            other => other,
        };
        written.ended(result).await?;
        if twice {
            let market = turn(&self.people.marketplaces, arrival.number + 1);
            deliver(market.as_ref(), &key, &values).await?;
        }
        Ok(retries)
    }
}

/// Brings the order of `key` to its end, from wherever it is.
async fn deliver(market: &dyn Odoo, key: &str, values: &Value) -> Result<(), CallError> {
    let found = market.find(ORDER, json!([["client_order_ref", "=", key]]), &["state"], Some(1)).await?;
    let open = match found.first() {
        Some(order) if matches!(order["state"].as_str(), Some("draft" | "sent")) => vec![id(order)?],
        Some(_) => return Ok(()),
        None => market.create(ORDER, vec![values.clone()]).await?,
    };
    market.call(Call::on(ORDER, "action_confirm", &open)).await.map(|_| ())
}

/// Whether Odoo said no to the order itself; a conflict with another transaction is none.
fn plain_no(error: &CallError) -> bool {
    matches!(error, CallError::Refused { name, .. } if !name.starts_with("psycopg2."))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;

    /// An Odoo that loses the answer to the first `confirm`, after it was done.
    #[derive(Default)]
    struct Forgetful {
        orders: Mutex<Vec<&'static str>>,
    }

    #[async_trait]
    impl Odoo for Forgetful {
        async fn call(&self, call: Call) -> Result<Value, CallError> {
            let mut orders = self.orders.lock().unwrap();
            match call.method {
                "search_read" => Ok(match orders.first() {
                    Some(state) => json!([{ "id": 1, "state": state }]),
                    None => json!([]),
                }),
                "create" => {
                    orders.push("draft");
                    Ok(json!([orders.len()]))
                }
                _ => {
                    orders[0] = "sale";
                    Err(CallError::Unknown { status: Some(503), reason: "lost".into() })
                }
            }
        }
    }

    #[tokio::test]
    async fn a_message_that_comes_again_makes_no_second_order() {
        let odoo = Forgetful::default();
        assert!(deliver(&odoo, "k", &json!({})).await.is_err());
        assert_eq!(deliver(&odoo, "k", &json!({})).await, Ok(()));
        assert_eq!(*odoo.orders.lock().unwrap(), ["sale"]);
    }

    #[test]
    fn conflicts_are_tried_again_and_refusals_are_not() {
        let refused = |name: &str| CallError::Refused { status: Some(200), name: name.into(), message: String::new() };
        assert!(plain_no(&refused("odoo.exceptions.UserError")));
        assert!(!plain_no(&refused("psycopg2.errors.SerializationFailure")));
        assert!(!plain_no(&CallError::Unknown { status: None, reason: String::new() }));
    }
}
