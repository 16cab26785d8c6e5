#!/usr/bin/env bash
# together.sh NAME COMMAND [NAME COMMAND]...: runs the commands side by side, each line of output
# with its name in front; fails when one fails.
set -euo pipefail

one() { bash -c "exec $2" </dev/null 2>&1 | sed -u "s/^/$1 | /"; }

# Process groups of their own: an interruption reaches what each command started, too.
set -m
names=() jobs=()
# shellcheck disable=SC2317 # called by the trap
stop() {
  local job
  for job in "${jobs[@]}"; do kill -TERM -- "-$job" 2>/dev/null || true; done
  exit 130
}
trap stop INT TERM
while (($#)); do
  one "$1" "$2" &
  names+=("$1") jobs+=($!)
  shift 2
done

failed=0
for i in "${!jobs[@]}"; do
  wait "${jobs[i]}" || {
    echo "${names[i]} | failed" >&2
    failed=1
  }
done
exit "$failed"
