#!/usr/bin/env bash
# Runs test suites (make targets named test-<suite>) one after the other, goes on
# after a failure, and ends with a table and the line "N passed, N failed", both
# read from what the suites printed. Fails when a test failed, when a suite ran
# no test at all, or, with CI=true, when one was skipped. Called by `make test`,
# which names in $ABSENT the suites that this machine cannot run.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

logs=target/test-logs
rm -rf "$logs"
mkdir -p "$logs"
if [ -n "${ABSENT:-}" ]; then
    printf '\nSKIPPED: %s\n' "$ABSENT" | tee "$logs/absent"
fi

for suite in "$@"; do
    printf '\n=== %s\n' "$suite"
    start=$SECONDS
    make "test-$suite" 2>&1 | tee "$logs/$suite.log"
    status=${PIPESTATUS[0]}
    echo "$suite $status $((SECONDS - start))" >>"$logs/results"
done
exec tests/setup/summary.sh
