#!/usr/bin/env bash
# Installs the Debian packages that tests and demos need where their programs are
# missing: as root or with sudo that asks for no password, else it prints the
# exact command and stops. Called by the Makefile; names of single packages may
# be passed, by default all.
set -euo pipefail

declare -A program=([redis-server]=redis-server [chromium]=chromium [chromium-driver]=chromedriver [shellcheck]=shellcheck)

has() { # PACKAGE
    case $1 in
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    *) command -v "${program[$1]}" >/dev/null ;;
    esac
}
[ $# -gt 0 ] || set -- redis-server chromium chromium-driver

missing=()
for package in "$@"; do
    has "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
    echo "Needed and not found: ${missing[*]} (Debian's names). Install them, then run this again." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
else
    echo "Needed and not found: ${missing[*]}. Run this, then try again:" >&2
    echo "  sudo apt-get update && sudo ${install[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" "${install[@]}"
