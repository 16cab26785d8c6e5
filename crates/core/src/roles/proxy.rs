//! The estate's entrance: Traefik, and the notice server that speaks for an environment that
//! cannot.
//!
//! Traefik reads its routes from a watched folder and keeps them when Springtide is away. Its
//! administration API listens on loopback only and is how a route is confirmed.

use std::collections::BTreeMap;

use serde_json::json;

use super::{file, mount, volume_path};
use crate::check::Ingress;
use crate::layout::Slot;
use crate::role::Role;
use crate::workload::{
    CONFIG_PATH, Limits, PortName, Probe, Root, StopRule, StopSignal, Text, Volume, WorkloadId, WorkloadSpec,
};

/// Seconds a request may take end to end; above Odoo's own limit, as its documentation asks.
pub const PROXY_TIMEOUT_S: u32 = 720;

/// Traefik.
pub fn proxy(ingress: &Ingress) -> WorkloadSpec {
    let admin = Slot::ESTATE.port(Role::Proxy).expect("the proxy has an administration port");
    let transport =
        json!({ "respondingTimeouts": { "readTimeout": format!("{PROXY_TIMEOUT_S}s"), "idleTimeout": "180s" } });
    let conf = json!({
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
        "log": { "level": "INFO", "noColor": true },
        "api": { "insecure": true, "dashboard": false },
        "entryPoints": {
            "traefik": { "address": format!("127.0.0.1:{admin}") },
            "http": {
                "address": format!("{}:{}", ingress.bind, ingress.http),
                "http": { "redirections": { "entryPoint": {
                    "to": format!(":{}", ingress.https), "scheme": "https", "permanent": true,
                } } },
            },
            "https": {
                "address": format!("{}:{}", ingress.bind, ingress.https),
                "transport": transport,
                "http": { "tls": {} },
            },
        },
        "providers": { "file": { "directory": volume_path(Volume::Routes), "watch": true } },
        // A slow environment must not be held against a healthy one: Odoo's own limit decides.
        "serversTransport": { "forwardingTimeouts": { "responseHeaderTimeout": format!("{PROXY_TIMEOUT_S}s") } },
    });
    let conf = serde_json::to_string_pretty(&conf).expect("a JSON value always prints");
    WorkloadSpec {
        id: WorkloadId::estate(Role::Proxy),
        root: Root::Host,
        command: vec!["traefik".into(), format!("--configFile={CONFIG_PATH}/traefik.yml")],
        env: BTreeMap::new(),
        files: vec![file("traefik.yml", Text::plain(conf), false)],
        volumes: vec![mount(Volume::Routes, true)],
        ports: BTreeMap::from([
            (PortName::Http, ingress.http),
            (PortName::Https, ingress.https),
            (PortName::Admin, admin),
        ]),
        user: Slot::ESTATE.user(Role::Proxy),
        limits: Limits { cpu_milli: None, memory_bytes: Some(1 << 30) },
        ready: Probe::Tcp { port: PortName::Https },
        ready_within_s: 30,
        stop: StopRule { signal: StopSignal::Term, grace_s: 30 },
    }
}

/// The notice server.
pub fn notice() -> WorkloadSpec {
    let port = Slot::ESTATE.port(Role::Notice).expect("the notice server has a port");
    WorkloadSpec {
        id: WorkloadId::estate(Role::Notice),
        root: Root::Springtide,
        command: vec!["springtide".into(), "notice".into(), "--port".into(), port.to_string()],
        env: BTreeMap::new(),
        files: Vec::new(),
        volumes: Vec::new(),
        ports: BTreeMap::from([(PortName::Http, port)]),
        user: Slot::ESTATE.user(Role::Notice),
        limits: Limits { cpu_milli: None, memory_bytes: Some(128 << 20) },
        ready: Probe::Tcp { port: PortName::Http },
        ready_within_s: 15,
        stop: StopRule { signal: StopSignal::Term, grace_s: 5 },
    }
}
