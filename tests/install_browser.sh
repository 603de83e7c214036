#!/usr/bin/env bash
# Installs the browser that tests/test_pages.py opens our pages in; where that cannot be, those
# tests skip and say so.
set -euo pipefail
if command -v chromium >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "no chromium, and no right to install it: the browser tests will skip" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core \
    >/dev/null || echo "chromium cannot be installed: the browser tests will skip" >&2
