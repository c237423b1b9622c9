#!/usr/bin/env bash
# Runs what finds rare faults for longer than a test run can: new seeds of the
# lossy link and of both engines, reconnect storms, Redis faults and conformance
# again and again, the fuzzers. Goes on after a failure and ends with a table;
# what each step printed is in target/soak/. Called by `make soak`. SOAK_SECONDS
# bounds each step that repeats; the whole takes about ten minutes.
# shellcheck disable=SC2317 # functions are called by name, through step
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

each=${SOAK_SECONDS:-60}
logs=target/soak
rm -rf "$logs"
mkdir -p "$logs"
failed=0

# step NAME COMMAND...
step() {
    local name=$1 start=$SECONDS result=ok
    shift
    printf '%-26s ' "$name"
    "$@" >"$logs/$name.log" 2>&1 || result="FAILED, see $logs/$name.log"
    [ "$result" = ok ] || failed=1
    printf '%5d s  %s\n' $((SECONDS - start)) "$result"
}

# repeat COMMAND...: until the time is up, or the first failure
repeat() {
    local end=$((SECONDS + each))
    while [ "$SECONDS" -lt "$end" ]; do
        "$@" || return
    done
}

fuzz_all() {
    local target seconds=$((each / 2))
    for target in tests/fuzz/fuzz_targets/*.rs; do
        # libFuzzer's own rise in memory is no leak of ours; a leak would be found by its detector.
        (cd tests/fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run "$(basename "$target" .rs)" -- \
            -max_total_time="$seconds" -max_len=4096) || return
    done
}

# Seeds that no run before has tried; the log of a failure names the one.
start=$(($(date +%s) * 1000))
echo "logs are in $logs; seeds begin at $start"
step build cargo test --no-run --release -p homing-core -p homing-server -p homing-tests
step lossy-link env START="$start" SEEDS=40000 cargo test --release -p homing-core --test lossy_link
step simulation make sim START="$start" SEEDS=$((each * 400))
step engines-differential env HOMING_SEED="$start" HOMING_SEEDS=60 \
    cargo test --release -p homing-server --test engine_redis differential
step redis-faults repeat cargo test --release -p homing-server --test engine_redis
step redis-failovers env SOAK_SECONDS="$each" \
    cargo test --release -p homing-server --test nodes_on_redis failover
step reconnect-storm env HOMING_STORM_CLIENTS=200 HOMING_STORM_ROUNDS=30 \
    cargo test --release -p homing-tests --test reconnect_storm
step outbox-under-faults env HOMING_SEED="$start" SOAK_SECONDS="$each" \
    cargo test --release -p homing-tests --test outbox_under_faults -- --nocapture
step page-under-faults env HOMING_SEED="$start" SOAK_SECONDS="$each" make test-page-under-faults
step outbox-storm env HOMING_STORM_ROUNDS=200 \
    cargo test --release -p homing-tests --test native_outbox storm
step official-client repeat make test-conformance-server
step npm-package repeat make test-conformance-npm
step rust-client repeat make test-conformance-native
if command -v cargo-fuzz >/dev/null; then
    step fuzzers fuzz_all
else
    echo "SKIPPED: the fuzzers (cargo-fuzz is missing: cargo install cargo-fuzz)"
fi
exit "$failed"
