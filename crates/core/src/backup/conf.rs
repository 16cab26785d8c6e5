//! pgBackRest's configuration and PostgreSQL's archive settings, as text. Pure: what is said here is the
//! same for the server that archives and for every task that takes or restores a backup.
//!
//! Secrets stand in it as whatever the caller has for them ([`Conf`] is generic): references in a workload's
//! spec, values in a task's file. No value may hold a control character, so none can add an option.
//!
//! Nothing expires by itself (`expire-auto=n`): which set may go is decided in [`super::retention`].

use std::fmt;
use std::fmt::Write as _;

use crate::names::EnvironmentName;
use crate::workload::{CONFIG_PATH, SecretRef, Text, Volume};

/// Name of the configuration file below [`CONFIG_PATH`].
pub const CONF_FILE: &str = "pgbackrest.conf";
/// Where server and tasks see the folder with locks, spool and logs. Both must see the same one: the locks in
/// it keep two backups of one environment apart.
pub const WORK_AT: &str = "/srv/springtide/backup-work";
/// Where the server's data directory is seen, also one that is being restored.
pub const DATA_AT: &str = "/srv/springtide/postgres-data";
/// Where the folder of the server's socket is seen.
pub const SOCKET_AT: &str = "/srv/springtide/postgres-socket";
/// After so many seconds a segment that is not full is archived too: what an idle server may lose.
pub const ARCHIVE_TIMEOUT_SECONDS: u32 = 60;

/// A repository's number in pgBackRest: the near one is 1, the far one 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKey {
    /// On the same site.
    Near,
    /// Elsewhere.
    Far,
}

impl RepoKey {
    /// Both, the near one first.
    pub const ALL: [RepoKey; 2] = [RepoKey::Near, RepoKey::Far];

    /// 1 or 2.
    pub const fn number(self) -> u8 {
        match self {
            RepoKey::Near => 1,
            RepoKey::Far => 2,
        }
    }

    /// The key of a number.
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|key| u64::from(key.number()) == number)
    }

    /// Where the repository's folder is seen, if it is one.
    pub const fn folder_at(self) -> &'static str {
        match self {
            RepoKey::Near => "/srv/springtide/backup-near",
            RepoKey::Far => "/srv/springtide/backup-far",
        }
    }

    /// Name of the file with its certificate authority below [`CONFIG_PATH`].
    pub const fn authority_file(self) -> &'static str {
        match self {
            RepoKey::Near => "backup-near-ca.pem",
            RepoKey::Far => "backup-far-ca.pem",
        }
    }
}

impl fmt::Display for RepoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RepoKey::Near => "near",
            RepoKey::Far => "far",
        })
    }
}

/// Where a repository is. Has no `Debug`: it may hold secrets.
#[derive(Clone)]
pub enum Place<S> {
    /// A folder of this machine, seen at [`RepoKey::folder_at`].
    Folder,
    /// A bucket behind S3's protocol over TLS, addressed by path.
    S3 {
        /// Host name of the server.
        host: String,
        /// Its port.
        port: u16,
        /// Region that requests are signed for.
        region: String,
        /// Bucket.
        bucket: String,
        /// Where the repository begins in it, such as `/pg`; with a leading slash.
        prefix: String,
        /// Whether [`RepoKey::authority_file`] holds the authority to trust; else the machine's are trusted.
        own_authority: bool,
        /// Name of the access key.
        access_key: S,
        /// The access key itself.
        secret_key: S,
    },
}

/// One repository.
#[derive(Clone)]
pub struct Repo<S> {
    /// Which one.
    pub key: RepoKey,
    /// Where it is.
    pub place: Place<S>,
    /// Passphrase that everything in it is encrypted with, by aes-256-cbc, before it leaves the machine.
    pub passphrase: S,
}

/// All that decides the configuration's text.
#[derive(Clone)]
pub struct Conf<S> {
    /// Whose backups they are; the name of pgBackRest's stanza.
    pub environment: EnvironmentName,
    /// The repositories, each key at most once.
    pub repos: Vec<Repo<S>>,
    /// PostgreSQL's port, which names its socket.
    pub port: u16,
    /// Processes that compress and send at once.
    pub processes: u32,
    /// Bytes of WAL that may wait before it is given up. A full disk would stop the server; what is given up
    /// is a gap, which continuity names until the next backup.
    pub queue_bytes: u64,
    /// Whether to write log files below [`WORK_AT`]: tasks do, for the server they would grow for ever.
    pub log_files: bool,
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A value would add lines.
    #[error("the value of {0} holds a control character or is empty")]
    Value(String),
    /// Two repositories of one key, or none at all.
    #[error("there must be one near repository or one far repository, or one of each")]
    Repos,
}

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a, S> {
    /// As it is.
    Plain(String),
    /// The value of a secret.
    Secret(&'a S),
}

struct Lines<'a, S>(Vec<Part<'a, S>>);

impl<'a, S> Lines<'a, S> {
    fn plain(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Plain(last)) => last.push_str(text),
            _ => self.0.push(Part::Plain(text.to_owned())),
        }
    }

    fn set(&mut self, option: &str, value: impl fmt::Display) -> Result<(), ConfError> {
        let mut line = format!("{option}=");
        let from = line.len();
        let _ = write!(line, "{value}");
        if line.len() == from || line.chars().any(char::is_control) {
            return Err(ConfError::Value(option.to_owned()));
        }
        line.push('\n');
        self.plain(&line);
        Ok(())
    }

    fn secret(&mut self, option: &str, value: &'a S) {
        self.plain(&format!("{option}="));
        self.0.push(Part::Secret(value));
        self.plain("\n");
    }
}

impl<S> Conf<S> {
    /// The text of [`CONF_FILE`], in parts. Whoever puts the secrets in refuses one with a line break.
    pub fn render(&self) -> Result<Vec<Part<'_, S>>, ConfError> {
        let mut keys: Vec<RepoKey> = self.repos.iter().map(|repo| repo.key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() || keys.len() != self.repos.len() {
            return Err(ConfError::Repos);
        }
        let mut lines = Lines(Vec::new());
        lines.plain("# written by springtide; edits are replaced\n[global]\n");
        for repo in &self.repos {
            repo_lines(repo, &mut lines)?;
        }
        lines.plain(
            "compress-type=zst\n\
             compress-level=1\n\
             start-fast=y\n\
             stop-auto=y\n\
             expire-auto=n\n\
             archive-async=y\n\
             archive-get-queue-max=256MiB\n",
        );
        lines.set("archive-push-queue-max", format_args!("{}B", self.queue_bytes.max(16 << 20)))?;
        lines.set("process-max", self.processes.clamp(1, 999))?;
        for (option, folder) in [("lock-path", "lock"), ("log-path", "log"), ("spool-path", "spool")] {
            lines.set(option, format_args!("{WORK_AT}/{folder}"))?;
        }
        lines.plain("log-level-console=info\nlog-level-stderr=off\nlog-timestamp=y\n");
        lines.set("log-level-file", if self.log_files { "detail" } else { "off" })?;
        lines.plain(&format!("\n[{}]\n", self.environment));
        lines.set("pg1-path", DATA_AT)?;
        lines.set("pg1-socket-path", SOCKET_AT)?;
        lines.set("pg1-port", self.port)?;
        lines.plain("pg1-user=postgres\n");
        Ok(lines.0)
    }
}

fn repo_lines<'a, S>(repo: &'a Repo<S>, lines: &mut Lines<'a, S>) -> Result<(), ConfError> {
    let number = repo.key.number();
    let option = |name: &str| format!("repo{number}-{name}");
    match &repo.place {
        Place::Folder => {
            lines.set(&option("type"), "posix")?;
            lines.set(&option("path"), repo.key.folder_at())?;
        }
        Place::S3 { host, port, region, bucket, prefix, own_authority, access_key, secret_key } => {
            lines.set(&option("type"), "s3")?;
            lines.set(&option("path"), prefix)?;
            lines.set(&option("s3-endpoint"), host)?;
            lines.set(&option("storage-host"), host)?;
            lines.set(&option("storage-port"), port)?;
            lines.set(&option("s3-region"), region)?;
            lines.set(&option("s3-bucket"), bucket)?;
            lines.set(&option("s3-uri-style"), "path")?;
            if *own_authority {
                lines.set(&option("storage-ca-file"), format_args!("{CONFIG_PATH}/{}", repo.key.authority_file()))?;
            }
            lines.secret(&option("s3-key"), access_key);
            lines.secret(&option("s3-key-secret"), secret_key);
        }
    }
    lines.set(&option("cipher-type"), "aes-256-cbc")?;
    lines.secret(&option("cipher-pass"), &repo.passphrase);
    // Many small files of a database in few objects.
    lines.set(&option("bundle"), "y")?;
    // The highest there is: counts decide nothing here, and without a number pgBackRest warns at every backup.
    lines.set(&option("retention-full"), 9_999_999)
}

impl Conf<SecretRef> {
    /// The text for a workload's file, with its secrets named and not shown.
    pub fn text(&self) -> Result<Text, ConfError> {
        let mut text = Text(Vec::new());
        for part in self.render()? {
            match part {
                Part::Plain(plain) => text.push(&plain),
                Part::Secret(secret) => text.push_secret(secret.clone()),
            }
        }
        Ok(text)
    }
}

/// The command with which the server hands over a finished segment, for `archive_command`. Its shell sees
/// nothing but fixed words and a name that was checked.
pub fn archive_command(environment: &EnvironmentName) -> String {
    format!("pgbackrest --config={CONFIG_PATH}/{CONF_FILE} --stanza={environment} archive-push %p")
}

/// The command that brings a segment back, for `restore_command`.
pub fn restore_command(environment: &EnvironmentName, repo: RepoKey) -> String {
    format!(
        "pgbackrest --config={CONFIG_PATH}/{CONF_FILE} --stanza={environment} --repo={} archive-get %f \"%p\"",
        repo.number()
    )
}

/// Lines for `postgresql.conf` of a server that is backed up. `archive_mode` takes a restart, the others a reload.
pub fn archive_settings(environment: &EnvironmentName) -> String {
    format!(
        "archive_mode = on\n\
         archive_command = '{command}'\n\
         archive_timeout = {ARCHIVE_TIMEOUT_SECONDS}s\n",
        command = archive_command(environment)
    )
}

/// Volumes that a server which is backed up sees besides its own, for the places above: data and socket.
pub const VOLUMES: [(Volume, &str); 2] = [(Volume::PostgresData, DATA_AT), (Volume::PostgresSocket, SOCKET_AT)];

#[cfg(test)]
mod tests {
    use super::*;

    fn conf() -> Conf<&'static str> {
        let s3 = Place::S3 {
            host: "s3.far.example".into(),
            port: 8443,
            region: "eu-1".into(),
            bucket: "backups".into(),
            prefix: "/shop/pg".into(),
            own_authority: true,
            access_key: "ACCESS",
            secret_key: "SECRET",
        };
        Conf {
            environment: "shop".parse().unwrap(),
            repos: vec![
                Repo { key: RepoKey::Near, place: Place::Folder, passphrase: "PASS1" },
                Repo { key: RepoKey::Far, place: s3, passphrase: "PASS2" },
            ],
            port: 21005,
            processes: 2,
            queue_bytes: 4 << 30,
            log_files: true,
        }
    }

    fn joined(conf: &Conf<&str>) -> String {
        let parts = conf.render().unwrap();
        parts.iter().map(|part| if let Part::Plain(text) = part { text.clone() } else { "***".into() }).collect()
    }

    #[test]
    fn the_whole_text() {
        assert_eq!(
            joined(&conf()),
            "# written by springtide; edits are replaced\n[global]\n\
             repo1-type=posix\nrepo1-path=/srv/springtide/backup-near\nrepo1-cipher-type=aes-256-cbc\n\
             repo1-cipher-pass=***\nrepo1-bundle=y\nrepo1-retention-full=9999999\n\
             repo2-type=s3\nrepo2-path=/shop/pg\nrepo2-s3-endpoint=s3.far.example\n\
             repo2-storage-host=s3.far.example\nrepo2-storage-port=8443\nrepo2-s3-region=eu-1\n\
             repo2-s3-bucket=backups\nrepo2-s3-uri-style=path\n\
             repo2-storage-ca-file=/srv/springtide/config/backup-far-ca.pem\nrepo2-s3-key=***\n\
             repo2-s3-key-secret=***\nrepo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=***\nrepo2-bundle=y\n\
             repo2-retention-full=9999999\n\
             compress-type=zst\ncompress-level=1\nstart-fast=y\nstop-auto=y\nexpire-auto=n\narchive-async=y\n\
             archive-get-queue-max=256MiB\narchive-push-queue-max=4294967296B\nprocess-max=2\n\
             lock-path=/srv/springtide/backup-work/lock\nlog-path=/srv/springtide/backup-work/log\n\
             spool-path=/srv/springtide/backup-work/spool\n\
             log-level-console=info\nlog-level-stderr=off\nlog-timestamp=y\nlog-level-file=detail\n\
             \n[shop]\npg1-path=/srv/springtide/postgres-data\npg1-socket-path=/srv/springtide/postgres-socket\n\
             pg1-port=21005\npg1-user=postgres\n"
        );
    }

    #[test]
    fn no_value_adds_an_option() {
        for bad in ["eu-1\nrepo2-storage-verify-tls=n", "a\rb", "\u{85}", ""] {
            let mut conf = conf();
            if let Place::S3 { region, .. } = &mut conf.repos[1].place {
                *region = bad.into();
            }
            assert_eq!(conf.render(), Err(ConfError::Value("repo2-s3-region".into())), "{bad:?}");
        }
    }

    #[test]
    fn each_key_once_and_at_least_one() {
        let mut twice = conf();
        twice.repos[1].key = RepoKey::Near;
        assert_eq!(twice.render(), Err(ConfError::Repos));
        let none: Conf<&str> = Conf { repos: Vec::new(), ..conf() };
        assert_eq!(none.render(), Err(ConfError::Repos));
    }

    #[test]
    fn places_are_where_the_server_has_them() {
        for (volume, at) in VOLUMES {
            assert_eq!(crate::roles::volume_path(volume), at);
        }
    }

    #[test]
    fn settings_of_the_server() {
        let text = archive_settings(&"shop".parse().unwrap());
        assert_eq!(
            text,
            "archive_mode = on\narchive_command = 'pgbackrest --config=/srv/springtide/config/pgbackrest.conf \
             --stanza=shop archive-push %p'\narchive_timeout = 60s\n"
        );
    }
}
