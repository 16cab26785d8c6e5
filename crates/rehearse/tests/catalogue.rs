//! Faults on real processes, connections and file systems, and their end: in time, by hand, and by the
//! watchdog when the rig is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use springtide_rehearse::faults::{Journal, Victim, clock, disk, process};
use tempfile::TempDir;

/// A process that counts as fast as it can, and is killed at the end of a test.
struct Worker(Child);

impl Worker {
    fn start() -> Worker {
        let mut command = Command::new("sh");
        Worker(command.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap())
    }

    fn victim(&self) -> Victim {
        Victim::of(self.0.id() as i32).unwrap()
    }

    /// Processor time so far, in ticks.
    fn ticks(&self) -> u64 {
        let stat = procfs::process::Process::new(self.0.id() as i32).unwrap().stat().unwrap();
        stat.utime + stat.stime
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn journal(folder: &TempDir) -> Journal {
    Journal::open(folder.path().join("undo")).unwrap()
}

fn within(seconds: f64, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed().as_secs_f64() < seconds, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_frozen_process_goes_on_when_its_time_is_over() {
    let (folder, worker, other) = (TempDir::new().unwrap(), Worker::start(), Worker::start());
    let journal = journal(&folder);
    let active = process::freeze(&journal, &[worker.victim()], Duration::from_millis(600)).unwrap();
    within(1.0, "stopped", || worker.victim().frozen());
    assert!(!other.victim().frozen(), "only the one that was named");
    assert_eq!(journal.records().0.len(), 1);
    let refused = process::freeze(&journal, &[other.victim(), worker.victim()], Duration::from_secs(1)).unwrap_err();
    assert!(refused.to_string().contains("stopped already"), "{refused}");
    assert!(!other.victim().frozen(), "refused before anybody was stopped");
    active.last().await.unwrap();
    within(1.0, "goes on", || !worker.victim().frozen());
    assert!(journal.records().0.is_empty());
}

#[test]
fn a_dropped_fault_is_undone_and_undoing_twice_does_no_harm() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let journal = journal(&folder);
    drop(process::freeze(&journal, &[worker.victim()], Duration::from_secs(60)).unwrap());
    assert!(!worker.victim().frozen());
    // Left in place on purpose, as by a rig that is gone.
    std::mem::forget(process::freeze(&journal, &[worker.victim()], Duration::from_secs(60)).unwrap());
    within(1.0, "stopped", || worker.victim().frozen());
    let undone = journal.undo_all();
    assert_eq!((undone.faults.len(), undone.failed.len()), (1, 0));
    within(1.0, "goes on", || !worker.victim().frozen());
    assert!(journal.undo_all().faults.is_empty());
    // A record that nobody can read is said and kept, never taken for nothing.
    std::fs::write(journal.folder().join("torn.json"), "{\"fault\":").unwrap();
    assert_eq!(journal.undo_all().failed.len(), 1);
    assert!(journal.folder().join("torn.json").exists());
}

#[test]
fn a_pid_that_was_given_out_again_is_not_touched() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let journal = journal(&folder);
    let stale = Victim { start_time: worker.victim().start_time - 1, ..worker.victim() };
    assert_eq!(Victim::believe(stale.pid, stale.start_time).unwrap_err().code(), "E0970");
    assert!(process::kill(std::slice::from_ref(&stale)).unwrap().is_empty());
    assert!(process::freeze(&journal, &[stale], Duration::from_secs(1)).is_err());
    assert!(worker.victim().alive() && !worker.victim().frozen());
    // The control: with the right start time it is killed.
    assert_eq!(process::kill(&[worker.victim()]).unwrap().len(), 1);
    within(1.0, "killed", || Victim::of(worker.0.id() as i32).is_err());
}

#[test]
fn a_slow_process_gets_a_part_of_the_processor() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let journal = journal(&folder);
    assert!(process::slow(&journal, &[worker.victim()], 100, Duration::from_secs(1)).is_err());
    let slow = process::slow(&journal, &[worker.victim()], 10, Duration::from_secs(60)).unwrap();
    // Of two seconds at most a tenth can be used, and some for coarse turns; this holds on a busy machine too.
    let (before, begun) = (worker.ticks(), Instant::now());
    let mut stopped = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        stopped += usize::from(worker.victim().frozen());
        std::thread::sleep(Duration::from_millis(7));
    }
    let used = worker.ticks() - before;
    let most = begun.elapsed().as_millis() as u64 / 10 * 30 / 100;
    assert!(stopped > 20, "seen stopped {stopped} times");
    assert!(used <= most, "{used} ticks of at most {most}");
    slow.end().unwrap();
    assert!(!worker.victim().frozen());
    // The control: afterwards it is not stopped any more.
    for _ in 0..50 {
        assert!(!worker.victim().frozen());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn undoing_ends_the_turns_of_a_slow_process() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let journal = journal(&folder);
    let slow = process::slow(&journal, &[worker.victim()], 50, Duration::from_secs(60)).unwrap();
    within(2.0, "stopped", || worker.victim().frozen());
    // As `rig undo` does from another process: the thread that takes turns must see it.
    assert_eq!(journal.undo_all().faults.len(), 1);
    std::thread::sleep(Duration::from_millis(150));
    for _ in 0..60 {
        assert!(!worker.victim().frozen());
        std::thread::sleep(Duration::from_millis(5));
    }
    slow.end().unwrap();
}

#[tokio::test]
async fn processes_are_killed_at_random_and_counted() {
    let workers: Vec<Worker> = (0..4).map(|_| Worker::start()).collect();
    let all: Vec<Victim> = workers.iter().map(Worker::victim).collect();
    let who = async || all.iter().filter(|victim| victim.alive()).cloned().collect::<Vec<_>>();
    let stop = tokio::time::sleep(Duration::from_millis(900));
    let killed = process::kill_at_random(who, Duration::from_millis(200), 7, stop).await.unwrap();
    assert!((2..=4).contains(&killed.len()), "{killed:?}");
    let dead: Vec<&Victim> = all.iter().filter(|victim| !victim.alive()).collect();
    assert_eq!(dead.len(), killed.len(), "all that died was said");
}

#[tokio::test]
async fn killing_goes_on_with_what_is_put_in_the_place_of_the_dead() {
    // A role without processes below it, which somebody starts anew each time.
    let now = std::sync::Mutex::new(Worker::start());
    let who = async || {
        let mut worker = now.lock().unwrap();
        if worker.0.try_wait().unwrap().is_some() {
            *worker = Worker::start();
        }
        worker.victim().workers()
    };
    let stop = tokio::time::sleep(Duration::from_millis(1500));
    let killed = process::kill_at_random(who, Duration::from_millis(200), 7, stop).await.unwrap();
    assert!(killed.len() >= 3, "{killed:?}");
    let mut pids: Vec<i32> = killed.iter().map(|victim| victim.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), killed.len(), "each was another process");
}

#[test]
fn the_event_server_is_no_worker() {
    // A master with two workers, one of which has a helper, and an event server, told by its words as Odoo's is.
    let script = "sh -c 'sleep 60; :' & sleep 60 & sh -c 'sleep 60; :' odoo gevent & wait";
    let master = Worker(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap());
    let victim = master.victim();
    within(5.0, "all run", || victim.tree().len() == 6);
    let workers = victim.workers();
    let words = |victim: &Victim| procfs::process::Process::new(victim.pid).unwrap().cmdline().unwrap().join(" ");
    let mut seen: Vec<String> = workers.iter().map(words).collect();
    seen.sort();
    assert_eq!(seen, ["sh -c sleep 60; :", "sleep 60"]);
    // One that has only an event server below it is taken itself, as one with nothing below it.
    for worker in &workers {
        process::kill(&worker.tree()).unwrap();
    }
    within(5.0, "they are gone", || victim.tree().len() == 3);
    assert_eq!(victim.workers(), std::slice::from_ref(&victim));
    process::kill(&victim.tree()).unwrap();
    within(5.0, "nothing is left to kill", || victim.workers().is_empty());
}

#[test]
fn only_a_file_system_of_the_rig_is_filled() {
    let folder = TempDir::new().unwrap();
    let journal = journal(&folder);
    let small = folder.path().join("small");
    // A folder of the real disk, also with the mark on it.
    std::fs::create_dir(&small).unwrap();
    std::fs::write(small.join(".springtide-quota"), "").unwrap();
    assert_eq!(disk::fill(&journal, &small, Duration::from_secs(60)).unwrap_err().code(), "E0971");
    assert!(disk::quota(&journal, &small, 8 << 20, Duration::from_secs(60)).is_err(), "in use");
    std::fs::remove_file(small.join(".springtide-quota")).unwrap();
    assert!(disk::fill(&journal, Path::new("/dev/shm"), Duration::from_secs(60)).is_err());

    let quota = disk::quota(&journal, &small, 8 << 20, Duration::from_secs(60)).unwrap();
    std::fs::write(small.join("before"), vec![1; 4096]).unwrap();
    let full = disk::fill(&journal, &small, Duration::from_secs(60)).unwrap();
    let why = std::fs::write(small.join("more"), vec![1; 8192]).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::StorageFull);
    full.end().unwrap();
    std::fs::write(small.join("more"), vec![1; 8192]).unwrap();
    assert_eq!(std::fs::read(small.join("before")).unwrap().len(), 4096, "what was there is untouched");
    quota.end().unwrap();
    assert!(!small.exists());
    assert!(journal.records().0.is_empty());
}

#[test]
fn a_shift_of_the_clock_ends_by_itself() {
    let folder = TempDir::new().unwrap();
    let (journal, file) = (journal(&folder), folder.path().join("shift"));
    assert_eq!(clock::offset(&file), 0);
    assert!(clock::shift(&journal, &file, i64::MIN, Duration::from_secs(1)).is_err());
    let active = clock::shift(&journal, &file, -86_400, Duration::from_secs(60)).unwrap();
    assert_eq!(clock::offset(&file), -86_400);
    active.end().unwrap();
    assert_eq!((clock::offset(&file), file.exists()), (0, false));
    std::mem::forget(clock::shift(&journal, &file, 3600, Duration::from_millis(200)).unwrap());
    assert_eq!(clock::offset(&file), 3600);
    within(2.0, "over by itself", || clock::offset(&file) == 0);
    assert!(file.exists());
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(clock::offset(&file), 0);
}

/// A rig in a process of its own, which is killed at the end of a test.
struct Rig(Child);

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rig with a fault in place, and its watchdog's pid.
fn hold(folder: &Path, fault: &str, seconds: u64, what: &str) -> (Rig, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rig-shim"));
    command.arg("hold").arg(folder).args([fault, &seconds.to_string(), what]).stdout(Stdio::piped());
    let mut rig = Rig(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(rig.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let dog = line.trim().strip_prefix("in place ").unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
    (rig, dog)
}

/// Kills a rig as `kill -9` does and gives back how long its watchdog took until `undone`.
fn kill_rig(rig: Rig, dog: i32, undone: impl FnMut() -> bool) {
    drop(rig);
    let took = within(2.0, "undone by the watchdog", undone);
    println!("undone {} ms after the rig was killed", took.as_millis());
    within(3.0, "the watchdog ends", || Victim::of(dog).is_err());
}

#[test]
fn when_the_rig_is_killed_its_watchdog_lets_processes_go_on() {
    for fault in ["freeze", "slow"] {
        let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
        let undo = folder.path().join("undo");
        let (rig, dog) = hold(&undo, fault, 300, &worker.0.id().to_string());
        within(2.0, "stopped", || worker.victim().frozen());
        // The control: while the rig lives, its fault stays.
        std::thread::sleep(Duration::from_millis(700));
        within(1.0, "stopped", || worker.victim().frozen());
        kill_rig(rig, dog, || std::fs::read_dir(&undo).unwrap().count() == 0);
        assert!(!worker.victim().frozen());
    }
}

#[test]
fn without_a_watchdog_a_killed_rig_leaves_its_fault_and_undo_takes_it_out() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let undo = folder.path().join("undo");
    let (rig, dog) = hold(&undo, "freeze", 300, &worker.0.id().to_string());
    assert_eq!(process::kill(&[Victim::of(dog).unwrap()]).unwrap().len(), 1);
    drop(rig);
    std::thread::sleep(Duration::from_millis(700));
    assert!(worker.victim().frozen(), "the control: nobody is there to undo it");
    assert_eq!(Journal::open(&undo).unwrap().undo_all().faults.len(), 1);
    within(1.0, "goes on", || !worker.victim().frozen());
}

#[test]
fn a_rig_that_is_late_is_helped_by_its_watchdog() {
    let (folder, worker) = (TempDir::new().unwrap(), Worker::start());
    let undo = folder.path().join("undo");
    // The shim sleeps on beyond the three seconds that its fault has.
    let (rig, dog) = hold(&undo, "freeze", 3, &worker.0.id().to_string());
    within(2.0, "stopped", || worker.victim().frozen());
    within(8.0, "goes on", || !worker.victim().frozen());
    within(2.0, "its record goes", || std::fs::read_dir(&undo).unwrap().count() == 0);
    assert!(Victim::of(dog).is_ok(), "it watches as long as the rig lives");
    drop(rig);
    within(3.0, "the watchdog ends", || Victim::of(dog).is_err());
}

/// Serves every connection by sending back what came.
fn echo(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
}

fn answers(path: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(path) else { return false };
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut back = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"ping"
}

#[test]
fn when_the_rig_is_killed_its_watchdog_puts_a_socket_back() {
    let folder = TempDir::new().unwrap();
    let socket: PathBuf = folder.path().join("server.sock");
    echo(&socket);
    assert!(answers(&socket));
    let (rig, dog) = hold(&folder.path().join("undo"), "blackhole", 300, socket.to_str().unwrap());
    assert!(!answers(&socket), "the control: nothing passes while the rig lives");
    kill_rig(rig, dog, || answers(&socket));
    assert!(!socket.with_extension("sock.aside").exists());
}

#[test]
fn when_the_rig_is_killed_its_watchdog_frees_the_disk_and_the_clock() {
    let folder = TempDir::new().unwrap();
    let small = folder.path().join("small");
    let (rig, dog) = hold(&folder.path().join("undo"), "fill-disk", 300, small.to_str().unwrap());
    assert_eq!(std::fs::write(small.join("x"), [1; 8192]).unwrap_err().kind(), ErrorKind::StorageFull);
    kill_rig(rig, dog, || !small.exists());
    let shift = folder.path().join("shift");
    let (rig, dog) = hold(&folder.path().join("undo"), "clock", 300, shift.to_str().unwrap());
    assert_eq!(clock::offset(&shift), 3600);
    kill_rig(rig, dog, || clock::offset(&shift) == 0 && !shift.exists());
}
