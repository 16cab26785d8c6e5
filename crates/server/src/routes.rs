//! Routes at the proxy: written atomically into the folder it watches, confirmed through its API.
//!
//! A configuration that the proxy does not take is withdrawn: the previous file comes back and the
//! caller gets an error, so that traffic is never worse than before.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
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
        let url = format!("http://127.0.0.1:{port}/api/http/middlewares?per_page=100000");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build();
        Ok(Self { client: client.map_err(RouteError::Proxy)?, url })
    }

    /// Names of all middlewares the proxy has live; among them the markers of routes.
    pub async fn live(&self) -> Result<BTreeSet<String>, RouteError> {
        let answer = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let list: Vec<serde_json::Value> =
            answer.map_err(RouteError::Proxy)?.json().await.map_err(RouteError::Proxy)?;
        let enabled = list.iter().filter(|it| it["status"] == "enabled");
        Ok(enabled.filter_map(|it| it["name"].as_str()).map(|name| name.trim_end_matches("@file").to_owned()).collect())
    }

    /// All services, as the proxy's API tells them.
    pub async fn services(&self) -> Result<Vec<serde_json::Value>, RouteError> {
        let url = self.url.replace("/middlewares?", "/services?");
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
        let before = std::fs::read(&file).ok();
        for (path, content) in [
            (folder.join(shared), content.as_str()),
            (file.with_extension("crt"), certificate.expose_secret()),
            (file.with_extension("key"), key.expose_secret()),
            (file.clone(), route.content.as_str()),
            (file.with_extension("sum"), Digest::of_bytes(route.content.as_bytes()).to_string().as_str()),
        ] {
            write(&path, content.as_bytes()).map_err(failed(&path))?;
        }
        let mut away = None;
        for _ in 0..CONFIRM_S * 5 {
            match self.live().await {
                Ok(names) if names.contains(marker) => return Ok(()),
                Ok(_) => away = None,
                Err(error) => away = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        match before {
            Some(before) => {
                write(&file, &before).map_err(failed(&file))?;
                let (sum, digest) = (file.with_extension("sum"), Digest::of_bytes(&before).to_string());
                write(&sum, digest.as_bytes()).map_err(failed(&sum))?;
            }
            None => std::fs::remove_file(&file).map_err(failed(&file))?,
        }
        // A proxy that does not answer has refused nothing.
        Err(away.unwrap_or(RouteError::Rejected(CONFIRM_S)))
    }

    /// Takes a route away and waits until the proxy shows it no more; absent is success. A proxy that
    /// does not run has no routes, and finds none when it starts.
    pub async fn remove(&self, folder: &Path, environment: &EnvironmentName) -> Result<(), RouteError> {
        // The key goes last: a route without its certificate would show the wrong one.
        for ending in ["yml", "sum", "crt", "key"] {
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
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let proxy = Proxy { client: reqwest::Client::builder().no_proxy().build().unwrap(), url };
        let route = Route { file: "prod.yml".into(), content: "http: {}".into(), digest: Digest::of_bytes(b"x") };
        let secret = || SecretString::from("x".to_owned());
        let error = proxy.ensure(&folder, &route, "prod-rev-x", &secret(), &secret()).await.unwrap_err();
        assert!(matches!(error, RouteError::Proxy(_)), "{error}");
        assert!(!folder.join("prod.yml").exists(), "an unconfirmed route is withdrawn");
        std::fs::remove_dir_all(&folder).unwrap();
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
        let proxy = Proxy { client, url: format!("http://{admin}/api/http/middlewares?per_page=100000") };
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
        let secret = || SecretString::from("not used: no certificate is named".to_owned());
        let route = |marker: &str, body: &str| Route {
            file: "prod.yml".into(),
            content: body.replace("MARKER", marker),
            digest: Digest::of_bytes(marker.as_bytes()),
        };
        let good = "http: { routers: { prod: { rule: Host(`a.localhost`), entryPoints: [https], service: prod, \
                    middlewares: [MARKER] } }, services: { prod: { loadBalancer: { servers: [{ url: 'http://127.0.0.1:1' }] } } }, \
                    middlewares: { MARKER: { headers: { stsSeconds: 1 } } } }";
        proxy.ensure(&folder, &route(&first, good), &first, &secret(), &secret()).await.unwrap();
        for broken in
            ["http: { routers: [this is no map, MARKER", "http: { middlewares: { MARKER: { nonsense: {} } } }"]
        {
            let refused =
                proxy.ensure(&folder, &route(&second, broken), &second, &secret(), &secret()).await.unwrap_err();
            assert!(matches!(refused, RouteError::Rejected(_)), "{refused}");
            let live = proxy.live().await.unwrap();
            assert!(live.contains(&first) && !live.contains(&second), "{live:?}");
            assert_eq!(std::fs::read_to_string(folder.join("prod.yml")).unwrap(), good.replace("MARKER", &first));
        }
        proxy.remove(&folder, &"prod".parse().unwrap()).await.unwrap();
        assert!(!proxy.live().await.unwrap().contains(&first));
    }
}
