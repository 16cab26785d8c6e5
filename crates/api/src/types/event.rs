//! What happened, in order.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number; later events have higher ones.
    pub id: u64,
    /// When, seconds since 1970.
    pub at: i64,
    /// What kind: `pass`, `declared`, `operation-began`, `step-began`, `note`, `step-ended`,
    /// `operation-ended`, `drift`, `held` or `released`. Others may come with later versions.
    pub kind: String,
    /// Its environment, if it has one.
    pub environment: Option<String>,
    /// Its operation, if it has one.
    pub operation: Option<u64>,
    /// More, by kind.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// A page of events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventView>,
    /// Ask with this `cursor` for what comes after; none if nothing was there.
    pub next: Option<String>,
}
