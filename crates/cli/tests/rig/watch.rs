//! What processes show to whoever may read `/proc`: their command lines and their environments. Some live
//! for milliseconds, so a thread looks again and again while something happens.
//!
//! Nothing is left out: processes of others are looked at as well, since a secret is nobody's to show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A process changes what it shows in its first moments: it forks, starts its program, names itself.
const LOOKS: u8 = 50;
const PAUSE: Duration = Duration::from_millis(15);

/// A look that goes on until it is ended.
pub struct Watch {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeSet<String>>>,
}

impl Watch {
    pub fn begin() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let thread = std::thread::spawn(move || {
            let (mut seen, mut looks) = (BTreeSet::new(), BTreeMap::<i32, u8>::new());
            while !end.load(Ordering::Relaxed) {
                let all = pids();
                looks.retain(|pid, _| all.contains(pid));
                for pid in all {
                    let looked = looks.entry(pid).or_default();
                    if *looked < LOOKS {
                        *looked += 1;
                        seen.extend(shown(pid));
                    }
                }
                std::thread::sleep(PAUSE);
            }
            seen
        });
        Self { ended, thread: Some(thread) }
    }

    /// Every text that was seen since it began, and what is shown now.
    pub fn end(mut self) -> BTreeSet<String> {
        self.ended.store(true, Ordering::Relaxed);
        let mut seen = self.thread.take().expect("it ends once").join().expect("the thread ends");
        seen.extend(now());
        seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// What all processes show at this moment.
pub fn now() -> BTreeSet<String> {
    pids().into_iter().flat_map(shown).collect()
}

fn pids() -> BTreeSet<i32> {
    let all = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Command line and environment of a process, in words; nothing of one that is gone.
fn shown(pid: i32) -> impl Iterator<Item = String> {
    ["cmdline", "environ"]
        .into_iter()
        .filter_map(move |file| std::fs::read(format!("/proc/{pid}/{file}")).ok())
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
}
