#!/usr/bin/env bash
# Makes a Debian package of what build/release holds: the program, llama.cpp's programs, the systemd
# unit, completions. Prints its path. Maintainer scripts: deploy/debian/.
source "$(dirname "$0")/common.sh"

program=$ROOT/build/release/ollamamax
llama=$CACHE/llama/current
told() { "$program" version --json | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
version=$(told client)
revision=$(told revision)
architecture=$(dpkg --print-architecture)
# The same files give the same package; of two commits the later one's is the upgrade.
if SOURCE_DATE_EPOCH=$(git -C "$ROOT" log -1 --format=%ct "${revision%-dirty}" 2>/dev/null); then
  version+=+git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${revision//-/.}
else
  SOURCE_DATE_EPOCH=$(date +%s)
fi
export SOURCE_DATE_EPOCH
result=$ROOT/build/ollamamax_${version}_${architecture}.deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
lib=$tree/usr/lib/ollamamax
doc=$tree/usr/share/doc/ollamamax
mkdir -p "$lib" "$doc" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/DEBIAN"
mkdir "$tree/etc" "$tree/etc/ollamamax"  # Empty: for the environment file that the unit reads.

# Of runner.deterministic, where `tools/build_llama.sh deterministic` has made them.
runners=("$llama/bin")
[ ! -e "$llama/deterministic/complete" ] || runners+=("$llama/deterministic")

put_programs() {
  install -m 755 "$program" "$lib/ollamamax"
  strip --strip-unneeded "$lib/ollamamax"
  ln -s ../lib/ollamamax/ollamamax "$tree/usr/bin/ollamamax"
  cp -a "${runners[@]}" "$lib/"  # At once: they share files, as hard links.
  mv "$lib/bin" "$lib/llama"
  rm -f "$lib/deterministic/complete"
  # dpkg cannot unpack hard links to symbolic links.
  find "$lib" -type l -links +1 -print0 | while IFS= read -r -d '' link; do
    ln -sfn "$(readlink "$link")" "$link"
  done
  # The converter for safetensors folders, where the node looks for it.
  cp -r "$llama"/{convert_hf_to_gguf.py,conversion,gguf-py} "$lib/"
  find "$lib" -name __pycache__ -prune -exec rm -rf {} +
}

put_service() {
  sed -e 's,/opt/ollamamax/README.md,/usr/share/doc/ollamamax/README.md,' \
    -e 's,/opt/ollamamax,/usr/lib/ollamamax,' \
    "$ROOT/deploy/ollamamax.service" >"$tree/lib/systemd/system/ollamamax.service"
}

put_completions() {
  local shell path
  while read -r shell path; do
    mkdir -p "$tree/usr/share/$(dirname "$path")"
    "$program" completion "$shell" >"$tree/usr/share/$path"
  done <<'TEXT'
bash bash-completion/completions/ollamamax
zsh zsh/vendor-completions/_ollamamax
fish fish/vendor_completions.d/ollamamax.fish
TEXT
}

# Whose code is inside must be told with it.
put_documents() {
  local package
  mkdir -p "$doc/docs"
  cp "$ROOT/README.md" "$doc/"
  cp "$ROOT"/docs/{cluster,failover,ollama,operations}.md "$doc/docs/"
  cp "$llama/LICENSE" "$doc/LICENSE.llama.cpp"
  for package in libcli11-dev libtomlplusplus-dev; do  # Boost's licence asks it of sources only.
    cp "/usr/share/doc/$package/copyright" "$doc/copyright.$package"
  done
  cp "$ROOT/deploy/debian/copyright" "$doc/"
  printf 'ollamamax (%s) stable; urgency=medium\n\n  * %s\n\n -- %s  %s\n' "$version" \
    "As of commit $revision." \
    "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
}

# The packages of the libraries that its programs load, with the versions that they need.
needed_packages() {
  mkdir -p "$work/debian"
  printf 'Source: ollamamax\n\nPackage: ollamamax\nArchitecture: any\n' >"$work/debian/control"
  (cd "$work" &&
    dpkg-shlibdeps -O -l"$lib/llama" --ignore-missing-info "$lib/ollamamax" \
      $(find "$lib" -type f -executable '(' -path '*/llama/*' -o -path '*/deterministic/*' ')' \
        -printf '-e%p ') 2>"$work/shlibdeps.log") |
    sed -n 's/^shlibs:Depends=//p'
}

put_control() {
  local depends
  depends=$(needed_packages)
  [ -n "$depends" ] ||
    die "which packages it needs was not found out" "$(tail -n 3 "$work/shlibdeps.log")"
  cat >"$tree/DEBIAN/control" <<TEXT
Package: ollamamax
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: ca-certificates, passwd, $depends
Suggests: etcd-server (>= 3.4), avahi-utils, avahi-daemon, python3
Section: net
Priority: optional
Description: Ollama for every machine you own
 Serves the Ollama, OpenAI and Anthropic interfaces from models in Ollama's own
 folder layout, each in a supervised llama-server. Several machines become one:
 any node answers any request, and an answer goes on when its machine dies.
 .
 A cluster needs etcd-server on the machines that keep its facts, the first
 three; its own service may stay off.
TEXT
  for script in postinst prerm postrm; do
    install -m 755 "$ROOT/deploy/debian/$script" "$tree/DEBIAN/$script"
  done
  (cd "$tree" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
}

maintainer="OllamaMax developers <developers@ollamamax.invalid>"
put_programs
put_service
put_completions
put_documents
put_control
chmod -R u=rwX,go=rX "$tree"
dpkg-deb --root-owner-group --build "$tree" "$result" >/dev/null
printf '%s\n' "$result"
