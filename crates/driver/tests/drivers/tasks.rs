//! Tasks: they end with the one who waits for them, and leave no secret behind.

use std::path::PathBuf;

use springtide_core::layout::Slot;
use springtide_core::workload::Root;
use springtide_driver::{Driver, Generation, Network, Task, TaskMount};

use crate::rig::{Driven, SECRET, gone, until, with_driver};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_dies_with_its_caller() {
    with_driver("task", async |driver: Driven, state: PathBuf| {
        let data = state.join("estate/made");
        let task = Task {
            name: "long".into(),
            root: Root::Host,
            command: ["/bin/sh", "-c", "echo $$ > /srv/springtide/made/pid; sleep 1000 & sleep 1000"]
                .map(String::from)
                .into(),
            env: [("PASSWORD".to_owned(), SECRET.to_owned())].into(),
            files: vec![("a.conf".into(), SECRET.into())],
            mounts: vec![TaskMount { from: data.clone(), at: "/srv/springtide/made".into(), read_only: false }],
            user: Slot(905).installer(),
            network: Network::Machine,
            deadline_s: 100,
        };
        let call = {
            let (driver, task) = (driver.clone(), task.clone());
            tokio::spawn(async move { drop(driver.run_task(&task, Generation(1)).await) })
        };
        until("it runs", 5, async || std::fs::read_to_string(data.join("pid")).is_ok_and(|text| text.ends_with('\n')))
            .await;
        call.abort();
        // Its own pid namespace is the machine's, so the number it wrote is the one we see.
        let pid: i32 = std::fs::read_to_string(data.join("pid")).unwrap().trim().parse().unwrap();
        until("it is gone", 5, async || gone(pid)).await;
        until("its secrets are gone", 5, async || !state.join("tasks/long").exists()).await;
        let short = Task { command: ["/bin/sh", "-c", "exit 3"].map(String::from).into(), ..task };
        assert_eq!(driver.run_task(&short, Generation(1)).await.unwrap().code, Some(3));
    })
    .await;
}

/// Connects to the listener whose port is the argument: exit code 0 if it can, 7 if not. Before, it connects to a
/// listener of its own, or ends with 9.
const CONNECT: &str = "use IO::Socket::INET;
my $own = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or exit 9;
IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $own->sockport, Timeout => 5) or exit 9;
exit(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ARGV[0], Timeout => 5) ? 0 : 7);";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_network_reaches_only_itself() {
    with_driver("network", async |driver: Driven, _| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let task = |name: &str, network, command: &[&str]| Task {
            name: name.into(),
            root: Root::Host,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: Default::default(),
            files: Vec::new(),
            mounts: Vec::new(),
            user: Slot(905).installer(),
            network,
            deadline_s: 30,
        };
        let connect = ["/usr/bin/perl", "-e", CONNECT, &port];
        let without = driver.run_task(&task("without", Network::None, &connect), Generation(1)).await.unwrap();
        assert_eq!(without.code, Some(7), "it reached the machine, or not even itself: {}", without.tail);
        let with = driver.run_task(&task("with", Network::Machine, &connect), Generation(1)).await.unwrap();
        assert_eq!(with.code, Some(0), "the control: {}", with.tail);

        // No way out at all, also not over addresses that nobody answers.
        let routes = ["/bin/cat", "/proc/self/net/route", "/proc/self/net/dev"];
        let told = driver.run_task(&task("routes", Network::None, &routes), Generation(1)).await.unwrap().tail;
        let devices: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
        assert_eq!(devices, ["lo"], "{told}");
    })
    .await;
}
