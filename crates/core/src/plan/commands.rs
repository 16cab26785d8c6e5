//! What commands say when they cannot do what they were asked: codes that belong to no single
//! place of an estate file and to no single environment of a plan.

use crate::check::Explanation;

const fn row(code: &'static str, title: &'static str, text: &'static str) -> Explanation {
    Explanation { code, title, text }
}

/// Codes of commands, in order.
pub const COMMANDS: &[Explanation] = &[
    row(
        "E0006",
        "the estate file cannot be read",
        "It is not there, is a folder, may not be read, or is not text in UTF-8. \
         `springtide init` writes one; --file names another.",
    ),
    row(
        "E0100",
        "the estate file has errors",
        "Every mistake that was found stands above this one, with its place and a code of its own. `springtide check` \
         shows them again, and `springtide explain CODE` tells more about one. Nothing was changed.",
    ),
    row(
        "E0700",
        "the plan is refused",
        "At least one environment cannot be brought to what the estate file asks for, and then nothing at all is done: \
         half an estate is worse than the one that runs. Each refusal has a code of its own from E0701 upward, with \
         the numbers and a way out.",
    ),
    row(
        "E0801",
        "the plan is stale",
        "A plan file is applied only while planning again gives the very same plan. Since it was written, the estate \
         file, what runs on this machine, or the time of a peak or a certificate has changed. Nothing was changed; \
         write a new one with `springtide plan -o FILE` and have it reviewed again.",
    ),
    row(
        "E0802",
        "another operation is under way",
        "One operation at a time acts on a state folder. Wait for it; nothing was changed by this call. The kernel gives \
         the lock back when its holder ends, however it ends, so there is never a lock to remove by hand.",
    ),
    row(
        "E0803",
        "the plan does not pass its lint",
        "Before a plan is shown, other code than the planner's checks the order and completeness of its steps, and it \
         found a fault. That is a bug of Springtide and not of your estate file. Nothing was changed; please report it \
         with the estate file.",
    ),
    row(
        "E0804",
        "the plan was not approved",
        "A plan is done after somebody says yes: at the terminal, with `--yes`, or by applying a plan file that was \
         reviewed. Without a terminal to ask on, one of the other two is needed. Nothing was changed.",
    ),
    row(
        "E0805",
        "stopped before the end",
        "Ctrl-C lets the step under way finish and begins no other. What was done stays done and is safe to run with; \
         `springtide apply` plans what is left and goes on. A rehearsal that was stopped before anybody came keeps the data \
         that it loaded, and goes on from there, too.",
    ),
    row(
        "E0806",
        "a step failed",
        "The step's own words say why. Steps before it stay done, and none after it was begun. Every step may be \
         repeated: mend the cause, then `springtide apply` plans what is left and goes on. `springtide history` shows \
         how far it came, `springtide logs ENVIRONMENT/ROLE` what a program itself said.",
    ),
    row(
        "E0807",
        "the typed name does not match",
        "Destroying an environment removes its data for good, so its name has to be typed once more, exactly as it \
         stands in the estate file. What was typed differs. Nothing was changed.",
    ),
    row(
        "E0808",
        "production is not destroyed just so",
        "A production environment holds what a company lives on. Destroying it needs `--final-backup`, which writes a \
         last backup first and stops if that fails, or a reason in words that is kept in the history. Nothing was \
         changed.",
    ),
    row(
        "E0811",
        "not a plan of this program",
        "`apply` takes a file that `springtide plan -o FILE` of the same version wrote, whole and unedited. Make it \
         anew: a plan is only good for what was seen when it was made. Nothing was changed.",
    ),
    row(
        "E0900",
        "something unforeseen failed",
        "The message is what the system or a program said; no rule of Springtide stands behind it. Nothing further was \
         changed. `springtide status` shows what runs; the command may be repeated once the cause is mended.",
    ),
    row(
        "E0901",
        "this needs root",
        "The process driver gives every role a Unix user, mounts and limits of its own, which only root may do. Run the \
         command with sudo. `check`, `schema` and `explain CODE` need no root.",
    ),
    row(
        "E0902",
        "the file cannot be written",
        "`springtide init` never writes over a file that is there. Name another path, or edit the one you have. Nothing \
         was changed.",
    ),
    row(
        "E0903",
        "no such environment in the estate file",
        "Commands speak of environments by the names in the estate file, `estate.yaml` here or the one that `--file` \
         names. `springtide status` lists what exists on this machine.",
    ),
    row(
        "E0904",
        "there is no log",
        "The workload has never run in this state folder. Write it as ENVIRONMENT/ROLE, such as prod/web, or as proxy or \
         notice; `springtide status` lists all of them.",
    ),
    row(
        "E0905",
        "the state folder is not safe",
        "The folder named by `--state` holds keys and data, so it and what is in it must belong to root and must not be \
         writable by others. Somebody else's folder could make root read or write where it should not. Nothing was \
         changed. Set owner and permissions right (`chown root:root`, `chmod 711`), or name another folder.",
    ),
    row(
        "E0906",
        "no space is left on the disk",
        "A file could not be written because the file system, or the quota on it, is full. Data that was there is \
         unharmed, and what runs goes on until it wants to write as well: PostgreSQL stops when its own disk is full. \
         Free space first; then `springtide apply` goes on.",
    ),
    row(
        "E0907",
        "the workload does not run",
        "A command can only run inside a workload that runs. `springtide status` says what runs and why something does \
         not; `springtide apply` starts what is declared. Write it as ENVIRONMENT/ROLE, such as prod/web.",
    ),
    row(
        "E0908",
        "the name does not exist",
        "The command needs the name of something that exists, and nothing of that name was found here. Nothing was \
         changed. `springtide status` lists environments and workloads, `springtide history` operations.",
    ),
    row(
        "E0909",
        "the state folder is read-only",
        "Its file system is mounted read-only, or its files may not be written. Nothing was changed. Mount it \
         writable, or name another folder with --state.",
    ),
    row(
        "E0910",
        "nobody answers",
        "The supervisor or the proxy's administration API does not answer, or answers nonsense. Workloads run on \
         without the supervisor; the next `apply` starts one and adopts them. If it hangs, end the pid that \
         supervisor.json names. `springtide doctor` says which of the two it is.",
    ),
    row(
        "E0911",
        "the command line is not understood",
        "The verb, a flag or a value is unknown, wrong or missing. Near words are suggested; --help shows what \
         there is. Nothing was changed.",
    ),
    row(
        "E0912",
        "the store cannot be read",
        "springtide.db is damaged or is no store of Springtide. Workloads do not need it to run, and `springtide \
         stop` works without it. It holds the slot of each environment, the hosts of certificates and the journal. \
         It is never made anew in silence: `springtide recover` puts the newest copy back that a server made, keeps \
         the damaged file beside it, holds the estate and revokes every token, because the copy knows of no hold or \
         revocation that came after it. Without a copy move it aside only if no environment is to be kept.",
    ),
    row(
        "E0913",
        "the secrets cannot be decrypted",
        "secrets/identity.txt is the key of every secret in the state folder. It is missing, damaged or another \
         one. Without it no secret can be read: put it back from its copy.",
    ),
    row(
        "E0914",
        "the store is newer than this program",
        "A newer Springtide has written springtide.db. Use that one; going back is not possible.",
    ),
    row(
        "E0915",
        "the program is not in the workload",
        "`springtide exec` runs programs of the workload's own root: those of its Odoo series for Odoo's roles, those of \
         this machine for the others. Nothing was run.",
    ),
    row(
        "E0920",
        "a server runs on this state folder already",
        "One server at a time keeps a state folder; the message says which. Nothing was changed. Use that one, or end it \
         first: `kill PID` lets it finish its step. The kernel gives the lock back when a server ends, however it ends, so \
         there is never a lock to remove by hand.",
    ),
    row(
        "E0921",
        "another server has taken over",
        "Whoever begins to act takes a new epoch, and whatever carries an older one is refused, by the store and by the \
         supervisor. This server found a newer one that belongs to another server, so it stopped before its next step. \
         What runs is untouched.",
    ),
    row(
        "E0922",
        "the stop switch is set",
        "While an estate is held no operation begins, and one that runs stops before its next step; looking is allowed. \
         What runs goes on, and the supervisor still starts again what ends. `springtide release` lets changes through \
         again; what was begun is then brought to its end.",
    ),
    row(
        "E0923",
        "the server is stopping",
        "It was told to end and begins nothing any more. Nothing was changed by this call. Start it again with \
         `springtide serve`, or act without it.",
    ),
    row(
        "E0924",
        "the server listens on loopback, or over TLS",
        "Its API can change everything, so it is not put on a network in plain HTTP. Nothing was changed. Listen on \
         127.0.0.1 or ::1, and reach it from elsewhere through a tunnel such as `ssh -L`; or name a certificate and its \
         key: `springtide serve --listen 0.0.0.0:7979 --tls-cert FILE --tls-key FILE`.",
    ),
    row(
        "E0925",
        "the address cannot be listened on",
        "Another program listens there, or the address is not this machine's. Nothing was changed. Choose another with \
         `springtide serve --listen`.",
    ),
    row(
        "E0926",
        "there is nothing to recover",
        "`springtide recover` puts the newest copy of the store that is whole in the place of one that is damaged or gone. \
         The store is whole, or there is no copy of it. Nothing was changed. A server makes copies at its start and every \
         hour, in the folder backups of the state folder, and keeps three.",
    ),
    row(
        "E0927",
        "certificate and key cannot be used",
        "`springtide serve` answers over TLS with a certificate (with its chain) and its private key, PEM files both. One \
         of them is missing or holds something else, the key is another certificate's, or everybody on this machine may \
         read it. Nothing was changed. Name the right files, and `chmod 600` the key.",
    ),
    row(
        "E0930",
        "who asks is not known",
        "The server lets only those in who show a token (`Authorization: Bearer st_…`) or have a session of the \
         console. This one is missing, unknown, expired or revoked; or a login link was used before or is older than \
         ten minutes. `springtide token create` makes a token, `springtide open --console` a login link.",
    ),
    row(
        "E0931",
        "the token's scope is too small",
        "Scopes are read, operate and admin; each allows what the ones before it do. Looking needs read; approving, \
         cancelling, holding and releasing need operate; tokens need admin. `springtide token create --scope SCOPE` \
         makes one.",
    ),
    row(
        "E0932",
        "the request is not understood",
        "The address, a header, a value or the body is not as /api/v1/openapi.json describes it. Nothing was changed.",
    ),
    row(
        "E0933",
        "the form is not of this session",
        "What changes something through the console carries a token of its session, so that no other site can act in \
         your name. Open the page again and repeat.",
    ),
    row(
        "E0934",
        "the body is too large",
        "The server reads bodies of up to 1 MiB; what it takes is far smaller. Nothing was changed.",
    ),
    row(
        "E0935",
        "too many requests",
        "Every token may ask 200 times at once and 50 times a second in the long run, and 64 streams of events may be \
         open. Wait as long as the answer's Retry-After says. Nothing was changed.",
    ),
    row(
        "E0936",
        "the method is not possible here",
        "The address exists and knows other methods; the answer's Allow lists them. Nothing was changed.",
    ),
    row(
        "E0937",
        "the Idempotency-Key was used",
        "A key names one request for a day. It was used for another request, or its first request has no answer: it \
         is under way or was cut off. Look at `springtide history`, then use a new key.",
    ),
    row(
        "E0938",
        "it took too long",
        "A body must come within 10 s, and an answer begins within 30 s. What was begun before goes on; `springtide \
         history` shows it.",
    ),
    row(
        "E0939",
        "there is nothing at this address",
        "The server has no page and no part of its API there. /api/v1/openapi.json lists all of the API.",
    ),
    row(
        "E0940",
        "the server has not looked yet",
        "It has just started and has not seen the estate. Ask again in a moment; if it stays so, `springtide doctor` \
         says why.",
    ),
    row(
        "E0941",
        "the server does not answer as it should",
        "server.json names a server that does not answer, or something else answers at its address. Operations that it \
         began may run on; `springtide history` shows them. End the pid that server.json names if it hangs.",
    ),
    row(
        "E0942",
        "no server runs",
        "The console and the API are a server's, and none runs on this state folder. `springtide serve` starts one. \
         Everything else works without it.",
    ),
    row(
        "E0943",
        "the server keeps another estate file",
        "A server runs on this state folder, and what it reads is not the file that this command was given: the paths \
         differ, or the server has not been able to read it. Nothing was changed. Use the server's file, or end the \
         server and start it with this one.",
    ),
    row(
        "E0950",
        "the sessions cannot be reached",
        "Redis of the environment does not answer on its socket, or its database does not and a user was named by login. \
         Odoo runs on without Redis and asks people to log in; they are in again when it is back. No session was ended.",
    ),
    row(
        "E0951",
        "there is no such user",
        "The environment's database has no user of this login or number. Inactive users count. Nothing was changed.",
    ),
    row(
        "E0960",
        "there is no such profile",
        "A profile says who comes how often. Some are built in (`holiday`, `quiet`, `quarter-end`, `counting`); a name \
         with a `/` in it, or one that ends in .yaml, is a file of yours. Nothing was started.",
    ),
    row(
        "E0961",
        "the profile cannot be used",
        "The file cannot be read, has a mistake at the place that is named, or would bring more arrivals than a run may \
         have. Nothing was started. The built-in profiles in crates/rehearse/profiles show every key.",
    ),
    row(
        "E0962",
        "the ledger cannot be opened",
        "A run writes down what was acknowledged to it. The file cannot be made or read, or another run writes to it. \
         Nothing was started. Name another file.",
    ),
    row(
        "E0963",
        "the ledger cannot be written",
        "The disk under it is full or broken. The run was stopped, because acts that nobody can judge prove nothing. What \
         was acknowledged before is in the ledger, and `springtide rehearse check` compares it. Make room and run again.",
    ),
    row(
        "E0964",
        "the ledger is damaged",
        "A line is not as it was written, is missing or stands at another place, so it is no evidence any more. Only a \
         last line that was cut off is taken for what it is: the end of a run that died. Nothing was compared.",
    ),
    row(
        "E0965",
        "Odoo did not answer, or did not let in",
        "A rehearsal signs in as `admin` with the first password, over the entrance. Odoo is away, refused a call, or that \
         password was changed; what Odoo said stands in the message. What was made before stays; the same command goes on.",
    ),
    row(
        "E0966",
        "another distributor's data is there",
        "An environment holds the data of one seed and size, and two would not add up. Use what is there, or prepare a fresh \
         environment. Nothing was loaded.",
    ),
    row(
        "E0967",
        "no distributor's data is there",
        "Traffic needs the products, customers and stock that `springtide rehearse prepare` loads, all of them. No traffic was \
         sent.",
    ),
    row(
        "E0968",
        "the database cannot be compared with",
        "The judge reads rows over PostgreSQL's own socket and believes nobody else, and that did not work. The ledger is \
         whole; `springtide rehearse check` compares it when the database is back.",
    ),
    row(
        "E0969",
        "the name of a run does not fit",
        "It is part of every key: 1 to 12 small letters and digits. No traffic was sent.",
    ),
    row(
        "E0970",
        "the process is not touched",
        "A fault is put on processes by pid and start time. The one that was meant has ended, its pid was given out \
         again, it is stopped already, or it belongs to the rig itself. Or it was on for its whole time and nobody met it: no \
         process was there to be killed, no new connection was made. Nothing was changed. Look at what runs now.",
    ),
    row(
        "E0971",
        "the fault cannot be put in",
        "Something that the fault needs is missing: a right, a port, a socket, an empty folder, or the watchdog, without \
         which nothing is broken on purpose. What was begun was undone. A disk is only filled if the rig made it.",
    ),
    row(
        "E0972",
        "a fault cannot be undone",
        "It may still be in place. Its record is kept in the undo journal, with what has to be undone. Mend the cause \
         that is named, then `springtide rig undo`; undoing twice does no harm.",
    ),
    row(
        "E0973",
        "the rig did not find what it planted",
        "The self-test plants damage and looks whether it is found, and nothing else. As long as a try fails, what the \
         rig says of an environment proves nothing. A component that is missing fails too; nothing is skipped.",
    ),
    row(
        "E0974",
        "the plant cannot be calibrated",
        "A class did not act, a process ended while its processor time was measured, or a file cannot be written, is damaged \
         or of another form. Files are tried before anything is measured; what was measured before a failure is in them.",
    ),
    row(
        "E0975",
        "the environment may not be loaded",
        "A rehearsal writes orders, transfers and users, and a fault breaks something on purpose. The estate file refuses it \
         (`rehearsal: refused`, the default of production), or the environment is production and the command does not say \
         `--i-know`. Nothing was changed. Rehearse on a clone.",
    ),
    row(
        "E0976",
        "the environment is not ready",
        "A role that a rehearsal needs does not run or does not answer, and what came of it would say nothing about a peak. \
         Nothing was sent. `springtide status` says which and why.",
    ),
    row(
        "E0977",
        "this fault cannot be put on this workload",
        "Connections can be troubled where a workload is reached over a socket of the file system, which a proxy can take the \
         place of: postgres and sessions. Ports stand in the configuration of their clients. Filling a disk and shifting a \
         clock act on what the rig made itself. Nothing was changed; `springtide rig` lists the faults.",
    ),
    row("E0978", "the sinks cannot listen", "A port of this machine could not be had. Nothing listens."),
    row(
        "E0979",
        "somebody loads this environment already",
        "A rehearsal gives the rig's users new passwords, so a second one on the same environment would throw the first \
         one out, and their acts could not be told apart from faults. The message names who it is. The lock is given \
         back when that process ends, however it ends. Nothing was changed.",
    ),
    row(
        "E1000",
        "a place for backups cannot be used as it is written",
        "The endpoint, bucket, region, prefix or key is not one that a store could have, or the endpoint would send data \
         without TLS. Nothing was asked of the place. Correct it in the estate file, or its keys in the secrets.",
    ),
    row(
        "E1001",
        "the folder of a place is not there",
        "A place's own folder is never made: if it is a mount that is missing, backups would fill the disk below it. Nor is \
         a link below it followed. Mount or create it and give it to the user that Springtide runs as.",
    ),
    row(
        "E1002",
        "the connection to a store cannot be prepared",
        "Most often the store's authority is not a PEM certificate. Nothing was asked of the store.",
    ),
    row(
        "E1003",
        "the store does not answer",
        "Nobody listens there, its certificate is not from the authority that is given (or from none that this machine \
         knows), or it was silent for too long. What was written before stays. It is tried again.",
    ),
    row(
        "E1004",
        "the store refuses the keys",
        "They are wrong or have expired, have no right to what was asked, or this machine's clock differs from the store's by \
         minutes. Nothing was changed. Put new keys into the secrets, or give them the right.",
    ),
    row(
        "E1005",
        "the store has no such bucket or object",
        "The bucket's name is wrong, or an object that should be there is not. If it is an object of a backup, that backup is \
         not whole: take another one.",
    ),
    row(
        "E1006",
        "the store fails",
        "It answered with an error of its own, or that it has too much to do, and did so at every repeat. What was written before \
         stays. It is tried again; an alert follows if it lasts.",
    ),
    row(
        "E1007",
        "the store's answer cannot be understood",
        "What answers is no S3 store, or something on the way answers in its place. An answer that is not understood is never \
         taken for an empty one. Check the endpoint.",
    ),
    row(
        "E1008",
        "the store rejects a request",
        "Something else is there already, or the store does not have this function. Its own words are in the message. Nothing \
         was changed.",
    ),
    row(
        "E1009",
        "the store is not immutable",
        "It was tried to lose locked objects, and what is named was allowed; or the bucket has no versions or no Object Lock, \
         or the place is a folder. Whoever has its keys may delete the backups there. Use a bucket with Object Lock in mode \
         COMPLIANCE, of a store that keeps to it.",
    ),
    row(
        "E1010",
        "the backup engine did not do it",
        "pgBackRest is not installed, is older than 2.45, could not reach the database, is busy with another run, or failed \
         in a way that has no code of its own; the message holds its words and names its log. No backup set was changed, \
         and the database serves on. A backup that was cut off is cleared away by the next one.",
    ),
    row(
        "E1011",
        "a backup repository cannot be reached",
        "The folder or the object store does not answer, or answers that it cannot now. Write-ahead log waits on this \
         machine until it does, up to the limit of its queue; beyond that it is given up and the next backup closes the gap. \
         See that the store is up and its name, port and certificate are right.",
    ),
    row(
        "E1012",
        "a backup repository refuses the credentials",
        "The access key or the secret key is wrong, expired, or lacks the right to list, read and write; of a folder, its \
         owner is another one. Nothing was changed. Give new credentials and repeat the command.",
    ),
    row(
        "E1013",
        "a backup repository cannot be read with this key",
        "Everything in it is encrypted with the environment's passphrase. Either that secret is not the one it was made \
         with, or the files that name the keys inside are damaged. Put the secret back from its copy; without it nobody \
         can read these backups. Nothing was changed.",
    ),
    row(
        "E1014",
        "a backup repository is not this environment's",
        "Nothing was set up in it for this environment, or what lies there is of another database of the same name. \
         `springtide apply` sets an empty one up; over another database's backups nothing is ever written.",
    ),
    row(
        "E1015",
        "a disk is full",
        "A backup or a restore needs more room than is left; the message says where. Nothing was left under its final \
         name, and earlier backups are whole. Free room or give the repository another place, then repeat the command.",
    ),
    row(
        "E1016",
        "the archived log has a gap",
        "A segment of the write-ahead log is not in the archive, so what came after it cannot be restored from the sets \
         before it. The message names the first that is missing. Restore to before it, and take a full backup now: from \
         its end on everything can be restored again.",
    ),
    row(
        "E1017",
        "no backup set serves",
        "The target lies before the first set, after the archived log ends, or only sets that are broken lie before it; or \
         a set was to go that others build on, or the last full one. The message says which, and what can be had \
         instead. Nothing was changed.",
    ),
    row(
        "E1018",
        "a folder is not restored into",
        "A restore goes only into a folder that is new or empty, and never over data that somebody may need. The one that \
         was named holds something, or holds a restore that was opened since. Name another one.",
    ),
    row(
        "E1019",
        "a backup repository is damaged",
        "What was read is not what was written: a checksum does not fit, or a file that others name is gone. The message \
         names it. What was being restored was thrown away. Restore from another set or from the other repository, and \
         take a full backup now.",
    ),
    row(
        "E1020",
        "Odoo's filestore cannot be read",
        "The folder of the environment's attachments is not there, cannot be listed, or a part of its path is a link, which \
         is never followed. The mirror is unchanged. Check that the volume is mounted and belongs to the environment.",
    ),
    row(
        "E1021",
        "the mirror belongs to another key",
        "What lies in this place was encrypted for another key than the environment's. Nothing was sent or judged: half of \
         the files for one key and half for another would be no mirror. Give the key that it was begun with, or begin a \
         new mirror in an empty place.",
    ),
    row(
        "E1022",
        "the filestore's key cannot be read",
        "Among the secrets stands something that is no age identity. Nothing was read or written. Restore the secret from \
         its copy; without it the mirror's files cannot be read by anybody.",
    ),
    row(
        "E1023",
        "the mirror's own folder cannot be used",
        "The mirror keeps an index and a record of missing files in the state folder; neither could be read or written. \
         Both may be thrown away: the store is then listed, and nothing is removed for longer.",
    ),
    row(
        "E1024",
        "somebody works on this mirror already",
        "One push or removal at a time. The lock is given back when the other process ends, however it ends.",
    ),
    row(
        "E1025",
        "files cannot be restored into this folder",
        "The disk is full, or the folder cannot be written. Files that have their name in it are whole and proven; with \
         room, or after a repair, the same restore goes on where it ended.",
    ),
    row(
        "E1026",
        "the mirror's identity cannot be understood",
        "The object files/mirror.json says which mirror lies in a place, and it was written over. Nothing is pushed there. \
         The files can still be verified and restored; look who else writes to this place.",
    ),
    row(
        "E1027",
        "files of the mirror are missing or damaged",
        "Objects were fetched, decrypted and hashed, and those that are named are not there or are not what their name says. \
         Restores take them from the other mirror, and what Odoo still has is sent again with the next push.",
    ),
    row(
        "E1028",
        "files of the mirror could not be verified",
        "The store did not give some objects, so nothing is known of them; that is neither good nor damaged. Verify again \
         when the store answers.",
    ),
    row(
        "E1030",
        "the key for proofs cannot be used",
        "Proofs are signed by a key of the estate, which is one of its secrets: 32 bytes in base64. This one is something \
         else. Nothing was signed. Put the secret back from its copy; proofs of another key stay readable and are not \
         believed.",
    ),
    row(
        "E1031",
        "a proof is not believed",
        "A record counts only if every byte is as it was written, the estate's key signed it, and its verdict follows from \
         its stages. This one fails that, so it is told as no proof at all. Nothing was changed. Run a new proof.",
    ),
    row(
        "E1032",
        "a proof is under way already",
        "One copy of an environment is proven at a time, in a folder of its own. The lock is given back when that process \
         ends, however it ends. Nothing was changed. Wait, and look at its result.",
    ),
    row(
        "E1033",
        "the folder for a proof cannot be used",
        "The copy is restored into a folder of the estate, which could not be made, emptied or locked; the message says why. \
         The environment and its backups are untouched.",
    ),
    row(
        "E1034",
        "a copy could not be started beside the environment",
        "PostgreSQL or Odoo could not be run on the copy; the message names the program and shows its last lines. The copy \
         has no network, so nothing else has noticed. The environment is untouched.",
    ),
    row(
        "E1035",
        "a copy could not be made harmless",
        "A statement or Odoo's own command failed on the copy, so it is not started: it could send mail, charge cards or \
         call others. The environment is untouched. Mend what the message names and make the copy again.",
    ),
    row(
        "E1036",
        "a hook for copies failed",
        "The folder of hooks holds SQL files of yours that run on every copy, in one transaction, with the rights of the \
         database's owner. This one cannot be read, failed or ended the transaction. The copy is not started, and the \
         environment is untouched. Mend the file and make the copy again.",
    ),
    row(
        "E1037",
        "a copy can still do harm",
        "After everything was switched off, reading it back found what is still on: a trigger, a hook or a module put it \
         back. The copy is not started, and the environment is untouched. The message names what is left; add a hook for \
         it and make the copy again.",
    ),
    row(
        "E1050",
        "the environment has no such backups",
        "The estate file asks for no backups of it, or names no far place. Nothing was done. Write `backup: {}` or `backup: \
         { far: … }` at the environment; the next apply prepares the places, and backups begin by themselves beside a server.",
    ),
    row(
        "E1051",
        "nothing can be restored to that moment",
        "The moment lies before the first backup or after the end of the archived log, a segment of the log is \
         missing, or a name is of no restore point. `springtide backup list ENVIRONMENT` shows the span that can \
         be had. Nothing was changed.",
    ),
    row(
        "E1052",
        "a restore needs a new environment of the same series",
        "Nothing is ever restored over data that is there. The environment to fill stands in the estate file, has \
         the series of the backups, and does not exist yet. Nothing was changed.",
    ),
    row(
        "E1054",
        "recovery work failed",
        "A backup, a proof or a look at the places did not come to its end; the message says why. What was backed \
         up before is as it was, and the environment runs on. Repeat it when the cause is gone.",
    ),
    row(
        "E1055",
        "that is no moment",
        "Write `newest`, a time with its offset such as 2026-11-24T03:15:00Z, a position in the log such as \
         0/3000060, or the name of a restore point (1 to 63 of a-z, A-Z, 0-9, dots, underscores and hyphens). \
         Nothing was changed.",
    ),
    row(
        "E1056",
        "other changes wait as well",
        "What the environment is to be filled with is written down. The estate file also holds changes of other \
         environments, which a restore does not do without being asked: look at springtide plan, then springtide \
         apply does all of it.",
    ),
    row(
        "E1057",
        "there is no such stage",
        "The stages of a proof are fetch, replay, checksums, open, indexes, canaries, attachments, business, \
         neutralise, boot and login. Nothing was changed.",
    ),
];
