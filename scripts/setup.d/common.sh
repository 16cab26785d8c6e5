# shellcheck shell=bash
# Sourced by scripts/setup and by every file of this folder.
set -euo pipefail
export LC_ALL=C.UTF-8
umask 022

setup_d=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SPRINGTIDE_CACHE:-/var/cache/springtide}
mirror=${SPRINGTIDE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
export setup_d cache mirror

# Progress for the person who waits goes to descriptor 3, which `logged` makes when it sends the rest
# to a log. A terminal that went away must not end a build.
[[ ${setup_logged-} ]] || exec 3>&1
say() { (trap '' PIPE && printf '[%s] %s\n' "$what" "$1" >&3) || true; }

# step LABEL COMMAND...: runs it and says how long it took.
step() {
  local label=$1 began=$SECONDS
  shift
  "$@"
  say "$label ... $((SECONDS - began)) s"
}

die() {
  say "$1"
  echo "$1" >&2 # and into the log
  exit 1
}

# logged WHAT COMMAND...: runs it with a full log, one set-up at a time; shows the log's end when it
# fails. The command inherits the lock: what outlives a killed set-up is not doubled by the next.
logged() {
  local what=$1 log rc=0 lock
  shift
  log=$cache/log/setup-${what// /-}.log
  exec {lock}>"$log.lock"
  flock -n "$lock" || {
    say "another set-up is at it; waiting"
    flock "$lock"
  }
  if [[ -s $log ]]; then mv -f "$log" "$log.1"; fi
  setup_logged=yes "$@" 3>&1 >"$log" 2>&1 </dev/null || rc=$?
  exec {lock}>&-
  if ((rc)); then
    tail -n 30 "$log" | sed "s/^/[$what] | /"
    say "failed; the whole log: $log"
  fi
  return "$rc"
}
