//! A call of a model's method as a value, and the seam between traffic and the ways to send it.
//!
//! Arguments have both a place and a name, because the old protocol wants places and the new one names.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::CallError;

/// A call of a model's method.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub(crate) model: &'static str,
    pub(crate) method: &'static str,
    pub(crate) ids: Option<Vec<i64>>,
    pub(crate) arguments: Vec<(&'static str, Value)>,
    pub(crate) context: Map<String, Value>,
}

impl Call {
    /// A call on the model.
    pub fn model(model: &'static str, method: &'static str) -> Self {
        Self { model, method, ids: None, arguments: Vec::new(), context: Map::new() }
    }

    /// A call on records.
    pub fn on(model: &'static str, method: &'static str, ids: &[i64]) -> Self {
        Self { ids: Some(ids.to_vec()), ..Self::model(model, method) }
    }

    /// Creates one record per entry.
    pub fn create(model: &'static str, values: Vec<Value>) -> Self {
        Self::model(model, "create").with("vals_list", Value::Array(values))
    }

    /// Finds records and reads `fields` of them.
    pub fn search_read(model: &'static str, domain: Value, fields: &[&str], limit: Option<usize>) -> Self {
        let call = Self::model(model, "search_read").with("domain", domain).with("fields", json!(fields));
        // `offset` stands between them.
        call.with("offset", json!(0)).with("limit", limit.map_or(json!(false), |limit| json!(limit)))
    }

    /// Counts records.
    pub fn count(model: &'static str, domain: Value) -> Self {
        Self::model(model, "search_count").with("domain", domain)
    }

    /// Reads `fields` of records.
    pub fn read(model: &'static str, ids: &[i64], fields: &[&str]) -> Self {
        Self::on(model, "read", ids).with("fields", json!(fields))
    }

    /// Writes `values` into records.
    pub fn write(model: &'static str, ids: &[i64], values: Value) -> Self {
        Self::on(model, "write", ids).with("vals", values)
    }

    /// The next argument, in the order of the method's own.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.arguments.push((name, value));
        self
    }

    /// A key of the context.
    #[must_use]
    pub fn context(mut self, key: &str, value: Value) -> Self {
        self.context.insert(key.to_owned(), value);
        self
    }

    /// Arguments by place, records first, and the context by name: what `execute_kw` and `call_kw` take.
    pub(crate) fn places(&self) -> (Vec<Value>, Map<String, Value>) {
        let ids = self.ids.iter().map(|ids| json!(ids));
        let places = ids.chain(self.arguments.iter().map(|(_, value)| value.clone())).collect();
        let mut names = Map::new();
        if !self.context.is_empty() {
            names.insert("context".to_owned(), Value::Object(self.context.clone()));
        }
        (places, names)
    }

    /// Everything by name: what JSON-2 takes.
    pub(crate) fn names(&self) -> Map<String, Value> {
        let mut names: Map<String, Value> =
            self.arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if let Some(ids) = &self.ids {
            names.insert("ids".to_owned(), json!(ids));
        }
        if !self.context.is_empty() {
            names.insert("context".to_owned(), Value::Object(self.context.clone()));
        }
        names
    }
}

/// A way to call Odoo. Contract: `Ok` only with an answer of Odoo that was read whole.
#[async_trait]
pub trait Odoo: Send + Sync {
    /// Sends a call once.
    async fn call(&self, call: Call) -> Result<Value, CallError>;

    /// Creates records; their ids, in the order of `values`.
    async fn create(&self, model: &'static str, values: Vec<Value>) -> Result<Vec<i64>, CallError> {
        let count = values.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let made = ids(&self.call(Call::create(model, values)).await?)?;
        if made.len() == count { Ok(made) } else { Err(CallError::unexpected("another number of records")) }
    }

    /// Finds records and reads `fields` of them; all of them if there is no limit.
    async fn find(
        &self,
        model: &'static str,
        domain: Value,
        fields: &[&str],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, CallError> {
        match self.call(Call::search_read(model, domain, fields, limit)).await? {
            Value::Array(found) => Ok(found),
            _ => Err(CallError::unexpected("no list of records")),
        }
    }
}

/// A list of ids, or one.
pub(crate) fn ids(value: &Value) -> Result<Vec<i64>, CallError> {
    let wrong = || CallError::unexpected("no ids");
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_i64().ok_or_else(wrong)).collect(),
        one => Ok(vec![one.as_i64().ok_or_else(wrong)?]),
    }
}

/// The id of a record that was read.
pub(crate) fn id(record: &Value) -> Result<i64, CallError> {
    record["id"].as_i64().ok_or_else(|| CallError::unexpected("a record without id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_first_by_place_and_are_named_ids_by_name() {
        let call = Call::write("res.partner", &[7], json!({ "ref": "a" })).context("lang", json!("en_US"));
        let (places, names) = call.places();
        assert_eq!(places, [json!([7]), json!({ "ref": "a" })]);
        assert_eq!(Value::Object(names), json!({ "context": { "lang": "en_US" } }));
        let by_name = json!({ "ids": [7], "vals": { "ref": "a" }, "context": { "lang": "en_US" } });
        assert_eq!(Value::Object(call.names()), by_name);
    }

    #[test]
    fn a_call_on_the_model_has_no_ids() {
        let call = Call::create("res.partner", vec![json!({ "name": "a" })]);
        assert_eq!(call.places().0, [json!([{ "name": "a" }])]);
        assert_eq!(Value::Object(call.names()), json!({ "vals_list": [{ "name": "a" }] }));
    }
}
