#!/bin/sh
# What the playground's tests need in addition to the lock: a browser, node and npm, and packages of npm by their lock.
#
#     scripts/playground_tools.sh FOLDER
set -eu
folder=$1
for command in chromium node npm; do
    if ! command -v "$command" >/dev/null; then
        echo "The playground's tests need $command. On Debian: apt-get install chromium nodejs npm" >&2
        exit 1
    fi
done
mkdir -p "$folder"
cp tests/browser/package.json tests/browser/package-lock.json "$folder"
cd "$folder"
npm ci --silent --ignore-scripts --no-audit --no-fund
