//! A disk that is full: while a template is built, and while it is copied. The error says so, nothing
//! half stays, and with more room the next apply goes on.
//!
//! The state folder is a small file system of its own, in memory.

mod rig;

use std::path::{Path, PathBuf};
use std::process::Command;

use rig::odoo::Odoo;
use rig::{Rig, machine, templates};

/// A file system in memory; gone with this value.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path, megabytes: u64) -> Self {
        std::fs::create_dir_all(at).expect("a folder can be made");
        mount(&["-t", "tmpfs", "-o", &format!("mode=0711,size={megabytes}m"), "springtide-test"], at);
        Self(at.to_owned())
    }

    fn resize(&self, megabytes: u64) {
        mount(&["-o", &format!("remount,size={megabytes}m")], &self.0);
    }

    /// MiB that are used.
    fn used(&self) -> u64 {
        let out = machine::said("df", &["--output=used", "--block-size=1M", &self.0.to_string_lossy()]);
        out.lines().last().and_then(|line| line.trim().parse().ok()).expect("df tells a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap_or(&self.0));
    }
}

fn mount(words: &[&str], at: &Path) {
    let mounted = Command::new("mount").args(words).arg(at).status().expect("mount starts");
    assert!(mounted.success(), "mount {words:?} {}", at.display());
}

/// Applies on a disk that is too small; what it said.
fn too_small(rig: &Rig, step: &str) -> String {
    let (_, said) = rig.both(&["apply", "--yes"], 1);
    rig.say(format!("it said: {said}"));
    assert!(said.contains(&format!("cannot {step}")), "it failed elsewhere: {said}");
    assert!(said.contains("No space left on device"), "it does not say why: {said}");
    assert!(said.contains("next:"), "it does not say what next: {said}");
    machine::no_leftovers(rig);
    let outcome = rig.json(&["history", "--json"], 0)["operations"][0]["outcome"].clone();
    assert!(outcome.as_str().is_some_and(|text| text.starts_with("failed: ")), "{outcome}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_half() {
    let rig = Rig::new("disk", false);
    let disk = Disk::new(&rig.state(), 70);
    rig.declare(&["{ name: new, odoo: { series: \"19.0\", modules: [] } }"]);
    too_small(&rig, "build the template");
    assert_eq!(std::fs::read_dir(rig.state().join("estate/templates")).map_or(0, Iterator::count), 0);

    disk.resize(2048);
    templates::seed(&rig.state(), &rig.cache);
    if !rig.steps().iter().any(|step| step.title.starts_with("build the template")) {
        rig.say("using a template of an earlier test");
    } else {
        // Up to the copy, which has no room: the template alone.
        let mut applying =
            rig.spawn(&["apply", "--yes"], Some("new: build the template of Odoo 19.0 with 1 modules@effect"));
        let _ = applying.wait();
        templates::keep(&rig.state(), &rig.cache);
    }
    // Templates nobody asked for take room that the copy could use.
    disk.resize(disk.used() + 30);
    too_small(&rig, "copy template");
    assert!(!rig.volume("new", springtide_core::workload::Volume::PostgresData).exists(), "half a database stayed");

    disk.resize(2048);
    rig.apply();
    Odoo::new(&rig, "new").sign_in().await;
    machine::exact_database(&rig, "new").await;
    drop(rig);
    drop(disk);
}
