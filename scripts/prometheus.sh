#!/bin/sh
# Put Prometheus and promtool where tests find them: links to those on the PATH, or the programs of Debian's package,
# unpacked without installing it, so that no service starts and no root is needed (except to fetch the package lists).
#
#     scripts/prometheus.sh FOLDER
set -eu
mkdir -p "$1"
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$1"
    exit
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests run a real Prometheus: put prometheus and promtool (2.42 or newer) on the PATH" >&2
    exit 1
fi
fetch() { apt-get download -qq -o APT::Sandbox::User=root prometheus; }
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
cd "$unpacked"
fetch || { apt-get update -qq && fetch; }
dpkg-deb -x prometheus_*.deb .
cd - >/dev/null
mv "$unpacked/usr/bin/prometheus" "$unpacked/usr/bin/promtool" "$1"
