#!/usr/bin/env bash
# Checks every shell script: syntax always, shellcheck where it is installed
# (CI installs it, so there it always runs). Called by `make lint`.
set -euo pipefail
cd "$(dirname "$0")/../.."

mapfile -t scripts < <(ls .ci/run tests/setup/*.sh)
for script in "${scripts[@]}"; do
    bash -n "$script"
done
if ! command -v shellcheck >/dev/null && [ "${CI:-}" = true ]; then
    tests/setup/debian.sh shellcheck
fi
if command -v shellcheck >/dev/null; then
    shellcheck -x "${scripts[@]}"
else
    echo "note: shellcheck is not installed; only the syntax of shell scripts was checked"
fi
