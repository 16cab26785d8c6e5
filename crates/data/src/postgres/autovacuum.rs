//! Settings of Odoo's tables that the server-wide autovacuum rules do not fit.

use super::admin::{Admin, AdminError};

/// One group of tables and its storage settings.
struct Rule {
    /// Names, as `LIKE` patterns.
    tables: &'static [&'static str],
    /// Settings for `ALTER TABLE … SET`.
    settings: &'static str,
    /// Settings for the table's TOAST part, if it has one.
    toast: &'static str,
}

/// Scale factors are shares of the table, thresholds are rows. Fill factors leave room so that an
/// update stays on its page and touches no index.
const RULES: &[Rule] = &[
    // Rows live for seconds.
    Rule {
        tables: &["bus\\_bus", "bus\\_presence"],
        settings: "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0",
        toast: "toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_cost_delay = 0",
    },
    // Every row changes its state several times.
    Rule {
        tables: &["queue\\_job", "ir\\_cron", "ir\\_cron\\_trigger", "mail\\_mail"],
        settings: "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, fillfactor = 80",
        toast: "",
    },
    // Hot counters with row locks.
    Rule {
        tables: &["stock\\_quant", "sale\\_order\\_line"],
        settings: "autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01, fillfactor = 85",
        toast: "",
    },
    // Big and steady; frequent visibility updates keep index-only scans cheap.
    Rule {
        tables: &["stock\\_move", "stock\\_move\\_line", "account\\_move", "account\\_move\\_line"],
        settings: "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.01",
        toast: "",
    },
    // Appended and purged.
    Rule {
        tables: &["mail\\_message", "mail\\_notification", "ir\\_attachment", "auditlog\\_%"],
        settings: "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02",
        toast: "",
    },
    // Tiny, updated by every login or document.
    Rule {
        tables: &["res\\_users", "ir\\_sequence%", "orm\\_signaling\\_%"],
        settings: "autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0, fillfactor = 70",
        toast: "",
    },
];

/// Applies the rules to the tables that exist in the database `admin` is in; returns how many. Done
/// while a template is built, because it waits for locks.
pub async fn autovacuum(admin: &Admin) -> Result<usize, AdminError> {
    let mut count = 0;
    for rule in RULES {
        for pattern in rule.tables {
            let rows = admin
                .query(
                    "look for tables",
                    "SELECT relname::text, reltoastrelid <> 0 FROM pg_class
                     WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname LIKE $1",
                    &[pattern],
                )
                .await?;
            for row in rows {
                let table: String = row.get(0);
                let toast =
                    if row.get(1) && !rule.toast.is_empty() { format!(", {}", rule.toast) } else { String::new() };
                let pattern = format!("ALTER TABLE public.%I SET ({}{toast})", rule.settings);
                admin.execute_format(&format!("set autovacuum of table {table}"), &pattern, &[&table]).await?;
                count += 1;
            }
        }
    }
    Ok(count)
}
