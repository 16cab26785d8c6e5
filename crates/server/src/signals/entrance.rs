//! Services of the entrance: which servers it sends people to, and which of them it found up.

use springtide_core::names::EnvironmentName;

use crate::Estate;

/// One service of an environment, such as `prod-web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Servers that answer their health check, or that nobody checks.
    pub up: u32,
    /// Servers that do not.
    pub down: u32,
}

pub(super) async fn services(estate: &Estate, environment: &EnvironmentName) -> Result<Vec<Service>, String> {
    let all = estate.proxy.services().await.map_err(|error| error.to_string())?;
    let prefix = format!("{environment}-");
    let mut services = Vec::new();
    for service in all {
        let Some(name) = service["name"].as_str().and_then(|name| name.strip_suffix("@file")) else { continue };
        let Some("web" | "live" | "jobs") = name.strip_prefix(&prefix) else { continue };
        let servers: Vec<&serde_json::Value> =
            service["serverStatus"].as_object().into_iter().flatten().map(|(_, it)| it).collect();
        let up = servers.iter().filter(|it| it.as_str() == Some("UP")).count() as u32;
        services.push(Service { name: name.to_owned(), up, down: servers.len() as u32 - up });
    }
    Ok(services)
}
