//! The rig tries itself: it plants what it must find, and fails if it does not find it.
//!
//! Each [`Check`] is a kind of damage. For the judge's checks a *ground* does honest acts, plants one damage and
//! is judged through a real ledger on disk: [`Business`] in memory always, and a real environment where the
//! caller gives one ([`Ground`]). Others plant a stall, a fault that its rig leaves behind, and a
//! component that is missing.
//!
//! Rule: a try passes only if what was planted was found, and nothing else. Without a plant nothing may
//! be found. What cannot be tried has failed; nothing is skipped. A check that is switched off
//! ([`Options::without`]) finds nothing, so its try fails: that is how the selftest is tested.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::json;

use crate::class::Class;
use crate::ledger::{ActKind, Entry, Facts, Findings, Ledger, Phase, Rules, compare};

mod business;
mod needs;
mod rig;

pub use business::Business;
pub use needs::{Need, Place};

/// A kind of damage that the rig must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Acknowledged and not there.
    Lost,
    /// There twice.
    Doubled,
    /// There long after it was acknowledged.
    Late,
    /// Refused and there.
    Unwanted,
    /// There with another quantity.
    Altered,
    /// There, and nobody sent it.
    Unexplained,
    /// Jobs done in another order than they came in.
    Misordered,
    /// Stock that its moves do not explain.
    Stock,
    /// A system that stands still for two seconds.
    Stall,
    /// A fault whose rig was killed.
    Undo,
    /// A component that is not there.
    Missing,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 11] = [
        Check::Lost,
        Check::Doubled,
        Check::Late,
        Check::Unwanted,
        Check::Altered,
        Check::Unexplained,
        Check::Misordered,
        Check::Stock,
        Check::Stall,
        Check::Undo,
        Check::Missing,
    ];

    /// The name on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Check::Lost => "lost",
            Check::Doubled => "doubled",
            Check::Late => "late",
            Check::Unwanted => "unwanted",
            Check::Altered => "altered",
            Check::Unexplained => "unexplained",
            Check::Misordered => "misordered",
            Check::Stock => "stock",
            Check::Stall => "stall",
            Check::Undo => "undo",
            Check::Missing => "missing",
        }
    }

    /// What the judge calls it, if it is the judge's.
    fn finding(self) -> Option<&'static str> {
        match self {
            Check::Stock => Some("stock unequal"),
            Check::Stall | Check::Undo | Check::Missing => None,
            other => Some(other.as_str()),
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no check {0:?}; there are {list}", list = Check::ALL.map(Check::as_str).join(", "))]
pub struct CheckError(String);

impl FromStr for Check {
    type Err = CheckError;
    fn from_str(text: &str) -> Result<Self, CheckError> {
        let found = Check::ALL.into_iter().find(|check| check.as_str() == text);
        found.ok_or_else(|| CheckError(text.chars().take(80).collect()))
    }
}

/// A business that can be acted on and looked into: the one in memory, or a real environment.
#[async_trait]
pub trait Ground: Send + Sync {
    /// Its name in the report.
    fn name(&self) -> String;

    /// Which of the judge's checks can be planted here. Those that need no more than orders always can.
    fn plants(&self) -> Vec<Check> {
        vec![Check::Lost, Check::Doubled, Check::Late, Check::Unwanted, Check::Altered, Check::Unexplained]
    }

    /// Makes and confirms one order with this key (`client_order_ref`), one line, quantity 1.
    ///
    /// # Errors
    /// In words; the try has failed then.
    async fn order(&self, key: &str) -> Result<(), String>;

    /// Does and plants what orders cannot show, misordered jobs or unequal stock, and says what the ledger
    /// has to know of it. Called for those that [`Ground::plants`] names only.
    ///
    /// # Errors
    /// In words; the try has failed then.
    async fn plant(&self, check: Check) -> Result<Vec<Entry>, String> {
        Err(format!("{check} cannot be planted here"))
    }

    /// What is there now of the acts whose keys begin with `prefix`, and all stock.
    ///
    /// # Errors
    /// In words; the try has failed then.
    async fn facts(&self, prefix: &str) -> Result<Facts, String>;
}

/// What the selftest needs from its caller.
pub struct Options<'a> {
    /// An empty folder of its own; what it leaves there is for people who look why it failed.
    pub folder: PathBuf,
    /// Checks that are switched off, to see that the selftest fails then.
    pub without: BTreeSet<Check>,
    /// A real environment, if its tries are to be made as well.
    pub real: Option<&'a dyn Ground>,
    /// What has to be on this machine.
    pub needs: Vec<Need>,
    /// Makes the command that becomes a watchdog; see [`crate::faults::Watchdog::start`].
    pub watchdog: &'a (dyn Fn() -> Command + Send + Sync),
}

/// One try.
#[derive(Debug, Clone, Serialize)]
pub struct Try {
    /// What was looked for; none where nothing was planted.
    pub check: Option<Check>,
    /// Where.
    pub ground: String,
    /// What was planted.
    pub planted: String,
    /// What was found, or why the try could not be made.
    pub said: String,
    /// Whether that is what had to be found.
    pub passed: bool,
}

/// All tries.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// In the order in which they were made.
    pub tries: Vec<Try>,
}

impl Report {
    /// Whether everything that was planted was found. An empty report has not passed.
    pub fn passed(&self) -> bool {
        !self.tries.is_empty() && self.tries.iter().all(|one| one.passed)
    }

    /// The code for `springtide explain` if it has not passed.
    pub const CODE: &'static str = "E0973";
}

/// Makes every try, also after one that failed.
pub async fn run(options: &Options<'_>) -> Report {
    let business = Business::default();
    let mut grounds: Vec<&dyn Ground> = vec![&business];
    grounds.extend(options.real);
    let mut tries = Vec::new();
    for ground in grounds {
        tries.push(judged(options, ground, None).await);
        for check in ground.plants() {
            tries.push(judged(options, ground, Some(check)).await);
        }
    }
    let seen = |check| !options.without.contains(&check);
    tries.push(rig::stall(seen(Check::Stall)).await);
    tries.push(rig::undo(&options.folder, options.watchdog, seen(Check::Undo)));
    tries.extend(needs::tries(&options.needs, &options.folder, seen(Check::Missing)));
    Report { tries }
}

/// Plants one damage of the judge's, or none, and looks whether it is found and nothing else.
async fn judged(options: &Options<'_>, ground: &dyn Ground, check: Option<Check>) -> Try {
    let planted = match check {
        None => "nothing".to_owned(),
        Some(check) => describe(check).to_owned(),
    };
    let outcome = witness(options, ground, check).await;
    let (passed, said) = match outcome {
        Err(why) => (false, why),
        Ok((key, findings)) => {
            let off = |kind: &str| options.without.iter().any(|check| check.finding() == Some(kind));
            let found: Vec<(&str, Vec<&str>)> = findings
                .kinds()
                .into_iter()
                .filter(|(kind, found)| !found.is_empty() && !off(kind))
                .map(|(kind, found)| (kind, found.iter().map(|one| one.key.as_str()).collect()))
                .collect();
            let passed = match check.and_then(Check::finding) {
                None => found.is_empty(),
                Some(kind) => found.len() == 1 && found[0].0 == kind && found[0].1 == [key.as_str()],
            };
            let words: Vec<String> = found.iter().map(|(kind, keys)| format!("{kind}: {}", keys.join(", "))).collect();
            (passed, if words.is_empty() { "nothing found".to_owned() } else { words.join("; ") })
        }
    };
    Try { check, ground: ground.name(), planted, said, passed }
}

fn describe(check: Check) -> &'static str {
    match check {
        Check::Lost => "an order that was acknowledged and never made",
        Check::Doubled => "an order that was made twice",
        Check::Late => "an order that was acknowledged ten seconds before it was made",
        Check::Unwanted => "an order that was refused and made",
        Check::Altered => "an order that was acknowledged with another quantity",
        Check::Unexplained => "an order that nobody sent",
        Check::Misordered => "two jobs of a stream, done the wrong way round",
        Check::Stock => "a product whose stock its moves do not explain",
        Check::Stall => "a system that stands still for two seconds",
        Check::Undo => "a frozen process whose rig was killed",
        Check::Missing => "a component that is not there",
    }
}

/// Acts, plants, reads the ledger and the facts, and judges. Gives back the planted key as well.
async fn witness(
    options: &Options<'_>,
    ground: &dyn Ground,
    check: Option<Check>,
) -> Result<(String, Findings), String> {
    let name = check.map_or("clean", Check::as_str);
    let mut random = [0_u8; 6];
    getrandom::fill(&mut random).map_err(|why| why.to_string())?;
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let prefix = format!("selftest-{random}-");
    let path = options.folder.join(format!("{random}-{name}.ledger"));
    let ledger = Ledger::open(&path).map_err(|why| why.to_string())?;
    let note = async |at: i64, key: &str, phase: Phase, quantity: f64| {
        let detail = json!({ "lines": 1, "quantity": quantity });
        let entry = Entry { at, class: Class::OrderApi, key: key.to_owned(), kind: ActKind::Order, phase, detail };
        ledger.append(entry).await.map_err(|why| why.to_string())
    };
    let honest = async |key: &str| {
        note(now(), key, Phase::Intended, 1.0).await?;
        ground.order(key).await?;
        note(now(), key, Phase::Acknowledged, 1.0).await
    };
    honest(&format!("{prefix}honest-1")).await?;
    let mut key = format!("{prefix}planted");
    match check {
        None => {}
        Some(Check::Lost) => {
            note(now(), &key, Phase::Intended, 1.0).await?;
            note(now(), &key, Phase::Acknowledged, 1.0).await?;
        }
        Some(Check::Doubled) => {
            honest(&key).await?;
            ground.order(&key).await?;
        }
        Some(Check::Late) => {
            let before = now() - 10_000_000;
            note(before, &key, Phase::Intended, 1.0).await?;
            note(before, &key, Phase::Acknowledged, 1.0).await?;
            ground.order(&key).await?;
        }
        Some(Check::Unwanted) => {
            note(now(), &key, Phase::Intended, 1.0).await?;
            note(now(), &key, Phase::Refused, 1.0).await?;
            ground.order(&key).await?;
        }
        Some(Check::Altered) => {
            note(now(), &key, Phase::Intended, 2.0).await?;
            ground.order(&key).await?;
            note(now(), &key, Phase::Acknowledged, 2.0).await?;
        }
        Some(Check::Unexplained) => ground.order(&key).await?,
        Some(other) => {
            for entry in ground.plant(other).await? {
                key.clone_from(&entry.key);
                ledger.append(entry).await.map_err(|why| why.to_string())?;
            }
            if other == Check::Stock {
                key = business::UNEQUAL.to_owned();
            }
        }
    }
    honest(&format!("{prefix}honest-2")).await?;
    drop(ledger);
    let entries = Ledger::read(&path).map_err(|why| why.to_string())?;
    let facts = ground.facts(&prefix).await?;
    let rules = Rules { prefix: Some(prefix), ..Rules::default() };
    Ok((key, compare(&entries, &facts, &rules)))
}

/// Microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
