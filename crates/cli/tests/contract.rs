//! The contract of the command line, each point over every verb that clap knows: a new verb is
//! tested the moment it exists.
//!
//! Needs root (the state folder is root's) and strace; runs no Odoo and no PostgreSQL.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use common::{READ_ONLY, Rig, Said, args, at_a_terminal, refs, verbs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Every verb in the two states a machine can be in.
fn everywhere(test: &str, more: &[&str]) -> Vec<(String, Said)> {
    let mut all = Vec::new();
    for rig in [Rig::new(&format!("{test}-new")), Rig::lived(&format!("{test}-lived"))] {
        for (name, words) in verbs() {
            let mut words = refs(&words);
            words.extend(more);
            if name == "apply" || name == "stop" {
                // Without a yes or with nothing to stop nothing is started.
                assert!(!words.contains(&"--yes"));
            }
            all.push((name, rig.run(&words)));
        }
        let _ = std::fs::remove_file(rig.path("estate.yaml"));
        for (name, words) in verbs().into_iter().filter(|(name, _)| name != "init") {
            let mut words = refs(&words);
            words.extend(more);
            all.push((name, rig.run(&words)));
        }
    }
    all
}

#[test]
fn point_1_json_is_one_versioned_object_on_stdout() {
    for (name, said) in everywhere("json", &["--json"]) {
        let stream = name == "logs" && said.code == Some(0);
        assert!(!said.out.is_empty(), "{said}");
        for line in said.out.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"));
            assert_eq!(value["version"], 1, "{said}");
            assert!(value.is_object() && value.as_object().unwrap().len() > 1, "{said}");
        }
        assert!(stream || said.out.lines().count() == 1, "{said}");
        assert!(!said.err.contains("{\""), "JSON on stderr: {said}");
        let failed = serde_json::from_str::<Value>(said.out.lines().next().unwrap()).unwrap()["error"].is_object();
        assert_eq!(failed, !matches!(said.code, Some(0 | 2)) || failed, "{said}");
    }
}

#[test]
fn point_2_exit_codes_mean_one_thing_each() {
    for (_, said) in everywhere("codes", &["--json"]) {
        let value: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
        match said.code {
            Some(0) => assert!(value.get("error").is_none(), "{said}"),
            Some(2) => {}
            Some(1 | 3..=6 | 130) => assert!(value["error"]["code"].is_string(), "{said}"),
            other => panic!("exit code {other:?}: {said}"),
        }
    }
    let rig = Rig::new("each-code");
    rig.run(&["plan"]).code_is(2);
    rig.run(&["apply"]).fails(4, &["E0804"]);
    rig.run(&["status", "nosuch"]).fails(3, &["E0908", "nosuch"]);
    rig.run(&["version"]).code_is(0);
    rig.declare("estate: x\nenvironments: [{ name: a, odoo: { series: \"14.0\" } }]\n");
    rig.run(&["plan"]).fails(3, &["E0700", "E0702"]);
}

#[test]
fn point_3_no_question_without_a_terminal_and_yes_is_no_master_key() {
    let rig = Rig::lived("questions");
    for (name, words) in verbs() {
        let began = Instant::now();
        let said = rig.run(&refs(&words));
        assert!(began.elapsed() < Duration::from_secs(60), "{said}");
        assert!(!said.err.contains("[y/N]") && !said.err.contains("type the name"), "{name} asked: {said}");
    }
    assert!(!rig.path("state/supervisor.json").exists(), "without a yes something was started");
    // A yes lifts no refusal.
    rig.declare("estate: x\nenvironments: [{ name: a, odoo: { series: \"14.0\" } }]\n");
    rig.run(&["apply", "--yes"]).fails(3, &["E0700"]);
    assert!(!rig.path("state/supervisor.json").exists());
    // And no destruction has such a flag.
    let command = args::Cli::command();
    if let Some(destroy) = command.find_subcommand("destroy") {
        assert!(!destroy.get_arguments().any(|arg| arg.get_long() == Some("yes")));
        rig.run(&["destroy", "prod", "--reason", "x"]).fails(4, &["E0807"]);
    }
}

#[test]
fn point_4_help_and_version_touch_nothing() {
    let rig = Rig::new("help");
    std::fs::remove_file(rig.path("estate.yaml")).unwrap();
    let before = rig.snapshot();
    let mut calls: Vec<Vec<String>> = vec![vec!["--help".into()], vec!["-h".into()], vec!["--version".into()]];
    calls.extend(verbs().into_iter().map(|(name, _)| vec![name, "--help".into()]));
    for words in calls {
        let trace = rig.path("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=%file,%network,flock,fcntl,fork,vfork,execve", "-o"]).arg(&trace);
        command.arg(env!("CARGO_BIN_EXE_springtide")).args(&words);
        rig.dress(&mut command);
        let output = command.output().expect("strace is there (scripts/setup --tests)");
        assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}");
        let text = std::fs::read_to_string(&trace).unwrap();
        std::fs::remove_file(&trace).unwrap();
        assert!(text.contains("execve"), "the trace is empty");
        for line in text.lines().skip(1) {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "unlink", "rename", "F_SETLK", "flock("];
            assert!(!writes.iter().any(|word| line.contains(word)), "{words:?}: {line}");
            assert!(!["socket(", "connect(", "bind("].iter().any(|word| line.contains(word)), "{words:?}: {line}");
            // The loader looks for libraries, the allocator reads /proc and /sys; nothing of ours is opened.
            assert!(!line.contains(rig.folder.to_str().unwrap()), "{words:?}: {line}");
            assert!(!line.contains("estate.yaml") && !line.contains("/var/lib/springtide"), "{words:?}: {line}");
        }
    }
    assert_eq!(before, rig.snapshot());
}

#[test]
fn point_5_every_verb_that_changes_has_a_dry_run_that_changes_nothing() {
    let command = args::Cli::command();
    let rig = Rig::lived("dry");
    // Looking opens the store, which may rearrange its own file once.
    rig.run(&["plan"]);
    let before = rig.snapshot();
    for (name, mut words) in verbs() {
        let has = command.find_subcommand(&name).unwrap().get_arguments().any(|arg| arg.get_long() == Some("dry-run"));
        assert_eq!(has, !READ_ONLY.contains(&name.as_str()), "{name}: --dry-run belongs to what changes something");
        if !has {
            continue;
        }
        if name == "init" {
            words.push("new.yaml".into());
        }
        // Options come before what a verb passes on.
        if !words.contains(&"--dry-run".to_owned()) {
            words.insert(1, "--dry-run".into());
        }
        let said = rig.run(&refs(&words));
        assert!(!matches!(said.code, Some(4 | 5)), "{said}");
        assert!(rig.snapshot() == before, "{name} --dry-run changed something: {said}");
    }
    for more in [&[][..], &["--json"]] {
        let with = |words: &[&str]| rig.run(&[words, more].concat()).out;
        // Other tests open and close ports beside this one, and a plan names what it saw.
        let same = (0..20).any(|_| {
            let (planned, dry) = (with(&["plan"]), with(&["apply", "--dry-run"]));
            assert!(planned.contains("prod"), "{planned}");
            planned == dry
        });
        assert!(same, "a dry run and a plan differ");
    }
}

#[test]
fn point_6_every_failure_is_whole() {
    let mut failures = 0;
    let mut check = |said: &Said| {
        // 2 is no failure unless it says so.
        if !matches!(said.code, Some(0)) && (said.code != Some(2) || said.err.contains("error E")) {
            said.is_whole_failure();
            failures += 1;
        }
    };
    for (_, said) in everywhere("failures", &[]) {
        check(&said);
    }
    let rig = Rig::lived("whole");
    for (_, words) in verbs() {
        check(&rig.run(&[&refs(&words)[..], &["--no-such-flag"]].concat()));
    }
    rig.declare("estate: [x\n");
    for (name, words) in verbs() {
        let said = rig.run(&refs(&words));
        check(&said);
        if name == "check" {
            said.fails(3, &["E0100", "estate.yaml:1"]);
        }
    }
    // Not root: the program where nobody can run it.
    let program = rig.path("springtide");
    std::fs::copy(env!("CARGO_BIN_EXE_springtide"), &program).unwrap();
    rig.declare(common::ESTATE);
    rig.mode("", 0o755);
    for (_, words) in verbs() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(&words);
        rig.dress(&mut command);
        check(&Said::of(command.output().unwrap(), &refs(&words)));
    }
    assert!(failures > 40, "only {failures} failures were seen");
}

#[test]
fn point_7_no_secret_is_said() {
    for more in [&[][..], &["--json"], &["-v"]] {
        // Before `stop`, with which a supervisor puts away what nobody knows.
        let rig = Rig::lived("secrets");
        let secrets = rig.secrets();
        for words in [&["history", "--operation", "1"][..], &["logs", "prod/web", "-n", "9"]] {
            let said = rig.run(&[words, more].concat());
            assert!(said.out.contains("password=********"), "{said}");
            assert!(!secrets.redact_check(&said.out).unwrap(), "{said}");
        }
        for (name, words) in verbs() {
            let said = rig.run(&[&refs(&words)[..], more].concat());
            let all = format!("{}{}", said.out, said.err);
            // A person who asks how to log in is told, as the help says.
            let expected = name == "open" && !more.contains(&"--json");
            assert_eq!(secrets.redact_check(&all).unwrap(), expected, "{said}");
        }
    }
}

/// Verbs whose output is data of fixed form, not text for a terminal.
const DATA: [&str; 5] = ["schema", "completion", "logs", "open", "init"];

#[test]
fn point_8_colour_width_locale_and_loudness() {
    let rig = Rig::lived("looks");
    let utf8 = ("LC_ALL", "C.UTF-8");
    assert!(at_a_terminal(&rig, "doctor", &[utf8]).contains("\x1b["), "colours at a terminal");
    let mut all = verbs();
    all.push(("history".into(), ["history", "--operation", "1"].map(String::from).to_vec()));
    all.push(("explain".into(), ["explain", "prod"].map(String::from).to_vec()));
    for (name, words) in all {
        let line = words.join(" ");
        let plain = at_a_terminal(&rig, &line, &[utf8, ("NO_COLOR", "1")]);
        assert!(!plain.contains('\x1b'), "{name}: {plain:?}");
        let ascii = at_a_terminal(&rig, &line, &[("LC_ALL", "C")]);
        assert!(ascii.is_ascii() && !ascii.contains('\x1b'), "{name}: {ascii:?}");
        assert!(!rig.run(&refs(&words)).out.contains('\x1b'), "{name} in a pipe");

        if !DATA.contains(&name.as_str()) {
            for width in [60, 100] {
                let mut command = rig.command();
                command.args(&words).env("COLUMNS", width.to_string());
                let said = Said::of(command.output().unwrap(), &refs(&words));
                for line in said.out.lines().chain(said.err.lines()) {
                    assert!(line.chars().count() <= width, "{name} at {width}: {line:?} in {said}");
                }
            }
        }
        let quiet = rig.run(&[&refs(&words)[..], &["--quiet"]].concat());
        let failed = quiet.err.contains("error E");
        assert!(failed || quiet.err.is_empty(), "{name} --quiet talks: {quiet}");
        let verbose = rig.run(&[&refs(&words)[..], &["-v"]].concat());
        assert!(!verbose.err.contains("E0911"), "{verbose}");
    }
    let (plain, verbose) = (rig.run(&["plan"]).out, rig.run(&["plan", "-v"]).out);
    assert!(verbose.lines().count() > plain.lines().count() + 10 && verbose.contains("digest: "), "{verbose}");
}

#[test]
fn point_9_long_work_tells_its_number_and_stops_when_asked() {
    let rig = Rig::new("stop");
    let mut child = rig.command().args(["apply", "--yes"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // unshare and sh have become springtide: the child's pid is its pid.
    let pid = Pid::from_raw(child.id() as i32);
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("operation 1, plan p-"), "{first}");
    kill(pid, Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let said =
        Said { words: "apply".into(), code: child.wait().unwrap().code(), out: String::new(), err: rest.join("\n") };
    said.fails(130, &["stopping after this step", "E0805", "What was done stays done", "springtide apply goes on"]);

    // The stand-in of the proxy never becomes ready: time to look, to come second, and to lose patience.
    let mut child = rig.command().args(["apply", "--yes"]).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("run proxy")), "it came to the proxy");
    let second = rig.run(&["apply", "--yes"]);
    second.fails(5, &["E0802", &format!("springtide apply, pid {pid}, since "), "since "]);
    let status = rig.run(&["status", "--json"]).json();
    assert_eq!(status["operation"]["running"], true, "{status}");
    assert_eq!(status["operation"]["step"], "run proxy");
    let began = Instant::now();
    kill(pid, Signal::SIGINT).unwrap();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("stopping after this step")));
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(5), "the second Ctrl-C leaves at once");
    let status = rig.run(&["status", "--json"]).json();
    assert_eq!(status["operation"]["running"], false, "{status}");

    // Something runs: a command inside it passes its exit code on, and is no operation to go on with.
    assert!(rig.run(&["exec", "notice", "--dry-run"]).out.contains("its shell"));
    rig.run(&["exec", "notice", "--", "sh", "-c", "exit 7"]).code_is(7);
    assert_eq!(rig.run(&["exec", "notice", "--json", "--", "true"]).json()["exit_code"], 0);
    rig.run(&["exec", "notice", "--", "no-such-program"]).fails(3, &["E0915", "Nothing was run."]);
    assert!(rig.run(&["stop", "--dry-run"]).out.contains("notice"));
    let stopped = rig.run(&["stop", "--json"]);
    assert_eq!(stopped.json()["stopped"], true, "{stopped}");
    assert_eq!(rig.run(&["stop", "--dry-run"]).out, "nothing runs\n");
}

#[test]
fn point_10_times_have_a_zone_for_people_and_are_utc_for_programs() {
    let rig = Rig::lived("times");
    rig.declare(&format!(
        "{}peaks: [{{ name: friday, kind: promotion, environments: [prod], from: 2026-01-01T06:00, to: 2099-01-01T06:00 }}]\n",
        common::ESTATE
    ));
    fn walk(value: &Value, key: &str, said: &Said) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, key, said)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, key, said)),
            Value::Number(number) if !key.contains("bytes") => {
                let moment = number.as_i64().is_some_and(|it| (1_500_000_000..4_200_000_000).contains(&it));
                assert!(!moment, "{key} is a number that looks like a moment: {said}");
            }
            Value::String(text) if matches!(key, "began" | "ended" | "at" | "until" | "from" | "to" | "time") => {
                assert!(text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(), "{key}: {text}");
            }
            _ => {}
        }
    }
    for (_, words) in verbs() {
        let said = rig.run(&[&refs(&words)[..], &["--json"]].concat());
        for line in said.out.lines() {
            walk(&serde_json::from_str(line).unwrap(), "", &said);
        }
    }
    let detail = rig.run(&["history", "--operation", "1", "--json"]).json();
    assert!(detail["operation"]["list"][1]["began"].as_str().unwrap().ends_with('Z'), "{detail}");
    for words in [&["history"][..], &["history", "--operation", "1"], &["status"]] {
        let said = rig.run(words);
        let zone = said.out.contains(" +01:00 (") || said.out.contains(" +02:00 (");
        assert!(zone && (said.out.contains(" ago)") || said.out.contains("(in ")), "{said}");
    }
}

#[test]
fn point_11_typos_are_met_with_what_was_meant() {
    let rig = Rig::lived("typos");
    let command = args::Cli::command();
    for (name, words) in verbs() {
        let mut letters: Vec<char> = name.chars().collect();
        let last = letters.len() - 1;
        letters.swap(last, last - 1);
        let typo: String = letters.into_iter().collect();
        rig.run(&[&typo]).fails(3, &["E0911", &format!("'{name}'")]);
        for flag in command.find_subcommand(&name).unwrap().get_arguments().filter_map(|arg| arg.get_long()) {
            let typo = format!("--{}x", &flag[..flag.len() - 1]);
            let mut words = words.clone();
            words.insert(1, typo);
            // Of two letters one is not enough to know what was meant.
            let meant = if flag.len() > 2 { format!("--{flag}") } else { String::new() };
            rig.run(&refs(&words)).fails(3, &["E0911", &meant]);
        }
    }
    for verb in ["status", "open", "history", "explain"] {
        rig.run(&[verb, "prdo"]).fails(3, &["prdo", "did you mean prod?"]);
    }
    rig.run(&["logs", "prdo/web"]).fails(3, &["did you mean prod?"]);
    rig.run(&["logs", "prod/wbe"]).fails(3, &["did you mean web?"]);
    rig.run(&["logs", "web"]).fails(3, &["prod/web"]);
    rig.run(&["explain", "E0710"]).fails(3, &["did you mean E0709?"]);
    rig.run(&["explain", "copy-tempalte"]).fails(3, &["did you mean copy-template?"]);
}

#[test]
fn point_12_completion_offers_what_is_there_now() {
    let rig = Rig::lived("complete");
    // Whoever completes is nobody special, and an operation may be under way.
    std::fs::write(rig.path("state/operation.lock"), "").unwrap();
    let lock = std::fs::File::open(rig.path("state/operation.lock")).unwrap();
    let _held = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
    std::fs::create_dir(rig.path("bin")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_springtide"), rig.path("bin/springtide")).unwrap();
    rig.mode("", 0o755);
    let offered = |words: &[&str]| {
        let script = "source <(springtide completion bash); COMP_WORDS=(springtide \"$@\"); COMP_CWORD=$#; \
                      COMP_TYPE=9; _clap_complete_springtide springtide \"${!#}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script, "bash"]).args(words);
        rig.dress(&mut command);
        command.env("PATH", format!("{}:/usr/bin:/bin", rig.path("bin").display()));
        let began = Instant::now();
        let output = command.output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "completion is slow");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let contains = |offered: &[String], word: &str| offered.iter().any(|one| one == word);
    let verb = offered(&["sta"]);
    assert!(contains(&verb, "status"), "{verb:?}");
    let command = args::Cli::command();
    let mut seen = 0;
    for (name, _) in verbs() {
        let first =
            command.find_subcommand(&name).unwrap().get_positionals().next().map(|arg| arg.get_id().to_string());
        let expected = match first.as_deref() {
            Some("environment") => "shop",
            Some("workload") => "shop/web",
            Some("thing") => "E0701",
            _ => continue,
        };
        let words = offered(&[&name, &expected[..1]]);
        assert!(contains(&words, expected), "{name}: {words:?}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} verbs name something live");
    // At once: a new environment in the file is offered.
    rig.declare(&format!("{}  - {{ name: later }}\n", common::ESTATE));
    assert_eq!(offered(&["status", "la"]), ["later"]);
}

#[test]
fn the_book_tells_every_verb_and_every_field() {
    let book = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    let rig = Rig::lived("book");
    let section = |name: &str| {
        let (_, rest) =
            book.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("docs/cli.md has no section {name}"));
        rest.split("\n## ").next().unwrap().to_owned()
    };
    let tells = |section: &str, value: &Value, what: &str| {
        for field in value.as_object().unwrap().keys() {
            assert!(section.contains(&format!("`{field}`")), "docs/cli.md does not tell `{field}` of {what}");
        }
    };
    let failures = section("Failures");
    tells(&failures, &rig.run(&["status", "nosuch", "--json"]).json()["error"], "failures");
    let command = args::Cli::command();
    for (name, words) in verbs() {
        let text = section(&name);
        for flag in command.find_subcommand(&name).unwrap().get_arguments().filter_map(|arg| arg.get_long()) {
            assert!(text.contains(&format!("--{flag}")), "docs/cli.md does not tell --{flag} of {name}");
        }
        let said = rig.run(&[&refs(&words)[..], &["--json"]].concat());
        for line in said.out.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            if value.get("error").is_none() {
                tells(&text, &value, &name);
            }
        }
    }
    // What only other words bring out.
    for (name, words) in [
        ("explain", &["explain", "prod", "--json"][..]),
        ("history", &["history", "--operation", "1", "--json"]),
        ("apply", &["apply", "--dry-run", "--json"]),
        ("init", &["init", "--dry-run", "other.yaml", "--json"]),
    ] {
        tells(&section(name), &rig.run(words).json(), name);
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "130"] {
        assert!(section("Exit codes").contains(&format!("| {code} |")), "exit code {code}");
    }
}
