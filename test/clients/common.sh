# Shared by the run scripts: where the node is and where what they install is kept.
# shellcheck shell=bash
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
CLIENTS_CACHE=${OLLAMAMAX_CACHE:-$HOME/.cache/ollamamax}/clients
mkdir -p "$CLIENTS_CACHE"

OLLAMA_HOST=${OLLAMA_HOST:-127.0.0.1:11434}
case $OLLAMA_HOST in
  http://* | https://*) NODE_URL=${OLLAMA_HOST%/} ;;
  *) NODE_URL=http://$OLLAMA_HOST ;;
esac
export OLLAMA_HOST NODE_URL

# Changes with the given files: installs are kept under it and made again only when they change.
key_of() { cat "$@" | sha256sum | cut -c1-16; }

# The files of a package of PyPI; prints their folder.
wheel() { # NAME VERSION
  local folder=$CLIENTS_CACHE/$1-$2
  if [ ! -f "$folder/.ready" ]; then
    echo "fetching $1 $2" >&2
    rm -rf "$folder"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --target "$folder" "$1==$2" >&2 ||
      { echo "$1 $2 cannot be fetched; install it, or see the network" >&2; return 1; }
    touch "$folder/.ready"
  fi
  echo "$folder"
}

# A virtual environment with the packages of requirements.txt; prints its folder.
python_environment() {
  local folder
  folder=$CLIENTS_CACHE/python-$(key_of "$1")
  if [ ! -f "$folder/.ready" ]; then
    echo "installing $(wc -l <"$1") Python packages" >&2
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
      { echo "python3 -m venv failed: install python3-venv" >&2; return 1; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$1" >&2
    touch "$folder/.ready"
  fi
  echo "$folder"
}
