//! Credentials: making tokens, login codes and console sessions, and recognising who shows one.
//!
//! A token is `st_<id>_<secret>`; the id finds it, the secret proves it. A login code is good once, for ten
//! minutes, and becomes a session that lives in a cookie scripts cannot read. Whoever may read the state
//! folder as root may do everything, so the command line works with a token that the server leaves there.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use springtide_api::{Scope, TokenMade, TokenView};

use crate::store::tokens::{SessionRecord, hash, same};
use crate::store::{Store, StoreError};

/// Name of the token that the server leaves for the command line.
pub const LOCAL: &str = "this machine";
/// File of that token in the state folder.
pub const LOCAL_FILE: &str = "server.token";
/// Seconds that a login code is good for.
pub const CODE_S: i64 = 600;
/// Seconds that a console session lasts.
pub const SESSION_S: i64 = 12 * 3600;
/// Cookie of a console session.
pub const COOKIE: &str = "springtide_session";
/// What a console session may do.
pub const SESSION_SCOPE: Scope = Scope::Operate;

const YEAR_S: i64 = 365 * 86_400;

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Who {
    /// Id of the token; for a session the start of its hash.
    pub id: String,
    /// Name for records of what was done.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// What forms and calls that change something must carry, if it came with a session.
    pub csrf: Option<String>,
}

/// Why a credential is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    /// It has another form.
    #[error("this is not a token of Springtide")]
    Form,
    /// Nobody made it, or its secret is another.
    #[error("the token is unknown")]
    Unknown,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
}

/// `bytes` random bytes as hex.
fn random(bytes: usize) -> std::io::Result<String> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A credential could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The store could not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine refused.
    #[error("cannot make it")]
    Io(#[from] std::io::Error),
}

/// Makes a token that is good for `lifetime_s` seconds.
pub fn make_token(store: &Store, name: &str, scope: Scope, lifetime_s: i64, now: i64) -> Result<TokenMade, MakeError> {
    let (id, secret) = (random(6)?, random(24)?);
    let expires = now.saturating_add(lifetime_s.clamp(1, YEAR_S));
    let token = TokenView { id, name: name.to_owned(), scope, made: now, expires, revoked: None };
    let whole = format!("st_{}_{secret}", token.id);
    store.add_token(&token, &hash(&secret))?;
    Ok(TokenMade { token, secret: whole })
}

/// Leaves a new token for the command line in the state folder; the one before is good no more.
pub fn leave_local_token(store: &Store, state: &Path, now: i64) -> Result<(), MakeError> {
    store.forget_tokens(LOCAL)?;
    let made = make_token(store, LOCAL, Scope::Admin, YEAR_S, now)?;
    let (path, new) = (state.join(LOCAL_FILE), state.join(format!("{LOCAL_FILE}.new")));
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(made.secret.as_bytes())?;
    std::fs::rename(&new, &path)?;
    Ok(())
}

/// Takes the token away that [`leave_local_token`] left.
pub fn remove_local_token(store: &Store, state: &Path) -> Result<(), StoreError> {
    let _ = std::fs::remove_file(state.join(LOCAL_FILE));
    store.forget_tokens(LOCAL)
}

/// Whose token this is.
pub fn recognise(store: &Store, token: &str, now: i64) -> Result<Result<Who, Unaccepted>, StoreError> {
    let parts = token.strip_prefix("st_").and_then(|rest| rest.split_once('_'));
    let Some((id, secret)) = parts.filter(|(id, secret)| id.len() <= 64 && secret.len() <= 256) else {
        return Ok(Err(Unaccepted::Form));
    };
    let found = store.token(id)?;
    Ok(match found {
        Some((token, kept)) if same(&kept, &hash(secret)) => {
            if token.revoked.is_some() {
                Err(Unaccepted::Revoked)
            } else if now >= token.expires {
                Err(Unaccepted::Expired)
            } else {
                Ok(Who { id: token.id, name: token.name, scope: token.scope, csrf: None })
            }
        }
        _ => Err(Unaccepted::Unknown),
    })
}

/// Makes a login code.
pub fn make_login_code(store: &Store, now: i64) -> Result<String, MakeError> {
    let code = random(20)?;
    store.add_login_code(&hash(&code), now, now + CODE_S)?;
    Ok(code)
}

/// Turns a login code into a session, whose secret goes into the cookie; none if the code is no good.
pub fn begin_session(store: &Store, code: &str, now: i64) -> Result<Option<String>, MakeError> {
    if !store.use_login_code(&hash(code), now)? {
        return Ok(None);
    }
    let secret = random(24)?;
    let record = SessionRecord { csrf: random(16)?, expires: now + SESSION_S };
    store.add_session(&hash(&secret), &record, now)?;
    Ok(Some(secret))
}

/// Whose session this is.
pub fn recognise_session(store: &Store, secret: &str, now: i64) -> Result<Option<Who>, StoreError> {
    let key = hash(secret);
    let found = store.session(&key, now)?;
    let id = || key[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(found.map(|record| Who {
        id: format!("s-{}", id()),
        name: "console".to_owned(),
        scope: SESSION_SCOPE,
        csrf: Some(record.csrf),
    }))
}
