//! What the parts of an environment say of themselves now: a piece of its page that is asked for by itself,
//! because a part that does not answer is waited for.

use maud::{Markup, html};
use springtide_api::SignalsView;

use crate::console::parts::bytes;
use crate::console::words::{Icon, Tone, word};

/// The piece.
pub fn piece(it: &SignalsView) -> Markup {
    let held: u32 = it.connections.iter().map(|role| role.active + role.in_transaction + role.idle).sum();
    html! {
        @for source in &it.unknown {
            p.why { (word(Tone::Quiet, Icon::Question, "unknown")) " " (source.what) ": " (source.why) }
        }
        @if let Some(most) = it.max_connections {
            p { b { (held) } " of " (most) " connections are open at PostgreSQL" }
            @if !it.connections.is_empty() {
                table.table.compact {
                    caption.sr { "Connections at PostgreSQL by database role" }
                    thead { tr { th scope="col" { "Role" } th.num scope="col" { "active" } th.num scope="col" { "in transaction" } th.num scope="col" { "idle" } } }
                    tbody {
                        @for role in &it.connections {
                            tr {
                                th scope="row" { @if role.role.is_empty() { "(none)" } @else { (role.role) } }
                                td.num { (role.active) }
                                td.num { (role.in_transaction) }
                                td.num { (role.idle) }
                            }
                        }
                    }
                }
            }
        }
        @if !it.pools.is_empty() {
            table.table.compact {
                caption.sr { "Pools of PgBouncer" }
                thead { tr { th scope="col" { "Pool" } th.num scope="col" { "served" } th.num scope="col" { "waiting" } th.num scope="col" { "longest wait" } } }
                tbody {
                    @for pool in &it.pools {
                        tr {
                            th scope="row" { (pool.database) " / " (pool.user) }
                            td.num { (pool.clients_active) }
                            td.num { @if pool.clients_waiting > 0 { (word(Tone::Warn, Icon::Pause, &pool.clients_waiting.to_string())) } @else { "0" } }
                            td.num { (pool.longest_wait_ms) " ms" }
                        }
                    }
                }
            }
        }
        @if let Some(archiver) = &it.archiver {
            p {
                "Write-ahead log: " b { (archiver.ready_files) } " segments wait to be archived"
                @if archiver.last_failed.is_some() && archiver.last_failed > archiver.last_archived {
                    " " (word(Tone::Bad, Icon::Question, "archiving fails"))
                }
            }
        }
        @if let Some(sessions) = &it.sessions {
            p { "Sessions use " b { (bytes(sessions.used_bytes)) } " of " (bytes(sessions.most_bytes)) }
        }
        @if !it.services.is_empty() {
            p {
                "The entrance sees "
                @for (number, service) in it.services.iter().enumerate() {
                    @if number > 0 { ", " }
                    (service.name) " "
                    @if service.down > 0 { (word(Tone::Bad, Icon::Question, "down")) } @else { "up" }
                }
            }
        }
    }
}
