//! `springtide token`: tokens that programs ask a server with. It works on the store, with a server and without.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use springtide_api::{Scope, TokenView};
use springtide_server::http::credentials::{LOCAL, make_token};

use crate::args::{Cli, TokenCommand};
use crate::context::{now, open, open_there};
use crate::failure::{Failure, NOTHING, code};
use crate::printer::{self, Tone, field};
use crate::times;

/// Longest life of a token, seconds.
const LONGEST_S: i64 = 365 * 86_400;
/// Shortest.
const SHORTEST_S: i64 = 60;

/// `springtide token`
pub fn token(cli: &Cli, what: Option<&TokenCommand>, dry_run: bool) -> Result<u8, Failure> {
    match what {
        None | Some(TokenCommand::List) => list(cli),
        Some(TokenCommand::Create { name, scope, expires, to }) => {
            create(cli, &Wanted { name: name.trim(), scope: *scope, expires, to: to.as_deref() }, dry_run)
        }
        Some(TokenCommand::Revoke { id }) => revoke(cli, id, dry_run),
    }
}

struct Wanted<'a> {
    name: &'a str,
    scope: Scope,
    expires: &'a str,
    to: Option<&'a Path>,
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(code::INVALID, "E0911", message, NOTHING, "springtide token create --help")
}

fn create(cli: &Cli, wanted: &Wanted<'_>, dry_run: bool) -> Result<u8, Failure> {
    let Wanted { name, scope, expires, to } = *wanted;
    if name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control) || name == LOCAL {
        return Err(wrong(format!("a token's name is one line of 1 to 80 characters, and not {LOCAL:?}")));
    }
    // The same words as everywhere for a length of time, counted from now on.
    let life = times::since(expires, 0).map(|moment| -moment).map_err(|why| wrong(format!("--expires: {why}")))?;
    if !(SHORTEST_S..=LONGEST_S).contains(&life) {
        return Err(wrong("--expires must be a length of time from 1m to 365d"));
    }
    if cli.json && to.is_none() && !dry_run {
        return Err(wrong("a token is no part of JSON; name a file with --to"));
    }
    let until = now() + life;
    if dry_run {
        let text =
            format!("would make a token of scope {scope} for {name}, good until {}\n", times::person(until, now()));
        say(cli, json!({ "made": false, "scope": scope, "expires": times::utc(until) }), &text);
        return Ok(0);
    }
    let estate = open(cli)?;
    // A file that cannot be made is told before there is a token that nobody has.
    let file = to.map(|path| {
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|error| {
            let message = format!("cannot make {}: {error}", path.display());
            Failure::new(code::INVALID, "E0911", message, NOTHING, "name a file that does not exist")
        })
    });
    let file = file.transpose()?;
    let made = make_token(&estate.store, name, scope, life, now())?;
    let about = format!("token {} of scope {scope}, good until {}", made.token.id, times::person(until, now()));
    match file {
        Some(mut file) => {
            file.write_all(made.secret.as_bytes())?;
            let path = to.map(|it| it.display().to_string()).unwrap_or_default();
            say(
                cli,
                json!({ "made": true, "token": record(&made.token), "file": path }),
                &format!("{about}, is in {path}\n"),
            );
        }
        None => {
            printer::note("", &format!("{about}; it is shown this once"));
            printer::data(&format!("{}\n", made.secret));
        }
    }
    Ok(0)
}

fn say(cli: &Cli, mut value: Value, text: &str) {
    if cli.json {
        value["version"] = 1.into();
        printer::json(&value);
    } else {
        printer::data(text);
    }
}

fn record(token: &TokenView) -> Value {
    let TokenView { id, name, scope, made, expires, revoked } = token;
    json!({
        "id": id, "name": name, "scope": scope, "made": times::utc(*made), "expires": times::utc(*expires),
        "revoked": times::utc_json(*revoked),
    })
}

fn list(cli: &Cli) -> Result<u8, Failure> {
    let tokens = match open_there(cli)? {
        Some(estate) => estate.store.tokens()?,
        None => Vec::new(),
    };
    if cli.json {
        let tokens: Vec<Value> = tokens.iter().map(record).collect();
        printer::json(&json!({ "version": 1, "tokens": tokens }));
        return Ok(0);
    }
    if tokens.is_empty() {
        printer::data("no token yet; springtide token create makes one\n");
        return Ok(0);
    }
    let at = now();
    let rows = tokens.iter().map(|token| {
        let state = match token.revoked {
            Some(_) => (Tone::Bad, "revoked".to_owned()),
            None if token.expires <= at => (Tone::Dim, "expired".to_owned()),
            None => (Tone::Good, "good".to_owned()),
        };
        let until = field(times::person(token.expires, at));
        vec![field(&token.id), field(&token.name), field(token.scope.as_str()), until, state]
    });
    printer::data(&printer::table(&["id", "name", "scope", "good until", "state"], rows.collect()));
    Ok(0)
}

fn revoke(cli: &Cli, id: &str, dry_run: bool) -> Result<u8, Failure> {
    let none = || {
        let message = format!("there is no token {id}");
        Failure::new(code::INVALID, "E0908", message, NOTHING, "springtide token list")
    };
    let estate = open_there(cli)?.ok_or_else(none)?;
    let (token, _) = estate.store.token(id)?.ok_or_else(none)?;
    if !dry_run {
        estate.store.revoke_token(id, now())?;
    }
    let done = if dry_run { "would revoke" } else { "revoked" };
    let text = format!("{done} token {id} ({}, scope {})\n", token.name, token.scope);
    say(cli, json!({ "revoked": !dry_run, "id": id }), &text);
    Ok(0)
}
