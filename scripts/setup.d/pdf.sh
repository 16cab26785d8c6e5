# shellcheck shell=bash disable=SC2154 # root, release and mirror are the sourcing file's
# The PDF renderer of a root. Sourced by odoo-root.sh, whose variables and functions it uses.
# bullseye has wkhtmltopdf. trixie has none, and bookworm's libraries do not install beside its own:
# there bookworm's program lives in /opt/wkhtmltopdf with every library it loads, and its own loader.

install_pdf() {
  if [[ $release == trixie ]]; then
    private_wkhtmltopdf
  else
    # shellcheck disable=SC2016
    wrapper 'exec /usr/bin/wkhtmltopdf "$@"'
  fi
}

# Odoo takes the first wkhtmltopdf of its PATH. There is no display; the user may have no home, and
# Qt complains about a run-time folder that is not the user's own.
wrapper() {
  cat >"$root/usr/local/bin/wkhtmltopdf" <<END
#!/bin/sh
: "\${HOME:=/tmp}" "\${XDG_RUNTIME_DIR:=\${TMPDIR:-/tmp}/runtime-\$(id -u)}"
export HOME XDG_RUNTIME_DIR XDG_CACHE_HOME=\$XDG_RUNTIME_DIR QT_QPA_PLATFORM=offscreen
mkdir -p -m 700 "\$XDG_RUNTIME_DIR"
$1
END
  chmod 755 "$root/usr/local/bin/wkhtmltopdf"
}

private_wkhtmltopdf() {
  local stage=/tmp/bookworm tree loader libraries plugins file
  local pieces=(usr/bin/wkhtmltopdf)
  local inside=$root$stage prefix=$root/opt/wkhtmltopdf
  mkdir -p "$inside/lists/partial" "$inside/archives/partial" "$inside/tree" "$prefix/lib" "$prefix/bin"
  echo "deb $mirror bookworm main" >"$inside/sources.list"
  : >"$inside/status"
  local options=(-o "Dir::Etc::SourceList=$stage/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$stage/lists" -o "Dir::State::Status=$stage/status" -o Dir::Etc::Preferences=/dev/null
    -o Dir::Etc::PreferencesParts=/dev/null -o "Dir::Cache=$stage" -o APT::Sandbox::User=root)
  root_apt "${options[@]}" update
  root_apt "${options[@]}" --download-only install wkhtmltopdf
  for file in "$inside"/archives/*.deb; do
    in_root dpkg-deb -x "${file#"$root"}" "$stage/tree"
  done
  tree=$inside/tree
  loader=$(cd "$tree" && find lib usr/lib -name 'ld-linux-*.so.*' -print -quit)
  plugins=$(cd "$tree" && find usr/lib -path '*/qt5/plugins')
  pieces+=("$plugins/platforms/libqoffscreen.so" "$plugins/imageformats/libqjpeg.so")
  libraries=$(cd "$tree" && find lib usr/lib -name '*.so*' -printf "$stage/tree/%h\n" | sort -u | grep -v /qt5/ | paste -sd:)
  for file in "${pieces[@]}"; do
    in_root "$stage/tree/$loader" --library-path "$libraries" --list "$stage/tree/$file" | tee "$inside/list"
    if grep -q 'not found' "$inside/list"; then die "bookworm's $file lacks a library"; fi
    awk -v at="$stage/" 'index($3, at) == 1 { print $3 }' "$inside/list" |
      while read -r library; do cp -L "$root$library" "$prefix/lib/"; done
  done
  cp -L "$tree/$loader" "$prefix/lib/ld.so"
  cp "$tree/usr/bin/wkhtmltopdf" "$prefix/bin/"
  mkdir -p "$prefix/plugins/platforms" "$prefix/plugins/imageformats"
  cp "$tree/${pieces[1]}" "$prefix/plugins/platforms/"
  cp "$tree/${pieces[2]}" "$prefix/plugins/imageformats/"
  rm -rf "$inside"
  wrapper 'export QT_PLUGIN_PATH=/opt/wkhtmltopdf/plugins
exec /opt/wkhtmltopdf/lib/ld.so --library-path /opt/wkhtmltopdf/lib /opt/wkhtmltopdf/bin/wkhtmltopdf "$@"'
}

# A page with text and a picture, as the nameless user: a PDF of believable size with a font in it.
prove_pdf() {
  local page=$root/tmp/page.html pdf=$root/tmp/page.pdf
  # As root first: that leaves the renderer's own index of the fonts in the root.
  in_root wkhtmltopdf --quiet about:blank /tmp/blank.pdf
  echo '<meta charset="utf-8"><h1>Springtide · één · 12,50 €</h1><p>The quick brown fox.</p>' >"$page"
  as_nobody HOME=/nonexistent wkhtmltopdf --quiet /tmp/page.html /tmp/page.pdf 2>"$root/tmp/complaints"
  if [[ -s $root/tmp/complaints ]]; then die "wkhtmltopdf complains: $(head -n 3 "$root/tmp/complaints")"; fi
  if [[ $(head -c 4 "$pdf") != %PDF ]] || (($(stat -c %s "$pdf") < 4000)) || ! grep -qa /FontFile "$pdf"; then
    die "wkhtmltopdf made no sound PDF"
  fi
}
