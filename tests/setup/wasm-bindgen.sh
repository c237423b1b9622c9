#!/usr/bin/env bash
# Installs the pinned wasm-bindgen and its test runner into $TOOLS, unless this
# version is on PATH. Called by the Makefile, which names the version.
set -euo pipefail

: "${WASM_BINDGEN_VERSION:?}" "${TOOLS:?}"

has() { [ "$("$1" --version 2>/dev/null | cut -d' ' -f2)" = "$WASM_BINDGEN_VERSION" ]; }

if has wasm-bindgen && has wasm-bindgen-test-runner; then
    exit 0
fi
echo "installing wasm-bindgen-cli $WASM_BINDGEN_VERSION into $TOOLS (about two minutes, once)"
# Not --locked: the lock file it was published with does not build with this Rust.
cargo install wasm-bindgen-cli --version "$WASM_BINDGEN_VERSION" --root "$TOOLS" --quiet
