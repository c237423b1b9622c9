#!/usr/bin/env bash
# Prints the table of the last `make test` and, last of all, "N passed, N failed".
# Counts come from the runners' own lines: cargo and wasm-bindgen-test ("test
# result:"), node --test ("pass N") and vitest ("Tests  N passed").
set -euo pipefail
cd "$(dirname "$0")/../.."

logs=target/test-logs
if ! [ -s "$logs/results" ]; then
    echo "no suite has run"
    echo "0 passed, 0 failed"
    exit 1
fi

count() { # LOG -> "passed failed skipped"
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) pass += $(i - 1)
                if ($i ~ /^failed/) fail += $(i - 1)
                if ($i ~ /^ignored/) skip += $(i - 1)
            }
        }
        /^(#|ℹ) pass [0-9]+$/ { pass += $3 }
        /^(#|ℹ) fail [0-9]+$/ { fail += $3 }
        /^(#|ℹ) cancelled [0-9]+$/ { fail += $3 }
        /^(#|ℹ) (skipped|todo) [0-9]+$/ { skip += $3 }
        /^ *Tests  .*\([0-9]+\)$/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed") pass += $(i - 1)
                if ($i == "failed") fail += $(i - 1)
                if ($i == "skipped" || $i == "todo") skip += $(i - 1)
            }
        }
        END { print pass + 0, fail + 0, skip + 0 }'
}

passed=0
failed=0
bad=0
printf '\n%-22s %8s %8s %8s %8s\n' suite passed failed skipped seconds
while read -r suite status seconds; do
    read -r p f s < <(count "$logs/$suite.log")
    note=
    if [ "$p" -eq 0 ] && [ "$f" -eq 0 ]; then
        note="ran no test"
        f=1
    elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        note="stopped with status $status"
        f=1
    elif [ "$s" -gt 0 ] && [ "${CI:-}" = true ]; then
        note="skipped tests are not allowed here"
        f=$((f + s))
    fi
    [ "$status" -eq 0 ] && [ "$f" -eq 0 ] || bad=1
    passed=$((passed + p))
    failed=$((failed + f))
    printf '%-22s %8d %8d %8d %8d  %s\n' "$suite" "$p" "$f" "$s" "$seconds" "$note"
done <"$logs/results"
if [ -f "$logs/absent" ]; then
    cat "$logs/absent"
fi
echo
echo "$passed passed, $failed failed"
exit "$bad"
