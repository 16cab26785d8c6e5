//! Odoo as people and programs use it: through the entrance, over HTTPS, with the estate's authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::cookie::CookieStore as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use springtide_core::workload::SecretName;

use super::{HTTPS, Rig, until};

/// Name of the product in every sale order, printed on its delivery slip.
pub const PRODUCT: &str = "Springtide Widget";

/// One environment, from outside. Keeps cookies, so signing in lasts.
#[derive(Clone)]
pub struct Odoo {
    pub name: String,
    pub url: String,
    pub client: reqwest::Client,
    jar: Arc<reqwest::cookie::Jar>,
    password: String,
}

/// An order that was sold.
pub struct Sold {
    pub order: Value,
    pub picking: i64,
}

impl Odoo {
    pub fn new(rig: &Rig, name: &str) -> Self {
        let host = format!("{name}.localhost");
        let authority = rig.secret(None, SecretName::AuthorityCertificate);
        let root = reqwest::Certificate::from_pem(authority.expose_secret().as_bytes()).expect("it is a certificate");
        let jar = Arc::new(reqwest::cookie::Jar::default());
        let client = reqwest::Client::builder()
            // A WebSocket begins as HTTP/1.1.
            .http1_only()
            .no_proxy()
            .tls_certs_only([root])
            .resolve(&host, SocketAddr::from(([127, 0, 0, 1], HTTPS)))
            .cookie_provider(jar.clone())
            .timeout(Duration::from_secs(60))
            .build()
            .expect("the client can be made");
        let url = format!("https://{host}:{HTTPS}");
        Self { name: name.to_owned(), url, client, jar, password: rig.password(name) }
    }

    /// The first password of `admin`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Value of a cookie that it was given.
    pub fn cookie(&self, name: &str) -> String {
        let all = self.jar.cookies(&self.url.parse().expect("an address")).expect("there are cookies");
        let all = all.to_str().expect("text").to_owned();
        let value = all.split("; ").find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{}: no cookie {name}", self.name)).to_owned()
    }

    /// Status and body, or nothing if there was no answer at all.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.unwrap_or_default()))
    }

    pub async fn status(&self, path: &str) -> Option<u16> {
        Some(self.get(path).await?.0)
    }

    /// Signs in as people do: the form with its token, then a page of the back office.
    pub async fn sign_in(&self) {
        let (status, form) = self.get("/web/login").await.expect("the login page answers");
        assert_eq!(status, 200, "{}: {form}", self.name);
        let token = form.split("name=\"csrf_token\"").nth(1).and_then(|rest| rest.split("value=\"").nth(1));
        let token = token.and_then(|rest| rest.split('"').next()).expect("the form has a token");
        let plain = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let body = format!("csrf_token={}&login=admin&password={}", plain(token), plain(&self.password));
        let posted = self
            .client
            .post(format!("{}/web/login", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .expect("the login is answered");
        assert!(posted.status().is_success(), "{}: login answers {}", self.name, posted.status());
        let session = self.post("/web/session/get_session_info", json!({})).await;
        assert_eq!(session["uid"], 2, "{}: {session}", self.name);
        assert_eq!(session["db"], self.name.as_str());
    }

    /// One call of Odoo's JSON protocol; the result.
    pub async fn post(&self, path: &str, params: Value) -> Value {
        self.try_post(path, params).await.unwrap_or_else(|error| panic!("{}{path}: {error}", self.name))
    }

    pub async fn try_post(&self, path: &str, params: Value) -> Result<Value, String> {
        let body = json!({ "jsonrpc": "2.0", "method": "call", "id": 1, "params": params });
        let answer = self.client.post(format!("{}{path}", self.url)).json(&body).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|_| format!("{status}: {text}"))?;
        match value.get("error") {
            Some(error) => Err(format!("{}\n{}", error["data"]["message"], error["data"]["debug"])),
            None => Ok(value["result"].clone()),
        }
    }

    /// A method of a model, by XML-RPC's JSON twin, as other programs call it.
    pub async fn call(&self, model: &str, method: &str, args: Value) -> Value {
        self.try_call(model, method, args)
            .await
            .unwrap_or_else(|error| panic!("{}: {model}.{method}: {error}", self.name))
    }

    pub async fn try_call(&self, model: &str, method: &str, args: Value) -> Result<Value, String> {
        let args = json!([self.name, 2, self.password, model, method, args]);
        self.try_post("/jsonrpc", json!({ "service": "object", "method": "execute_kw", "args": args })).await
    }

    /// Creates a record; its id.
    pub async fn create(&self, model: &str, values: Value) -> i64 {
        let made = self.call(model, "create", json!([values])).await;
        made.as_i64().or_else(|| made[0].as_i64()).unwrap_or_else(|| panic!("{model}: {made}"))
    }

    /// Runs Python inside Odoo, as a server action that an administrator writes.
    pub async fn act(&self, code: &str) {
        let values =
            json!({ "name": "end to end", "model_id": self.model("res.partner").await, "state": "code", "code": code });
        let action = self.create("ir.actions.server", values).await;
        self.call("ir.actions.server", "run", json!([[action]])).await;
    }

    pub async fn model(&self, name: &str) -> i64 {
        let found = self.call("ir.model", "search", json!([[["model", "=", name]]])).await;
        found[0].as_i64().expect("the model is there")
    }

    /// Creates and confirms a sale order; its delivery exists.
    pub async fn sell(&self) -> Sold {
        let args =
            json!({ "service": "common", "method": "authenticate", "args": [self.name, "admin", self.password, {}] });
        assert_eq!(self.post("/jsonrpc", args).await, json!(2), "{}: login", self.name);
        let partner = self.create("res.partner", json!({ "name": "Customer" })).await;
        // Series differ in how they say that a product is kept in stock.
        let fields = self.call("product.product", "fields_get", json!([["is_storable", "type"]])).await;
        let product = match fields.get("is_storable") {
            Some(_) => json!({ "name": PRODUCT, "type": "consu", "is_storable": true }),
            None => json!({ "name": PRODUCT, "type": "product" }),
        };
        let product = self.create("product.product", product).await;
        let line = json!([0, 0, { "product_id": product, "product_uom_qty": 2, "price_unit": 5 }]);
        let order = json!(self.create("sale.order", json!({ "partner_id": partner, "order_line": [line] })).await);
        self.call("sale.order", "action_confirm", json!([[order]])).await;
        let seen = self.call("sale.order", "read", json!([[order], ["state", "picking_ids"]])).await;
        assert_eq!(seen[0]["state"], "sale", "{}: {seen}", self.name);
        let pickings = seen[0]["picking_ids"].as_array().expect("a list");
        assert_eq!(pickings.len(), 1, "{}: {seen}", self.name);
        Sold { order, picking: pickings[0].as_i64().expect("an id") }
    }

    /// Delays a job; it writes `mark` to a partner. Returns the name of the job.
    pub async fn delay(&self, mark: &str) -> String {
        let partner = self.create("res.partner", json!({ "name": format!("for {mark}") })).await;
        let name = format!("job {mark}");
        self.act(&format!(
            "env['res.partner'].browse({partner}).with_delay(description='{name}').write({{'ref': '{mark}'}})"
        ))
        .await;
        name
    }

    /// Seconds until the login page is there.
    pub async fn serving(&self, seconds: u64) -> Duration {
        until(&format!("{} serves /web/login", self.name), seconds, async || {
            self.status("/web/login").await == Some(200)
        })
        .await
    }
}
