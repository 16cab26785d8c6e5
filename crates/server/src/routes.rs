//! Routes at the proxy: written atomically into the folder it watches, confirmed through its API.
//!
//! A configuration that the proxy does not take is withdrawn: all files of the route come back as they were
//! and the caller gets an error, so that traffic is never worse than before. Taken means that the proxy's own
//! lists show every part of it as enabled: a router that it refuses is in them too.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use springtide_core::digest::Digest;
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::role::Role;
use springtide_core::roles::route::Route;

/// Why a route is not live.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The proxy did not take it.
    #[error("the proxy did not take the new route within {0} s; the previous one is live again")]
    Rejected(u64),
    /// The proxy goes on showing a route that was taken away.
    #[error("the proxy still has the route {0} s after its file was removed")]
    Lingers(u64),
    /// The proxy's API does not answer.
    #[error("the proxy's administration API does not answer")]
    Proxy(#[source] reqwest::Error),
}

const CONFIRM_S: u64 = 10;

/// Files of a route. The route itself goes first: without its certificate it would show the wrong one.
const ENDINGS: [&str; 4] = ["yml", "sum", "crt", "key"];

/// The running proxy, through its administration API.
#[derive(Clone)]
pub struct Proxy {
    client: reqwest::Client,
    url: String,
}

impl Proxy {
    /// The estate's proxy. Loopback only: proxies of the caller's environment are not asked.
    pub fn new() -> Result<Self, RouteError> {
        let port = Slot::ESTATE.port(Role::Proxy).unwrap_or_default();
        let url = format!("http://127.0.0.1:{port}/api/http");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build();
        Ok(Self { client: client.map_err(RouteError::Proxy)?, url })
    }

    /// Names of the middlewares that are live: enabled, and so is every router that they are part of, with its
    /// service. Among them are the markers of routes.
    pub async fn live(&self) -> Result<BTreeSet<String>, RouteError> {
        let (middlewares, routers) = (self.list("middlewares").await?, self.list("routers").await?);
        Ok(live(&middlewares, &routers, &self.services().await?))
    }

    /// All services, as the proxy's API tells them.
    pub async fn services(&self) -> Result<Vec<Value>, RouteError> {
        self.list("services").await
    }

    async fn list(&self, what: &str) -> Result<Vec<Value>, RouteError> {
        let url = format!("{}/{what}?per_page=100000", self.url);
        let answer = self.client.get(url).send().await.and_then(reqwest::Response::error_for_status);
        answer.map_err(RouteError::Proxy)?.json().await.map_err(RouteError::Proxy)
    }

    /// Puts `route` in place and waits until the proxy shows `marker`.
    pub async fn ensure(
        &self,
        folder: &Path,
        route: &Route,
        marker: &str,
        certificate: &SecretString,
        key: &SecretString,
    ) -> Result<(), RouteError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| RouteError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let (shared, content) = springtide_core::roles::route::shared();
        let file = folder.join(&route.file);
        let mut before = Vec::new();
        for ending in ENDINGS {
            let path = file.with_extension(ending);
            before.push(match std::fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (path, None),
                read => (path.clone(), Some(read.map_err(failed(&path))?)),
            });
        }
        let sum = Digest::of_bytes(route.content.as_bytes()).to_string();
        let files = [
            (folder.join(shared), content.as_str()),
            (file.with_extension("crt"), certificate.expose_secret()),
            (file.with_extension("key"), key.expose_secret()),
            (file.clone(), route.content.as_str()),
            (file.with_extension("sum"), sum.as_str()),
        ];
        let written =
            files.into_iter().try_for_each(|(path, content)| write(&path, content.as_bytes()).map_err(failed(&path)));
        let confirmed = match written {
            Ok(()) => self.confirm(marker).await,
            Err(error) => Err(error),
        };
        let Err(error) = confirmed else { return Ok(()) };
        // A certificate that stayed would be shown by the previous route, for a host that is not its own.
        for (path, content) in before {
            let restored = match content {
                Some(content) => write(&path, &content),
                None => std::fs::remove_file(&path),
            };
            match restored {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                restored => restored.map_err(failed(&path))?,
            }
        }
        Err(error)
    }

    /// Waits until the proxy shows `marker`.
    async fn confirm(&self, marker: &str) -> Result<(), RouteError> {
        let mut away = None;
        for _ in 0..CONFIRM_S * 5 {
            match self.live().await {
                Ok(names) if names.contains(marker) => return Ok(()),
                Ok(_) => away = None,
                Err(error) => away = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // A proxy that does not answer has refused nothing.
        Err(away.unwrap_or(RouteError::Rejected(CONFIRM_S)))
    }

    /// Takes a route away and waits until the proxy shows it no more; absent is success. A proxy that
    /// does not run has no routes, and finds none when it starts.
    pub async fn remove(&self, folder: &Path, environment: &EnvironmentName) -> Result<(), RouteError> {
        for ending in ENDINGS {
            let path: PathBuf = folder.join(format!("{environment}.{ending}"));
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RouteError::Write { path: path.display().to_string(), source });
                }
                _ => {}
            }
        }
        for _ in 0..CONFIRM_S * 5 {
            match self.live().await {
                Ok(markers) if of(&markers, environment).is_none() => return Ok(()),
                Err(RouteError::Proxy(error)) if error.is_connect() => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        Err(RouteError::Lingers(CONFIRM_S))
    }
}

/// What [`Proxy::live`] tells, from the proxy's lists.
fn live(middlewares: &[Value], routers: &[Value], services: &[Value]) -> BTreeSet<String> {
    let name = |it: &Value| it.as_str().map(|name| name.trim_end_matches("@file").to_owned());
    let enabled = |list: &[Value]| -> BTreeSet<String> {
        list.iter().filter(|it| it["status"] == "enabled").filter_map(|it| name(&it["name"])).collect()
    };
    let (mut live, enabled) = (enabled(middlewares), enabled(services));
    for router in routers {
        let serves = router["status"] == "enabled" && name(&router["service"]).is_some_and(|it| enabled.contains(&it));
        if !serves {
            for part in router["middlewares"].as_array().into_iter().flatten().filter_map(&name) {
                live.remove(&part);
            }
        }
    }
    live
}

/// The digest of the route of `environment` among the markers of [`Proxy::live`].
pub fn of(markers: &BTreeSet<String>, environment: &EnvironmentName) -> Option<Digest> {
    let prefix = format!("{environment}-rev-");
    markers.iter().find_map(|name| name.strip_prefix(&prefix)?.parse().ok())
}

/// A digest that no route has, if somebody changed the file of a route since it was written.
pub fn edited(folder: &Path, environment: &EnvironmentName) -> Option<Digest> {
    let file = folder.join(format!("{environment}.yml"));
    let (content, written) = (std::fs::read(&file).ok()?, std::fs::read_to_string(file.with_extension("sum")).ok()?);
    let found = Digest::of_bytes(&content);
    (found.to_string() != written).then_some(found)
}

/// Writes a file that only root and the proxy can read, whole or not at all.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    chown(&temporary, Some(0), Some(Slot::ESTATE.group()))?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proxy_that_is_away_has_not_refused_the_route() {
        let folder = std::env::temp_dir().join(format!("springtide-routes-{}", std::process::id()));
        // A port that was free a moment ago: nobody answers there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let proxy = Proxy { client: reqwest::Client::builder().no_proxy().build().unwrap(), url };
        let route = Route { file: "prod.yml".into(), content: "http: {}".into(), digest: Digest::of_bytes(b"x") };
        let secret = || SecretString::from("x".to_owned());
        let error = proxy.ensure(&folder, &route, "prod-rev-x", &secret(), &secret()).await.unwrap_err();
        assert!(matches!(error, RouteError::Proxy(_)), "{error}");
        assert!(!folder.join("prod.yml").exists(), "an unconfirmed route is withdrawn");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_route_is_live_when_all_its_routers_and_their_services_are() {
        use serde_json::json;
        let (marker, status) = ("prod-rev-x", |name: &str, status: &str| json!({ "name": name, "status": status }));
        let router = |name: &str, status: &str, service: &str| json!({ "name": name, "status": status, "service": service, "middlewares": ["prod-rev-x@file"] });
        let middlewares = [status("prod-rev-x@file", "enabled"), status("other@file", "enabled")];
        let services = [status("web@file", "enabled"), status("live@file", "disabled")];
        let shown = |routers: &[Value]| live(&middlewares, routers, &services);
        let web = router("prod-web@file", "enabled", "web");
        assert!(shown(std::slice::from_ref(&web)).contains(marker));
        for refused in [router("prod-live@file", "disabled", "web"), router("prod-live@file", "enabled", "live")] {
            let shown = shown(&[web.clone(), refused]);
            assert!(!shown.contains(marker) && shown.contains("other"), "{shown:?}");
        }
        assert!(!live(&[status("prod-rev-x@file", "disabled")], &[web], &services).contains(marker));
    }

    struct Traefik {
        child: std::process::Child,
        folder: PathBuf,
    }

    impl Drop for Traefik {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    /// A real Traefik that watches a folder, as the estate's does.
    async fn traefik() -> (Traefik, Proxy) {
        let cache = std::env::var("SPRINGTIDE_CACHE").unwrap_or_else(|_| "/var/cache/springtide".into());
        let folder = std::env::temp_dir().join(format!("springtide-traefik-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("routes")).unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (admin, https) = (free(), free());
        let child = std::process::Command::new(Path::new(&cache).join("tools/bin/traefik"))
            .arg("--api.insecure=true")
            .arg(format!("--entrypoints.traefik.address={admin}"))
            .arg(format!("--entrypoints.https.address={https}"))
            .arg(format!("--providers.file.directory={}", folder.join("routes").display()))
            .args(["--providers.file.watch=true", "--log.level=ERROR"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("scripts/setup puts Traefik into the cache");
        let running = Traefik { child, folder };
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().unwrap();
        let proxy = Proxy { client, url: format!("http://{admin}/api/http") };
        for _ in 0..100 {
            if proxy.live().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        (running, proxy)
    }

    #[tokio::test]
    async fn a_route_that_the_proxy_refuses_leaves_the_previous_one_live() {
        let (running, proxy) = traefik().await;
        let folder = running.folder.join("routes");
        let marker = |word: &str| {
            springtide_core::roles::route::marker(&"prod".parse().unwrap(), &Digest::of_bytes(word.as_bytes()))
        };
        let (first, second) = (marker("first"), marker("second"));
        let secret = |word: &str| SecretString::from(format!("{word}: no certificate is named"));
        let route = |marker: &str, body: &str| Route {
            file: "prod.yml".into(),
            content: body.replace("MARKER", marker),
            digest: Digest::of_bytes(marker.as_bytes()),
        };
        let good = "http: { routers: { prod: { rule: Host(`a.localhost`), entryPoints: [https], service: prod, \
                    middlewares: [MARKER] } }, services: { prod: { loadBalancer: { servers: [{ url: 'http://127.0.0.1:1' }] } } }, \
                    middlewares: { MARKER: { headers: { stsSeconds: 1 } } } }";
        proxy.ensure(&folder, &route(&first, good), &first, &secret("one"), &secret("one")).await.unwrap();
        let files = || ENDINGS.map(|ending| std::fs::read_to_string(folder.join(format!("prod.{ending}"))).unwrap());
        let before = files();
        assert_eq!(before[0], good.replace("MARKER", &first));
        // The last one is loaded, and its router is shown as disabled.
        let of_nobody = good.replace("service: prod", "service: nobody");
        for broken in [
            "http: { routers: [this is no map, MARKER",
            "http: { middlewares: { MARKER: { nonsense: {} } } }",
            of_nobody.as_str(),
        ] {
            let (certificate, key) = (secret("two"), secret("two"));
            let refused =
                proxy.ensure(&folder, &route(&second, broken), &second, &certificate, &key).await.unwrap_err();
            assert!(matches!(refused, RouteError::Rejected(_)), "{refused}");
            let mut live = proxy.live().await.unwrap();
            for _ in 0..25 {
                if live.contains(&first) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
                live = proxy.live().await.unwrap();
            }
            assert!(live.contains(&first) && !live.contains(&second), "{live:?}");
            assert_eq!(files(), before, "route, checksum, certificate and key are those of before");
        }
        proxy.remove(&folder, &"prod".parse().unwrap()).await.unwrap();
        assert!(!proxy.live().await.unwrap().contains(&first));
    }
}
