//! `scripts/up`: what it does around the binary, which a stand-in plays here.

#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Writes down how it is called. A server runs while the file `held` is there; `serve` makes it, names a process
/// that sleeps, and waits for its end.
const BINARY: &str = r#"#!/usr/bin/env bash
cd "$(dirname "$0")/../.."
echo "$*" >>called
case " $* " in
*" check "*) echo '{"environments":[{"series":"19.0"}]}' ;;
*--dry-run*) [[ ! -e held ]] || { echo "error E0920: a server runs already:$(<held), since 1" >&2 && exit 5; } ;;
*" apply "*) ;;
*" serve "*)
  echo "the server says this"
  (trap 'rm -f held state/server.json; exit' TERM
   echo " pid $BASHPID" >held
   echo "{\"pid\":$BASHPID}" >state/server.json
   for _ in {1..300}; do sleep 0.1; done)
  ;;
*" open "*) [[ -e state/server.json ]] && echo "http://127.0.0.1:7979/login?code=x" ;;
esac
"#;

struct Rig(TempDir);

impl Rig {
    fn new() -> Self {
        let rig = Self(tempfile::tempdir().unwrap());
        for folder in ["scripts", "target/release", "state"] {
            std::fs::create_dir_all(rig.path(folder)).unwrap();
        }
        let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/up");
        std::fs::copy(up, rig.path("scripts/up")).unwrap();
        rig.program(
            "scripts/setup",
            "#!/usr/bin/env bash\ncd \"$(dirname \"$0\")/..\" && echo \"setup $*\" >>called\n",
        );
        rig.program("target/release/springtide", BINARY);
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn up(&self) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", "umask 022; exec scripts/up"]).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SPRINGTIDE_STATE", self.path("state")).output().unwrap()
    }

    /// Verbs it was called with, in order, without questions.
    fn acts(&self) -> Vec<&'static str> {
        let called = std::fs::read_to_string(self.path("called")).unwrap_or_default();
        let act = |line: &str| match line {
            _ if line.starts_with("setup ") => Some("setup"),
            _ if line.contains("--dry-run") => None,
            _ if line.contains(" apply ") => Some("apply"),
            _ if line.contains(" serve ") => Some("serve"),
            _ => None,
        };
        called.lines().filter_map(act).collect()
    }

    fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.path("state/server.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["pid"].as_i64().unwrap() as i32
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.path("state/server.json").exists() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM);
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_ends_with_a_server_and_its_address_and_a_second_time_makes_room_for_another() {
    let rig = Rig::new();
    let first = rig.up();
    assert!(first.status.success(), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stdout).contains("/login?code="), "{first:?}");
    assert_eq!(rig.acts(), ["setup", "apply", "serve"]);
    let log = rig.path("state/server.log");
    assert_eq!(mode(&log), 0o600, "whatever the caller's mask is");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "the server says this\n");
    let before = rig.pid();
    // One that an earlier script made.
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).unwrap();
    let second = rig.up();
    assert!(second.status.success(), "{second:?}");
    assert_ne!(rig.pid(), before);
    assert_eq!(mode(&log), 0o600);
    assert_eq!(rig.acts(), ["setup", "apply", "serve", "setup", "apply", "serve"]);
}

#[test]
fn a_server_that_has_just_taken_its_lock_is_ended_by_its_own_pid() {
    let rig = Rig::new();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(rig.path("held"), format!(" pid {}", child.id())).unwrap();
    // Where it listens is not written down yet.
    let held = rig.path("held");
    let ends = std::thread::spawn(move || {
        let ended = child.wait().unwrap();
        std::fs::remove_file(held).unwrap();
        ended
    });
    let said = rig.up();
    assert!(said.status.success(), "{said:?}");
    assert!(!ends.join().unwrap().success(), "it was told to end");
}

#[test]
fn a_server_that_cannot_be_told_from_others_is_left_and_named() {
    let rig = Rig::new();
    std::fs::write(rig.path("held"), "").unwrap();
    let said = rig.up();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(error.contains("does not say its pid; end it, then try again"), "{error}");
    assert_eq!(rig.acts(), ["setup"], "nothing is applied beside it");
}
