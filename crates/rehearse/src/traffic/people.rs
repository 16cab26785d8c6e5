//! Users of the rig's own, one per class, with a password that is made anew each time and exists in memory
//! only. Each has as many virtual users as come at once in that part of a business, each with a client of its own.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{OpenError, edi, one};
use crate::class::Class;
use crate::odoo::{Call, CallError, Dialect, Json2, Odoo, Rpc, Session, Target, Wire};

/// What users of the rig may do: sell and handle stock, not administer.
const GROUPS: [(&str, &str); 3] =
    [("base", "group_user"), ("sales_team", "group_sale_salesman_all_leads"), ("stock", "group_stock_user")];

/// Everybody, signed in.
pub(super) struct People {
    pub(super) scanners: Vec<Session>,
    pub(super) sellers: Vec<Session>,
    pub(super) marketplaces: Vec<Box<dyn Odoo>>,
    pub(super) partners: Vec<Session>,
    pub(super) readers: Vec<Session>,
    pub(super) visitors: Vec<Session>,
    /// The action that takes batches in.
    pub(super) import: i64,
}

impl People {
    pub(super) async fn sign_in(target: &Target, admin: &Rpc, dialect: &Dialect) -> Result<Self, OpenError> {
        let groups = groups(admin).await.map_err(OpenError::at("looking up rights"))?;
        let import = edi::action(admin).await.map_err(OpenError::at("writing the action that takes batches in"))?;
        let enter = async |class: Class, count: usize| -> Result<(Vec<Session>, SecretString), OpenError> {
            let login = format!("springtide-rehearse-{class}");
            let password = password()?;
            let user = user(admin, dialect, &login, &password, &groups).await;
            user.map_err(OpenError::at("making the rig's users"))?;
            let mut all = Vec::with_capacity(count);
            for _ in 0..count {
                let session = Session::sign_in(Wire::new(target)?, &target.database, &login, &password).await;
                all.push(session.map_err(OpenError::at("signing in the rig's users"))?);
            }
            Ok((all, password))
        };
        let (scanners, _) = enter(Class::Scan, 4).await?;
        let (sellers, _) = enter(Class::Order, 3).await?;
        let (market, password) = enter(Class::OrderApi, 1).await?;
        let mut marketplaces: Vec<Box<dyn Odoo>> = Vec::new();
        for _ in 0..2 {
            let wire = Wire::new(target)?;
            let way: Result<Box<dyn Odoo>, CallError> = match (dialect.json2, market.first()) {
                (true, Some(session)) => {
                    Json2::with_new_key(wire, session, &password).await.map(|way| Box::new(way) as Box<dyn Odoo>)
                }
                _ => {
                    let login = format!("springtide-rehearse-{}", Class::OrderApi);
                    let rpc = Rpc::sign_in(wire, &target.database, &login, password.clone()).await;
                    rpc.map(|way| Box::new(way) as Box<dyn Odoo>)
                }
            };
            marketplaces.push(way.map_err(OpenError::at("letting the marketplace in"))?);
        }
        let (partners, _) = enter(Class::Edi, 1).await?;
        let (readers, _) = enter(Class::Report, 1).await?;
        let (visitors, _) = enter(Class::Browse, 3).await?;
        Ok(Self { scanners, sellers, marketplaces, partners, readers, visitors, import })
    }
}

/// Whose turn it is.
pub(super) fn turn<T>(all: &[T], number: u64) -> &T {
    // Every list is made with at least one.
    &all[usize::try_from(number).unwrap_or_default() % all.len()]
}

fn password() -> Result<SecretString, OpenError> {
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::Chance)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

async fn groups(admin: &Rpc) -> Result<Vec<i64>, CallError> {
    let mut ids = Vec::new();
    for (module, name) in GROUPS {
        let domain = json!([["module", "=", module], ["name", "=", name], ["model", "=", "res.groups"]]);
        let found = admin.find("ir.model.data", domain, &["res_id"], Some(1)).await?;
        let Some(id) = found.first().and_then(|record| record["res_id"].as_i64()) else {
            let message = format!("there is no group {module}.{name}: is its module installed?");
            return Err(CallError::Refused { status: None, name: "missing".to_owned(), message });
        };
        ids.push(id);
    }
    Ok(ids)
}

/// Makes the user, or gives him the new password.
async fn user(
    admin: &Rpc,
    dialect: &Dialect,
    login: &str,
    password: &SecretString,
    groups: &[i64],
) -> Result<(), CallError> {
    let values = json!({
        "name": login, "login": login, "password": password.expose_secret(), dialect.groups: [[6, 0, groups]],
    });
    match one(admin, "res.users", json!([["login", "=", login]])).await? {
        Some(id) => admin.call(Call::write("res.users", &[id], values)).await.map(|_| ()),
        None => {
            let call = Call::create("res.users", vec![values]);
            // Nobody is invited by mail.
            admin.call(call.context("no_reset_password", json!(true))).await.map(|_| ())
        }
    }
}
