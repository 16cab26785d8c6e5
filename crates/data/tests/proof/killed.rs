//! A prover that is killed leaves nothing that the next one does not end and remove.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::layout::Slot;
use springtide_data::aside::{Aside, AsideError, AsideSpec, Serving};
use springtide_data::proof::{Place, PlaceError, leftovers, sweep};
use springtide_driver::{Driver as _, ProcessDriver};

use crate::rig::{DATABASE, G, Rig, copy};

/// Argument of the process that is killed.
pub const HOLD: &str = "hold-a-proof";

/// Takes a place, starts a server in it and waits to be killed.
pub async fn hold(state: PathBuf, whole: PathBuf, cache: PathBuf) {
    let driver = ProcessDriver::new(state, std::env::current_exe().unwrap(), cache);
    let place = Place::take(&driver, &"shop".parse().unwrap()).await.unwrap();
    copy(&whole.join("pgdata"), &place.data());
    copy(&whole.join("filestore"), &place.filestore());
    let spec = AsideSpec {
        word: "shop".into(),
        folder: place.work(),
        data: place.data(),
        filestore: place.filestore(),
        database: DATABASE.into(),
        series: "19.0".parse().unwrap(),
        user: Slot::ESTATE.installer(),
    };
    let aside = Aside::new(&driver, spec).await.unwrap();
    let serving = Serving { up_s: 60, deadline_s: 300, ..Serving::default() };
    let wait = |_| async {
        println!("up");
        tokio::time::sleep(Duration::from_secs(200)).await;
    };
    aside.serve(&driver, G, &serving, wait).await.unwrap();
}

/// Whether any process works in a folder.
fn somebody_in(folder: &Path) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok()).any(|cwd| cwd.starts_with(folder))
}

pub async fn killed(rig: &Rig<'_>, state: PathBuf) {
    let whole = rig.case("held");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([HOLD.as_ref(), state.as_os_str(), whole.folder.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line.trim(), "up");
    let environment = "shop".parse().unwrap();
    assert!(matches!(Place::take(rig.driver, &environment).await, Err(PlaceError::Taken(_))));
    assert!(leftovers(rig.driver).is_empty(), "it is somebody's");

    // What works on a data directory and was not begun aside is an environment's own, and is left alone.
    let data = rig.driver.estate_folder().join("proofs/shop/pgdata");
    let pid_file = data.join("postmaster.pid");
    let text = std::fs::read_to_string(&pid_file).unwrap();
    std::fs::write(&pid_file, text.replace("/srv/springtide/socket", "/srv/springtide/postgres-socket")).unwrap();
    let spec = AsideSpec { data, ..rig.spec("other", &whole.folder) };
    assert!(matches!(Aside::new(rig.driver, spec).await, Err(AsideError::Live(_))));
    std::fs::write(&pid_file, text).unwrap();

    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    assert_eq!(leftovers(rig.driver), ["shop"]);
    assert_eq!(sweep(rig.driver).await.unwrap(), ["shop"]);
    assert!(leftovers(rig.driver).is_empty());
    let place = Place::take(rig.driver, &environment).await.unwrap();
    assert!(!place.data().exists());
    // The keeper ends the server's task by itself; nothing works in the folder any more.
    let until = Instant::now() + Duration::from_secs(10);
    while somebody_in(place.data().parent().unwrap()) {
        assert!(Instant::now() < until, "something still runs there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    place.clear().await.unwrap();
    whole.gone();
}
