//! Writes every page of the console with sample values into a folder, to be looked at in a browser:
//! `cargo run -p springtide-server --example console_pages -- FOLDER`. Open them through any file server,
//! `python3 -m http.server` in that folder will do.

#[allow(dead_code, missing_docs)]
#[path = "../tests/console/samples.rs"]
mod samples;

use std::path::Path;

use maud::Markup;
use samples as s;
use springtide_api::OperationState;
use springtide_server::console::frame::{Frame, Section, Theme, page};
use springtide_server::console::pages::{environment, estate, login, operation, plan, problem};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder")?;
    let folder = Path::new(&folder);
    for theme in [Theme::Light, Theme::Dark] {
        for (name, markup) in pages(theme) {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(format!("{name}-{}.html", theme.as_str())), markup.into_string())?;
        }
    }
    let assets = springtide_server::console::assets::asset("");
    let target = folder.join(assets.trim_matches('/'));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/assets");
    std::fs::create_dir_all(target.join("vendor"))?;
    for of in ["", "vendor"] {
        for file in std::fs::read_dir(source.join(of))?.flatten().filter(|file| file.path().is_file()) {
            std::fs::copy(file.path(), target.join(of).join(file.file_name()))?;
        }
    }
    Ok(())
}

fn pages(theme: Theme) -> Vec<(&'static str, Markup)> {
    let frame = Frame { theme, ..s::frame() };
    let held = Frame { held: Some(s::held()), refusal: Some(s::refusal()), ..frame.clone() };
    let show = |frame: &Frame, section, live: Markup| page(frame, section, "sample", None, &live);
    vec![
        ("estate", show(&frame, Section::Estate, estate::live(&frame, &s::estate()))),
        ("estate-held", show(&held, Section::Estate, estate::live(&held, &s::estate()))),
        ("estate-empty", show(&frame, Section::Estate, estate::live(&frame, &s::empty_estate()))),
        ("environment", show(&frame, Section::Estate, environment::live(&frame, &s::environment(), &s::beside()))),
        (
            "environment-troubled",
            show(&held, Section::Estate, environment::live(&held, &s::troubled_environment(), &Default::default())),
        ),
        ("plan", show(&frame, Section::Plan, plan::content(&frame, &s::plan(), s::NOW - 3, Some("prod")))),
        ("plan-empty", show(&frame, Section::Plan, plan::content(&frame, &s::empty_plan(), s::NOW - 3, None))),
        ("plan-refused", show(&frame, Section::Plan, plan::content(&frame, &s::refused_plan(), s::NOW - 3, None))),
        (
            "operation",
            show(
                &frame,
                Section::Operations,
                operation::live(
                    &frame,
                    &s::detail(OperationState::Running),
                    &s::excerpts(),
                    &["ask for the login page".into()],
                ),
            ),
        ),
        (
            "operation-failed",
            show(
                &frame,
                Section::Operations,
                operation::live(
                    &frame,
                    &s::detail(OperationState::Failed),
                    &s::excerpts(),
                    &["ask for the login page".into()],
                ),
            ),
        ),
        ("operations", show(&frame, Section::Operations, operation::list(&frame, &s::operations(), None))),
        ("login", login::page(theme, "", None)),
        ("login-refused", login::page(theme, "sc_4711", Some("this code was used already"))),
        ("problem", problem::page(theme, &s::problem())),
    ]
}
