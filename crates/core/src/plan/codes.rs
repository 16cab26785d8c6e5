//! What the refusals of a plan mean.

use crate::check::Explanation;

/// Refusals of plans and of execution.
pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        code: "E0700",
        title: "the plan is refused",
        text: "At least one environment cannot be as declared, so nothing of the plan is done. Each refusal has a code of \
               its own, which explain tells more about.",
    },
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
        code: "E0803",
        title: "the plan does not pass its lint",
        text: "Every plan is graded by other code than the one that made it. The two disagree, which is a mistake in Springtide and not in your file. Nothing was changed; please report it with the estate file.",
    },
    Explanation {
        code: "E0804",
        title: "not approved",
        text: "A plan is done after somebody said yes: at the prompt, with --yes, or by reviewing a plan file that apply is given. Without a terminal nobody is asked. --yes answers the question and nothing else: refusals, freezes and protection stay.",
    },
    Explanation {
        code: "E0805",
        title: "stopped on request",
        text: "Ctrl-C (or SIGTERM) ends an operation after the step that is under way. Finished steps stay done and are safe; the next apply plans from what is then seen and goes on.",
    },
    Explanation {
        code: "E0806",
        title: "a step failed",
        text: "The steps before it stay done, nothing after it was begun. `springtide history --operation N` shows the steps with their errors, `springtide logs` what the part itself said. Mend the cause and apply again; it goes on.",
    },
    Explanation {
        code: "E0807",
        title: "not a plan of this program",
        text: "apply takes a file that `springtide plan -o FILE` of the same version wrote, whole and unedited. Make it anew; a plan is only good for what was seen when it was made.",
    },
    Explanation {
        code: "E0900",
        title: "something unexpected failed",
        text: "No code of its own stands for this error; the message names what was attempted and why it failed. `springtide doctor` looks for the usual causes.",
    },
    Explanation {
        code: "E0901",
        title: "this needs root",
        text: "The process driver gives every role its own Unix user, mounts and limits, which only root can do. Reading the state folder needs root too, because it holds secrets.",
    },
    Explanation {
        code: "E0902",
        title: "a file cannot be written",
        text: "The file could not be made: it exists already, its folder is missing, or its folder may not be written. Files are written whole or not at all.",
    },
    Explanation {
        code: "E0903",
        title: "no such environment or word",
        text: "The name is neither in the estate file nor recorded in the state folder.",
    },
    Explanation {
        code: "E0904",
        title: "no log",
        text: "The workload has never been started here, or its log was removed with it.",
    },
    Explanation {
        code: "E0905",
        title: "the state folder is not safe",
        text: "The state folder holds secrets and databases and is trusted by a process that is root. It must be a folder, belong to root, and be writable for nobody else; the folder of secrets must not even be readable for others. Nothing is written into it until that is so.",
    },
    Explanation {
        code: "E0906",
        title: "no room on the disk",
        text: "The file system of the state folder is full or nearly so. Operations are refused before they begin, because half a database copy helps nobody. Free some room; what ran goes on.",
    },
    Explanation {
        code: "E0907",
        title: "nobody answers",
        text: "The supervisor or the proxy's administration API does not answer or answers nonsense. Workloads run on without the supervisor; the next apply starts one and adopts them. If it hangs, end the pid that supervisor.json names.",
    },
    Explanation {
        code: "E0908",
        title: "the store cannot be read",
        text: "springtide.db is damaged or is no store of Springtide. Workloads do not need it to run. It holds which slot each environment has, the hosts of certificates and the journal. Put a copy back; without one move it aside only if no environment is to be kept.",
    },
    Explanation {
        code: "E0909",
        title: "the state folder is read-only",
        text: "Its file system is mounted read-only, or its files may not be written. Nothing was changed.",
    },
    Explanation {
        code: "E0910",
        title: "the command line is not understood",
        text: "The verb, a flag or a value is unknown or missing. Near words are suggested; --help shows what there is.",
    },
    Explanation {
        code: "E0911",
        title: "the secrets cannot be decrypted",
        text: "secrets/identity.txt is the key of every secret of the state folder. It is missing, damaged or another one. Without it no secret can be read: put it back from its copy.",
    },
    Explanation {
        code: "E0912",
        title: "the store is newer than this program",
        text: "A newer Springtide has written springtide.db. Use that one; going back is not possible.",
    },
];

/// The explanation of a code of a plan or of execution.
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|one| one.code.eq_ignore_ascii_case(code))
}
