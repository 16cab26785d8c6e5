//! Ports: who holds one, and who may have one.

use std::path::PathBuf;

use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::workload::{PortName, Probe, Text};
use springtide_driver::{Driver, DriverError, Ensured, Generation};

use crate::rig::{Driven, redigest, seen, until, with_driver, workload};

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
