#!/usr/bin/env bash
# Checks that cargo runs the toolchain named in rust-toolchain.toml, fetching it
# through rustup where that is how Rust is installed. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."

wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

if ! command -v cargo >/dev/null; then
    echo "Rust $wanted is needed and cargo was not found." >&2
    echo "Install rustup as told on https://www.rust-lang.org/tools/install, then run this again." >&2
    exit 1
fi
if command -v rustup >/dev/null && ! rustc --version >/dev/null 2>&1; then
    rustup toolchain install
fi
# rustup fetches the toolchain of this folder, with its targets, on first use.
found=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1)
if [ "$oldest" != "$wanted" ]; then
    echo "Rust $wanted is needed, this is $found." >&2
    echo "With rustup: rustup toolchain install $wanted" >&2
    exit 1
fi
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
    if command -v rustup >/dev/null; then
        rustup target add wasm32-unknown-unknown
    else
        echo "The Rust target wasm32-unknown-unknown is missing: install it beside Rust $found." >&2
        exit 1
    fi
fi
