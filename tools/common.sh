# Shared by the scripts of this folder: places, versions, progress, failing with advice.
# shellcheck shell=bash
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${OLLAMAMAX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ollamamax}
mkdir -p "$CACHE/logs"

LLAMA_VERSION=0.3.36 # of the source release llama-cpp-python, whose vendor/ holds llama.cpp
LLAMA_SHA256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
SMOLLM2_VERSION=0.1.2
SMOLLM2_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
GEMMA3_VERSION=1.0.0
GEMMA3_SHA256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
MINILM_VERSION=0.1.2
MINILM_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
MINILM_GGUF_SHA256=af27ae4c7edb16c1d4b6ef0af771adb27f0fe831c89322bd0996afe62ae2904e

bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
step() { bold "==> $*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  fix: %s\n' "$2" >&2
  exit 1
}

# logged NAME ADVICE COMMAND...: runs it with its output in a log; shows the end of it on failure.
# In a shell of its own: what dies in there has its last words in the log.
logged() {
  local name=$1 advice=$2 log
  shift 2
  log="$CACHE/logs/$name.log"
  if ! ("$@") >"$log" 2>&1; then
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    die "$name failed; the whole log is $log" "$advice"
  fi
}

# ninja with its progress on one line where there is a terminal.
build_with_ninja() {
  local name=$1 folder=$2 log="$CACHE/logs/$1.log"
  shift 2
  if [ -t 1 ]; then
    NINJA_STATUS="    [%f/%t] " ninja -C "$folder" "$@" 2>&1 | tee "$log" |
      while IFS= read -r line; do
        case $line in
          "    ["*) printf '\r\033[K%.100s' "$line" ;;
          *) printf '\n%s' "$line" ;;
        esac
      done
    local rc=${PIPESTATUS[0]}
    printf '\r\033[K'
    [ "$rc" = 0 ] || die "building $name failed (above; all of it in $log)" "mend the first error"
  else
    logged "$name" "mend the first error above" ninja -C "$folder" "$@"
  fi
}

can_be_root() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs those of the packages that are missing.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  note "installing: ${missing[*]}"
  command -v apt-get >/dev/null ||
    die "missing packages: ${missing[*]}" "install them with your distribution's package manager"
  can_be_root || die "installing packages needs root" \
    "run this as root, or install sudo; or let somebody install them: apt-get install ${missing[*]}"
  logged apt-update "check the network and /etc/apt/sources.list" as_root apt-get update
  logged apt-install "this needs Debian 12 (bookworm) or newer package names; see the log" \
    as_root "$ROOT/tools/install_packages.sh" "${missing[@]}"
}

check_sha256() { # FILE SHA256
  echo "$2  $1" | sha256sum --check --status ||
    die "$1 is not what was expected (SHA-256 differs)" "delete it and run the command again"
}

# pip_download FOLDER ARGUMENTS...: fetches packages without installing them.
pip_download() {
  local folder=$1
  shift
  mkdir -p "$folder"
  logged pip-download "check the network, and 'pip config list'" \
    python3 -m pip download --quiet --disable-pip-version-check --dest "$folder" "$@"
}

LLAMA_ARCHIVE=$CACHE/downloads/llama_cpp_python-$LLAMA_VERSION.tar.gz
LLAMA_IN_ARCHIVE=llama_cpp_python-$LLAMA_VERSION/vendor/llama.cpp

fetch_llama_archive() {
  if [ ! -f "$LLAMA_ARCHIVE" ]; then
    note "fetching llama.cpp's source release"
    pip_download "$CACHE/downloads" --no-deps --no-binary llama-cpp-python \
      "llama-cpp-python==$LLAMA_VERSION"
  fi
  check_sha256 "$LLAMA_ARCHIVE" "$LLAMA_SHA256"
}

# Only one setup at a time, also from several terminals.
locked() {
  exec 8>"$CACHE/lock"
  flock 8
}
