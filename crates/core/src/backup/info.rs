//! Reads what `pgbackrest info --output=json` says (2.45 and later) as [`BackupSet`]s.
//!
//! Fields that are not known are passed over, since every release adds some. A set that cannot be restored
//! because something of it is not told (no positions, an unknown cluster) is listed as left out, with why; it
//! never disappears and never makes the others unreadable.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::conf::RepoKey;
use super::lsn::Lsn;
use super::set::{BackupSet, Kind, Label};
use super::wal::Segment;

/// What was told of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Sets of all repositories, by repository and then in the order they were begun.
    pub sets: Vec<BackupSet>,
    /// Sets that cannot be used: what stands for a name there, and why.
    pub left_out: Vec<(String, String)>,
    /// How each repository is.
    pub repos: BTreeMap<RepoKey, RepoState>,
    /// Name of the archive of each repository's newest cluster, such as `15-1`.
    pub archives: BTreeMap<RepoKey, String>,
    /// Whether a backup runs now, as the engine's lock says.
    pub running: bool,
}

/// How a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoState {
    /// It holds sets.
    Good,
    /// It was set up and holds no set yet.
    Empty,
    /// It was not set up for this environment.
    Missing,
    /// It cannot be read; the engine's words.
    Trouble(String),
}

/// Why the answer cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// No JSON of that form.
    #[error("the engine's list of backups cannot be read: {0}")]
    Form(String),
    /// More than one environment where one was asked for.
    #[error("the engine answered for {0} environments where one was asked for")]
    Several(usize),
}

#[derive(Deserialize)]
struct RawStanza {
    #[serde(default)]
    backup: Vec<serde_json::Value>,
    #[serde(default)]
    db: Vec<RawDb>,
    #[serde(default)]
    repo: Vec<RawRepo>,
    #[serde(default)]
    status: Option<RawStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawDb {
    id: u64,
    #[serde(default = "first")]
    repo_key: u64,
    system_id: u64,
    version: String,
}

fn first() -> u64 {
    1
}

#[derive(Deserialize)]
struct RawRepo {
    key: u64,
    #[serde(default)]
    status: Option<RawStatus>,
}

#[derive(Deserialize)]
struct RawStatus {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    lock: Option<RawLock>,
}

#[derive(Deserialize)]
struct RawLock {
    #[serde(default)]
    backup: Option<RawHeld>,
}

#[derive(Deserialize)]
struct RawHeld {
    #[serde(default)]
    held: bool,
}

#[derive(Deserialize)]
struct RawSet {
    label: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    prior: Option<String>,
    #[serde(default)]
    reference: Option<Vec<String>>,
    #[serde(default)]
    archive: Option<RawRange>,
    #[serde(default)]
    lsn: Option<RawRange>,
    database: RawDatabase,
    info: RawInfo,
    timestamp: RawTimes,
    #[serde(default)]
    error: Option<bool>,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    stop: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawDatabase {
    id: u64,
    #[serde(default = "first")]
    repo_key: u64,
}

#[derive(Deserialize)]
struct RawInfo {
    size: u64,
    #[serde(default)]
    repository: Option<RawRepository>,
}

#[derive(Deserialize)]
struct RawRepository {
    #[serde(default)]
    delta: u64,
}

#[derive(Deserialize)]
struct RawTimes {
    start: i64,
    stop: i64,
}

/// Codes of a status, as pgBackRest's manual lists them.
const MISSING: [i64; 2] = [1, 3];
const EMPTY: i64 = 2;

/// Reads the answer for one environment.
pub fn parse(text: &str) -> Result<Info, InfoError> {
    // 2.45 writes line breaks of messages as they are; outside of texts they mean nothing anyway.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut stanzas: Vec<RawStanza> =
        serde_json::from_str(&text).map_err(|error| InfoError::Form(error.to_string()))?;
    if stanzas.len() > 1 {
        return Err(InfoError::Several(stanzas.len()));
    }
    let Some(stanza) = stanzas.pop() else { return Ok(Info::default()) };
    let mut info = Info::default();
    for repo in &stanza.repo {
        if let (Some(key), Some(status)) = (RepoKey::of(repo.key), &repo.status) {
            info.repos.insert(key, state(status));
        }
    }
    if let Some(status) = &stanza.status {
        info.running = status.lock.as_ref().and_then(|lock| lock.backup.as_ref()).is_some_and(|backup| backup.held);
        if info.repos.is_empty() {
            // Asked for one repository only, older releases say it here.
            info.repos.insert(RepoKey::Near, state(status));
        }
    }
    let mut newest: BTreeMap<RepoKey, &RawDb> = BTreeMap::new();
    for db in &stanza.db {
        if let Some(key) = RepoKey::of(db.repo_key) {
            let known = newest.entry(key).or_insert(db);
            *known = if db.id > known.id { db } else { *known };
        }
    }
    info.archives = newest.into_iter().filter_map(|(key, db)| Some((key, archive(db)?))).collect();
    for raw in stanza.backup {
        let name = raw.get("label").and_then(|label| label.as_str()).unwrap_or("(no name)");
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        match serde_json::from_value::<RawSet>(raw)
            .map_err(|error| error.to_string())
            .and_then(|raw| set(raw, &stanza.db))
        {
            Ok(set) => info.sets.push(set),
            Err(why) => info.left_out.push((name, why)),
        }
    }
    info.sets.sort_by(|a, b| (a.repo, &a.label).cmp(&(b.repo, &b.label)));
    info.sets.dedup_by(|a, b| a.repo == b.repo && a.label == b.label);
    Ok(info)
}

/// The engine's name for the archive of a cluster; none if the version is not one.
fn archive(db: &RawDb) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    db.version.split('.').all(plain).then(|| format!("{}-{}", db.version, db.id))
}

fn state(status: &RawStatus) -> RepoState {
    match status.code {
        0 => RepoState::Good,
        EMPTY => RepoState::Empty,
        code if MISSING.contains(&code) => RepoState::Missing,
        _ => RepoState::Trouble(status.message.chars().filter(|c| !c.is_control()).take(400).collect()),
    }
}

fn set(raw: RawSet, clusters: &[RawDb]) -> Result<BackupSet, String> {
    let label: Label = raw.label.parse().map_err(|error| format!("{error}"))?;
    let other = |text: &String| text.parse::<Label>().map_err(|error| error.to_string());
    let prior = raw.prior.as_ref().map(other).transpose()?;
    let references = raw.reference.iter().flatten().map(other).collect::<Result<BTreeSet<Label>, String>>()?;
    if (raw.kind == Kind::Full) != prior.is_none() || raw.kind != label.kind() {
        return Err("its name, its kind and what it builds on do not fit together".into());
    }
    let position = |which: fn(&RawRange) -> &Option<String>| {
        let told = raw.lsn.as_ref().and_then(|range| which(range).as_ref());
        told.ok_or("it tells no positions in the log")?.parse::<Lsn>().map_err(|error| error.to_string())
    };
    let (start_lsn, stop_lsn) = (position(|range| &range.start)?, position(|range| &range.stop)?);
    let segment = raw.archive.as_ref().and_then(|range| range.start.as_ref()).ok_or("it tells no WAL segment")?;
    let segment: Segment = segment.parse().map_err(|error| format!("{error}"))?;
    if stop_lsn < start_lsn || segment != Segment::holding(segment.timeline(), start_lsn) {
        return Err("its positions in the log do not fit together".into());
    }
    let time = |second| Timestamp::from_second(second).map_err(|_| "it tells no time".to_owned());
    let (started, stopped) = (time(raw.timestamp.start)?, time(raw.timestamp.stop)?);
    let repo = RepoKey::of(raw.database.repo_key).ok_or("it lies in a repository that is not known")?;
    let same = |db: &&RawDb| db.id == raw.database.id && db.repo_key == raw.database.repo_key;
    let cluster = clusters.iter().find(same).ok_or("the cluster it is of is not told")?;
    let major = cluster.version.split('.').next().and_then(|major| major.parse().ok());
    Ok(BackupSet {
        label,
        kind: raw.kind,
        prior,
        references,
        start_lsn,
        stop_lsn,
        started,
        stopped,
        timeline: segment.timeline(),
        bytes: raw.info.size,
        repo_bytes: raw.info.repository.map_or(0, |repository| repository.delta),
        repo,
        system_id: cluster.system_id,
        postgres: major.ok_or("the version of PostgreSQL is not told")?,
        archive: archive(cluster).ok_or("the version of PostgreSQL is not told")?,
        error: raw.error.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As 2.45 answers for a full and an incremental set, with a field that no release has.
    const ANSWER: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000007",
        "min":"000000010000000000000001"}],"backup":[
        {"annotation":{"x":"y"},"archive":{"start":"000000010000000000000003","stop":"000000010000000000000003"},
         "backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,
         "info":{"delta":31457280,"repository":{"delta":4194304,"size":4194304},"size":31457280},
         "label":"20261124-031500F","lsn":{"start":"0/3000028","stop":"0/3000138"},"prior":null,"reference":null,
         "timestamp":{"start":1795490100,"stop":1795490103},"type":"full","of-a-later-release":[1,{}]},
        {"archive":{"start":"000000010000000000000006","stop":"000000010000000000000006"},
         "database":{"id":1,"repo-key":1},"info":{"delta":8192,"repository":{"delta":512},"size":31457290},
         "label":"20261124-031500F_20261124-091500I","lsn":{"start":"0/6000028","stop":"0/6000100"},
         "prior":"20261124-031500F","reference":["20261124-031500F"],
         "timestamp":{"start":1795511700,"stop":1795511702},"type":"incr"}],
        "cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7575757575757575757,"version":"15"}],
        "name":"shop","repo":[{"cipher":"aes-256-cbc","key":1,"status":{"code":0,"message":"ok"}}],
        "status":{"code":0,"lock":{"backup":{"held":true}},"message":"ok"}}]"#;

    #[test]
    fn an_answer_is_read() {
        let info = parse(ANSWER).unwrap();
        assert_eq!(info.left_out, []);
        assert_eq!(info.repos, BTreeMap::from([(RepoKey::Near, RepoState::Good)]));
        assert_eq!(info.archives, BTreeMap::from([(RepoKey::Near, "15-1".to_owned())]));
        assert!(info.running);
        let [full, incr] = &info.sets[..] else { panic!("{info:?}") };
        assert_eq!(
            (full.kind, full.prior.clone(), full.bytes, full.repo_bytes),
            (Kind::Full, None, 31_457_280, 4_194_304)
        );
        assert_eq!((full.system_id, full.postgres), (7_575_757_575_757_575_757, 15));
        assert_eq!(full.archive, "15-1");
        assert_eq!((full.start_lsn.to_string(), full.stop_lsn.to_string()), ("0/3000028".into(), "0/3000138".into()));
        assert_eq!(incr.prior.as_ref(), Some(&full.label));
        assert_eq!(incr.references, BTreeSet::from([full.label.clone()]));
        assert_eq!(incr.stopped.as_second(), 1_795_511_702);
    }

    #[test]
    fn a_crooked_set_is_named_and_the_others_stay() {
        for (from, to) in [
            (r#""lsn":{"start":"0/6000028","stop":"0/6000100"},"#, ""),
            (r#""start":"000000010000000000000006""#, r#""start":null"#),
            (r#""prior":"20261124-031500F""#, r#""prior":null"#),
            (r#""0/6000028""#, r#""0/5000028""#),
            (r#""type":"incr""#, r#""type":"whole""#),
            (r#""start":1795511700"#, r#""start":9795511700000000"#),
        ] {
            let text = ANSWER.replacen(from, to, 1);
            assert_ne!(text, ANSWER);
            let info = parse(&text).unwrap();
            assert_eq!(info.sets.len(), 1, "{from} → {to}");
            assert_eq!(info.left_out[0].0, "20261124-031500F_20261124-091500I");
        }
    }

    #[test]
    fn states_of_repositories() {
        let of = |code: i64| {
            let text = format!(
                r#"[{{"name":"shop","repo":[{{"key":2,"status":{{"code":{code},"message":"[CryptoError] no\u001b"}}}}]}}]"#
            );
            parse(&text).unwrap().repos[&RepoKey::Far].clone()
        };
        assert_eq!(of(0), RepoState::Good);
        assert_eq!((of(1), of(3)), (RepoState::Missing, RepoState::Missing));
        assert_eq!(of(2), RepoState::Empty);
        assert_eq!(of(99), RepoState::Trouble("[CryptoError] no".into()));
        assert_eq!(parse("[]").unwrap(), Info::default());
    }

    #[test]
    fn line_breaks_in_messages_are_read_over() {
        let text = ANSWER.replacen(r#""message":"ok""#, "\"message\":\"[CryptoError] no\n   HINT: a key?\"", 1);
        let text = text.replacen(r#""status":{"code":0"#, r#""status":{"code":99"#, 1);
        let state = RepoState::Trouble("[CryptoError] no    HINT: a key?".into());
        assert_eq!(parse(&text).unwrap().repos, BTreeMap::from([(RepoKey::Near, state)]));
    }

    #[test]
    fn no_list_is_an_error() {
        assert!(matches!(parse(""), Err(InfoError::Form(_))));
        assert!(matches!(parse("{}"), Err(InfoError::Form(_))));
        assert_eq!(parse("[{},{}]"), Err(InfoError::Several(2)));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    /// JSON of any shape whose keys are those that are looked for.
    fn hostile() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let words = prop_oneof![
            Just("20261124-031500F"),
            Just("0/3000028"),
            Just("000000010000000000000003"),
            Just("full"),
            Just("incr"),
            Just("")
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            words.prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        let key = prop::sample::select(vec![
            "backup",
            "db",
            "repo",
            "status",
            "label",
            "type",
            "prior",
            "reference",
            "archive",
            "lsn",
            "database",
            "info",
            "timestamp",
            "start",
            "stop",
            "size",
            "id",
            "repo-key",
            "system-id",
            "version",
            "key",
            "code",
            "message",
            "lock",
        ]);
        leaf.prop_recursive(6, 80, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..8)
                    .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_it_fall(value in hostile()) {
            let _ = parse(&value.to_string());
            let _ = parse(&serde_json::json!([value]).to_string());
        }

        /// A real answer with a piece of it gone, doubled or replaced.
        #[test]
        fn no_damaged_answer_makes_it_fall(from in 0..ANSWER.len(), length in 0usize..60, put in ".{0,6}") {
            let to = (from + length).min(ANSWER.len());
            let bytes = [&ANSWER.as_bytes()[..from], put.as_bytes(), &ANSWER.as_bytes()[to..]].concat();
            let _ = parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
