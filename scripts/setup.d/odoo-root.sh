#!/usr/bin/env bash
# What an Odoo root is made of. Runs in private mount and process namespaces (odoo.sh starts it).
# odoo-root.sh SERIES HOME BUILDING RECIPE
series=$1 home=$2 building=$3 recipe=$4 what="odoo $1"
# shellcheck source=scripts/setup.d/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/setup.d/pdf.sh
. "$setup_d/pdf.sh"

# Beyond what the Odoo package depends on: the live role, the session store, fonts, small optional parts.
extras=(python3-gevent python3-redis python3-cryptography python3-phonenumbers python3-setproctitle
  python3-xlrd python3-xlsxwriter python3-ldap fonts-dejavu-core fontconfig ca-certificates)

case $series in
  14.0)
    release=bullseye package=odoo-14 version=14.0.0+dfsg.2-7+deb11u2
    deb_sha256=95f0532e73d2d84490355716f74ee535db16a3bb1e889d15a72ff402dbed7ecb
    extras+=(wkhtmltopdf)
    wheels=("odoo14-addon-queue-job==14.0.3.15.1 --hash=sha256:1ad179a46742e92660c8683f7c66a67377d0f7ea0db734eaf968a9aa0b21a468")
    libraries=()
    ;;
  19.0)
    release=trixie package=odoo-19 version=19.0.0+dfsg-1
    deb_sha256=9d2f598b0555db17e291d48ed24df184c70823c053c4c5ed53c467ca7f629bbf
    extras+=(tzdata-legacy python3-cssselect)
    wheels=("odoo-addon-queue-job==19.0.2.4.0.1 --hash=sha256:7d4316aaea12a6d4eec92994ea701e94c0dcbe21643dd6d334377e2a44be93b2")
    libraries=("openupgradelib==3.13.7 --hash=sha256:86910f551cf949f062863eb1de3bf1582af77cd2b2bcc3031e1ee523c442e35c")
    ;;
  *) die "Odoo $series is not one of: 14.0 19.0" ;;
esac

root=$building/root
addons=$building/addons

in_root() {
  chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} "$@"
}
# As the unprivileged, nameless user that an instance runs as; 14.0 needs a name in the environment.
as_nobody() {
  chroot --userspec=63999:63999 "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp USER=odoo LOGNAME=odoo LANG=C.UTF-8 "$@"
}
root_apt() {
  in_root apt-get -y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@"
}
pip() { "$cache/tools/venv/bin/pip" "$@" --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes; }

bootstrap() {
  mkdir -p "$root" "$addons"
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$mirror"
  umount -q "$root/sys" "$root/proc" || true
  # Device nodes one by one, never the host's /dev as a whole: nothing here can delete that.
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  local node
  for node in null zero full random urandom; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
  done
  mount -t proc proc "$root/proc"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  # Manuals and translations of system tools are no use in a root, and its build is thrown away on failure.
  printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' \
    'path-exclude=/usr/share/doc/*' 'path-include=/usr/share/doc/*/copyright' >"$root/etc/dpkg/dpkg.cfg.d/springtide"
  echo "deb $mirror $release main" >"$root/etc/apt/sources.list"
  if [[ $release == trixie ]]; then
    # odoo-19 is in unstable only; everything it needs comes from trixie. A mirror may lag behind
    # unstable's week of validity: the package's hash is what is trusted here.
    echo "deb [check-valid-until=no] $mirror sid main" >>"$root/etc/apt/sources.list"
    printf 'Package: %s\nPin: release n=sid\nPin-Priority: %s\n\n' '*' 100 "$package" 990 >"$root/etc/apt/preferences.d/springtide"
  fi
}

check_pinned() {
  root_apt update
  local have
  have=$(in_root apt-cache madison "$package" | awk '{print $3}' | sort -u | xargs)
  [[ " $have " == *" $version "* ]] ||
    die "$package $version, which this set-up pins, is gone from $mirror; it has: ${have:-none}. Change version and deb_sha256 in scripts/setup.d/odoo-root.sh, or use a mirror that keeps it"
}

download() {
  local deb
  root_apt --download-only install "$package=$version" "${extras[@]}"
  deb=$(find "$root/var/cache/apt/archives" -name "${package}_*.deb")
  echo "$deb_sha256  $deb" | sha256sum -c || die "$deb is not the file that this set-up pins (SHA-256)"
}

queue_job() {
  local line names
  printf '%s\n' "${wheels[@]}" >"$building/wheels.txt"
  pip install --no-compile --target "$building/wheels" -r "$building/wheels.txt"
  mv "$building/wheels/odoo/addons/queue_job" "$addons/"
  if ((${#libraries[@]})); then
    printf '%s\n' "${libraries[@]}" >"$building/wheels.txt"
    line=$(in_root python3 -c 'import sys; print("/usr/local/lib/python%d.%d/dist-packages" % sys.version_info[:2])')
    pip install --no-compile --target "$root$line" -r "$building/wheels.txt"
    in_root python3 -m compileall -q "$line"
  fi
  rm -rf "$building/wheels" "$building/wheels.txt"
  chmod -R u=rwX,go=rX "$addons"
  mkdir "$root/tmp/addons"
  mount --bind "$addons" "$root/tmp/addons"
  in_root python3 -m compileall -q /tmp/addons
  names=$(in_root python3 -c 'import ast; print(*ast.literal_eval(open("/tmp/addons/queue_job/__manifest__.py").read())["external_dependencies"]["python"])')
  in_root python3 -c "import ${names// /, }"
  umount "$root/tmp/addons"
  rmdir "$root/tmp/addons"
}

tidy() {
  root_apt clean
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/* "$root/usr/sbin/policy-rc.d"
  mkdir -p "$root/srv/springtide"
}

prove() {
  as_nobody odoo --version
  as_nobody python3 -c 'import psycopg2, gevent, redis, cryptography, phonenumbers, ldap'
  prove_pdf
}

leave() {
  {
    echo "recipe=$recipe"
    echo "odoo=$version"
    echo "python=$(in_root python3 -c 'import platform; print(platform.python_version())')"
    echo "queue_job=$(sed -n 's/.*==\([^ ]*\) .*/\1/p' <<<"${wheels[0]}")"
    echo "pdf=$(as_nobody wkhtmltopdf --version | awk '{print $2}')"
  } >"$building/stamp"
  find "$root/tmp" -mindepth 1 -delete
  local point
  for point in null zero full random urandom; do umount "$root/dev/$point"; done
  umount "$root/dev" "$root/proc"
  if grep -qF " $building/" /proc/self/mountinfo; then die "something is still mounted in $building"; fi
  find "$root/dev" "$root/proc" -xdev -mindepth 1 -delete
  if [[ -d $home ]]; then mv -T "$home" "$home.old-$$-$(date +%s)"; fi
  mv -T "$building" "$home"
}

trap 'exit 130' INT TERM
# In a function, so that an edit of this file does not reach a build that runs.
main() {
  step "debootstrap $release" bootstrap
  step "package lists" check_pinned
  step "download $package $version" download
  step "install $package" root_apt install "$package=$version" "${extras[@]}"
  step "queue_job" queue_job
  step "PDF renderer" install_pdf
  step "proof: version, imports, a PDF" prove
  step "tidy" tidy
  leave
  say "ready: $(grep -v recipe "$home/stamp" | xargs), $(du -sm "$home" | cut -f1) MB"
}
main
