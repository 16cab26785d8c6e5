//! Codes: what each problem means, at more length than a report has room for.

use serde::Serialize;

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The code: `E` for a refusal, `W` for a note.
    pub code: &'static str,
    /// The problem in a few words.
    pub title: &'static str,
    /// Why it is a problem and what to do: one paragraph.
    pub text: &'static str,
}

/// The explanation of `code`, such as `E0104`; upper or lower case.
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|one| one.code.eq_ignore_ascii_case(code))
}

const fn row(code: &'static str, title: &'static str, text: &'static str) -> Explanation {
    Explanation { code, title, text }
}

/// Every code, in order.
pub const EXPLANATIONS: &[Explanation] = &[
    row(
        "E0001",
        "The file cannot be read",
        "Either it is not where it was looked for or may not be read: `springtide init` writes a first one, and `--file` names another. Or it has more than 4 MiB: an estate file is written by people, and data belongs into Odoo.",
    ),
    row(
        "E0002",
        "The file is not YAML",
        "The text breaks YAML's own rules: a bracket or quote that is not closed, a tab used to indent, a colon without the space after it. The report points at the place where reading stopped; the mistake may stand a little before it.",
    ),
    row(
        "E0003",
        "The file asks for too much",
        "Aliases (`*name`) may add 50000 values in all and mappings may nest 24 deep. A small file that unfolds into a huge one is refused, because it would take the memory of whatever reads it.",
    ),
    row("E0004", "More than one document", "One file is one estate. Remove the `---` line and what follows it."),
    row(
        "E0005",
        "A key is written twice",
        "In one mapping every key may stand once. Which of two would win is nowhere defined, so the file is refused.",
    ),
    row(
        "E0101",
        "Unknown key",
        "The mapping has a key that Springtide does not know. Keys are never ignored: a misspelt `protected` must not leave production unprotected. The report lists the keys that are valid there.",
    ),
    row(
        "E0102",
        "Unknown word",
        "The value must be one of a few words, such as production, staging, test or dev for `stage`. The report lists them.",
    ),
    row(
        "E0103",
        "Wrong kind of value",
        "A number, a text, true or false, a list or a mapping was expected and something else is written. Example: `users: 60` (a number), `demo: false`, `modules: [stock, sale_management]` (a list), `workers: { web: 4 }` (a mapping).",
    ),
    row(
        "E0104",
        "A key is missing",
        "The mapping lacks a key that it needs. The shortest estate is `estate: acme` and below it `environments: [{ name: dev }]`. A peak needs name, kind, environments, from and to.",
    ),
    row(
        "E0105",
        "A number is out of bounds",
        "Bounds: users 1 to 100000, multiplier 1 to 50, workers 1 to 64, burst_workers 0 to 64, ports 1 to 65535, max_connections 20 to 2000, cpus 1 to 1024, memory 256MiB or more.",
    ),
    row(
        "E0201",
        "A name cannot be used",
        "Names of estates, environments and peaks are made of a-z, 0-9 and single hyphens, start with a letter and have at most 40 characters (peaks 60). They become names of databases, folders and hosts, so nothing else is let in.",
    ),
    row(
        "E0202",
        "Two environments with one name",
        "The name is how every command and record speaks of an environment; it must be unique in the estate.",
    ),
    row(
        "E0203",
        "Two environments on one host",
        "The host name decides which Odoo answers a user, so it can belong to one environment only. Without `host`, an environment gets `<name>.localhost`.",
    ),
    row(
        "E0204",
        "A host name cannot be used",
        "A host name is made of labels of a-z, 0-9 and inner hyphens joined by dots, in lower case and without port, such as erp.acme.example.",
    ),
    row(
        "E0205",
        "A module name cannot be used",
        "Modules are given by technical name, such as sale_management: a-z, 0-9 and underscores, starting with a letter. The title that Odoo shows (\"Sales\") is not the technical name.",
    ),
    row(
        "E0206",
        "A quantity cannot be read",
        "Sizes: 8GiB, 512MiB, 2GB. Lengths of time: 60s, 15m, 4h, 14d. Money: 900 EUR or 12.50 EUR. Places for backups: s3://bucket/path or file:///path.",
    ),
    row(
        "E0207",
        "No environment",
        "An estate without an environment runs nothing. Add one: `environments: [{ name: dev }]`.",
    ),
    row("E0208", "Two peaks with one name", "The name of a peak must be unique in the estate."),
    row(
        "E0209",
        "Not an IP address",
        "`bind` is the address of this machine that the ingress listens on: 127.0.0.1 for this machine only, 0.0.0.0 or \"::\" for every network.",
    ),
    row(
        "E0210",
        "A name that is taken",
        "The name of an environment becomes the name of its database, and some names already mean something there: postgres, template0 and template1 are databases of every PostgreSQL, pgbouncer is the pooler's console, all, replication, sameuser, samerole and samegroup are words of access rules, true, false and none are values to Odoo, and proxy, notice and estate are parts of the estate itself.",
    ),
    row(
        "E0301",
        "The driver is not in this release",
        "`docker` and `kubernetes` can be written and are refused: this release runs processes of one machine, and nothing else has been run here.",
    ),
    row(
        "E0302",
        "Pools are not in this release",
        "A pool shares PostgreSQL and workers between small environments. The word is reserved; this release gives every environment its own.",
    ),
    row(
        "E0303",
        "The source is not in this release",
        "Odoo's programs come from Debian packages unpacked per series: `source: debian`.",
    ),
    row(
        "E0304",
        "Unknown Odoo series",
        "Springtide knows the facts of series 14.0 to 19.0. Write the series in quotes: \"19.0\".",
    ),
    row(
        "E0305",
        "The series is declared, not proven",
        "For this series the facts are written down and nothing of it has run here. Use a proven series, or write `accept_declared: true` under `odoo` and try it where it may fail.",
    ),
    row(
        "E0401",
        "A peak names an unknown environment",
        "Every name under a peak's `environments` must be the name of an environment of the same file.",
    ),
    row(
        "E0402",
        "A peak ends before it begins",
        "`to` must be later than `from`; both are local times of the peak's `timezone`.",
    ),
    row(
        "E0403",
        "Unknown time zone",
        "`timezone` is a name of the IANA database, such as Europe/Berlin or America/New_York; abbreviations such as CET say too little about summer time.",
    ),
    row(
        "E0404",
        "Not a date and time",
        "Write local time such as 2026-11-27T06:00, without offset or Z: the offset comes from `timezone`.",
    ),
    row("E0405", "A peak without environments", "A peak has to touch at least one environment."),
    row("E0501", "HTTP and HTTPS on one port", "The ingress listens on two ports; they must differ."),
    row(
        "E0502",
        "A port of Springtide's own range",
        "Ports from 21000 upward belong to the roles of the environments, ten for each. The ingress must listen below.",
    ),
    row(
        "E0503",
        "The budget cannot hold",
        "Burst workers are asked for and the monthly budget is zero. Raise one or lower the other.",
    ),
    row(
        "E0504",
        "The recovery window is too short",
        "A window shorter than a day cannot hold even one full backup and the changes after it. Write 1d or more.",
    ),
    row(
        "E1040",
        "A place names a store that is not declared",
        "`s3://bucket/path` can only name a bucket of the list `stores` at the top of the file, because a bucket alone does not say where it answers and with which keys. Declare it: `stores: [{ name: acme-far, endpoint: https://s3.example, credentials: /etc/springtide/acme-far }]`.",
    ),
    row(
        "E1041",
        "Near and far are one place",
        "The far copy is for the day on which the near one is gone: deleted by mistake, encrypted by a thief, burnt with its machine. In the same place, or inside it, both go together.",
    ),
    row(
        "E1042",
        "Backups would lie in those of another environment",
        "Every environment has a folder of its own name below each place. These places are chosen so that the folder of one comes to lie inside the folder of another, where clearing up one would remove parts of the other.",
    ),
    row(
        "E1043",
        "Two stores with one name",
        "The name of a store is the name of its bucket, and places name it by that: `s3://name/path`. It must be unique in the estate.",
    ),
    row(
        "E1044",
        "Not where an S3 store answers",
        "`endpoint` is https://host or https://host:port, without a path: the bucket is the store's name. Plain http is refused, because keys and data would travel readable.",
    ),
    row(
        "E1045",
        "Not a path of a file",
        "`credentials` and `authority` of a store name files of this machine by their absolute path, such as /etc/springtide/acme-far. The keys themselves never stand in the estate file: it is read by many and kept in many places.",
    ),
    row(
        "E1046",
        "A bucket or region cannot be used",
        "Buckets have 3 to 63 characters of a-z, 0-9 and inner hyphens and dots, such as acme-far; regions are words such as eu-central-1.",
    ),
    row(
        "E1047",
        "Backups cannot lie there",
        "The folder is temporary, belongs to the system, or is covered where a database server runs: what is written there is lost or never arrives. Use a folder of a disk that lasts, best of another one than the database's.",
    ),
    row(
        "E1048",
        "Interval or bandwidth of a backup does not fit",
        "`full` is 1h to 31d, `incremental` is 15m or more and not longer than `full`, `bandwidth` is 64KiB a second or more. Outside of that a backup would never end before the next begins, or restores would take too long.",
    ),
    row(
        "W0601",
        "The tier is not acted on",
        "Silver and gold need a second database instance; this release runs one. The wish is kept and shown.",
    ),
    row(
        "W0603",
        "More environments than slots",
        "Ports of one machine end at the last slot; further environments cannot be placed by the process driver.",
    ),
    row(
        "W0604",
        "A declared series is accepted",
        "`accept_declared: true` lets a series in that nothing here has run.",
    ),
    row(
        "W0605",
        "No far copy",
        "The backups lie on the machine that they are backups of. They help against mistakes, not against the loss of the machine. Name a second place with `backup: { far: s3://bucket/path }`.",
    ),
    row(
        "W0606",
        "Both copies are opened by the same keys",
        "The stores of near and far name the same file of keys. Whoever gets hold of it can delete both copies. Give the far store keys of its own, which may write and not delete.",
    ),
];
