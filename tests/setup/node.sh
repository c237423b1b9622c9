#!/usr/bin/env bash
# Checks that Node and npm are there and recent enough. Called by the Makefile.
set -euo pipefail

wanted=20.19 # from there on require() loads ES modules
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "Node $wanted or newer with npm is needed and was not found." >&2
    exit 1
fi
found=$(node --version)
if [ "$(printf '%s\n' "$wanted" "${found#v}" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "Node $wanted or newer is needed, this is $found." >&2
    exit 1
fi
