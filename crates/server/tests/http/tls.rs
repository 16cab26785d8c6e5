//! TLS: the same answers over it, cookies that stay on it, and files that are refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use springtide_api::{Client, ClientError};
use springtide_server::certificates::{authority, issue};
use springtide_server::http::credentials::make_login_code;
use springtide_server::http::listen::listen_with;
use springtide_server::http::tls::{Tls, TlsError};
use springtide_server::http::{Limits, site};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{Rig, now, wide};

struct Files {
    authority: String,
    certificate: PathBuf,
    key: PathBuf,
}

/// An authority, and a certificate of it for `localhost`.
fn files(folder: &Path, name: &str) -> Files {
    let root = authority("acme", now()).unwrap();
    let leaf = issue(&root.certificate, &root.key, "control.acme.example", now()).unwrap();
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, leaf.certificate).unwrap();
    std::fs::write(&key, leaf.key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    Files { authority: root.certificate, certificate, key }
}

/// The rig's site over TLS; returns its port.
async fn over_tls(rig: &Rig, files: &Files, head_within: Duration, limits: Limits) -> u16 {
    let tls = Tls::read(&files.certificate, &files.key).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = site(std::sync::Arc::clone(&rig.control), std::sync::Arc::new(now), limits);
    tokio::spawn(listen_with(Some(tls), listener, site, std::future::pending::<()>(), head_within));
    port
}

#[tokio::test]
async fn the_api_answers_over_tls_to_who_trusts_its_authority() {
    let rig = Rig::new().await;
    let files = files(rig.folder.path(), "server");
    let port = over_tls(&rig, &files, Duration::from_secs(10), wide()).await;
    let base = format!("https://localhost:{port}");
    let client = Client::trusting(&base, &rig.token, files.authority.as_bytes()).unwrap();
    assert_eq!(client.estate().await.unwrap().name, "acme");
    let mut events = client.events(Some(0)).await.unwrap();
    rig.control.hold("a look", "a test").unwrap();
    loop {
        if tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap().kind == "held" {
            break;
        }
    }
    // Another authority, another name, and plain HTTP get nothing.
    let other = authority("acme", now()).unwrap().certificate;
    let stranger = Client::trusting(&base, &rig.token, other.as_bytes()).unwrap();
    assert!(matches!(stranger.estate().await, Err(ClientError::Unreachable(_))));
    let named = Client::trusting(&format!("https://127.0.0.2:{port}"), &rig.token, files.authority.as_bytes()).unwrap();
    assert!(matches!(named.estate().await, Err(ClientError::Unreachable(_))));
    let plain = Client::new(&format!("http://localhost:{port}"), &rig.token).unwrap();
    assert!(matches!(plain.estate().await, Err(ClientError::Unreachable(_))));
    let downgraded = Client::trusting(&format!("http://localhost:{port}"), &rig.token, files.authority.as_bytes());
    assert!(downgraded.unwrap().estate().await.is_err(), "such a client never speaks plain HTTP");
}

#[tokio::test]
async fn cookies_of_tls_stay_on_it() {
    let rig = Rig::new().await;
    let files = files(rig.folder.path(), "server");
    let port = over_tls(&rig, &files, Duration::from_secs(10), wide()).await;
    let authority = reqwest::Certificate::from_pem(files.authority.as_bytes()).unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.tls_certs_only([authority]).no_proxy().build().unwrap();
    for (base, secure) in [(format!("https://localhost:{port}"), true), (rig.url(""), false)] {
        let code = make_login_code(&rig.control.estate().store, now()).unwrap();
        let form = format!("code={code}");
        let post = client.post(format!("{base}/login")).header("content-type", "application/x-www-form-urlencoded");
        let answer = post.body(form).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{base}");
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("springtide_session=") && cookie.contains("HttpOnly"), "{cookie}");
        assert_eq!(cookie.ends_with("; Secure"), secure, "{base}: {cookie}");
    }
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_dropped() {
    let rig = Rig::new().await;
    let files = files(rig.folder.path(), "server");
    let port = over_tls(&rig, &files, Duration::from_millis(300), wide()).await;
    let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut Vec::new())).await;
    read.expect("it is closed").ok();
    let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    plain.write_all(b"GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), plain.read_to_end(&mut told)).await;
    read.expect("it is closed").ok();
    assert!(!String::from_utf8_lossy(&told).contains("HTTP/"), "{told:?}");
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (files(folder.path(), "ours"), files(folder.path(), "others"));
    assert!(Tls::read(&ours.certificate, &ours.key).is_ok());
    let missing = folder.path().join("missing.pem");
    let why = |certificate: &Path, key: &Path| Tls::read(certificate, key).err().expect("it is refused");
    assert!(matches!(why(&missing, &ours.key), TlsError::Unreadable { path, .. } if path == missing));
    assert!(matches!(why(&ours.certificate, &missing), TlsError::Unreadable { path, .. } if path == missing));
    assert!(matches!(why(&ours.certificate, &others.key), TlsError::Unfit { .. }), "another certificate's key");
    assert!(matches!(why(&ours.key, &ours.key), TlsError::Empty { what: "certificate", .. }));
    assert!(matches!(why(&ours.certificate, &ours.certificate), TlsError::Open(_) | TlsError::Empty { .. }));
    std::fs::set_permissions(&ours.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(why(&ours.certificate, &ours.key), TlsError::Open(path) if path == ours.key));
    std::fs::set_permissions(&ours.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Tls::read(&ours.certificate, &ours.key).is_ok(), "a group of its own may read it");
}
