//! Pages of the console as HTML: empty, held and unknown states, what stands in them, and that nothing
//! somebody wrote becomes markup.

#[allow(dead_code, missing_docs)]
#[path = "console/samples.rs"]
mod samples;

use maud::Markup;
use samples as s;
use springtide_api::*;
use springtide_server::console::frame::{Frame, Section, Theme, page};
use springtide_server::console::pages::{environment, estate, login, operation, plan, problem};

/// One element per line, so that a difference can be read; asset addresses without their digest.
fn lines(markup: Markup) -> String {
    let text = markup.into_string().replace("><", ">\n<");
    let version = springtide_server::console::assets::version();
    let assets = format!("/assets/{version}/");
    let path = |text: &str| {
        // Shapes are drawings, nothing to read.
        text.lines().filter(|line| !line.starts_with("<path ")).collect::<Vec<_>>().join("\n")
    };
    path(&text).replace(&assets, "/assets/VERSION/").replace(&format!("v={version}"), "v=VERSION")
}

fn held() -> Frame {
    Frame { held: Some(s::held()), refusal: Some(s::refusal()), ..s::frame() }
}

#[test]
fn a_whole_page_has_no_inline_style_or_script() {
    let frame = s::frame();
    let whole = [
        page(&frame, Section::Estate, "acme", Some("/live"), &estate::live(&frame, &s::estate())),
        page(&frame, Section::Estate, "prod", None, &environment::live(&frame, &s::environment(), &s::beside())),
        page(&frame, Section::Plan, "plan", None, &plan::content(&frame, &s::plan(), s::NOW - 3, None)),
        page(&frame, Section::Operations, "operations", None, &operation::list(&frame, &s::operations(), None)),
        login::page(Theme::Dark, "code", None),
        problem::page(Theme::System, &s::problem()),
    ];
    for markup in whole {
        let text = markup.into_string();
        assert!(!text.contains(" style=") && !text.contains("<style"), "{text}");
        assert!(!text.contains(" onclick") && !text.contains("hx-on") && !text.contains("js:"), "{text}");
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" defer src=\"/assets/") && script.contains("></script>"), "{script}");
        }
        for word in ["href=\"http:", "src=\"http", "src=\"//"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert_eq!(text.matches("<h1").count(), 1);
    }
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    let frame = held();
    let all = [
        page(&s::frame(), Section::Estate, "acme", None, &estate::live(&s::frame(), &s::estate())),
        page(&frame, Section::Estate, "acme", None, &estate::live(&frame, &s::estate())),
        plan::content(&s::frame(), &s::plan(), s::NOW - 3, None),
        operation::live(&s::frame(), &s::detail(OperationState::Running), &[], &["ask for the login page".into()]),
    ];
    let mut seen = 0;
    for markup in all {
        let text = markup.into_string();
        for form in text.split("<form").skip(1).filter(|form| form.contains("method=\"post\"")) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains("name=\"csrf\" value=\"csrf-of-this-session\""), "{form}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn what_somebody_wrote_stays_text() {
    let bad = s::HOSTILE;
    let frame = Frame {
        estate: bad.into(),
        search: bad.into(),
        path: bad.into(),
        csrf: bad.into(),
        refusal: Some(bad.into()),
        held: Some(HeldView { reason: bad.into(), by: bad.into(), since: s::NOW }),
        ..s::frame()
    };
    let mut world = s::estate();
    world.environments[0].name = bad.into();
    world.environments[0].url = Some(bad.into());
    world.drift[0].what = bad.into();
    world.notes[0].text = bad.into();
    world.parts[0].why = bad.into();
    world.parts[0].state = State::GaveUp;
    let mut one = s::troubled_environment();
    one.summary.name = bad.into();
    one.summary.url = Some(bad.into());
    one.roles[1].why = bad.into();
    one.destroying = Some(bad.into());
    one.database.unknown = Some(bad.into());
    one.numbers[0].why = bad.into();
    let beside = environment::Beside {
        log_role: bad.into(),
        log: Some(Ok(LogView { workload: bad.into(), lines: vec![bad.into()], next: bad.into() })),
        memory: None,
    };
    let mut left = s::plan();
    left.id = bad.into();
    left.environments[1].environment = Some(bad.into());
    left.environments[1].steps[0].title = bad.into();
    left.environments[1].steps[1].reason = bad.into();
    left.environments[1].waits[0] = bad.into();
    left.undeclared = vec![bad.into()];
    let mut done = s::detail(OperationState::Failed);
    done.operation.outcome = Some(bad.into());
    done.steps[3].error = Some(bad.into());
    done.steps[0].title = bad.into();
    let excerpt = operation::Excerpt { step: 3, workload: bad.into(), lines: vec![bad.into()] };
    let trouble = Problem { title: bad.into(), detail: bad.into(), next: bad.into(), code: bad.into(), ..s::problem() };
    let refusal = RefusalView { code: bad.into(), environment: bad.into(), text: bad.into(), hint: bad.into() };
    let refused = PlanView { refusals: vec![refusal], ..s::empty_plan() };
    let all = [
        page(
            &frame,
            Section::Estate,
            bad,
            Some(bad),
            &estate::live(&Frame { search: String::new(), ..frame.clone() }, &world),
        ),
        page(&frame, Section::Estate, bad, None, &estate::live(&frame, &s::estate())),
        environment::live(&frame, &one, &beside),
        environment::live(&frame, &one, &environment::Beside { log: Some(Err(bad.into())), ..beside.clone() }),
        plan::content(&frame, &left, s::NOW - 3, Some(bad)),
        plan::content(&frame, &refused, s::NOW - 3, None),
        plan::stale(bad),
        operation::live(&frame, &done, &[excerpt], &["ask for the login page".into()]),
        login::page(Theme::System, bad, Some(bad)),
        problem::page(Theme::System, &trouble),
    ];
    for markup in all {
        let text = markup.into_string();
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(text.contains("&lt;script&gt;alert"), "it must be shown: {text}");
        // A quote would end the attribute it stands in.
        assert!(!text.contains("\"quoted\""), "{text}");
    }
}

#[test]
fn an_estate_without_environments_teaches_the_next_command() {
    insta::assert_snapshot!("estate-empty", lines(estate::live(&s::frame(), &s::empty_estate())));
}

#[test]
fn a_held_estate_says_so_first_on_every_page() {
    let frame = held();
    let text = lines(estate::live(&frame, &s::estate()));
    insta::assert_snapshot!("estate-held", text);
    for markup in [
        environment::live(&frame, &s::environment(), &s::beside()),
        plan::content(&frame, &s::plan(), s::NOW - 3, None),
        operation::list(&frame, &s::operations(), None),
    ] {
        let text = markup.into_string();
        let first = text.split_once("<section").map_or("", |(_, rest)| rest);
        assert!(first.starts_with(" class=\"banner warn\" aria-label=\"Held\">"), "{text}");
        assert!(text.contains("wrokers"), "{text}");
    }
    let plan = plan::content(&frame, &s::plan(), s::NOW - 3, None).into_string();
    assert!(plan.contains("type=\"submit\" disabled"), "{plan}");
}

#[test]
fn a_plan_that_is_read_is_told_of_a_hold_and_of_a_newer_plan() {
    let (free, held, now) = (s::frame(), held(), s::plan());
    let along = |frame: &Frame, seen: &str| plan::along(frame, &now, seen).into_string();
    // What is sent takes the place of what stands on the page.
    let page = plan::content(&free, &now, s::NOW - 3, None).into_string();
    for id in ["notices", "outlook", "begin", "stale"] {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id} in {page}");
    }
    let text = along(&held, &now.id);
    assert!(text.contains("type=\"submit\" disabled") && text.contains("until it is released"), "{text}");
    assert!(text.contains("stock count in Graz") && !text.contains("moved on"), "{text}");
    let text = along(&free, &now.id);
    assert!(!text.contains(" disabled") && !text.contains("released") && !text.contains("moved on"), "{text}");
    let text = along(&free, "p-before");
    assert!(text.contains("moved on") && !text.contains(" disabled"), "{text}");
    let reader = along(&Frame { operate: false, ..held }, &now.id);
    assert!(!reader.contains("<button class=\"primary"), "{reader}");
}

#[test]
fn what_is_unknown_or_broken_is_told_in_words() {
    let text = lines(environment::live(&s::frame(), &s::troubled_environment(), &environment::Beside::default()));
    insta::assert_snapshot!("environment-troubled", text);
    for word in ["gave up", "not ready", "waits to start again", "unwatched", "route unknown", "does not fit"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn a_plan_shows_what_interrupts_people_first() {
    let text = lines(plan::content(&s::frame(), &s::plan(), s::NOW - 3, Some("prod")));
    insta::assert_snapshot!("plan", text);
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}"));
    assert!(place("run prod/web") < place("run prod/pooler"), "the longest interruption first");
    assert!(place("run prod/pooler") < place("run notice"));
    let mut removing = s::plan();
    removing.environments[2].steps.push(s::plan_step("remove its data", Risk::Destructive, 0, "destroyed"));
    removing.summary.destructive = 1;
    let text = plan::content(&s::frame(), &removing, s::NOW - 3, None).into_string();
    assert!(text.find("remove its data") < text.find("run prod/web"));
    assert!(text.contains("name=\"destructive\" value=\"yes\" required"), "{text}");
}

#[test]
fn an_empty_or_refused_plan_cannot_be_approved() {
    for plan in [s::empty_plan(), s::refused_plan()] {
        let text = plan::content(&s::frame(), &plan, s::NOW - 3, None).into_string();
        assert!(!text.contains("/plan/approve"), "{text}");
    }
    let text = plan::content(&Frame { operate: false, ..s::frame() }, &s::plan(), s::NOW - 3, None).into_string();
    assert!(!text.contains("type=\"submit\""), "{text}");
}

#[test]
fn a_failed_step_shows_the_end_of_its_log() {
    let text = lines(operation::live(
        &s::frame(),
        &s::detail(OperationState::Failed),
        &s::excerpts(),
        &["ask for the login page".into()],
    ));
    insta::assert_snapshot!("operation-failed", text);
    assert_eq!(operation::workload("run prod/web"), Some("prod/web"));
    assert_eq!(operation::workload("run proxy"), None);
    assert_eq!(operation::workload("copy template x/y"), None);
}

#[test]
fn a_search_finds_by_name_stage_series_and_health() {
    let find = |search: &str| {
        let frame = Frame { search: search.into(), ..s::frame() };
        let text = estate::live(&frame, &s::estate()).into_string();
        s::estate().environments.iter().filter(|it| text.contains(&format!("\"/environments/{}\"", it.name))).count()
    };
    assert_eq!(
        [find(""), find("PROD"), find("broken"), find("19.0"), find("stag broken"), find("nothing such")],
        [4, 1, 1, 3, 1, 0]
    );
}
