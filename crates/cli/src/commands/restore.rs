//! `springtide restore` and `springtide clone`: a new environment from the backups of another one. What is to be is
//! written down, and then it is an apply like any other: planned, journalled, and going on after a crash.

use serde_json::json;
use springtide_core::backup::RepoKey;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Seed;
use springtide_server::recovery::choose::{Asked, Chosen};

use super::backup::{Ground, failure, has_place, place};
use crate::args::{Cli, RestoreOptions};
use crate::context::{epoch, lock, look, now};
use crate::failure::{Failure, NOTHING, code};
use crate::{printer, times};

/// What is asked for.
struct Wish<'a> {
    from: &'a EnvironmentName,
    into: &'a EnvironmentName,
    asked: Asked,
    repo: RepoKey,
    live: bool,
    yes: bool,
    dry_run: bool,
}

/// A moment as it was typed.
pub(super) fn moment(text: &str) -> Result<Asked, Failure> {
    text.parse().map_err(|error: springtide_server::recovery::choose::NotAMoment| {
        Failure::new(code::INVALID, "E1055", error.to_string(), NOTHING, "springtide backup list ENVIRONMENT")
    })
}

/// `springtide restore`
pub async fn restore(cli: &Cli, options: &RestoreOptions) -> Result<u8, Failure> {
    let wish = Wish {
        from: &options.environment,
        into: &options.into,
        asked: moment(&options.to)?,
        repo: place(options.far),
        live: options.live,
        yes: options.yes,
        dry_run: options.dry_run,
    };
    fill(cli, &wish).await
}

/// `springtide clone`
pub async fn clone(
    cli: &Cli,
    from: &EnvironmentName,
    into: &EnvironmentName,
    yes: bool,
    dry_run: bool,
) -> Result<u8, Failure> {
    let wish = Wish { from, into, asked: Asked::Newest, repo: RepoKey::Near, live: false, yes, dry_run };
    fill(cli, &wish).await
}

async fn fill(cli: &Cli, wish: &Wish<'_>) -> Result<u8, Failure> {
    let ground = Ground::of(cli, wish.from).await?;
    let subject = ground.subject(wish.from)?;
    has_place(&subject, wish.repo)?;
    permit(&ground, wish)?;
    let chosen = subject.choose(wish.repo, &wish.asked).await;
    let chosen = chosen.map_err(|error| failure(&error, "nothing was restored", NOTHING))?;
    let seed = subject.seed(wish.repo, &chosen, !wish.live);
    show(cli, wish, &chosen);
    if wish.dry_run {
        tell(cli, wish, &seed, &chosen, "not done");
        return Ok(0);
    }
    if !wish.yes && !super::apply::approved(cli)? {
        return Err(Failure::new(code::CANCELLED, "E0804", "not approved", NOTHING, "springtide restore"));
    }
    sow(&ground, wish.into, &seed)?;
    // What else waits in the file is not this command's matter.
    let (_, _, planned) = look(cli, &ground.estate, now()).await?;
    let others = planned.environments.iter().any(|part| part.environment.as_ref() != Some(wish.into));
    if others {
        let message = format!("{} will be filled, and other changes of the file wait as well", wish.into);
        let unchanged = "What is to be restored is written down; nothing has begun.";
        return Err(Failure::new(code::PENDING, "E1056", message, unchanged, "springtide apply"));
    }
    drop(ground);
    super::apply::apply(cli, None, true, false).await
}

/// Never in place: the environment is declared, of the same series, and not there.
fn permit(ground: &Ground, wish: &Wish<'_>) -> Result<(), Failure> {
    let refuse = |message: String, next: String| Err(Failure::new(code::INVALID, "E1052", message, NOTHING, next));
    let declared = |name: &EnvironmentName| ground.checked.environments.iter().find(|it| it.name == *name);
    let into = wish.into;
    if ground.seen.environments.contains_key(into) {
        let message = format!("{into} exists: nothing is restored over data that is there");
        return refuse(message, format!("choose another name, or springtide destroy {into} first"));
    }
    let (Some(to), Some(from)) = (declared(into), declared(wish.from)) else {
        let message = format!("{into} is not in the estate file");
        return refuse(message, format!("add `- {{ name: {into}, stage: staging }}` to its environments"));
    };
    if to.series != from.series {
        let message = format!("{into} is of Odoo {}, and the data are of {}", to.series, from.series);
        return refuse(message, format!("give {into} the series {}", from.series));
    }
    Ok(())
}

fn sow(ground: &Ground, into: &EnvironmentName, seed: &Seed) -> Result<(), Failure> {
    // Under the epoch of whoever acts: beside a server that is its own.
    let store = &ground.estate.store;
    let right = match springtide_server::locks::server(&ground.estate.state) {
        Some(_) => store.newest_epoch()?.map(|it| it.epoch),
        None => {
            let _held = lock(&ground.estate)?;
            Some(epoch(&ground.estate, "restore", now())?)
        }
    };
    let Some(right) = right else {
        return Err(Failure::new(code::FAILED, "E0903", "nobody has acted here yet", NOTHING, "springtide apply"));
    };
    Ok(store.sow(right, into, seed)?)
}

fn show(cli: &Cli, wish: &Wish<'_>, chosen: &Chosen) {
    if cli.json {
        return;
    }
    let Wish { from, into, .. } = wish;
    let set = &chosen.set;
    printer::say(&format!(
        "{into} is filled from {from}: set {}, {} MiB, and {} MiB of log; about {}",
        set.label,
        set.bytes >> 20,
        chosen.replay_bytes >> 20,
        times::length(chosen.estimate_s)
    ));
    if let Some(moment) = &chosen.moment {
        let at = times::utc(moment.canary.time.as_second());
        printer::say(&format!(
            "  up to {at}; what was committed in the {} s after it is not in it",
            moment.missing_seconds()
        ));
        if moment.doubtful {
            printer::say(
                "  the clock went back around that time, so it stands for two moments: the later one is meant",
            );
        }
    }
    printer::say(match wish.live {
        true => "  it takes over: mail, scheduled actions and keys of partners stay as they are",
        false => "  it is made harmless before it starts: no mail, no scheduled actions, no keys of partners",
    });
}

fn tell(cli: &Cli, wish: &Wish<'_>, seed: &Seed, chosen: &Chosen, outcome: &str) {
    if cli.json {
        printer::json(&json!({
            "version": 1, "environment": wish.into, "from": wish.from, "set": seed.set, "target": seed.target,
            "harmless": seed.neutralise, "estimate_s": chosen.estimate_s, "replay_bytes": chosen.replay_bytes,
            "missing_s": chosen.moment.as_ref().map(|it| it.missing_seconds()), "outcome": outcome,
        }));
    }
}
