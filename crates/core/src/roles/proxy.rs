//! The estate's entrance: Traefik, and the notice server that speaks for an environment that
//! cannot.
//!
//! Traefik reads its routes from a watched folder and keeps them when Springtide is away. Its
//! administration API listens on loopback only and is how a route is confirmed.
//!
//! Neither has a limit of cores: they are everybody's way in, and a slow entrance is slow for all.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::{Inputs, WorkloadInputs, file, mount, port, volume_path};
use crate::check::Ingress;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::role::Role;
use crate::workload::{
    CONFIG_PATH, Limits, PortName, Probe, Root, StopRule, StopSignal, Text, Volume, WorkloadId, WorkloadSpec,
};

/// Seconds a request may take end to end; above Odoo's own limit, as its documentation asks.
pub const PROXY_TIMEOUT_S: u32 = 720;

/// Traefik.
pub fn proxy(ingress: &Ingress) -> WorkloadSpec {
    ProxyInputs(ingress).workload()
}

/// The digest that [`proxy`] would have, without its text.
pub fn proxy_digest(ingress: &Ingress) -> Digest {
    ProxyInputs(ingress).digest()
}

/// The notice server.
pub fn notice() -> WorkloadSpec {
    NoticeInputs.workload()
}

/// The digest that [`notice`] would have, without its text.
pub fn notice_digest() -> Digest {
    NoticeInputs.digest()
}

/// All that the proxy depends on.
#[derive(Serialize)]
struct ProxyInputs<'a>(&'a Ingress);

/// The notice server depends on nothing.
#[derive(Serialize)]
struct NoticeInputs;

impl Inputs for ProxyInputs<'_> {}
impl Inputs for NoticeInputs {}

impl WorkloadInputs for ProxyInputs<'_> {
    fn render(&self) -> WorkloadSpec {
        render_proxy(self.0)
    }
}

impl WorkloadInputs for NoticeInputs {
    fn render(&self) -> WorkloadSpec {
        render_notice()
    }
}

fn render_proxy(ingress: &Ingress) -> WorkloadSpec {
    let admin = port(Slot::ESTATE, Role::Proxy);
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
        "providers": {
            "file": { "directory": volume_path(Volume::Routes), "watch": true },
            // A route is several files; with the default of two seconds every new one waits that long.
            "providersThrottleDuration": "200ms",
        },
        // A slow environment must not be held against a healthy one: Odoo's own limit decides.
        "serversTransport": { "forwardingTimeouts": { "responseHeaderTimeout": format!("{PROXY_TIMEOUT_S}s") } },
    });
    let conf = serde_json::to_string_pretty(&conf).expect("a JSON value always prints");
    WorkloadSpec {
        id: WorkloadId::estate(Role::Proxy),
        made_from: None,
        root: Root::Host,
        command: vec!["traefik".into(), format!("--configFile={CONFIG_PATH}/traefik.yml")],
        env: BTreeMap::new(),
        files: vec![file("traefik.yml", Text::plain(conf), false)],
        volumes: vec![mount(Volume::Routes, true)],
        bundles: Vec::new(),
        folders: Vec::new(),
        ports: BTreeMap::from([
            (PortName::Http, ingress.http),
            (PortName::Https, ingress.https),
            (PortName::Admin, admin),
        ]),
        user: Slot::ESTATE.user(Role::Proxy),
        needs: Vec::new(),
        limits: Limits { cpu_milli: None, memory_bytes: Some(1 << 30) },
        ready: Probe::Tcp { port: PortName::Https },
        ready_within_s: 30,
        stop: StopRule { signal: StopSignal::Term, grace_s: 30 },
    }
}

fn render_notice() -> WorkloadSpec {
    let port = port(Slot::ESTATE, Role::Notice);
    WorkloadSpec {
        id: WorkloadId::estate(Role::Notice),
        made_from: None,
        root: Root::Springtide,
        command: vec!["springtide".into(), "notice".into(), "--port".into(), port.to_string()],
        env: BTreeMap::new(),
        files: Vec::new(),
        volumes: Vec::new(),
        bundles: Vec::new(),
        folders: Vec::new(),
        ports: BTreeMap::from([(PortName::Http, port)]),
        user: Slot::ESTATE.user(Role::Notice),
        needs: Vec::new(),
        limits: Limits { cpu_milli: None, memory_bytes: Some(128 << 20) },
        ready: Probe::Tcp { port: PortName::Http },
        ready_within_s: 15,
        stop: StopRule { signal: StopSignal::Term, grace_s: 5 },
    }
}
