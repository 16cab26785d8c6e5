//! What the mirror of Odoo's filestore costs, beside its limits in the same run: hashing alone and the disk alone on
//! all cores, decrypting and hashing in memory, and `cp` with `sync` of the same files.
//!
//! `cargo bench -p springtide-data --bench filestore` prints a table; with `-- --json` one line of JSON. Files are
//! taken out of the page cache before each cold figure. Times are the best of three rounds: what else the machine does
//! only adds to them.

// A bench is read where it prints.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use age::x25519::Identity;
use object_store::local::LocalFileSystem;
use serde_json::json;
use springtide_core::workload::UserSpec;
use springtide_data::filestore::{
    FilesKey, Filestore, Limits, Mirror, PushOptions, Row, Sample, check, restore, sha1_of,
};

const FILES: usize = 2_000;
const ROUNDS: usize = 3;

struct Data {
    folder: tempfile::TempDir,
    rows: Vec<Row>,
    paths: Vec<PathBuf>,
    bytes: u64,
}

/// Sizes as attachments have them: many small, few large; 200 KB on average.
fn size_of(number: usize) -> usize {
    match number % 20 {
        0 => 2_000_000,
        1..=4 => 300_000,
        _ => 40_000 + number * 7,
    }
}

fn data() -> Data {
    // Beside the build, not in a temporary folder that may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = folder.path().join("data/filestore/shop");
    let (mut rows, mut paths, mut bytes) = (Vec::new(), Vec::new(), 0);
    for number in 0..FILES {
        let mut state = number as u64 + 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let content: Vec<u8> = (0..size_of(number).div_ceil(8)).flat_map(|_| next()).collect();
        let name = sha1_of(&content);
        let store_fname = format!("{}/{name}", &name.to_string()[..2]);
        let path = store.join(&store_fname);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &content).unwrap();
        bytes += content.len() as u64;
        rows.push(Row { store_fname, checksum: Some(name.to_string()), size: Some(content.len() as u64) });
        paths.push(path);
    }
    nix::unistd::sync();
    Data { folder, rows, paths, bytes }
}

/// Takes files out of the page cache.
fn forget(paths: &[PathBuf]) {
    for path in paths {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(&file, 0, 0, advice).unwrap();
    }
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => below(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Seconds of the quickest round.
fn best(mut before: impl FnMut(), mut work: impl FnMut()) -> f64 {
    let mut quickest = f64::MAX;
    for _ in 0..ROUNDS {
        before();
        let started = Instant::now();
        work();
        quickest = quickest.min(started.elapsed().as_secs_f64());
    }
    quickest
}

/// Does `work` for every number below `count` on all cores.
fn on_all_cores(count: usize, work: impl Fn(usize, &mut Vec<u8>) + Sync) {
    on_threads(cores(), count, work);
}

fn on_threads(threads: usize, count: usize, work: impl Fn(usize, &mut Vec<u8>) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    work(at, &mut buffer);
                }
            });
        }
    });
}

fn read_all(path: &Path, buffer: &mut [u8]) {
    let mut file = File::open(path).unwrap();
    while file.read(buffer).unwrap() > 0 {}
}

fn main() {
    let data = data();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let filestore = Filestore::open(&data.folder.path().join("data"), "shop").unwrap();
    let mib = data.bytes as f64 / f64::from(1 << 20);
    let cold = || forget(&data.paths);
    let nothing = || {};

    // Limits.
    let block = vec![7_u8; 256 << 10];
    let blocks = (data.bytes as usize).div_ceil(block.len());
    let hash = mib
        / best(nothing, || {
            on_all_cores(blocks, |_, _| {
                black_box(sha1_of(&block));
            })
        });
    // As many readers as the disk likes best.
    let read =
        |threads| mib / best(cold, || on_threads(threads, FILES, |at, buffer| read_all(&data.paths[at], buffer)));
    let disk = [1, 3, 8].map(|each| read(each * cores())).into_iter().fold(0.0, f64::max);
    let cache = mib / best(nothing, || on_all_cores(FILES, |at, buffer| read_all(&data.paths[at], buffer)));
    let whole: Vec<u8> = vec![7; 200_000];
    let identity = Identity::generate();
    let sealed = age::encrypt(&identity.to_public(), &whole).unwrap();
    let objects = data.bytes as usize / whole.len();
    let open = mib
        / best(nothing, || {
            on_all_cores(objects, |_, _| {
                let plain = age::decrypt(&identity, &sealed).unwrap();
                black_box(sha1_of(&plain));
            });
        });

    // Checking files against rows.
    let checked = || {
        let checked = runtime.block_on(check(&filestore, data.rows.clone(), cores())).unwrap();
        assert!(checked.good() && checked.good == FILES as u64);
    };
    let check_cold = mib / best(cold, checked);
    let check_warm = mib / best(nothing, checked);

    // Pushing, against the same bytes copied and synced.
    let copy = best(nothing, || {
        let to = data.folder.path().join("copy");
        let _ = fs::remove_dir_all(&to);
        let from = data.folder.path().join("data");
        assert!(Command::new("cp").arg("-a").arg(from).arg(&to).status().unwrap().success());
        assert!(Command::new("sync").arg("-f").arg(&to).status().unwrap().success());
    });
    let key = FilesKey::generate();
    let place = data.folder.path().join("near");
    let mirror = |fsync: bool| {
        for folder in [&place, &data.folder.path().join("local")] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir_all(folder).unwrap();
        }
        let store = LocalFileSystem::new_with_prefix(&place).unwrap().with_fsync(fsync);
        Mirror::new("near", Arc::new(store), key.clone(), data.folder.path().join("local"), Limits::default())
    };
    let pushed = |fsync: bool| {
        let mut quickest = f64::MAX;
        for _ in 0..ROUNDS {
            let mirror = mirror(fsync);
            let started = Instant::now();
            let pushed = runtime.block_on(mirror.push(&filestore, &PushOptions::default())).unwrap();
            assert_eq!(pushed.new, FILES as u64);
            quickest = quickest.min(started.elapsed().as_secs_f64());
        }
        quickest
    };
    let push_unsynced = pushed(false);
    let push = pushed(true);
    let mirror = Mirror::new(
        "near",
        Arc::new(LocalFileSystem::new_with_prefix(&place).unwrap().with_fsync(true)),
        key.clone(),
        data.folder.path().join("local"),
        Limits::default(),
    );
    let again = best(nothing, || {
        let pushed = runtime.block_on(mirror.push(&filestore, &PushOptions::continuous())).unwrap();
        assert_eq!(pushed.skipped, FILES as u64);
    });

    // Verifying the mirror, and restoring from it.
    let mut stored = Vec::new();
    below(&place, &mut stored);
    let verified = || {
        let verified = runtime.block_on(mirror.verify(&Sample::All)).unwrap();
        assert!(verified.good() && verified.good == FILES as u64);
    };
    let verify_cold = mib / best(|| forget(&stored), verified);
    let verify_warm = mib / best(nothing, verified);
    let into = data.folder.path().join("restored");
    let me = UserSpec { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
    let restored = best(
        || drop(fs::remove_dir_all(&into)),
        || {
            let restored = runtime.block_on(restore(data.rows.clone(), &into, me, &mirror, None)).unwrap();
            assert!(restored.whole() && restored.files == FILES as u64);
        },
    );

    let limit = |one: f64, other: f64| one.min(other);
    let figures = json!({
        "files": FILES, "mib": mib, "cores": cores(),
        "hash_mib_s": hash, "disk_mib_s": disk, "cache_mib_s": cache, "open_and_hash_mib_s": open,
        "check_cold_mib_s": check_cold, "check_warm_mib_s": check_warm,
        "check_cold_ratio": check_cold / limit(hash, disk), "check_warm_ratio": check_warm / limit(hash, cache),
        "verify_cold_mib_s": verify_cold, "verify_warm_mib_s": verify_warm,
        "verify_cold_ratio": verify_cold / limit(open, disk), "verify_warm_ratio": verify_warm / limit(open, cache),
        "copy_s": copy, "push_s": push, "push_unsynced_s": push_unsynced, "push_ratio": push / copy,
        "push_nothing_s": again, "restore_s": restored, "restore_ratio": restored / copy,
    });
    if std::env::args().any(|word| word == "--json") {
        println!("{figures}");
        return;
    }
    println!("{FILES} files, {mib:.0} MiB, {} cores", cores());
    println!(
        "limits: SHA-1 alone {hash:.0} MiB/s, disk alone {disk:.0}, page cache {cache:.0}, age and SHA-1 {open:.0}"
    );
    println!("check against rows   cold {check_cold:>6.0} MiB/s  {:.2} of its limit", check_cold / limit(hash, disk));
    println!("                     warm {check_warm:>6.0} MiB/s  {:.2}", check_warm / limit(hash, cache));
    println!("verify the mirror    cold {verify_cold:>6.0} MiB/s  {:.2}", verify_cold / limit(open, disk));
    println!("                     warm {verify_warm:>6.0} MiB/s  {:.2}", verify_warm / limit(open, cache));
    println!("cp and sync          {copy:>6.2} s");
    println!("push, synced         {push:>6.2} s  {:.2} of cp and sync ({push_unsynced:.2} s without)", push / copy);
    println!("push with nothing    {again:>6.3} s");
    println!("restore              {restored:>6.2} s  {:.2} of cp and sync", restored / copy);
}
