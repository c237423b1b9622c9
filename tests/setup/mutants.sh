#!/usr/bin/env bash
# Breaks one guarantee after the other on purpose, in a copy of the tree, and runs the simulation until it finds
# what was broken. A patch in tests/mutants that does not apply any more, or that is not found, is a failure.
# Called by `make mutants`; with names, only those. SEEDS bounds how long a mutant is looked for.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
tree=$root/target/mutants/tree
seeds=${SEEDS:-20000}
failed=0
mkdir -p "$tree"
# What is built from it stays up to date by the times of its files.
git ls-files -z --cached --others --exclude-standard -- '*.rs' '*.toml' '*.lua' '*.jsonl' Cargo.lock |
    xargs -0 cp --parents --preserve=timestamps -t "$tree"
# A run that was broken off has left a mutant behind: what is put in its place has to be built again.
broken=$tree/broken
if [ -e "$broken" ]; then
    find "$tree" -name '*.rs' -exec touch {} +
    rm "$broken"
fi

printf '%-34s %s\n' mutant found
for patch in tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    if ! patch -d "$tree" -p1 --forward --quiet --dry-run <"$patch" >/dev/null; then
        printf '%-34s %s\n' "$name" "the patch does not apply any more"
        failed=1
        continue
    fi
    touch "$broken"
    patch -d "$tree" -p1 --forward --quiet --no-backup-if-mismatch <"$patch"
    log=target/mutants/$name.log
    if (cd "$tree" && CARGO_TARGET_DIR=$root/target/mutants/build cargo build --quiet --profile sim \
        -p homing-tests --bin homing-sim) >"$log" 2>&1; then
        cp target/mutants/build/sim/homing-sim "target/mutants/$name"
        if SEEDS=$seeds QUIET=1 "target/mutants/$name" >>"$log" 2>&1; then
            printf '%-34s %s\n' "$name" "NOT FOUND in $seeds stories"
            failed=1
        else
            told=$(grep -c '^[0-9]* of ' "$log" || true)
            [ "$told" -gt 0 ] || { echo "$name: the simulation did not run, see $log"; failed=1; }
            printf '%-34s %s stories: %s\n' "$name" "$(grep '^[0-9]* of ' "$log" | tail -1 | cut -d' ' -f1)" \
                "$(grep -m1 '^seed ' "$log" | cut -c1-90)"
        fi
        rm -f "target/mutants/$name"
    else
        printf '%-34s %s\n' "$name" "does not build, see $log"
        failed=1
    fi
    patch -d "$tree" -p1 --reverse --quiet <"$patch"
    rm "$broken"
done
exit "$failed"
