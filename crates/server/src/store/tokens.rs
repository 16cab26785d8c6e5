//! Who may come in: tokens, login codes and console sessions, and the answers kept for repeats.
//!
//! Secrets of all three are random and kept as SHA-256 only, so that who reads the store cannot come in
//! with what stands there. A login code is gone with its first use, in the same statement that reads it.

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use springtide_api::{Scope, TokenView};

use super::{Store, StoreError, sqlite};

/// Tables of this module, and what finds an environment's operations in a long journal.
pub(super) const TABLES: &str = "
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, scope TEXT NOT NULL, hash BLOB NOT NULL,
        made INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER) STRICT;
    CREATE TABLE login_codes (hash BLOB PRIMARY KEY, made INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE sessions (
        hash BLOB PRIMARY KEY, csrf TEXT NOT NULL, made INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE answers (
        who TEXT NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL, at INTEGER NOT NULL,
        status INTEGER, body TEXT, PRIMARY KEY (who, key)) STRICT;
    CREATE INDEX steps_of ON steps (environment, operation);
    CREATE INDEX operations_of ON operations (environment, id);
";

/// Seconds that answers are kept for repeats.
pub const ANSWERS_KEPT_S: i64 = 86_400;

/// A console session as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// What its forms must carry.
    pub csrf: String,
    /// When it ends, seconds since 1970.
    pub expires: i64,
}

/// What is known of a request that may be a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// It is the first; it is noted now.
    First,
    /// The first one was another request.
    Other,
    /// The first one has no answer: it is under way, or was cut off.
    Open,
    /// The first one's answer: status and body.
    Answered(u16, String),
}

/// SHA-256 of a secret.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn scope_of(column: usize, word: &str) -> Result<Scope, rusqlite::Error> {
    let kind = rusqlite::types::Type::Text;
    word.parse().map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(column, kind, error.into()))
}

fn token(row: &rusqlite::Row<'_>) -> Result<TokenView, rusqlite::Error> {
    Ok(TokenView {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: scope_of(2, &row.get::<_, String>(2)?)?,
        made: row.get(3)?,
        expires: row.get(4)?,
        revoked: row.get(5)?,
    })
}

impl Store {
    /// Keeps a token.
    pub fn add_token(&self, token: &TokenView, hash: &[u8; 32]) -> Result<(), StoreError> {
        let insert = "INSERT INTO tokens (id, name, scope, hash, made, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![token.id, token.name, token.scope.as_str(), hash, token.made, token.expires];
        self.connection().execute(insert, values).map_err(sqlite("write"))?;
        Ok(())
    }

    /// A token and the hash of its secret.
    pub fn token(&self, id: &str) -> Result<Option<(TokenView, Vec<u8>)>, StoreError> {
        let select = "SELECT id, name, scope, made, expires, revoked, hash FROM tokens WHERE id = ?1";
        let found = self.connection().query_row(select, [id], |row| Ok((token(row)?, row.get(6)?))).optional();
        found.map_err(sqlite("read"))
    }

    /// All tokens, newest first.
    pub fn tokens(&self) -> Result<Vec<TokenView>, StoreError> {
        let connection = self.connection();
        let select = "SELECT id, name, scope, made, expires, revoked FROM tokens ORDER BY made DESC, id";
        let mut select = connection.prepare(select).map_err(sqlite("read"))?;
        let rows = select.query_map([], token).map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Revokes a token; false if there is none of that id. The first revocation's time stays.
    pub fn revoke_token(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let update = "UPDATE tokens SET revoked = coalesce(revoked, ?2) WHERE id = ?1";
        Ok(self.connection().execute(update, params![id, now]).map_err(sqlite("write"))? > 0)
    }

    /// Revokes every token and ends every session and login code; the names of the tokens that were good.
    pub fn let_nobody_in(&self, now: i64) -> Result<Vec<String>, StoreError> {
        self.write(|it| {
            it.execute_batch("DELETE FROM login_codes; DELETE FROM sessions;").map_err(sqlite("write"))?;
            let select = "SELECT name FROM tokens WHERE revoked IS NULL AND expires > ?1 ORDER BY name";
            let mut select = it.prepare(select).map_err(sqlite("read"))?;
            let names = select.query_map([now], |row| row.get(0)).map_err(sqlite("read"))?;
            let names = names.collect::<Result<_, _>>().map_err(sqlite("read"))?;
            it.execute("UPDATE tokens SET revoked = coalesce(revoked, ?1)", [now]).map_err(sqlite("write"))?;
            Ok(names)
        })
    }

    /// Forgets all tokens of a name.
    pub fn forget_tokens(&self, name: &str) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM tokens WHERE name = ?1", [name]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Keeps a login code, and forgets those that ended.
    pub fn add_login_code(&self, hash: &[u8; 32], now: i64, expires: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute("DELETE FROM login_codes WHERE expires <= ?1", [now]).map_err(sqlite("write"))?;
        let insert = "INSERT INTO login_codes (hash, made, expires) VALUES (?1, ?2, ?3)";
        connection.execute(insert, params![hash, now, expires]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Uses up a login code; false if it is unknown, was used or has ended.
    pub fn use_login_code(&self, hash: &[u8; 32], now: i64) -> Result<bool, StoreError> {
        let delete = "DELETE FROM login_codes WHERE hash = ?1 RETURNING expires";
        let found: Option<i64> =
            self.connection().query_row(delete, [hash], |row| row.get(0)).optional().map_err(sqlite("write"))?;
        Ok(found.is_some_and(|expires| now < expires))
    }

    /// Keeps a console session, and forgets those that ended.
    pub fn add_session(&self, hash: &[u8; 32], record: &SessionRecord, now: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute("DELETE FROM sessions WHERE expires <= ?1", [now]).map_err(sqlite("write"))?;
        let insert = "INSERT INTO sessions (hash, csrf, made, expires) VALUES (?1, ?2, ?3, ?4)";
        connection.execute(insert, params![hash, record.csrf, now, record.expires]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// A console session that has not ended.
    pub fn session(&self, hash: &[u8; 32], now: i64) -> Result<Option<SessionRecord>, StoreError> {
        let select = "SELECT csrf, expires FROM sessions WHERE hash = ?1 AND expires > ?2";
        let read = |row: &rusqlite::Row<'_>| Ok(SessionRecord { csrf: row.get(0)?, expires: row.get(1)? });
        self.connection().query_row(select, params![hash, now], read).optional().map_err(sqlite("read"))
    }

    /// Ends a console session.
    pub fn end_session(&self, hash: &[u8; 32]) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM sessions WHERE hash = ?1", [hash]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Notes a request under its key before anything is done, or tells what is known of it.
    pub fn note_request(&self, who: &str, key: &str, request: &[u8; 32], now: i64) -> Result<Repeat, StoreError> {
        let connection = self.connection();
        let old = now - ANSWERS_KEPT_S;
        connection.execute("DELETE FROM answers WHERE at < ?1", [old]).map_err(sqlite("write"))?;
        let insert =
            "INSERT INTO answers (who, key, request, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (who, key) DO NOTHING";
        if connection.execute(insert, params![who, key, request, now]).map_err(sqlite("write"))? > 0 {
            return Ok(Repeat::First);
        }
        let select = "SELECT request, status, body FROM answers WHERE who = ?1 AND key = ?2";
        let (first, status, body): (Vec<u8>, Option<u16>, Option<String>) = connection
            .query_row(select, [who, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(sqlite("read"))?;
        Ok(match status.zip(body) {
            _ if first != request => Repeat::Other,
            Some((status, body)) => Repeat::Answered(status, body),
            None => Repeat::Open,
        })
    }

    /// Keeps the answer to a request that was noted.
    pub fn answer_request(&self, who: &str, key: &str, status: u16, body: &str) -> Result<(), StoreError> {
        let update = "UPDATE answers SET status = ?3, body = ?4 WHERE who = ?1 AND key = ?2";
        self.connection().execute(update, params![who, key, status, body]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Forgets a request that came to nothing, so that it may be repeated.
    pub fn forget_request(&self, who: &str, key: &str) -> Result<(), StoreError> {
        let delete = "DELETE FROM answers WHERE who = ?1 AND key = ?2";
        self.connection().execute(delete, [who, key]).map_err(sqlite("write"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> (std::path::PathBuf, Store) {
        let folder = std::env::temp_dir().join(format!("springtide-tokens-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(&folder.join("springtide.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_login_code_works_once_and_not_after_its_end() {
        let (folder, store) = store("codes");
        store.add_login_code(&hash("a"), 10, 20).unwrap();
        store.add_login_code(&hash("b"), 10, 20).unwrap();
        assert!(!store.use_login_code(&hash("c"), 11).unwrap(), "nobody made it");
        assert!(store.use_login_code(&hash("a"), 11).unwrap());
        assert!(!store.use_login_code(&hash("a"), 11).unwrap(), "used up");
        assert!(!store.use_login_code(&hash("b"), 20).unwrap(), "ended");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_session_ends_by_time_and_by_hand() {
        let (folder, store) = store("sessions");
        let record = SessionRecord { csrf: "x".into(), expires: 20 };
        store.add_session(&hash("s"), &record, 10).unwrap();
        assert_eq!(store.session(&hash("s"), 19).unwrap(), Some(record));
        assert_eq!(store.session(&hash("s"), 20).unwrap(), None);
        store.end_session(&hash("s")).unwrap();
        assert_eq!(store.session(&hash("s"), 19).unwrap(), None);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_repeat_gets_the_first_answer_for_a_day() {
        let (folder, store) = store("repeats");
        let (one, other) = (hash("one"), hash("other"));
        let note = |request, now| store.note_request("w", "k", request, now).unwrap();
        assert_eq!(note(&one, 0), Repeat::First);
        assert_eq!(note(&one, 1), Repeat::Open);
        store.answer_request("w", "k", 202, "{}").unwrap();
        assert_eq!(note(&one, 2), Repeat::Answered(202, "{}".into()));
        assert_eq!(note(&other, 2), Repeat::Other);
        assert_eq!(store.note_request("somebody else", "k", &other, 2).unwrap(), Repeat::First);
        assert_eq!(note(&other, ANSWERS_KEPT_S + 1), Repeat::First, "after a day it is forgotten");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_secret_is_in_the_store() {
        let (folder, store) = store("secrets");
        let token =
            TokenView { id: "i".into(), name: "n".into(), scope: Scope::Read, made: 1, expires: 9, revoked: None };
        store.add_token(&token, &hash("correct-horse-battery")).unwrap();
        let (found, kept) = store.token("i").unwrap().unwrap();
        assert_eq!(found, token);
        assert!(same(&kept, &hash("correct-horse-battery")) && !same(&kept, &hash("correct-horse-batterz")));
        assert!(store.revoke_token("i", 5).unwrap() && store.revoke_token("i", 6).unwrap());
        assert!(!store.revoke_token("j", 5).unwrap());
        assert_eq!(store.tokens().unwrap()[0].revoked, Some(5));
        for file in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("correct-horse"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
