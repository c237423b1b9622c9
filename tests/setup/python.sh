#!/usr/bin/env bash
# Makes a virtual environment under target/python for each of the folders given,
# with what its requirements.txt names, skipping those that are up to date.
# Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    tests/setup/debian.sh python3-venv
fi
for folder in "$@"; do
    environment=target/python/$(basename "$folder")
    stamp=$environment/.installed-from
    if [ -f "$stamp" ] && cmp -s "$stamp" "$folder/requirements.txt"; then
        continue
    fi
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        --requirement "$folder/requirements.txt"
    cp "$folder/requirements.txt" "$stamp"
done
