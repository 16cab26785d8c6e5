//! What the refusals of a plan mean. What commands say beyond that stands in `commands`.

use super::commands::COMMANDS;
use crate::check::Explanation;

/// Refusals of plans, in order.
pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        code: "E0701",
        title: "the connection budget does not fit",
        text: "Rule `connection-budget`: every prefork worker may hold 2 connections, every cron process 3, the event \
               server its pool and a LISTEN, the job runner 2, messages between processes 3, maintenance 4 and \
               monitoring 3. Their sum and a reserve of 10 % and 3 for superusers must not exceed max_connections, or \
               PostgreSQL turns users away at the peak. \
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
        text: "Its destruction was begun and did not come to its end, so parts of it may be gone. Bringing it up again \
               could take half of the old data for whole. Finish with `springtide destroy NAME`; after that the name is \
               free, and `springtide apply` makes a new environment of it. Nothing was changed by this plan.",
    },
    Explanation {
        code: "E0708",
        title: "more environments than this machine has room for",
        text: "Every environment on a machine of processes has ten ports of its own, from 21000 upward, and port numbers \
               end at 65535: 4452 environments at once. Nothing was changed. Declare fewer, or divide the estate between \
               machines.",
    },
    Explanation {
        code: "E0709",
        title: "the data is of another PostgreSQL",
        text: "A data directory belongs to one major version of PostgreSQL, and Springtide starts the newest that is \
               installed. The server would not start on data of another, so nothing is changed; what runs goes on. \
               Remove the package of the newer version, or move the data with a dump of the environment.",
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
    Explanation {
        code: "E1049",
        title: "the keys or the authority of a store cannot be used",
        text: "The file that `credentials` of a store names has to be there, belong to root, be closed to everybody else \
               (chmod 600) and hold a line `access_key = ...` and a line `secret_key = ...`; the file that `authority` \
               names has to hold a certificate. What runs goes on with what it was started with. To change keys, write \
               a new file and name it in the estate file: then it is seen that they changed.",
    },
];

/// The explanation of a code of a plan or of a command, such as `E0701`; upper or lower case.
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().chain(COMMANDS).find(|one| one.code.eq_ignore_ascii_case(code))
}
