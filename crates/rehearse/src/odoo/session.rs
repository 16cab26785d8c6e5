//! A person's web session: signs in once, then sends what the web client sends.

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::rpc::{post, wrong_login};
use super::{Call, CallError, Odoo, Wire};

/// A signed-in person. The session is a cookie of the wire.
#[derive(Debug, Clone)]
pub struct Session {
    wire: Wire,
    user: i64,
}

impl Session {
    /// Signs in. Wrong words are [`CallError::Refused`].
    pub async fn sign_in(wire: Wire, database: &str, login: &str, password: &SecretString) -> Result<Self, CallError> {
        let words = json!({ "db": database, "login": login, "password": password.expose_secret() });
        let answer = post(&wire, "/web/session/authenticate", words).await?;
        match answer["uid"].as_i64() {
            Some(user) => Ok(Self { wire, user }),
            None => Err(wrong_login(login)),
        }
    }

    /// Id of the user.
    pub fn user(&self) -> i64 {
        self.user
    }

    /// Gets a page as a browser would; redirects, such as to the login page, are refusals.
    pub async fn page(&self, path: &str) -> Result<Vec<u8>, CallError> {
        self.wire.get(path).await?.page()
    }
}

#[async_trait]
impl Odoo for Session {
    async fn call(&self, call: Call) -> Result<Value, CallError> {
        let (args, kwargs) = call.places();
        let path = format!("/web/dataset/call_kw/{}/{}", call.model, call.method);
        let params = json!({ "model": call.model, "method": call.method, "args": args, "kwargs": kwargs });
        post(&self.wire, &path, params).await
    }
}
