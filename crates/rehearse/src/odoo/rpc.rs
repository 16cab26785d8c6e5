//! JSON-RPC, as programs have called Odoo for years: login and password in every call.

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::wire::short;
use super::{Call, CallError, Odoo, Wire};

/// A program that signed in.
#[derive(Debug, Clone)]
pub struct Rpc {
    wire: Wire,
    database: String,
    user: i64,
    password: SecretString,
}

impl Rpc {
    /// Signs in. Wrong words are [`CallError::Refused`] with the name `login`.
    pub async fn sign_in(wire: Wire, database: &str, login: &str, password: SecretString) -> Result<Self, CallError> {
        let args = json!([database, login, password.expose_secret(), {}]);
        let answer =
            post(&wire, "/jsonrpc", json!({ "service": "common", "method": "authenticate", "args": args })).await?;
        match answer.as_i64() {
            Some(user) => Ok(Self { wire, database: database.to_owned(), user, password }),
            None => Err(wrong_login(login)),
        }
    }

    /// Id of the user.
    pub fn user(&self) -> i64 {
        self.user
    }
}

#[async_trait]
impl Odoo for Rpc {
    async fn call(&self, call: Call) -> Result<Value, CallError> {
        let (places, names) = call.places();
        let args =
            json!([self.database, self.user, self.password.expose_secret(), call.model, call.method, places, names]);
        post(&self.wire, "/jsonrpc", json!({ "service": "object", "method": "execute_kw", "args": args })).await
    }
}

pub(crate) fn wrong_login(login: &str) -> CallError {
    let message = format!("login `{login}` or its password is wrong");
    CallError::Refused { status: Some(200), name: "login".to_owned(), message }
}

/// One call of the protocol that JSON-RPC and web sessions share; the result.
pub(crate) async fn post(wire: &Wire, path: &str, params: Value) -> Result<Value, CallError> {
    let body = json!({ "jsonrpc": "2.0", "method": "call", "id": 1, "params": params });
    let (status, answer) = wire.post(path, &body, None).await?.json()?;
    if let Some(error) = answer.get("error") {
        return Err(refused(status, error));
    }
    match answer {
        // A method that returns nothing answers null, and some answers leave it out.
        Value::Object(mut fields) if fields.contains_key("id") || fields.contains_key("jsonrpc") => {
            Ok(fields.remove("result").unwrap_or(Value::Null))
        }
        _ => Err(CallError::unexpected("no JSON-RPC")),
    }
}

/// What the `error` of an answer means.
fn refused(status: u16, error: &Value) -> CallError {
    let data = &error["data"];
    let name = data["name"].as_str().or(error["message"].as_str()).unwrap_or("unnamed").to_owned();
    let message = data["message"].as_str().or(error["message"].as_str()).unwrap_or_default();
    judge(status, name, short(message))
}

/// A database that went away may have done so while it committed; every other error was rolled back.
pub(crate) fn judge(status: u16, name: String, message: String) -> CallError {
    match name.as_str() {
        "psycopg2.OperationalError" | "psycopg2.InterfaceError" | "psycopg2.errors.AdminShutdown" => {
            CallError::Unknown { status: Some(status), reason: format!("{name}: {message}") }
        }
        _ => CallError::Refused { status: Some(status), name, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odoos_own_name_of_an_error_is_kept_and_only_the_first_line_of_its_text() {
        let error = json!({ "message": "Odoo Server Error", "data": {
            "name": "odoo.exceptions.UserError", "message": "No.\nTraceback", "debug": "secret" } });
        let CallError::Refused { name, message, .. } = refused(200, &error) else { panic!("it is a refusal") };
        assert_eq!((name.as_str(), message.as_str()), ("odoo.exceptions.UserError", "No."));
    }

    #[test]
    fn a_database_that_went_away_leaves_it_open_and_a_conflict_does_not() {
        let error = |name: &str| refused(200, &json!({ "data": { "name": name, "message": "" } }));
        assert!(error("psycopg2.OperationalError").may_have_happened());
        assert!(!error("psycopg2.errors.SerializationFailure").may_have_happened());
    }
}
