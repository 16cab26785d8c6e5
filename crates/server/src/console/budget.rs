//! The connection budget as a picture. Lengths are attributes of SVG: a style would not pass the policy.

use maud::{Markup, html};
use springtide_api::{BudgetBar, BudgetView};

use super::words::{Icon, Tone, word};

/// The colour class of a budget line.
fn segment(what: &str) -> &'static str {
    match what {
        "web" => "web",
        "cron" => "cron",
        "live" => "live",
        "jobs" => "jobs",
        "maintenance" => "maintenance",
        "monitor" => "monitor",
        _ => "other",
    }
}

fn percent(part: u32, whole: u32) -> String {
    format!("{:.2}%", f64::from(part) * 100.0 / f64::from(whole.max(1)))
}

/// The budget in one bar: what is asked for, what is held back, of how many.
pub fn budget_bar(budget: &BudgetBar) -> Markup {
    let BudgetBar { demand, reserve, max_connections } = *budget;
    let whole = max_connections.max(demand + reserve);
    let fits = demand + reserve <= max_connections;
    let label = format!("{demand} of {max_connections} database connections spoken for, {reserve} held back");
    html! {
        div {
            div.budget-line {
                span { "connections" }
                span.num { b { (demand) } " + " (reserve) " reserve of " (max_connections) @if !fits { ", does not fit" } }
            }
            svg.bar role="img" aria-label=(label) {
                rect.(if fits { "seg-web" } else { "seg-over" }) width=(percent(demand, whole)) height="100%" {}
                rect.seg-reserve x=(percent(demand, whole)) width=(percent(reserve, whole)) height="100%" {}
            }
        }
    }
}

/// The budget as a picture and as the numbers behind it.
pub fn budget(budget: &BudgetView) -> Markup {
    let whole = budget.max_connections.max(budget.demand + budget.reserve);
    let mut from = 0;
    let mut places = Vec::new();
    for line in &budget.lines {
        places.push((segment(&line.what), line.what.as_str(), from, line.connections));
        from += line.connections;
    }
    places.push(("reserve", "reserve", from, budget.reserve));
    html! {
        svg.bar.tall role="img" aria-label={ "Connection budget: " (budget.arithmetic) } {
            @for (class, what, from, wide) in places {
                g {
                    title { (what) ": " (wide) " connections" }
                    rect.{ "seg-" (class) } x=(percent(from, whole)) width=(percent(wide, whole)) height="100%" {}
                    @if wide * 16 >= whole && class != "reserve" {
                        text x=(percent(from * 2 + wide, whole * 2)) y="50%" { (wide) }
                    }
                }
            }
            @if !budget.fits {
                line.limit x1=(percent(budget.max_connections, whole)) x2=(percent(budget.max_connections, whole)) y1="0" y2="100%" {}
            }
        }
        div.scale aria-hidden="true" {
            span { "0" }
            span { "max_connections " (budget.max_connections) }
        }
        table.table.compact {
            caption.sr { "Connection budget, line by line" }
            thead { tr { th scope="col" { "For" } th scope="col" { "How" } th.num scope="col" { "Count" } } }
            tbody {
                @for line in &budget.lines {
                    tr {
                        td { span.key.{ "key-" (segment(&line.what)) } {} (line.what) }
                        td.why { (line.how) }
                        td.num { (line.connections) }
                    }
                }
                tr { td { span.key.key-reserve {} "reserve" } td.why { "10 % and 3 for superusers" } td.num { (budget.reserve) } }
                tr {
                    td { b { "sum" } }
                    td.why {
                        @if budget.fits { "fits, " (budget.max_connections - budget.demand - budget.reserve) " to spare" }
                        @else { (word(Tone::Bad, Icon::Cross, "does not fit")) }
                    }
                    td.num { b { (budget.demand + budget.reserve) } " of " (budget.max_connections) }
                }
            }
        }
    }
}
