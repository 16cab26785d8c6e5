//! Routes: how users reach an environment, as Traefik's dynamic configuration.
//!
//! The configuration is built as JSON values, so that no name can break out of its field (JSON is
//! YAML, which is what Traefik reads). Certificate and key are files beside it. The digest of a
//! route is part of a middleware's name: when Traefik's API shows that name, this very version is
//! live.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Inputs, port, volume_path};
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{EnvironmentName, HostName};
use crate::role::Role;
use crate::series::Series;
use crate::sizing::SizedEnvironment;
use crate::workload::Volume;

/// An environment's route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Digest of what it was rendered from, the end of its certificate included.
    pub digest: Digest,
    /// File name in the routes folder; certificate and key lie beside it as `.crt` and `.key`.
    pub file: String,
    /// Content.
    pub content: String,
}

/// Settings shared by all routes: TLS 1.2 at least. A host name that no route has is not refused in the
/// handshake (`sniStrict`): it gets Traefik's own certificate and a 404, as a caller without SNI does.
pub fn shared() -> (String, String) {
    let body = json!({ "tls": { "options": { "default": {
        "minVersion": "VersionTLS12",
        "sniStrict": false,
        "cipherSuites": [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
    } } } });
    ("_shared.yml".to_owned(), serde_json::to_string_pretty(&body).expect("a JSON value always prints"))
}

/// Name of the middleware that carries the digest.
pub fn marker(environment: &EnvironmentName, digest: &Digest) -> String {
    format!("{environment}-rev-{digest}")
}

/// All that a route depends on.
#[derive(Serialize)]
struct RouteInputs<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    host: &'a HostName,
    series: Series,
    certificate_until: i64,
}

impl Inputs for RouteInputs<'_> {}

/// The digest that [`route`] would have, without its text.
pub fn digest(sized: &SizedEnvironment<'_>) -> Digest {
    RouteInputs::of(sized).digest()
}

/// The route of `sized`.
pub fn route(sized: &SizedEnvironment<'_>) -> Route {
    let inputs = RouteInputs::of(sized);
    let (digest, name) = (inputs.digest(), inputs.name);
    let body = inputs.body(&marker(name, &digest));
    let content = serde_json::to_string_pretty(&body).expect("a JSON value always prints");
    Route { digest, file: format!("{name}.yml"), content }
}

impl<'a> RouteInputs<'a> {
    fn of(sized: &'a SizedEnvironment<'_>) -> Self {
        let environment = sized.environment.as_ref();
        Self {
            name: &environment.name,
            slot: sized.slot,
            host: &environment.host,
            series: environment.series,
            certificate_until: sized.certificate_until,
        }
    }

    fn body(&self, marker: &str) -> Value {
        let Self { name, slot, host, series, certificate_until: _ } = self;
        let (slot, profile) = (*slot, series.profile());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let web = url(port(slot, Role::Web));
        let live = url(port(slot, Role::Live));
        let notice = url(port(Slot::ESTATE, Role::Notice));
        let chain = [marker.to_owned(), format!("{name}-starting")];
        let balanced = |url: &str, path: &str| {
            json!({ "loadBalancer": {
            "servers": [{ "url": url }],
            "passHostHeader": true,
            // A probe queues behind requests: slow is not away. What is away says so within 2 s.
            "healthCheck": { "path": path, "hostname": host, "interval": "2s", "timeout": "8s" },
        } })
        };
        let ready = profile.health.ready.replace("{database}", &name.database());
        let live_service = match &profile.event.health {
            Some(path) => balanced(&live, path),
            None => json!({ "loadBalancer": { "servers": [{ "url": live }], "passHostHeader": true } }),
        };
        let folder = volume_path(Volume::Routes);
        json!({
            "http": {
                "routers": {
                    format!("{name}-web"): {
                        "rule": format!("Host(`{host}`)"), "entryPoints": ["https"], "tls": {},
                        "service": format!("{name}-web"), "middlewares": chain, "priority": 10,
                    },
                    format!("{name}-live"): {
                        "rule": format!("Host(`{host}`) && PathPrefix(`{}`)", profile.event.path),
                        "entryPoints": ["https"], "tls": {},
                        "service": format!("{name}-live"), "middlewares": chain, "priority": 20,
                    },
                    // The database manager, and the routes of jobs and probes, which answer anybody by design.
                    format!("{name}-blocked"): {
                        "rule": format!("Host(`{host}`) && (PathPrefix(`/web/database`) || PathPrefix(`/queue_job`) || PathPrefix(`/springtide`))"),
                        "entryPoints": ["https"], "tls": {},
                        "service": format!("{name}-notice"), "middlewares": [marker, format!("{name}-blocked")], "priority": 30,
                    },
                    // Where Odoo sends a browser when its database does not answer: that is no wrong address.
                    format!("{name}-away"): {
                        "rule": format!("Host(`{host}`) && Path(`/web/database/selector`)"),
                        "entryPoints": ["https"], "tls": {},
                        "service": format!("{name}-notice"), "middlewares": [marker, format!("{name}-away")], "priority": 40,
                    },
                },
                "middlewares": {
                    marker: { "headers": { "stsSeconds": 31_536_000, "contentTypeNosniff": true } },
                    format!("{name}-starting"): { "errors": {
                        // One answer, whatever part of the way is away.
                        "status": ["502-504"], "statusRewrites": { "502-504": 503 }, "service": format!("{name}-notice"),
                        "query": format!("/starting/{name}"),
                    } },
                    format!("{name}-blocked"): { "replacePath": { "path": "/blocked" } },
                    format!("{name}-away"): { "replacePath": { "path": format!("/away/{name}") } },
                },
                "services": {
                    format!("{name}-web"): balanced(&web, &ready),
                    format!("{name}-live"): live_service,
                    format!("{name}-notice"): { "loadBalancer": { "servers": [{ "url": notice }] } },
                },
            },
            "tls": { "certificates": [{ "certFile": format!("{folder}/{name}.crt"), "keyFile": format!("{folder}/{name}.key") }] },
        })
    }
}
