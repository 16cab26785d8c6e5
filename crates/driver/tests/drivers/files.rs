//! What lies in the state folder: logs that do not grow for ever, and nothing for strangers.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use springtide_core::layout::Slot;
use springtide_core::observe::EditedFile;
use springtide_core::workload::{FileSpec, Root, Text};
use springtide_driver::{Driver, Ensured, Generation, Network, Task};

use crate::rig::{Driven, SECRET, murder, redigest, seen, until, with_driver, workload, written};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_rotated_while_its_writer_goes_on() {
    with_driver("log", async |driver: Driven, _| {
        let script = "head -c 17000000 /dev/zero | tr '\\0' x; echo; while :; do echo line; sleep 0.1; done";
        let one = workload(944, script);
        let id = &one.spec.id;
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        let size = |at: usize| driver.logs(id).get(at).map_or(0, |log| std::fs::metadata(log).unwrap().len());
        until("it has written", 5, async || size(0) > 17_000_000).await;
        assert_eq!(driver.logs(id).len(), 1, "not rotated yet");
        until("it is rotated", 15, async || driver.logs(id).len() == 2 && size(0) < 1000).await;
        assert!(size(1) > 17_000_000, "what was written is kept");
        let now = size(0);
        until("the writer goes on", 3, async || size(0) > now).await;
        let text = std::fs::read(&driver.logs(id)[0]).unwrap();
        assert!(text.starts_with(b"line\n"), "and begins at the begin of the new file");
        for log in driver.logs(id) {
            assert_eq!(std::fs::metadata(log).unwrap().mode() & 0o007, 0);
        }
    })
    .await;
}

/// Files and sockets below `path` that a user without any of our groups can open.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_server_is_kept_short_too() {
    with_driver("server-log", async |driver: Driven, state: PathBuf| {
        std::fs::create_dir_all(&state).unwrap();
        let (log, kept) = (state.join("server.log"), state.join("server.log.1"));
        std::fs::write(&log, vec![b'x'; 17_000_000]).unwrap();
        std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o600)).unwrap();
        driver.supervisor_pid().await.unwrap();
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |it| it.len());
        until("it is rotated", 10, async || size(&kept) == 17_000_000 && size(&log) == 0).await;
        assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_shows_in_the_mark_at_once() {
    with_driver("mark", async |driver: Driven, _| {
        let one = workload(948, "exec sleep 1000");
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let idle = driver.mark().expect("it marks");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(driver.mark(), Some(idle), "nothing changes while nothing does");
        murder(seen(&driver).await.pid.unwrap());
        until("the mark differs", 1, async || driver.mark() != Some(idle)).await;
    })
    .await;
}

fn open_to_strangers(path: &Path) -> Vec<PathBuf> {
    let meta = std::fs::symlink_metadata(path).unwrap();
    match (meta.is_dir(), meta.mode()) {
        // Names may be guessed: a folder is passed by its x alone.
        (true, mode) if mode & 0o001 != 0 => {
            std::fs::read_dir(path).unwrap().flat_map(|entry| open_to_strangers(&entry.unwrap().path())).collect()
        }
        (false, mode) if mode & 0o006 != 0 && (meta.is_file() || meta.file_type().is_socket()) => vec![path.to_owned()],
        _ => Vec::new(),
    }
}

/// Files below `path` that hold the secret, with mode and group.
fn holds_secret(path: &Path) -> Vec<(String, u32, u32)> {
    let meta = std::fs::symlink_metadata(path).unwrap();
    if meta.is_dir() {
        return std::fs::read_dir(path).unwrap().flat_map(|entry| holds_secret(&entry.unwrap().path())).collect();
    }
    let found = meta.is_file() && String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(SECRET);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    if found { vec![(name, meta.mode() & 0o7777, meta.gid())] } else { Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_folder_shows_strangers_nothing() {
    with_driver("modes", async |driver: Driven, state: PathBuf| {
        let mut one = workload(945, "echo said; echo data > /srv/springtide/data/file; exec sleep 1000");
        one.files = vec![SECRET.into()];
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let task = Task {
            name: "short".into(),
            root: Root::Host,
            command: ["/bin/sh", "-c", "echo said"].map(String::from).into(),
            env: [("PASSWORD".to_owned(), SECRET.to_owned())].into(),
            files: vec![("a.conf".into(), SECRET.into())],
            mounts: Vec::new(),
            user: Slot(945).installer(),
            network: Network::Machine,
            deadline_s: 10,
        };
        driver.run_task(&task, Generation(1)).await.unwrap();
        // The folder itself may be passed, as the command line makes it.
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(open_to_strangers(&state), [] as [PathBuf; 0]);
        let mut secret = holds_secret(&state);
        secret.sort();
        let group = one.spec.user.gid;
        assert_eq!(secret, [("app.conf".to_owned(), 0o640, group), ("spec.json".to_owned(), 0o600, 0)]);
        let socket = std::fs::metadata(state.join("supervisor.sock")).unwrap();
        assert_eq!((socket.mode() & 0o777, socket.uid()), (0o600, 0), "only root talks to the supervisor");

        // The control: one loose folder and file are found.
        for (path, mode) in
            [("workloads", 0o755), ("workloads/prod.web", 0o755), ("workloads/prod.web/spec.json", 0o604)]
        {
            std::fs::set_permissions(state.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        assert!(open_to_strangers(&state).contains(&state.join("workloads/prod.web/spec.json")));
    })
    .await;
}

/// An edit is seen and put back: by a signal where that is enough, by a restart where not, and by every
/// start. The control is a file nobody touched.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_is_seen_and_put_back() {
    with_driver("edited", async |driver: Driven, state: PathBuf| {
        let script = "trap 'echo told >> /srv/springtide/data/told' HUP; while :; do sleep 0.1; done";
        let mut one = redigest(workload(943, script), |spec| {
            spec.files.push(FileSpec { name: "fixed.conf".into(), content: Text::plain("two"), reloadable: false });
        });
        one.files.push("two".into());
        driver.ensure_workload(&one, Generation(1)).await.unwrap();
        driver.wait_ready(&one.spec.id).await.unwrap();
        let before = seen(&driver).await;
        assert_eq!(before.edited, []);
        let config = state.join("workloads/prod.web/config");
        let edit = |name: &str| std::fs::write(config.join(name), "mine").unwrap();
        let read = |name: &str| std::fs::read_to_string(config.join(name)).unwrap();

        edit("app.conf");
        let app = EditedFile { name: "app.conf".into(), reloadable: true };
        until("the edit is seen", 10, async || seen(&driver).await.edited == [app.clone()]).await;
        assert_eq!(driver.ensure_workload(&one, Generation(1)).await.unwrap(), Ensured::Reloaded);
        assert_eq!((read("app.conf").as_str(), read("fixed.conf").as_str()), ("one", "two"));
        until("it is told", 5, async || written(&state, "told") == "told\n").await;
        until("nothing is edited", 10, async || seen(&driver).await.edited.is_empty()).await;
        assert_eq!(seen(&driver).await.pid, before.pid);

        edit("fixed.conf");
        assert_eq!(driver.ensure_workload(&one, Generation(1)).await.unwrap(), Ensured::Restarted);
        assert_eq!(read("fixed.conf"), "two");

        edit("fixed.conf");
        let pid = seen(&driver).await.pid.unwrap();
        murder(pid);
        until("it is started again", 10, async || seen(&driver).await.pid.is_some_and(|now| now != pid)).await;
        assert_eq!(read("fixed.conf"), "two", "a start writes its files");
    })
    .await;
}
