#!/usr/bin/env bash
# Fetches nginx and Caddy from Debian into .cache/proxies where they are missing,
# without installing them: an installed one would start a service of its own.
# Prints the folders to add to PATH. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=$PWD/.cache/proxies
if ! { command -v nginx && command -v caddy; } >/dev/null && [ ! -x "$cache/usr/bin/caddy" ]; then
    command -v apt-get >/dev/null || { echo "Needed and not found: nginx and caddy. Install them, then run this again." >&2; exit 1; }
    rm -rf "$cache"
    mkdir -p "$cache/packages"
    echo "fetching nginx and caddy" >&2
    (cd "$cache/packages" && { apt-get download -q nginx caddy || { apt-get update -q && apt-get download -q nginx caddy; }; }) >&2
    for package in "$cache"/packages/*.deb; do dpkg -x "$package" "$cache"; done
    rm -rf "$cache/packages"
    [ -x "$cache/usr/sbin/nginx" ] && [ -x "$cache/usr/bin/caddy" ]
    if ldd "$cache/usr/sbin/nginx" | grep "not found" >&2; then
        echo "nginx needs these libraries: install Debian's nginx." >&2
        exit 1
    fi
fi
echo "$cache/usr/sbin:$cache/usr/bin"
