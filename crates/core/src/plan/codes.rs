//! What the refusals of a plan mean.

use crate::check::Explanation;

/// Refusals of plans and of execution.
pub const EXPLANATIONS: [Explanation; 13] = [
    Explanation {
        code: "E0701",
        title: "the connection budget does not fit",
        text: "Rule `connection-budget`: every prefork worker may hold 2 connections, every cron process 3, the event \
               server its pool and a LISTEN, the job runner 2, maintenance 4 and monitoring 3. Their sum and a reserve of \
               10 % and 3 for superusers must not exceed max_connections, or PostgreSQL turns users away at the peak. \
               max_connections follows from the cores, not from the workers: more processes than that make contention \
               worse, not better. Use fewer workers, give the environment more cores, or set database.max_connections \
               knowingly.",
    },
    Explanation {
        code: "E0702",
        title: "the Odoo series is not on this machine",
        text: "The process driver starts Odoo in a root of its own series, which scripts/setup builds once.",
    },
    Explanation {
        code: "E0703",
        title: "the series of existing data cannot be changed",
        text: "Moving a database between Odoo series is an upgrade with its own rehearsal; this release has none. The \
               environment runs on unchanged.",
    },
    Explanation {
        code: "E0704",
        title: "PostgreSQL is missing or too old",
        text: "Each Odoo series has a lowest PostgreSQL version; see its profile.",
    },
    Explanation {
        code: "E0705",
        title: "a program is missing",
        text: "The process driver needs it; scripts/setup installs it.",
    },
    Explanation {
        code: "E0706",
        title: "a port is in use",
        text: "Another program listens on a port that the environment or the entrance needs. Nothing was changed.",
    },
    Explanation {
        code: "E0707",
        title: "the environment is being destroyed",
        text: "A destroy of it has passed the point of no return and was cut off; part of its data may be gone. \
               springtide destroy NAME finishes that. Afterwards apply makes the environment anew, if it is declared.",
    },
    Explanation {
        code: "E0801",
        title: "the plan is stale",
        text: "The estate file or what was seen has changed since the plan was made. Nothing was changed; plan again.",
    },
    Explanation {
        code: "E0802",
        title: "another operation is under way",
        text: "One operation at a time acts on a state folder. Wait for it; nothing was changed by this call.",
    },
    Explanation {
        code: "E0807",
        title: "the typed name is another one",
        text: "Destroying asks for the name of the environment once more, typed at the terminal or given with --confirm, \
               so that nobody destroys what they did not mean.",
    },
    Explanation {
        code: "E0808",
        title: "production is not destroyed without a proof",
        text: "The data of production are removed only after a last backup that was read back (--final-backup), or with a \
               reason that is kept in the history (--reason). An environment that is not in the estate file counts as \
               production, because nobody can tell.",
    },
    Explanation {
        code: "E0809",
        title: "a last backup needs a running PostgreSQL",
        text: "The last backup is a dump that the environment's own PostgreSQL gives out, together with its files.",
    },
    Explanation {
        code: "E0810",
        title: "the folder of a last backup does not fit",
        text: "A last backup goes into a new folder that is made for it, never over another one, and not among the files \
               that destroying removes.",
    },
];

/// The explanation of a code of a plan or of execution.
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|one| one.code.eq_ignore_ascii_case(code))
}
