//! Ports: who holds one, and who may have one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use springtide_core::check::Ingress;
use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::roles::proxy::proxy;
use springtide_core::workload::{Piece, PortName, Probe, Text};
use springtide_driver::{Driver, DriverError, Ensured, Generation, ResolvedWorkload};

use crate::rig::{Driven, redigest, seen, until, with_driver, with_world, workload, written};

#[tokio::test(flavor = "multi_thread")]
async fn reloads_and_refuses_foreign_ports() {
    with_driver("reload", async |driver: Driven, state: PathBuf| {
        let port = Slot(190).port(Role::Web).unwrap();
        let script = format!("trap 'cat /srv/springtide/config/app.conf' HUP; python3 -m http.server --bind 127.0.0.1 {port} 2>/dev/null & while :; do wait; done");
        let mut one = redigest(workload(904, &script), |spec| {
            spec.ports.insert(PortName::Http, port);
            spec.command[0] = "/bin/bash".into();
            spec.ready = Probe::Http { port: PortName::Http, path: "/".into(), host: "localhost".into(), cookie: None, status: 200 };
        });
        one.env.insert("PATH".into(), "/usr/bin:/bin".into());
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        match driver.ensure_workload(&one, Generation(1)).await {
            Err(DriverError::PortInUse { holder, .. }) => assert!(holder.contains(&std::process::id().to_string()), "{holder}"),
            other => panic!("{other:?}"),
        }
        assert!(driver.observe().await.unwrap().host.foreign_ports.contains_key(&port));
        drop(taken);
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        assert!(!driver.observe().await.unwrap().host.foreign_ports.contains_key(&port), "our own is not foreign");
        let before = seen(&driver).await.pid;
        let mut two = redigest(one.clone(), |spec| spec.files[0].content = Text::plain("two"));
        two.files = vec!["two".into()];
        assert_eq!(driver.ensure_workload(&two, Generation(1)).await.unwrap(), Ensured::Reloaded);
        let log = state.join("workloads/prod.web/log/current.log");
        until("it reloads", 5, async || std::fs::read_to_string(&log).unwrap().contains("two")).await;
        assert_eq!((seen(&driver).await.pid, seen(&driver).await.digest), (before, two.digest));
    }).await;
}

/// In a network of its own, whose lowest free port is the kernel's default.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_binds_the_low_ports_it_asks_for() {
    let script = "ip link set lo up; echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
    with_world("low", "-n", script, async |driver: Driven, state: PathBuf| {
        let serve = "cat /proc/self/status > /srv/springtide/data/status
            exec python3 -m http.server --bind 127.0.0.1 80";
        let mut asks = redigest(workload(920, serve), |spec| {
            spec.ports.insert(PortName::Http, 80);
            spec.ready = Probe::Tcp { port: PortName::Http };
        });
        asks.env.insert("PATH".into(), "/usr/bin:/bin".into());
        driver.ensure_workload(&asks, Generation(1)).await.unwrap();
        driver.wait_ready(&asks.spec.id).await.unwrap();
        let status = written(&state, "status");
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert!(line("Uid:").starts_with(&asks.spec.user.uid.to_string()), "it is not root: {status}");
        for set in ["CapEff:", "CapPrm:", "CapAmb:"] {
            assert_eq!(line(set), "0000000000000400", "{set} holds the one right and no other");
        }
        assert_eq!(line("NoNewPrivs:"), "1");
        let copy = ["cp", "/proc/self/status", "/srv/springtide/data/status"].map(String::from);
        assert_eq!(driver.exec(&asks.spec.id, &copy).await.unwrap(), 0);
        assert!(written(&state, "status").contains("CapAmb:\t0000000000000400"), "a command in it has the right too");

        // The same program without asking: no right, no port.
        let silent = redigest(asks.clone(), |spec| {
            spec.ports.clear();
            spec.ready = Probe::Alive { seconds: 0 };
        });
        driver.ensure_workload(&silent, Generation(1)).await.unwrap();
        let log = driver.logs(&silent.spec.id).remove(0);
        let refused = async || std::fs::read_to_string(&log).unwrap().contains("Permission denied");
        until("the port is refused", 5, refused).await;
        assert!(written(&state, "status").contains("CapEff:\t0000000000000000"));
    })
    .await;
}

/// The real proxy, as an environment's specs make it, where browsers look first.
#[tokio::test(flavor = "multi_thread")]
async fn the_entrance_listens_on_80_and_443() {
    let script = "ip link set lo up; echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
    with_world("entrance", "-n", script, async |driver: Driven, _| {
        let ingress = Ingress { bind: "127.0.0.1".parse().unwrap(), http: 80, https: 443 };
        let spec = proxy(&ingress);
        let text = |pieces: &[Piece]| match pieces {
            [Piece::Plain(text)] => text.clone(),
            _ => panic!("the proxy's configuration holds no secret"),
        };
        let files = spec.files.iter().map(|file| text(&file.content.0)).collect();
        let one = ResolvedWorkload { digest: spec.digest(), spec, files, env: BTreeMap::new() };
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        // Its probe is a connection to 443.
        driver.wait_ready(&one.spec.id).await.unwrap();
        let pid = seen(&driver).await.pid.unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("Uid:\t{}\t", one.spec.user.uid)), "{status}");
        let ask =
            "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\r\nHost: a\r\n\r\n' >&3; grep -q '^HTTP.* 301' <&3";
        let ask = ["/bin/bash", "-c", ask].map(String::from);
        // Asked from inside, since its network is not ours.
        assert_eq!(driver.exec(&one.spec.id, &ask).await.unwrap(), 0, "80 sends browsers to 443");
    })
    .await;
}
