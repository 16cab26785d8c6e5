//! The secret store: one age-encrypted file per secret, readable by its owner only.
//!
//! Layout: `identity.txt` (the x25519 key, 0600) and `<environment or _estate>/<name>.age`. Values
//! never appear in `Debug`, errors or logs; errors name the secret.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use age::x25519::{Identity, Recipient};
use secrecy::{ExposeSecret as _, SecretString};
use springtide_core::names::EnvironmentName;
use springtide_core::workload::{FilePart, FileWord, Piece, SecretName, SecretRef, Text};

use crate::folders::{sweep, sync_folder, write_once, write_whole};
use crate::hash;

/// Folder of the estate's own secrets; no environment's name can begin with an underscore.
const ESTATE_FOLDER: &str = "_estate";
/// Two changes nearer than this may carry the same time in a file system.
const GRAIN: Duration = Duration::from_secs(1);
/// The shortest value that [`SecretStore::redact_check`] looks for; shorter ones match by chance.
const SHORTEST_CHECKED: usize = 12;

/// Why the secret store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Others may read what only the owner may.
    #[error("{path} has mode {mode:04o} and owner {owner}: it must belong to user {expected} with no access for group or others (chmod go-rwx)", path = .path.display())]
    TooOpen {
        /// Folder or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// User id of its owner.
        owner: u32,
        /// User id that it must have.
        expected: u32,
    },
    /// The secret does not exist and is not one that may be generated now.
    #[error("secret {0} does not exist")]
    Missing(SecretRef),
    /// Certificates are put by who makes them, never generated here.
    #[error("secret {0} cannot be generated; it must be put")]
    NotGenerated(SecretRef),
    /// The file exists and cannot be decrypted by this identity.
    #[error("secret {0} cannot be decrypted: it was damaged or written with another identity")]
    Damaged(SecretRef),
    /// The identity file holds no age identity.
    #[error("{path} holds no age identity; restore it from its backup, without it no secret can be read", path = .0.display())]
    Identity(PathBuf),
    /// Encryption failed.
    #[error("secret {0} cannot be encrypted")]
    Encrypt(SecretRef),
    /// A file that the estate file names for a store cannot be used. Says nothing of what stands in it.
    #[error("{path} {why}", path = .path.display())]
    StoreFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] hash::RandomError),
    /// A file-system call failed.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SecretError {
    /// The code that `springtide explain` knows, for those that a person mends in the estate file.
    pub fn code(&self) -> Option<&'static str> {
        matches!(self, SecretError::StoreFile { .. }).then_some("E1049")
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecretError {
    let path = path.to_owned();
    move |source| SecretError::Io { verb, path, source }
}

/// The store. Cloneable handles are not needed: every call works on files and is safe beside others.
pub struct SecretStore {
    folder: PathBuf,
    identity: Identity,
    recipient: Recipient,
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl SecretStore {
    /// Opens the store, creating folder (0700) and identity (0600) on first use.
    ///
    /// # Errors
    /// [`SecretError::TooOpen`] if folder or identity give access to anybody but this user.
    pub fn open(folder: PathBuf) -> Result<Self, SecretError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_error("create", &folder))?;
        check_private(&folder)?;
        sweep(&folder);
        let path = folder.join("identity.txt");
        if !path.try_exists().map_err(io_error("look at", &path))? {
            let fresh = Identity::generate().to_string();
            let text = format!(
                "# Springtide's secret store. Keep a copy elsewhere: without it no secret can be read.\n{}\n",
                fresh.expose_secret()
            );
            write_once(&path, text.as_bytes(), 0o600).map_err(io_error("write", &path))?;
        }
        check_private(&path)?;
        let text = SecretString::from(fs::read_to_string(&path).map_err(io_error("read", &path))?);
        let identity: Identity = text
            .expose_secret()
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| SecretError::Identity(path.clone()))?;
        let recipient = identity.to_public();
        Ok(Self { folder, identity, recipient })
    }

    fn owner_folder(&self, environment: Option<&EnvironmentName>) -> PathBuf {
        self.folder.join(environment.map_or(ESTATE_FOLDER, EnvironmentName::as_str))
    }

    fn path(&self, secret: &SecretRef) -> PathBuf {
        self.owner_folder(secret.environment.as_ref()).join(format!("{}.age", secret.name.as_str()))
    }

    /// Whether the secret exists (it may still be unreadable).
    pub fn exists(&self, secret: &SecretRef) -> bool {
        self.path(secret).exists()
    }

    /// Reads a secret.
    pub fn get(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        let path = self.path(secret);
        let sealed = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SecretError::Missing(secret.clone())),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let damaged = |()| SecretError::Damaged(secret.clone());
        let plain = age::decrypt(&self.identity, &sealed).map_err(|_| damaged(()))?;
        String::from_utf8(plain).map(SecretString::from).map_err(|_| damaged(()))
    }

    /// Writes a secret, whole or not at all. What is derived from it (verifier, hash) is removed
    /// first, so that the two never disagree.
    pub fn put(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        if let Some(derived) = derived_from(secret.name) {
            self.remove(&SecretRef { environment: secret.environment.clone(), name: derived })?;
        }
        self.write(secret, value)
    }

    fn write(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        let folder = self.owner_folder(secret.environment.as_ref());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_error("create", &folder))?;
        let sealed = age::encrypt(&self.recipient, value.expose_secret().as_bytes())
            .map_err(|_| SecretError::Encrypt(secret.clone()))?;
        let path = self.path(secret);
        write_whole(&path, &sealed, 0o600).map_err(io_error("write", &path))
    }

    /// Removes one secret. Absent is success.
    pub fn remove(&self, secret: &SecretRef) -> Result<(), SecretError> {
        let path = self.path(secret);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.owner_folder(secret.environment.as_ref())).map_err(io_error("sync", &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", &path)(error)),
        }
    }

    /// Removes every secret of an environment but the keys of its backups, which stay as those do. Absent is
    /// success.
    pub fn remove_environment(&self, environment: &EnvironmentName) -> Result<(), SecretError> {
        let folder = self.owner_folder(Some(environment));
        let of = |name| SecretRef { environment: Some(environment.clone()), name };
        if !SecretName::BACKUP.iter().any(|name| self.exists(&of(*name))) {
            return match fs::remove_dir_all(&folder) {
                Ok(()) => sync_folder(&self.folder).map_err(io_error("sync", &folder)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(io_error("remove", &folder)(error)),
            };
        }
        let kept: Vec<PathBuf> = SecretName::BACKUP.iter().map(|name| self.path(&of(*name))).collect();
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let path = entry.map_err(io_error("list", &folder))?.path();
            if !kept.contains(&path) {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        sync_folder(&folder).map_err(io_error("sync", &folder))
    }

    /// Generates the secret if it is missing, with the one it is derived from.
    ///
    /// # Errors
    /// [`SecretError::NotGenerated`] for certificates and keys that do not exist.
    pub fn ensure(&self, secret: &SecretRef) -> Result<(), SecretError> {
        if self.exists(secret) {
            return Ok(());
        }
        let source = |name| -> Result<SecretString, SecretError> {
            let source = SecretRef { environment: secret.environment.clone(), name };
            self.ensure(&source)?;
            self.get(&source)
        };
        use SecretName as N;
        let value = match secret.name {
            N::AuthorityKey | N::AuthorityCertificate | N::CertificateKey | N::Certificate => {
                return Err(SecretError::NotGenerated(secret.clone()));
            }
            N::DbOwner | N::DbApp | N::DbJobs | N::DbReport | N::DbMonitor | N::DbBackup => hash::database_password()?,
            N::DbOwnerVerifier => hash::scram_verifier(&source(N::DbOwner)?),
            N::DbAppVerifier => hash::scram_verifier(&source(N::DbApp)?),
            N::DbJobsVerifier => hash::scram_verifier(&source(N::DbJobs)?),
            N::DbReportVerifier => hash::scram_verifier(&source(N::DbReport)?),
            N::DbMonitorVerifier => hash::scram_verifier(&source(N::DbMonitor)?),
            N::DbBackupVerifier => hash::scram_verifier(&source(N::DbBackup)?),
            N::OdooMasterHash => hash::unmatchable_hash()?,
            N::OdooAdmin => hash::readable_password()?,
            N::OdooAdminHash => hash::odoo_hash(source(N::OdooAdmin)?.expose_secret().as_bytes())?,
            N::OdooDatabaseSecret => hash::uuid()?,
            N::SessionsKeys => hash::fernet_key()?,
            N::SessionsOdoo | N::SessionsMonitor => hash::database_password()?,
            N::SessionsOdooVerifier => hash::sha256_hex(&source(N::SessionsOdoo)?),
            N::SessionsMonitorVerifier => hash::sha256_hex(&source(N::SessionsMonitor)?),
            N::BackupCipher => hash::database_password()?,
            N::FilesKey => Identity::generate().to_string(),
            N::ProofKey => crate::proof::ProofKey::generate()?,
        };
        self.write(secret, &value)
    }

    /// Generates all that is missing for an environment, but for its certificate and key.
    pub fn ensure_environment(&self, environment: &EnvironmentName) -> Result<(), SecretError> {
        for name in SecretName::ENVIRONMENT {
            if !matches!(name, SecretName::CertificateKey | SecretName::Certificate) {
                self.ensure(&SecretRef { environment: Some(environment.clone()), name })?;
            }
        }
        Ok(())
    }

    /// Generates all that is missing for an environment that is backed up, the estate's proof key included.
    pub fn ensure_backup(&self, environment: &EnvironmentName) -> Result<(), SecretError> {
        for name in SecretName::BACKUP {
            self.ensure(&SecretRef { environment: Some(environment.clone()), name })?;
        }
        self.ensure(&SecretRef { environment: None, name: SecretName::ProofKey })
    }

    /// Names of all secrets that exist. Foreign files are passed over.
    pub fn list(&self) -> Result<BTreeSet<SecretRef>, SecretError> {
        let mut found = BTreeSet::new();
        for owner in fs::read_dir(&self.folder).map_err(io_error("list", &self.folder))? {
            let owner = owner.map_err(io_error("list", &self.folder))?;
            let file_name = owner.file_name();
            let Some(label) = file_name.to_str() else { continue };
            let environment = match label {
                ESTATE_FOLDER => None,
                name => match name.parse() {
                    Ok(name) => Some(name),
                    Err(_) => continue,
                },
            };
            if !owner.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for file in fs::read_dir(owner.path()).map_err(io_error("list", &owner.path()))? {
                let file = file.map_err(io_error("list", &owner.path()))?;
                let name = file.file_name().to_str().and_then(|n| n.strip_suffix(".age")).and_then(named);
                if let Some(name) = name {
                    found.insert(SecretRef { environment: environment.clone(), name });
                }
            }
        }
        Ok(found)
    }

    /// What differs once a secret was made, written anew or removed since.
    pub fn stamp(&self) -> Result<Stamp, SecretError> {
        let at = SystemTime::now();
        // Every change makes, renames or removes a file, and so touches the folder of its owner.
        let touched = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).map_err(io_error("look at", path));
        let mut folders = vec![(self.folder.clone(), touched(&self.folder)?)];
        for owner in fs::read_dir(&self.folder).map_err(io_error("list", &self.folder))? {
            let path = owner.map_err(io_error("list", &self.folder))?.path();
            let touched = touched(&path)?;
            folders.push((path, touched));
        }
        folders.sort();
        Ok(Stamp { folders, at })
    }

    /// Puts the secrets into a text that names them, and what stands in files of this machine.
    pub fn resolve(&self, text: &Text) -> Result<SecretString, SecretError> {
        let mut out = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Plain(plain) => out.push_str(plain),
                Piece::Secret(secret) => out.push_str(self.get(secret)?.expose_secret()),
                Piece::File(part) => out.push_str(store_file(part)?.expose_secret()),
            }
        }
        Ok(out.into())
    }

    /// Whether any secret value of 12 characters or more appears in `haystack`; of values with
    /// several lines (PEM keys) each body line counts. For tests of logs and outputs.
    ///
    /// # Errors
    /// If a secret cannot be read: then nothing can be promised.
    pub fn redact_check(&self, haystack: &str) -> Result<bool, SecretError> {
        for secret in self.list()? {
            if matches!(secret.name, SecretName::AuthorityCertificate | SecretName::Certificate) {
                continue;
            }
            let value = self.get(&secret)?;
            let appears = value
                .expose_secret()
                .lines()
                .filter(|line| line.len() >= SHORTEST_CHECKED && !line.starts_with("-----"))
                .any(|line| haystack.contains(line));
            if appears {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The folders of a store, each with the time of its newest change, as they were at one moment.
#[derive(Debug, Clone)]
pub struct Stamp {
    folders: Vec<(PathBuf, SystemTime)>,
    at: SystemTime,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.folders == other.folders
    }
}

impl Stamp {
    /// Whether its newest change is a while ago. Of two changes at almost the same time the second may not show.
    pub fn settled(&self) -> bool {
        let before = |touched: &SystemTime| self.at.duration_since(*touched).is_ok_and(|it| it >= GRAIN);
        self.folders.iter().all(|(_, touched)| before(touched))
    }
}

/// The secret called `word`, if there is one.
fn named(word: &str) -> Option<SecretName> {
    SecretName::ALL.into_iter().find(|name| name.as_str() == word)
}

/// What is computed from a secret and must go when it changes.
fn derived_from(name: SecretName) -> Option<SecretName> {
    use SecretName as N;
    Some(match name {
        N::DbOwner => N::DbOwnerVerifier,
        N::DbApp => N::DbAppVerifier,
        N::DbJobs => N::DbJobsVerifier,
        N::DbReport => N::DbReportVerifier,
        N::DbMonitor => N::DbMonitorVerifier,
        N::DbBackup => N::DbBackupVerifier,
        N::OdooAdmin => N::OdooAdminHash,
        N::SessionsOdoo => N::SessionsOdooVerifier,
        N::SessionsMonitor => N::SessionsMonitorVerifier,
        _ => return None,
    })
}

fn check_private(path: &Path) -> Result<(), SecretError> {
    let meta = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    let expected = nix::unistd::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || meta.uid() != expected {
        return Err(SecretError::TooOpen {
            path: path.to_owned(),
            mode: meta.mode() & 0o7777,
            owner: meta.uid(),
            expected,
        });
    }
    Ok(())
}

/// Most bytes of a file that a store names.
const MOST_STORE_FILE: u64 = 1 << 20;

/// Reads what of a file is asked for. One with keys has to be closed to everybody but its owner, who is us.
fn store_file(FilePart { path, part }: &FilePart) -> Result<SecretString, SecretError> {
    let refuse = |why: String| SecretError::StoreFile { path: path.into(), why };
    let meta = fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if !meta.is_file() || meta.len() > MOST_STORE_FILE {
        return Err(refuse("is not a file of at most 1 MiB".to_owned()));
    }
    let owner = nix::unistd::geteuid().as_raw();
    let word = match part {
        FileWord::AccessKey => Some("access_key"),
        FileWord::SecretKey => Some("secret_key"),
        FileWord::Certificates => None,
    };
    if word.is_some() && (meta.mode() & 0o077 != 0 || meta.uid() != owner) {
        let (mode, of) = (meta.mode() & 0o7777, meta.uid());
        return Err(refuse(format!(
            "has mode {mode:04o} and owner {of}: it has keys in it and must belong to user {owner} with no access for others (chmod 600)"
        )));
    }
    let text =
        SecretString::from(fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))?);
    let Some(word) = word else {
        return match text.expose_secret().contains("-----BEGIN CERTIFICATE-----") {
            true => Ok(text),
            false => Err(refuse("holds no certificate in PEM".to_owned())),
        };
    };
    let mut values = text.expose_secret().lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == word).then_some(value.trim())
    });
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() && !value.chars().any(char::is_control) => {
            Ok(SecretString::from(value.to_owned()))
        }
        (Some(_), Some(_)) => Err(refuse(format!("has more than one line `{word} = ...`"))),
        _ => Err(refuse(format!("has no line `{word} = ...`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_of_backups_outlive_their_environment() {
        let temp = tempfile::tempdir().unwrap();
        let store = SecretStore::open(temp.path().join("s")).unwrap();
        let name: EnvironmentName = "prod".parse().unwrap();
        store.ensure_environment(&name).unwrap();
        assert!(!store.exists(&of(Some("prod"), SecretName::BackupCipher)), "not every environment is backed up");
        store.ensure_backup(&name).unwrap();
        let all = [
            of(None, SecretName::ProofKey),
            of(Some("prod"), SecretName::BackupCipher),
            of(Some("prod"), SecretName::FilesKey),
        ];
        let values = || all.iter().map(|it| store.get(it).unwrap().expose_secret().to_owned()).collect::<Vec<_>>();
        let before = values();
        assert!(crate::proof::ProofKey::of(&before[0].clone().into()).is_ok(), "it signs");
        assert!(before[1].len() >= 32 && before[2].parse::<Identity>().is_ok());
        for _ in 0..2 {
            store.remove_environment(&name).unwrap();
            assert_eq!(store.list().unwrap(), BTreeSet::from(all.clone()));
        }
        store.ensure_backup(&name).unwrap();
        assert_eq!(values(), before, "the next environment of the name reads what was written before");
    }

    #[test]
    fn keys_of_a_store_come_from_a_closed_file_and_are_never_told() {
        let temp = tempfile::tempdir().unwrap();
        let store = SecretStore::open(temp.path().join("s")).unwrap();
        let path = temp.path().join("keys");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let read = |part| {
            let mut text = Text::plain("k=");
            text.push_file(path.to_str().unwrap(), part);
            store.resolve(&text).map(|it| it.expose_secret().to_owned())
        };
        let good = "# far\naccess_key = AKSPRING\n secret_key=s3cr/et+value \n";
        let refused = |text: &str, mode, word: &str| {
            write(text, mode);
            let error = read(FileWord::SecretKey).unwrap_err();
            assert!(matches!(error, SecretError::StoreFile { .. }), "{error:?}");
            assert_eq!(error.code(), Some("E1049"));
            assert!(error.to_string().contains(word) && !format!("{error} {error:?}").contains("s3cr"), "{error}");
        };
        let error = read(FileWord::AccessKey).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        refused(good, 0o640, "0640");
        refused(good, 0o604, "0604");
        refused("access_key = a\n", 0o600, "no line `secret_key");
        refused("secret_key = s3cr\nsecret_key = s3cr2\n", 0o600, "more than one");
        refused("secret_key =\n", 0o600, "no line");
        refused("secret_key = s3cr\u{85}repo1-path=/\n", 0o600, "no line");
        write(good, 0o600);
        assert_eq!(read(FileWord::AccessKey).unwrap(), "k=AKSPRING");
        assert_eq!(read(FileWord::SecretKey).unwrap(), "k=s3cr/et+value");
        assert!(read(FileWord::Certificates).unwrap_err().to_string().contains("no certificate"));
        write("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", 0o644);
        assert!(read(FileWord::Certificates).unwrap().starts_with("k=-----BEGIN"));
    }

    fn of(environment: Option<&str>, name: SecretName) -> SecretRef {
        SecretRef { environment: environment.map(|e| e.parse().unwrap()), name }
    }

    #[test]
    fn values_survive_and_stay_hidden() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("secrets");
        let app = of(Some("prod"), SecretName::DbApp);
        let verifier = of(Some("prod"), SecretName::DbAppVerifier);
        let first = {
            let store = SecretStore::open(folder.clone()).unwrap();
            store.ensure(&verifier).unwrap();
            store.get(&app).unwrap()
        };
        let store = SecretStore::open(folder.clone()).unwrap();
        store.ensure(&app).unwrap();
        assert_eq!(store.get(&app).unwrap().expose_secret(), first.expose_secret());
        assert_eq!(store.list().unwrap(), BTreeSet::from([app.clone(), verifier.clone()]));
        let sealed = fs::read(folder.join("prod/db-app.age")).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains(first.expose_secret()));
        assert!(!format!("{store:?}").contains("AGE-SECRET"));
        assert!(store.redact_check(&format!("password={} ", first.expose_secret())).unwrap());
        assert!(!store.redact_check("password=********").unwrap());

        let mut text = Text::plain("db_password = ");
        text.push_secret(app.clone());
        text.push("\n");
        assert_eq!(store.resolve(&text).unwrap().expose_secret(), format!("db_password = {}\n", first.expose_secret()));

        store.put(&app, &"another-password".to_owned().into()).unwrap();
        assert!(!store.exists(&verifier), "a verifier of the old password may not stay");
        store.remove_environment(&"prod".parse().unwrap()).unwrap();
        store.remove_environment(&"prod".parse().unwrap()).unwrap();
        assert!(matches!(store.get(&app), Err(SecretError::Missing(_))));
    }

    #[test]
    fn wide_permissions_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("secrets");
        SecretStore::open(folder.clone()).unwrap();
        for (path, wide, right) in [(folder.join("identity.txt"), 0o640, 0o600), (folder.clone(), 0o750, 0o700)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            assert!(matches!(SecretStore::open(folder.clone()), Err(SecretError::TooOpen { .. })));
            fs::set_permissions(&path, fs::Permissions::from_mode(right)).unwrap();
        }
        SecretStore::open(folder).unwrap();
    }

    #[test]
    fn damage_and_certificates_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let store = SecretStore::open(temp.path().join("s")).unwrap();
        let key = of(None, SecretName::AuthorityKey);
        assert!(matches!(store.ensure(&key), Err(SecretError::NotGenerated(_))));
        store.put(&key, &"-----BEGIN X-----\nabcdefghijklmnop\n-----END X-----\n".to_owned().into()).unwrap();
        assert!(store.redact_check("…abcdefghijklmnop\\n…").unwrap());
        fs::write(temp.path().join("s/_estate/authority-key.age"), b"age-encryption.org/v1\nrubbish").unwrap();
        assert!(matches!(store.get(&key), Err(SecretError::Damaged(_))));
    }
}
