//! What PostgreSQL needs to hand its write-ahead log over: pgBackRest's configuration, where its folders are
//! seen, and the settings that a reload takes over.
//!
//! Every environment has all of it, also one without backups: whatever takes a restart (`archive_mode`, the
//! list of files, the volumes) is there from the first minute, so that switching backups on is a reload.

use serde::Serialize;

use super::{file, mount, secret, volume_path};
use crate::backup::conf::{
    ARCHIVE_TIMEOUT_SECONDS, CONF_FILE, Conf, Part, Place as RepoPlace, Repo, RepoKey, WORK_AT, archive_command,
};
use crate::check::CheckedBackup;
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::place::Place;
use crate::role::Role;
use crate::sizing::SizedEnvironment;
use crate::workload::{FilePart, FileSpec, FileWord, FolderMount, Piece, SecretName, Text, Volume, VolumeMount};

/// Write-ahead log that may wait to be archived, in units of `max_wal_size`. More is given up rather than
/// let a disk run full and the server stop.
const QUEUE: u64 = 4;
/// Most processes that compress and send at once: Odoo's work comes first.
const MOST_PROCESSES: u32 = 4;
/// Name below a place of what pgBackRest keeps there.
pub const REPOSITORY: &str = "pg";

/// Where a server's write-ahead log goes.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ArchiveInputs<'a> {
    near: &'a Place,
    far: Option<&'a Place>,
}

impl<'a> ArchiveInputs<'a> {
    pub fn of(backup: &'a CheckedBackup) -> Self {
        Self { near: &backup.near, far: backup.far.as_ref() }
    }

    fn places(self) -> impl Iterator<Item = (RepoKey, &'a Place)> {
        [(RepoKey::Near, Some(self.near)), (RepoKey::Far, self.far)]
            .into_iter()
            .filter_map(|(key, place)| Some((key, place?)))
    }
}

/// All that pgBackRest is told of an environment that is backed up, with its secrets named and not shown;
/// none if it has no backups. The server's own writes no log files, which would grow for ever.
pub fn conf(sized: &SizedEnvironment<'_>, log_files: bool) -> Option<Conf<Piece>> {
    let inputs = ArchiveInputs::of(sized.environment.backup.as_ref()?);
    let name = &sized.environment.name;
    Some(of(name, sized.slot, sized.cpus, sized.settings.max_wal_size, inputs, log_files))
}

fn of(
    name: &EnvironmentName,
    slot: Slot,
    cpus: u32,
    max_wal_size: u64,
    inputs: ArchiveInputs<'_>,
    log_files: bool,
) -> Conf<Piece> {
    let repos = inputs.places().map(|(key, place)| {
        let place = match place {
            Place::Own | Place::Folder(_) => RepoPlace::Folder,
            Place::Bucket { store, prefix } => {
                let word = |part| Piece::File(FilePart { path: store.credentials.clone(), part });
                RepoPlace::S3 {
                    host: store.host.to_string(),
                    port: store.port,
                    region: store.region.clone(),
                    bucket: store.name.to_string(),
                    prefix: format!("/{prefix}/{REPOSITORY}"),
                    own_authority: store.authority.is_some(),
                    access_key: word(FileWord::AccessKey),
                    secret_key: word(FileWord::SecretKey),
                }
            }
        };
        Repo { key, place, passphrase: Piece::Secret(secret(name, SecretName::BackupCipher)) }
    });
    Conf {
        environment: name.clone(),
        repos: repos.collect(),
        port: super::port(slot, Role::Postgres),
        processes: cpus.clamp(1, MOST_PROCESSES),
        queue_bytes: max_wal_size.saturating_mul(QUEUE),
        log_files,
    }
}

/// The text of a configuration.
///
/// # Panics
/// If it is not one of [`conf`]: check lets no control character and no empty word through.
pub fn text(conf: &Conf<Piece>) -> Text {
    let mut text = Text(Vec::new());
    for part in conf.render().expect("check lets no control character and no empty word through") {
        match part {
            Part::Plain(plain) => text.push(&plain),
            Part::Secret(piece) => text.0.push(piece.clone()),
        }
    }
    text
}

/// The authority of the store at `place`, and nothing but a remark where there is none.
pub fn authority(place: Option<&Place>) -> Text {
    match place.and_then(Place::store).and_then(|store| store.authority.as_deref()) {
        Some(path) => {
            let mut text = Text(Vec::new());
            text.push_file(path, FileWord::Certificates);
            text
        }
        None => Text::plain("# no store with an authority of its own\n"),
    }
}

/// The server's files for it.
pub(super) fn files(
    name: &EnvironmentName,
    slot: Slot,
    cpus: u32,
    max_wal_size: u64,
    inputs: Option<ArchiveInputs<'_>>,
) -> [FileSpec; 3] {
    let conf = match inputs {
        Some(inputs) => text(&of(name, slot, cpus, max_wal_size, inputs, false)),
        None => Text::plain("# written by springtide: this environment has no backups\n"),
    };
    [
        file(CONF_FILE, conf, true),
        file(RepoKey::Near.authority_file(), authority(inputs.map(|it| it.near)), true),
        file(RepoKey::Far.authority_file(), authority(inputs.and_then(|it| it.far)), true),
    ]
}

/// The server's volumes for it. The near one is there for whoever has none too, or a first backup would be a
/// restart; only where a folder of the machine takes its place it is not.
pub(super) fn volumes(inputs: Option<ArchiveInputs<'_>>) -> Vec<VolumeMount> {
    let mut volumes = vec![VolumeMount { volume: Volume::BackupSpool, at: WORK_AT.to_owned(), read_only: false }];
    if !matches!(inputs.map(|it| it.near), Some(Place::Folder(_))) {
        debug_assert_eq!(volume_path(Volume::BackupNear), RepoKey::Near.folder_at());
        volumes.push(mount(Volume::BackupNear, false));
    }
    volumes
}

/// Folders of the machine that are places of an environment's backups.
pub(super) fn folders(inputs: Option<ArchiveInputs<'_>>) -> Vec<FolderMount> {
    let folder = |(key, place): (RepoKey, &Place)| match place {
        Place::Folder(path) => {
            let (base, name) = path.rsplit_once('/')?;
            Some(FolderMount {
                base: base.to_owned(),
                inside: format!("{name}/{REPOSITORY}"),
                at: key.folder_at().to_owned(),
            })
        }
        Place::Own | Place::Bucket { .. } => None,
    };
    inputs.into_iter().flat_map(ArchiveInputs::places).filter_map(folder).collect()
}

/// Whether a server can go from one of these to the other by a reload, as far as its archiving goes: what is
/// mounted takes a restart.
pub(crate) fn is_reload(one: &SizedEnvironment<'_>, other: &SizedEnvironment<'_>) -> bool {
    let mounts = |sized: &SizedEnvironment<'_>| {
        let inputs = sized.environment.backup.as_ref().map(ArchiveInputs::of);
        (volumes(inputs), folders(inputs))
    };
    mounts(one) == mounts(other)
}

/// Settings that a reload takes over.
pub(super) fn settings(name: &EnvironmentName, inputs: Option<ArchiveInputs<'_>>) -> String {
    match inputs {
        Some(_) => {
            format!("archive_command = '{}'\narchive_timeout = {ARCHIVE_TIMEOUT_SECONDS}s\n", archive_command(name))
        }
        None => "# This environment has no backups: a finished segment is let go and kept nowhere.\n\
                 archive_command = '/bin/true'\n\
                 archive_timeout = 0\n"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckedEstate, parse_and_check};
    use crate::observe::HostFacts;
    use crate::roles::{digest, workload};
    use crate::sizing::size;
    use crate::workload::WorkloadSpec;

    const STORES: &str = "stores:\n\
        - { name: acme-near, endpoint: \"https://s3.near.example:9000\", authority: /etc/ca.pem, credentials: /etc/near }\n\
        - { name: acme-far, endpoint: \"https://s3.far.example\", region: eu-1, credentials: /etc/far }\n";

    fn estate(backup: &str) -> CheckedEstate {
        let text = format!("estate: a\n{STORES}environments: [{{ name: shop, {backup} }}]\n");
        parse_and_check("estate.yaml", &text).unwrap_or_else(|report| panic!("{report}"))
    }

    fn spec(backup: &str) -> WorkloadSpec {
        let host = HostFacts { cpus: 2, memory_bytes: 8 << 30, ..HostFacts::default() };
        let estate = estate(backup);
        let sized = size(&estate.environments[0], &[], Slot(3), &host, 1, 0, 0);
        let spec = workload(&sized, Role::Postgres);
        assert_eq!(spec.digest(), digest(&sized, Role::Postgres));
        spec
    }

    /// A file's text; what is put in later is shown in angle brackets.
    fn shown(spec: &WorkloadSpec, name: &str) -> String {
        let file = spec.files.iter().find(|file| file.name == name).unwrap();
        assert!(file.reloadable || name == "postgresql.conf");
        let piece = |piece: &Piece| match piece {
            Piece::Plain(text) => text.clone(),
            Piece::Secret(secret) => format!("<{secret}>"),
            Piece::File(FilePart { path, part }) => format!("<{path} {part:?}>"),
        };
        file.content.0.iter().map(piece).collect()
    }

    #[test]
    fn switching_backups_on_or_moving_them_to_a_store_is_a_reload() {
        let off = spec("stage: dev");
        for backup in ["backup: {}", "backup: { far: s3://acme-far/x }", "backup: { near: s3://acme-near }"] {
            let on = spec(backup);
            let blank = |spec: &WorkloadSpec| {
                let mut spec = WorkloadSpec { made_from: None, ..spec.clone() };
                spec.files.iter_mut().filter(|file| file.reloadable).for_each(|file| file.content = Text::plain(""));
                spec
            };
            assert_eq!(blank(&off), blank(&on), "{backup}");
            assert_ne!(off.digest(), on.digest(), "{backup}");
        }
        // The control: a folder of the machine has to be mounted, which takes a restart.
        assert_ne!(off.folders, spec("backup: { far: \"file:///mnt/far\" }").folders);
    }

    #[test]
    fn what_is_archived_goes_where_the_file_says() {
        let off = spec("stage: dev");
        assert!(shown(&off, "postgresql.conf").contains("archive_mode = on\n"));
        assert!(shown(&off, "tuning.conf").contains("archive_command = '/bin/true'\narchive_timeout = 0\n"));
        assert!(!shown(&off, CONF_FILE).contains("[global]"));

        let near = spec("backup: {}");
        let tuning = shown(&near, "tuning.conf");
        assert!(tuning.contains("--stanza=shop archive-push %p'\narchive_timeout = 60s\n"), "{tuning}");
        let conf = shown(&near, CONF_FILE);
        assert!(conf.contains("repo1-path=/srv/springtide/backup-near\n"), "{conf}");
        assert!(conf.contains("repo1-cipher-pass=<shop/backup-cipher>\n"), "{conf}");
        assert!(!conf.contains("repo2") && conf.contains("log-level-file=off\n"), "{conf}");

        let both = spec("backup: { near: s3://acme-near/a/b, far: s3://acme-far }");
        let conf = shown(&both, CONF_FILE);
        for line in [
            "repo1-path=/a/b/shop/pg",
            "repo1-s3-endpoint=s3.near.example",
            "repo1-storage-port=9000",
            "repo1-storage-ca-file=/srv/springtide/config/backup-near-ca.pem",
            "repo1-s3-key=</etc/near AccessKey>",
            "repo1-s3-key-secret=</etc/near SecretKey>",
            "repo2-path=/shop/pg",
            "repo2-s3-bucket=acme-far",
            "repo2-s3-region=eu-1",
            "repo2-storage-port=443",
            "repo2-s3-key=</etc/far AccessKey>",
        ] {
            assert!(conf.contains(&format!("{line}\n")), "{line} is not in\n{conf}");
        }
        assert!(!conf.contains("repo2-storage-ca-file"), "{conf}");
        assert_eq!(shown(&both, "backup-near-ca.pem"), "</etc/ca.pem Certificates>");

        let folders = spec("backup: { near: \"file:///mnt/a\", far: \"file:///mnt/b/c\" }");
        let told: Vec<_> = folders.folders.iter().map(|it| (&*it.base, &*it.inside, &*it.at)).collect();
        assert_eq!(
            told,
            [
                ("/mnt/a", "shop/pg", "/srv/springtide/backup-near"),
                ("/mnt/b/c", "shop/pg", "/srv/springtide/backup-far")
            ]
        );
        assert!(!folders.volumes.iter().any(|it| it.volume == Volume::BackupNear), "one thing at one place");
    }

    #[test]
    fn what_does_not_reach_the_server_changes_nothing_of_it() {
        let one = spec("backup: { far: s3://acme-far }");
        let more =
            "backup: { far: s3://acme-far, recovery_window: 30d, full: 1d, restore_test: weekly, bandwidth: 1MiB }";
        assert_eq!(one.digest(), spec(more).digest());
        assert_ne!(one.digest(), spec("backup: { far: s3://acme-far/x }").digest());
    }
}
