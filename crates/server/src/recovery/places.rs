//! The mirrors of an environment's files, one for each place, with the environment's key.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use springtide_core::backup::RepoKey;
use springtide_core::place::Place;
use springtide_core::roles::archive;
use springtide_core::workload::{FilePart, FileWord, Piece, SecretName, SecretRef, Text};
use springtide_data::filestore::{FilesKey, Limits, Mirror};
use springtide_data::objects::{self, Keys, S3Place};

use super::{Subject, word};
use crate::backup::own_place;
use crate::execute::Failure;

/// What of a place holds the files.
const FILES: &str = "files";
/// What of a place holds the signed proofs.
const RECORDS: &str = "records";

impl Subject<'_> {
    fn declared(&self, repo: RepoKey) -> Result<&Place, Failure> {
        let backup = self.sized.environment.backup.as_ref();
        let place = backup.and_then(|it| match repo {
            RepoKey::Near => Some(&it.near),
            RepoKey::Far => it.far.as_ref(),
        });
        place.ok_or_else(|| format!("{} has no {} place", self.name(), word(repo)).into())
    }

    /// A place with its keys, ready to be opened.
    pub fn place(&self, repo: RepoKey) -> Result<objects::Place, Failure> {
        let secrets = &self.estate.secrets;
        Ok(match self.declared(repo)? {
            Place::Own => {
                let folder = own_place(self.estate.driver.as_ref(), self.name());
                objects::Place::Folder(folder)
            }
            Place::Folder(path) => objects::Place::Folder(PathBuf::from(path)),
            place @ Place::Bucket { store, prefix } => {
                let key = |part| {
                    secrets.resolve(&Text(vec![Piece::File(FilePart { path: store.credentials.clone(), part })]))
                };
                let authority_pem = match store.authority {
                    Some(_) => Some(secrets.resolve(&archive::authority(Some(place)))?.expose_secret().to_owned()),
                    None => None,
                };
                objects::Place::S3(S3Place {
                    endpoint: store.endpoint(),
                    region: store.region.clone(),
                    bucket: store.name.to_string(),
                    prefix: prefix.clone(),
                    authority_pem,
                    keys: Keys {
                        access: key(FileWord::AccessKey)?.expose_secret().to_owned(),
                        secret: key(FileWord::SecretKey)?,
                    },
                })
            }
        })
    }

    /// Keeps a signed proof beside the backups.
    pub async fn keep_record(&self, repo: RepoKey, name: &str, signed: &[u8]) -> Result<(), Failure> {
        let place = self.place(repo)?;
        make_own(&place)?;
        Ok(objects::write(&place, RECORDS, name, signed.to_vec()).await?)
    }

    /// The mirror of its files in a place.
    pub fn mirror(&self, repo: RepoKey) -> Result<Mirror, Failure> {
        let secret = SecretRef { environment: Some(self.name().clone()), name: SecretName::FilesKey };
        let key = FilesKey::parse(&self.estate.secrets.get(&secret)?)?;
        let place = self.place(repo)?;
        make_own(&place)?;
        let rate = self.sized.environment.backup.as_ref().and_then(|it| it.bandwidth);
        let limits = Limits {
            bytes_per_second: rate.and_then(|it| NonZeroU32::new(u32::try_from(it.bytes()).unwrap_or(u32::MAX))),
            ..Limits::default()
        };
        let local = self.estate.state.join("mirrors").join(self.name().as_str()).join(word(repo));
        Ok(Mirror::new(word(repo), objects::open(&place, FILES)?, key, local, limits))
    }
}

/// Makes the place in the state folder. A folder of the machine is never made: it may be a disk that is away.
fn make_own(place: &objects::Place) -> Result<(), Failure> {
    let objects::Place::Folder(folder) = place else { return Ok(()) };
    // Its parent is the state folder's own, or the disk that must be there.
    if folder.parent().is_some_and(Path::is_dir) && !folder.exists() {
        std::fs::create_dir(folder)?;
    }
    Ok(())
}
