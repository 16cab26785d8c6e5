//! Real programs: PostgreSQL with its administrator's shell, and a command in an Odoo root. They need
//! what `scripts/setup` puts on the machine.

use std::collections::BTreeMap;

use springtide_core::layout::Slot;
use springtide_core::role::Role;
use springtide_core::workload::{PortName, Probe, Root, StopRule, StopSignal, Volume, VolumeMount, WorkloadId};
use springtide_driver::{Driver, Generation, Network, Task, mounts_of};

use crate::rig::{Driven, redigest, seen, with_driver, workload};

/// The server is made and run as in an environment; a person enters it and is its administrator.
#[tokio::test(flavor = "multi_thread")]
async fn runs_postgres_and_enters_it() {
    with_driver("postgres", async |driver: Driven, _| {
        let slot = Slot(191);
        let environment = "prod".parse().unwrap();
        let (data, socket) = ("/srv/springtide/data", "/srv/springtide/socket");
        let volumes = vec![
            VolumeMount { volume: Volume::PostgresData, at: data.into(), read_only: false },
            VolumeMount { volume: Volume::PostgresSocket, at: socket.into(), read_only: false },
        ];
        let initdb = Task {
            name: "initdb".into(),
            root: Root::Host,
            command: ["initdb", "-D", data, "-U", "postgres", "--auth-local=peer", "--no-sync"].map(String::from).into(),
            env: BTreeMap::new(),
            files: Vec::new(),
            mounts: mounts_of(&*driver, Some(&environment), &volumes),
            user: slot.user(Role::Postgres),
            network: Network::Machine,
            deadline_s: 60,
        };
        let made = driver.run_task(&initdb, Generation(1)).await.unwrap();
        assert_eq!(made.code, Some(0), "{}", made.tail);
        // The same word as in an environment's own configuration: the server's user is its administrator.
        let folder = driver.volume(Some(&environment), Volume::PostgresData);
        std::fs::write(folder.join("pg_hba.conf"), "local all postgres peer map=admin\n").unwrap();
        std::fs::write(folder.join("pg_ident.conf"), "admin springtide-postgres postgres\n").unwrap();
        let port = slot.port(Role::Postgres).unwrap();
        let server = redigest(workload(191, ""), |spec| {
            spec.id = WorkloadId::of(&environment, Role::Postgres);
            spec.user = slot.user(Role::Postgres);
            spec.command = ["postgres", "-D", data, "-k", socket, "-h", "127.0.0.1", "-p", &port.to_string()]
                .map(String::from)
                .into();
            spec.volumes = volumes.clone();
            spec.ports.insert(PortName::Sql, port);
            spec.ready = Probe::Postgres { port: PortName::Sql };
            spec.stop = StopRule { signal: StopSignal::Int, grace_s: 20 };
        });
        driver.ensure_workload(&server, Generation(1)).await.unwrap();
        driver.wait_ready(&server.spec.id).await.unwrap();
        let observation = seen(&driver).await;
        assert!(observation.resident_bytes.unwrap() > 1 << 20, "{observation:?}");

        let psql = async |query: &str| {
            let words = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-c", query].map(String::from);
            driver.exec(&server.spec.id, &words).await.unwrap()
        };
        assert_eq!(psql("COPY (SELECT usename, usesuper FROM pg_user WHERE usename = current_user) TO '/srv/springtide/data/who'").await, 0);
        assert_eq!(std::fs::read_to_string(folder.join("who")).unwrap(), "postgres\tt\n");
        assert_ne!(psql("SELECT no_such_column").await, 0, "an error of psql is an exit code");
        // A program that only the server's own folder has.
        let control = ["pg_controldata", "-D", data].map(String::from);
        assert_eq!(driver.exec(&server.spec.id, &control).await.unwrap(), 0);

        driver.stop_workload(&server.spec.id, Generation(1)).await.unwrap();
        let log = std::fs::read_to_string(&driver.logs(&server.spec.id)[0]).unwrap();
        assert!(log.contains("database system is shut down"), "{log}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odoo_root_shows_its_own_files_and_cannot_be_written() {
    with_driver("odoo", async |driver: Driven, _| {
        let script = "id -un; odoo --version; ls /srv/springtide; ls /tmp | wc -l; touch /usr/x";
        let task = Task {
            name: "look".into(),
            root: Root::Odoo("19.0".parse().unwrap()),
            command: ["/bin/sh", "-c", script].map(String::from).into(),
            env: BTreeMap::new(),
            files: Vec::new(),
            mounts: Vec::new(),
            user: Slot(192).installer(),
            network: Network::Machine,
            deadline_s: 60,
        };
        let inside = driver.run_task(&task, Generation(1)).await.unwrap();
        for part in ["springtide-task", "19.0", "addons\nconfig\n0\n", "Read-only file system"] {
            assert!(inside.tail.contains(part), "{part}: {}", inside.tail);
        }
    })
    .await;
}
