#!/usr/bin/env bash
# install_packages.sh PACKAGE...: installs Debian packages, as root, and leaves the services off
# that they bring: the programs are wanted, not a web server at port 80 of a developer's machine,
# now or after its next start. Services that were there before stay as they are.
set -euo pipefail

policy=/usr/sbin/policy-rc.d # What maintainer scripts ask before they start something.
before=$(mktemp)
own_policy=

clean_up() {
  rm -f "$before"
  [ -z "$own_policy" ] || rm -f "$policy"
}
trap clean_up EXIT

# Also where systemd does not run, as in a container.
enabled_units() {
  command -v systemctl >/dev/null || return 0
  systemctl --root=/ list-unit-files --state=enabled --no-legend --no-pager | cut -d' ' -f1 | sort
}

enabled_units >"$before"
if [ ! -e "$policy" ]; then
  own_policy=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy" # "Action forbidden by policy."
  chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"

mapfile -t new < <(enabled_units | comm -13 "$before" -)
[ ${#new[@]} -gt 0 ] || exit 0
systemctl --root=/ disable "${new[@]}"
# Somebody else's policy may have let them start.
if [ -d /run/systemd/system ]; then systemctl stop "${new[@]}"; fi
