#!/usr/bin/env bash
# Prints the versions of the tools that must agree and fails where they do not:
# rustc and rust-toolchain.toml, wasm-bindgen's program and crate, binaryen and
# its pin, Chromium and its driver. Called by the Makefile before wasm is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

wrong=0
# compare WHAT FOUND WANTED WHAT_TO_DO
compare() {
    if [ "$2" = "$3" ]; then
        printf '  %-34s %s\n' "$1" "$2"
    else
        printf '  %-34s %s, but %s is needed: %s\n' "$1" "${2:-missing}" "$3" "$4"
        wrong=1
    fi
}
locked() {
    awk -v name="$1" '$0 == "name = \"" name "\"" { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock
}
major() { "$1" --version 2>/dev/null | grep -oE '[0-9]+' | head -n1; }

rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
compare "rustc" "$(rustc --version | cut -d' ' -f2)" "$rust" "rustup toolchain install $rust"

crate=$(locked wasm-bindgen)
if [ -n "$crate" ]; then
    compare "wasm-bindgen (crate, Cargo.lock)" "$crate" "${WASM_BINDGEN_VERSION:?}" \
        "the Makefile and sdk-wasm/Cargo.toml name different versions"
    compare "wasm-bindgen (program)" "$(wasm-bindgen --version 2>/dev/null | cut -d' ' -f2)" "$crate" "make setup-wasm"
    compare "wasm-bindgen-test-runner" "$(wasm-bindgen-test-runner --version 2>/dev/null | cut -d' ' -f2)" \
        "$crate" "make setup-wasm"
fi
if [ -d js/node_modules ]; then
    pinned=$(node -p 'require("./js/package.json").devDependencies.binaryen ?? ""')
    installed=$(node -p 'require("./js/node_modules/binaryen/package.json").version' 2>/dev/null || true)
    compare "binaryen" "${installed%%.*}" "${pinned%%.*}" "npm ci in js/"
fi
if command -v chromium >/dev/null || command -v chromedriver >/dev/null; then
    compare "chromium and chromedriver (major)" "$(major chromedriver)" "$(major chromium)" \
        "install chromium and chromium-driver of one version"
fi
if [ "$wrong" -ne 0 ]; then
    echo "Versions that must agree do not; see the lines above." >&2
    exit 1
fi
