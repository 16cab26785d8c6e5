#!/usr/bin/env bash
# The Debian packages of the host. `packages.sh missing|install [--tests]`
what=packages
# shellcheck source=scripts/setup.d/common.sh
. "$(dirname "$0")/common.sh"

# postgresql-15 brings the contrib extensions, amcheck among them; the rest of the second line is what Rust's C parts
# are compiled with, and the third is what the Odoo roots are built with.
wanted=(
  postgresql-15 pgbouncer redis-server pgbackrest
  gcc g++ libc6-dev make cmake pkg-config
  debootstrap python3-venv ca-certificates
)
[[ ${2-} == --tests ]] && wanted+=(shellcheck strace chromium chromium-driver fonts-dejavu-core)

missing() {
  local package
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

apt() {
  env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Debian would start each server and make a PostgreSQL cluster: Springtide starts its own, elsewhere.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  # An exit code of 101 is Debian's word for "start nothing".
  [[ -e $policy ]] && { [[ ! -x $policy ]] || "$policy" x start >/dev/null 2>&1 || (($? != 101)); } &&
    mv "$policy" "$policy.before-springtide"
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\n# springtide set-up, temporary\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
}
allow_services() {
  if grep -qs 'springtide set-up, temporary' "$policy"; then rm -f "$policy"; fi
  if [[ -e $policy.before-springtide ]]; then mv "$policy.before-springtide" "$policy"; fi
}

cluster_conf=/etc/postgresql-common/createcluster.d/springtide-setup.conf
install() {
  local list service
  mapfile -t list < <(missing)
  ((${#list[@]})) || return 0
  trap 'allow_services; rm -f "$cluster_conf"' EXIT
  trap 'exit 130' INT TERM
  allow_services # what a killed run left
  forbid_services
  step "package lists" apt update
  if [[ " ${list[*]} " == *" postgresql-15 "* ]]; then
    step "postgresql-common" apt install postgresql-common
    mkdir -p "${cluster_conf%/*}"
    echo 'create_main_cluster = false' >"$cluster_conf"
  fi
  step "${list[*]}" apt install "${list[@]}"
  # Nor at the next boot, for those that this run brought.
  for service in pgbouncer redis-server; do
    if [[ " ${list[*]} " == *" $service "* && -x $(command -v systemctl) ]]; then systemctl --quiet disable "$service"; fi
  done
}

"$1"
