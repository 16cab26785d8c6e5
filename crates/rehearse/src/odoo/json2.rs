//! JSON-2, the protocol of newer series: one address per method, arguments by name, a key as bearer.

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::call::ids;
use super::rpc::judge;
use super::wire::short;
use super::{Call, CallError, Odoo, Session, Wire};

/// A program with a key.
#[derive(Debug, Clone)]
pub struct Json2 {
    wire: Wire,
    key: SecretString,
}

impl Json2 {
    /// Makes a key for the person of `session`, as people do: describe it, say the password again, take the
    /// key that is shown once. It ends by itself after a day.
    pub async fn with_new_key(wire: Wire, session: &Session, password: &SecretString) -> Result<Self, CallError> {
        const DESCRIPTION: &str = "res.users.apikeys.description";
        let words = json!({ "name": "springtide rehearse", "duration": "1" });
        let described = session.create(DESCRIPTION, vec![words]).await?;
        let mut shown = session.call(Call::on(DESCRIPTION, "make_key", &described)).await?;
        if shown["res_model"] == "res.users.identitycheck" {
            let check = ids(&shown["res_id"])?;
            let again = Call::on("res.users.identitycheck", "run_check", &check);
            shown = session.call(again.context("password", json!(password.expose_secret()))).await?;
        }
        let key = shown["context"]["default_key"].as_str().ok_or_else(|| CallError::unexpected("no key is shown"))?;
        Ok(Self { wire, key: key.to_owned().into() })
    }
}

#[async_trait]
impl Odoo for Json2 {
    async fn call(&self, call: Call) -> Result<Value, CallError> {
        let path = format!("/json/2/{}/{}", call.model, call.method);
        let body = Value::Object(call.names());
        let (status, answer) = self.wire.post(&path, &body, Some(self.key.expose_secret())).await?.json()?;
        match status {
            200 => Ok(answer),
            _ => Err(refused(status, &answer)),
        }
    }
}

/// Odoo tells the error as an object with the status; its transaction was rolled back.
fn refused(status: u16, answer: &Value) -> CallError {
    let name = answer["name"].as_str().unwrap_or("unnamed").to_owned();
    let message = short(answer["message"].as_str().unwrap_or_default());
    judge(status, name, message)
}
