#!/usr/bin/env bash
# One Odoo series, made once: stamp, space, and the build in a folder that is renamed when
# whole. What goes into it is odoo-root.sh and pdf.sh. `odoo.sh ready|install SERIES`
series=$2 what="odoo $2"
# shellcheck source=scripts/setup.d/common.sh
. "$(dirname "$0")/common.sh"

home=$cache/odoo/$series
recipe=$(cat "$setup_d/odoo-root.sh" "$setup_d/pdf.sh" | sha256sum | cut -d' ' -f1)

ready() { grep -qsx "recipe=$recipe" "$home/stamp"; }

# A folder that something is mounted in or from, or that a process has as its root, is left alone.
in_use() {
  grep -qsF " $1/" /proc/[0-9]*/mountinfo && return
  # What find says counts and not how it ends: a process may go while it looks.
  [[ -n $(find /proc/[0-9]*/root -maxdepth 0 -lname "$1/*" 2>/dev/null) ]]
}

remove_leftovers() {
  local folder
  for folder in "$home".building-* "$home".old-*; do
    [[ -d $folder ]] || continue
    if in_use "$folder"; then
      say "$folder is in use; it goes at a later set-up"
    else
      rm -rf --one-file-system "$folder"
    fi
  done
}

install() {
  remove_leftovers
  ready && return
  local free
  free=$(df --output=avail -BM "$cache" | tail -n 1 | tr -dc 0-9)
  ((free >= 5120)) || die "needs 5 GB free under $cache, and only $free MB are: free some, or set SPRINGTIDE_CACHE"
  say "building, some minutes; log: $cache/log/setup-${what// /-}.log"
  # The build's mounts and processes live in namespaces of their own and vanish with them.
  unshare --mount --propagation private --pid --fork --kill-child \
    "$setup_d/odoo-root.sh" "$series" "$home" "$home.building-$$" "$recipe"
  remove_leftovers
}

"$1"
