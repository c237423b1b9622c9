#!/usr/bin/env bash
# Installs the locked npm packages of the folders given, skipping those that are
# up to date. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."

for folder in "$@"; do
    stamp=$folder/node_modules/.installed-from
    if [ -f "$stamp" ] && cmp -s "$stamp" "$folder/package-lock.json"; then
        continue
    fi
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
    mkdir -p "$folder/node_modules"
    cp "$folder/package-lock.json" "$stamp"
done
