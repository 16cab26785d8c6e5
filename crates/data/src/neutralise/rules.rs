//! What makes a copy harmless, as data: what each rule needs, what it does and how what it left is read back.
//!
//! Pure. A rule that needs a table or column that a database has not is left out, so one list serves all series and
//! all sets of modules. The rule that keeps it right: every act has its own question, asked by another statement,
//! whose answer is the rows that could still do harm.

use super::catalog::{Catalog, quoted};

/// One thing that could do harm.
struct Rule {
    name: &'static str,
    /// Tables and columns without which there is nothing to do.
    needs: &'static [(&'static str, &'static [&'static str])],
    /// A column in whose presence another rule does the work.
    unless: Option<(&'static str, &'static str)>,
    act: &'static str,
    /// One text per row that could still do harm.
    harm: &'static str,
}

/// A rule as it applies to one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What it is about, for people.
    pub name: String,
    /// Statement that takes the harm away.
    pub act: String,
    /// Query for what could still do harm.
    pub harm: String,
}

/// Tables that every Odoo database has. One without them is none, and nothing is promised about it.
pub const ALWAYS: [&str; 5] = ["ir_config_parameter", "ir_cron", "ir_mail_server", "ir_act_server", "ir_module_module"];

const RULES: &[Rule] = &[
    Rule {
        name: "outgoing mail",
        needs: &[("ir_mail_server", &["active", "smtp_host", "smtp_pass"])],
        unless: None,
        // The host too: a template or a queued mail may name a server that is not active, and Odoo uses it then.
        act: "UPDATE ir_mail_server SET active = (smtp_host = 'invalid' AND active), smtp_host = 'invalid', smtp_pass = NULL",
        harm: "SELECT format('mail server %s', id) FROM ir_mail_server WHERE smtp_host IS DISTINCT FROM 'invalid' OR smtp_pass <> ''",
    },
    Rule {
        name: "mail server that leads nowhere",
        needs: &[("ir_mail_server", &["name", "smtp_port", "smtp_host", "smtp_encryption", "active"])],
        unless: Some(("ir_mail_server", "smtp_authentication")),
        act: "INSERT INTO ir_mail_server (name, smtp_port, smtp_host, smtp_encryption, active)
              SELECT 'neutralised', 1025, 'invalid', 'none', true
              WHERE NOT EXISTS (SELECT 1 FROM ir_mail_server WHERE active AND smtp_host = 'invalid')",
        harm: NO_DUMMY,
    },
    Rule {
        name: "mail server that leads nowhere",
        needs: &[("ir_mail_server", &["name", "smtp_port", "smtp_host", "smtp_encryption", "active", "smtp_authentication"])],
        unless: None,
        act: "INSERT INTO ir_mail_server (name, smtp_port, smtp_host, smtp_encryption, active, smtp_authentication)
              SELECT 'neutralised', 1025, 'invalid', 'none', true, 'login'
              WHERE NOT EXISTS (SELECT 1 FROM ir_mail_server WHERE active AND smtp_host = 'invalid')",
        harm: NO_DUMMY,
    },
    Rule {
        name: "mail servers of templates",
        needs: &[("mail_template", &["mail_server_id"])],
        unless: None,
        act: "UPDATE mail_template SET mail_server_id = NULL WHERE mail_server_id IS NOT NULL",
        harm: "SELECT format('mail template %s', id) FROM mail_template WHERE mail_server_id IS NOT NULL",
    },
    Rule {
        name: "incoming mail",
        needs: &[("fetchmail_server", &["active", "server", "password"])],
        unless: None,
        act: "UPDATE fetchmail_server SET active = false, server = 'invalid', password = NULL",
        harm: "SELECT format('incoming mail server %s', id) FROM fetchmail_server
               WHERE active OR server IS DISTINCT FROM 'invalid' OR password <> ''",
    },
    Rule {
        name: "scheduled actions",
        needs: &[("ir_cron", &["active"]), ("ir_model_data", &["module", "name", "model", "res_id"])],
        unless: None,
        act: "UPDATE ir_cron c SET active = false WHERE active AND NOT EXISTS (SELECT 1 FROM ir_model_data d
              WHERE d.model = 'ir.cron' AND d.module = 'base' AND d.name = 'autovacuum_job' AND d.res_id = c.id)",
        harm: "SELECT format('scheduled action %s', c.id) FROM ir_cron c WHERE c.active AND NOT EXISTS (SELECT 1 FROM ir_model_data d
               WHERE d.model = 'ir.cron' AND d.module = 'base' AND d.name = 'autovacuum_job' AND d.res_id = c.id)",
    },
    Rule {
        name: "job queue",
        needs: &[("queue_job", &["state"])],
        unless: None,
        act: "UPDATE queue_job SET state = 'cancelled' WHERE state NOT IN ('done', 'failed', 'cancelled')",
        harm: "SELECT format('job %s', id) FROM queue_job WHERE state IS NULL OR state NOT IN ('done', 'failed', 'cancelled')",
    },
    Rule {
        name: "mail queue",
        needs: &[("mail_mail", &["state"])],
        unless: None,
        act: "UPDATE mail_mail SET state = 'cancel' WHERE state IS NULL OR state IN ('outgoing', 'exception')",
        harm: "SELECT format('mail %s', id) FROM mail_mail WHERE state IS NULL OR state IN ('outgoing', 'exception')",
    },
    Rule {
        name: "text message queue",
        needs: &[("sms_sms", &["state"])],
        unless: None,
        act: "UPDATE sms_sms SET state = 'canceled' WHERE state IN ('outgoing', 'error', 'process')",
        harm: "SELECT format('text message %s', id) FROM sms_sms WHERE state IN ('outgoing', 'error', 'process')",
    },
    Rule {
        name: "letter queue",
        needs: &[("snailmail_letter", &["state"])],
        unless: None,
        act: "UPDATE snailmail_letter SET state = 'canceled' WHERE state IN ('pending', 'error')",
        harm: "SELECT format('letter %s', id) FROM snailmail_letter WHERE state IN ('pending', 'error')",
    },
    Rule {
        name: "mailings",
        needs: &[("mailing_mailing", &["state"])],
        unless: None,
        act: "UPDATE mailing_mailing SET state = 'draft' WHERE state IN ('in_queue', 'sending')",
        harm: "SELECT format('mailing %s', id) FROM mailing_mailing WHERE state IN ('in_queue', 'sending')",
    },
    Rule {
        name: "scheduled messages",
        needs: &[("mail_scheduled_message", &["id"])],
        unless: None,
        act: "DELETE FROM mail_scheduled_message",
        harm: "SELECT format('scheduled message %s', id) FROM mail_scheduled_message",
    },
    Rule {
        name: "scheduled notices",
        needs: &[("mail_message_schedule", &["id"])],
        unless: None,
        act: "DELETE FROM mail_message_schedule",
        harm: "SELECT format('scheduled notice %s', id) FROM mail_message_schedule",
    },
    Rule {
        name: "push devices",
        needs: &[("mail_push_device", &["id"])],
        unless: None,
        act: "DELETE FROM mail_push_device",
        harm: "SELECT format('push device %s', id) FROM mail_push_device",
    },
    Rule {
        name: "automation",
        needs: &[("base_automation", &["active"])],
        unless: None,
        act: "UPDATE base_automation SET active = false WHERE active IS NOT FALSE",
        harm: "SELECT format('automation %s', id) FROM base_automation WHERE active IS NOT FALSE",
    },
    Rule {
        name: "outgoing webhooks",
        needs: &[("ir_act_server", &["webhook_url"])],
        unless: None,
        act: "UPDATE ir_act_server SET webhook_url = 'neutralised' WHERE webhook_url <> ''",
        harm: "SELECT format('server action %s', id) FROM ir_act_server WHERE webhook_url LIKE '%://%'",
    },
    Rule {
        name: "incoming webhooks",
        needs: &[("base_automation", &["webhook_uuid", "active"])],
        unless: None,
        act: "UPDATE base_automation SET webhook_uuid = gen_random_uuid()::text WHERE webhook_uuid <> ''",
        harm: "SELECT format('webhook %s', id) FROM base_automation WHERE webhook_uuid <> '' AND active IS NOT FALSE",
    },
    Rule {
        name: "in-app purchases",
        needs: &[("iap_account", &["account_token"])],
        unless: None,
        act: "UPDATE iap_account SET account_token = 'neutralised+disabled' WHERE account_token NOT LIKE '%+disabled'",
        harm: "SELECT format('account %s', id) FROM iap_account WHERE account_token NOT LIKE '%+disabled'",
    },
    Rule {
        name: "logins by other services",
        needs: &[("auth_oauth_provider", &["enabled"])],
        unless: None,
        act: "UPDATE auth_oauth_provider SET enabled = false WHERE enabled IS NOT FALSE",
        harm: "SELECT format('provider %s', id) FROM auth_oauth_provider WHERE enabled IS NOT FALSE",
    },
    Rule {
        name: "directories of users",
        needs: &[("res_company_ldap", &["id"])],
        unless: None,
        act: "DELETE FROM res_company_ldap",
        harm: "SELECT format('directory %s', id) FROM res_company_ldap",
    },
    Rule {
        name: "keys of users for programs",
        needs: &[("res_users_apikeys", &["id"])],
        unless: None,
        act: "DELETE FROM res_users_apikeys",
        harm: "SELECT format('key %s', id) FROM res_users_apikeys",
    },
    Rule {
        name: "passkeys",
        needs: &[("auth_passkey_key", &["id"])],
        unless: None,
        act: "DELETE FROM auth_passkey_key",
        harm: "SELECT format('passkey %s', id) FROM auth_passkey_key",
    },
    Rule {
        name: "payment providers",
        needs: &[("payment_provider", &["state"])],
        unless: None,
        act: "UPDATE payment_provider SET state = 'disabled' WHERE state NOT IN ('test', 'disabled')",
        harm: "SELECT format('payment provider %s', id) FROM payment_provider WHERE state IS NULL OR state NOT IN ('test', 'disabled')",
    },
    Rule {
        name: "payment providers",
        needs: &[("payment_acquirer", &["state"])],
        unless: None,
        act: "UPDATE payment_acquirer SET state = 'disabled' WHERE state NOT IN ('test', 'disabled')",
        harm: "SELECT format('payment provider %s', id) FROM payment_acquirer WHERE state IS NULL OR state NOT IN ('test', 'disabled')",
    },
    Rule {
        name: "cards of customers",
        needs: &[("payment_token", &["active"])],
        unless: None,
        act: "UPDATE payment_token SET active = false WHERE active IS NOT FALSE",
        harm: "SELECT format('payment token %s', id) FROM payment_token WHERE active IS NOT FALSE",
    },
    Rule {
        name: "carriers",
        needs: &[("delivery_carrier", &["active", "delivery_type", "prod_environment"])],
        unless: None,
        act: "UPDATE delivery_carrier SET prod_environment = false,
                     active = active AND delivery_type IN ('fixed', 'base_on_rule')",
        harm: "SELECT format('carrier %s', id) FROM delivery_carrier
               WHERE prod_environment OR (active AND delivery_type NOT IN ('fixed', 'base_on_rule'))",
    },
    Rule {
        name: "addresses of websites",
        needs: &[("website", &["domain", "cdn_activated"])],
        unless: None,
        act: "UPDATE website SET domain = NULL, cdn_activated = false",
        harm: "SELECT format('website %s', id) FROM website WHERE domain <> '' OR cdn_activated",
    },
    Rule {
        name: "secrets among the parameters",
        needs: &[("ir_config_parameter", &["key", "value"])],
        unless: None,
        act: SECRETS_ACT,
        harm: SECRETS_HARM,
    },
    Rule {
        name: "contract with Odoo",
        needs: &[("ir_config_parameter", &["key"])],
        unless: None,
        act: "DELETE FROM ir_config_parameter WHERE key = 'database.enterprise_code'",
        harm: "SELECT key::text FROM ir_config_parameter WHERE key = 'database.enterprise_code'",
    },
];

const NO_DUMMY: &str =
    "SELECT 'no mail server that leads nowhere: Odoo would use the one of its command line' WHERE NOT EXISTS (
    SELECT 1 FROM ir_mail_server WHERE active AND smtp_host = 'invalid')";

/// Parameters whose name says that they are secrets. A number or a truth value is a setting about secrets
/// (`auth_password_policy.minlength`), and `database.secret` is replaced, since Odoo needs one.
macro_rules! secrets {
    ($begin:literal) => {
        concat!(
            $begin,
            " FROM ir_config_parameter WHERE key <> 'database.secret' AND value <> ''
              AND value !~* '^(true|false|[0-9.]+)$'
              AND key ~* '(secret|passw|token|credential|api_?key|access_?key|private_?key|webhook|[._]key$)'"
        )
    };
}
// A row that is gone is to Odoo's code what was never set; an empty text may not be a number where one is read.
const SECRETS_ACT: &str = secrets!("DELETE");
const SECRETS_HARM: &str = secrets!("SELECT key::text");

/// Tables of what talks to others; in these every column whose name says so is emptied, whoever added it.
const SWEPT: [&str; 13] = [
    "account_edi_proxy_client_user",
    "auth_oauth_provider",
    "delivery_carrier",
    "fetchmail_server",
    "google_drive_config",
    "ir_mail_server",
    "payment_acquirer",
    "payment_provider",
    "pos_payment_method",
    "res_company",
    "res_users_settings",
    "sms_provider",
    "website",
];
/// What such columns are called.
const SECRET_WORDS: [&str; 10] = [
    "secret",
    "passw",
    "token",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "webhook_key",
    "_rtoken",
];
/// Columns of users that hold what others gave them; a user's own password is another matter.
const USER_COLUMNS: [&str; 9] = [
    "oauth_access_token",
    "google_calendar_rtoken",
    "google_calendar_token",
    "google_calendar_sync_token",
    "microsoft_calendar_token",
    "microsoft_calendar_rtoken",
    "microsoft_calendar_sync_token",
    "google_drive_refresh_token",
    "outlook_mail_token",
];

/// The rules that apply to a database with these tables, in the order in which they act.
pub fn applied(catalog: &Catalog) -> Vec<Applied> {
    let has = |(table, columns): &(&str, &[&str])| columns.iter().all(|column| catalog.has(table, column));
    let fixed = RULES
        .iter()
        .filter(|rule| {
            rule.needs.iter().all(has) && rule.unless.is_none_or(|(table, column)| !catalog.has(table, column))
        })
        .map(|rule| Applied { name: rule.name.to_owned(), act: rule.act.to_owned(), harm: rule.harm.to_owned() });
    let secret = |column: &str| SECRET_WORDS.iter().any(|word| column.contains(word));
    let swept = SWEPT
        .iter()
        .flat_map(|table| catalog.texts(table).filter(|(column, _)| secret(column)).map(move |it| (*table, it)));
    let users =
        catalog.texts("res_users").filter(|(column, _)| USER_COLUMNS.contains(column)).map(|it| ("res_users", it));
    fixed.chain(swept.chain(users).map(|(table, (column, nullable))| emptied(table, column, nullable))).collect()
}

/// Empties one column.
fn emptied(table: &str, column: &str, nullable: bool) -> Applied {
    let (of, name) = (quoted(table), quoted(column));
    let to = if nullable { "NULL" } else { "''" };
    Applied {
        name: format!("{table}.{column}"),
        act: format!("UPDATE {of} SET {name} = {to} WHERE {name} <> ''"),
        harm: format!("SELECT id::text FROM {of} WHERE {name} <> ''"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Column;
    use super::*;

    fn catalog(tables: &[(&str, &[&str])]) -> Catalog {
        let column = |name: &str| Column { name: name.to_owned(), text: name != "id", nullable: name != "must_token" };
        Catalog::of(
            tables.iter().map(|(table, columns)| ((*table).to_owned(), columns.iter().map(|c| column(c)).collect())),
        )
    }
    fn names(tables: &[(&str, &[&str])]) -> Vec<String> {
        applied(&catalog(tables)).into_iter().map(|rule| rule.name).collect()
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        assert!(names(&[]).is_empty());
        assert_eq!(names(&[("queue_job", &["id", "state"])]), ["job queue"]);
        assert!(names(&[("queue_job", &["id"])]).is_empty(), "a column is missing");
        let old: &[&str] = &["name", "smtp_port", "smtp_host", "smtp_encryption", "active"];
        let new: Vec<&str> = old.iter().copied().chain(["smtp_authentication"]).collect();
        for columns in [old, &new] {
            assert_eq!(names(&[("ir_mail_server", columns)]), ["mail server that leads nowhere"], "one of both forms");
        }
    }

    #[test]
    fn columns_that_modules_add_are_swept() {
        let rules = applied(&catalog(&[
            ("payment_acquirer", &["id", "my_bank_api_key", "must_token", "name"]),
            ("res_users", &["password", "oauth_access_token", "totp_secret"]),
        ]));
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(
            names,
            ["payment_acquirer.must_token", "payment_acquirer.my_bank_api_key", "res_users.oauth_access_token"]
        );
        assert!(rules[0].act.contains("= '' WHERE") && rules[1].act.contains("= NULL WHERE"), "{rules:#?}");
    }

    #[test]
    fn every_rule_reads_back_what_it_did() {
        for rule in RULES {
            assert!(rule.harm.starts_with("SELECT") && !rule.needs.is_empty(), "{}", rule.name);
            assert!(rule.act.starts_with("UPDATE") || rule.act.starts_with("DELETE") || rule.act.starts_with("INSERT"));
            // `NOT IN` over a query with an empty value is never true, and would find no harm anywhere.
            assert!(!rule.harm.contains("NOT IN (SELECT"), "{}", rule.name);
        }
    }
}
